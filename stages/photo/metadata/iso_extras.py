"""What HEIF and AVIF files hold beside the picture that is read: nothing of it is kept.

Source: ISO/IEC 14496-12 (boxes), 8.11 (meta); ISO/IEC 23008-12 (HEIF), 6.4 (items) and annex B
(auxiliary pictures); ISO 21496-1 (tmap); Motion Photo format 1.0 (mpvd); C2PA 2.1, annex
A.5 (uuid).
"""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import promises
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.behind import extras_behind
from restore_batch.stages.photo.metadata.extras import film, in_bytes, left_out, unknown
from restore_batch.stages.photo.source import size_of
from restore_batch.text import plural

_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_OF_PICTURE = frozenset({b"ftyp", b"meta", b"mdat", b"free", b"skip", b"wide", b"pdin", b"moov"})
# Items that make up the picture, or that are read; "tmap" derives a picture from a gain map.
_CODED = frozenset({b"hvc1", b"av01", b"grid", b"iden", b"iovl", b"jpeg", b"avc1", b"j2k1"})
_READ = frozenset({b"Exif", b"mime"})
_ALPHA = ("urn:mpeg:hevc:2015:auxid:1", "urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")
_DEPTH = ("urn:mpeg:hevc:2015:auxid:2", "urn:mpeg:mpegB:cicp:systems:auxiliary:depth")
_HEAD_BYTES = 256
_META_BYTES = 8 << 20
_MAX_BOXES = 10_000
_ALONE = "a result holds the picture alone"


@dataclass
class _Meta:
    """What a meta box lists. Items go by their number."""

    items: dict[int, tuple[bytes, str]] = field(default_factory=dict)
    """Type, and the content type of a MIME item."""

    links: list[tuple[bytes, int, tuple[int, ...]]] = field(default_factory=list)
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    owned: dict[int, list[int]] = field(default_factory=dict)
    """Item to its properties, counted from 1."""


def extras(file: BinaryIO) -> tuple[Extra, ...]:
    """All extras of a file, without reading its pictures; what cannot be followed is one."""
    found: list[Extra] = []
    allowance = Allowance()
    at, size, boxes = 0, size_of(file), 0
    while at < size:
        boxes += 1
        if boxes > _MAX_BOXES:
            found.append(unknown(f"{plural(size - at, 'byte')} of boxes"))
            return (*found, *allowance.left_out)
        name, start, end = _box_at(file, at, size)
        if not name or (name == b"ftyp" and at):
            break  # another file behind this one
        file.seek(start)
        if name == b"mpvd":
            file.seek(at)
            box = file.read(end - at)
            found.append(film(in_bytes(end - start), box, box[start - at :]))
            at = end
            continue
        head = file.read(min(end - start, _META_BYTES if name == b"meta" else _HEAD_BYTES))
        is_meta, at = name == b"meta", end
        if name in _OF_PICTURE and not is_meta:
            continue
        if allowance.takes(len(head), f"box {name.decode('latin-1')!r}"):
            found += _of_meta(head, end - start) if is_meta else [_of_box(name, head, end - start)]
    file.seek(at)
    return (*found, *allowance.left_out, *extras_behind(file.read(), 0))


def _of_box(name: bytes, head: bytes, size: int) -> Extra:
    if head.startswith(_C2PA) or (name == b"jumb" and b"c2pa" in head):
        return left_out(promises.CREDENTIALS)
    which = f"uuid {head[:16].hex()}" if name == b"uuid" else repr(name.decode("latin-1"))
    return unknown(f"box {which}{in_bytes(size)}")


def _box_at(file: BinaryIO, at: int, end: int) -> tuple[bytes, int, int]:
    """Name, start and end of the content of the box at ``at``; no name where there is none."""
    file.seek(at)
    head = file.read(16)
    size = int.from_bytes(head[:4], "big")
    start = at + (16 if size == 1 else 8)
    size = int.from_bytes(head[8:16], "big") if size == 1 else size
    stop = end if size == 0 else at + size
    name = head[4:8]
    if len(name) < 4 or not start <= stop <= end or not all(0x20 <= byte < 0x7F for byte in name):
        return b"", at, at
    return name, start, stop


def _boxes(data: bytes, at: int) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box from ``at`` on; stops at what is none."""
    file = io.BytesIO(data)
    while at < len(data):
        name, start, at = _box_at(file, at, len(data))
        if not name:
            return
        yield name, data[start:at]


def _of_meta(body: bytes, size: int) -> list[Extra]:
    if size > len(body):
        return [Extra("what its list of items names", left_out="the list is too long")]
    try:
        return _of_items(_meta(body))
    except (struct.error, IndexError):
        return [Extra("what its list of items names", left_out="the list is damaged")]


def _of_items(meta: _Meta) -> list[Extra]:
    found = []
    kinds = {number: kind for kind, number, _ in meta.links if kind in {b"auxl", b"thmb"}}
    counted: Counter[str] = Counter()
    for number, (kind, content) in meta.items.items():
        if kinds.get(number) == b"thmb":
            counted[promises.THUMBNAIL] += 1
        elif kinds.get(number) == b"auxl":
            counted[_auxiliary(meta, number)] += 1
        elif kind == b"tmap":
            counted[promises.GAIN_MAP] += 1
        elif kind not in _CODED | _READ or (kind == b"mime" and "rdf+xml" not in content):
            found.append(unknown(f"item {kind.decode('latin-1')!r} {content}".rstrip()))
    for name in filter(None, counted):
        known = name in {promises.THUMBNAIL, promises.GAIN_MAP, promises.DEPTH_MAP}
        found.append(left_out(name) if known else Extra(name, left_out=_ALONE))
    return found


def _auxiliary(meta: _Meta, number: int) -> str:
    """What an auxiliary picture is; "" for transparency, which is part of the picture."""
    kinds = [
        body[4:].split(b"\x00", 1)[0].decode("latin-1")
        for name, body in (meta.properties[at - 1] for at in meta.owned.get(number, ()) if at)
        if name == b"auxC"
    ]
    kind = kinds[0] if kinds else "of no known kind"
    if kind in _ALPHA:
        return ""
    if kind in _DEPTH:
        return promises.DEPTH_MAP
    if "gainmap" in kind.lower():
        return promises.GAIN_MAP
    return f"auxiliary picture {kind.rpartition(':')[2]!r}"


def _meta(body: bytes) -> _Meta:
    meta = _Meta()
    for name, content in _boxes(body, 4):
        if name == b"iinf":
            _items(content, meta)
        elif name == b"iref":
            _links(content, meta)
        elif name == b"iprp":
            for kind, inner in _boxes(content, 0):
                if kind == b"ipco":
                    meta.properties += _boxes(inner, 0)
                elif kind == b"ipma":
                    _owners(inner, meta)
    return meta


def _items(content: bytes, meta: _Meta) -> None:
    for name, entry in _boxes(content, 6 if content[0] == 0 else 8):
        if name != b"infe" or entry[0] < 2:
            continue
        wide = 4 if entry[0] > 2 else 2
        number = int.from_bytes(entry[4 : 4 + wide], "big")
        kind = entry[6 + wide : 10 + wide]
        texts = entry[10 + wide :].split(b"\x00")
        content_type = texts[1].decode("latin-1") if kind == b"mime" and len(texts) > 1 else ""
        meta.items[number] = kind, content_type


def _links(content: bytes, meta: _Meta) -> None:
    code = "I" if content[0] else "H"
    wide = struct.calcsize(code)
    for name, entry in _boxes(content, 4):
        source, count = struct.unpack_from(f">{code}H", entry)
        targets = struct.unpack_from(f">{count}{code}", entry, wide + 2)
        meta.links.append((name, source, targets))


def _owners(content: bytes, meta: _Meta) -> None:
    code = "I" if content[0] else "H"
    wide = bool(content[3] & 1)
    (entries,) = struct.unpack_from(">I", content, 4)
    at = 8
    for _ in range(entries):
        number, count = struct.unpack_from(f">{code}B", content, at)
        at += struct.calcsize(f">{code}B")
        places = struct.unpack_from(f">{count}{'H' if wide else 'B'}", content, at)
        at += count * (2 if wide else 1)
        meta.owned[number] = [place & (0x7FFF if wide else 0x7F) for place in places]

"""What was done to a picture, said in the picture: which networks made its pixels.

An event joins the history in its XMP packet. Faces that were imagined, not restored, are said
wherever the container has a place for it: XMP (also as IPTC's digital source type), EXIF, PNG
text. What the source says of itself stays, except that a source type that has become false is
replaced, and quoted in the event. No time is noted: equal input gives equal bytes.

Source: XMP specification part 1 (2012), section 7 (RDF), and part 2, 1.2.4 (ResourceEvent); IPTC
Photo Metadata Standard 2023.2, Digital Source Type; PNG specification, keyword "Warning".
"""

from __future__ import annotations

import dataclasses
import io
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr, unescape

from restore_batch import __version__
from restore_batch.models.base import ModelRef
from restore_batch.stages.media import FaceRecord, PhotoMeta, RepairRecord
from restore_batch.stages.photo.metadata import tiff_tags

IMAGINED_SOURCE_TYPE: Final = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EMPTY_PACKET: Final = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}">'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_END_OF_RDF: Final = re.compile(r"</\w+:RDF\s*>")
_ABOUT: Final = re.compile(r"(?<!\w)\w++:about\s*+=\s*+(\"[^\"<]*\"|'[^'<]*')")
_END_OF_HISTORY: Final = re.compile(r"</\w+:Seq\s*>\s*</\w+:History\s*>")
_HISTORY: Final = re.compile(r"<\w+:History[\s>/]")
_SOURCE_TYPE: Final = re.compile(
    r"((?<!\w)\w++:DigitalSourceType(?:\s*=\s*|\s*>\s*|\s+\w+:resource\s*=\s*)[\"']?)([^\"'<>]*)"
)
_WARNING: Final = "Warning"
_SOFTWARE, _IMAGE_HISTORY = 305, 0x9213


@dataclass(frozen=True)
class Provenance:
    """Which networks a job uses. ``faces`` and ``background``: names of the models, or "".
    ``imagined_by``: name of the face model where it invents people, else "". ``keeps_size``: the
    background's model does not enlarge. ``is_generative``: the face model draws what is not in the
    picture."""

    software: str
    faces: str = ""
    background: str = ""
    imagined_by: str = ""
    keeps_size: bool = False
    is_generative: bool = False


def provenance_of(faces_by: ModelRef | None, background_by: ModelRef | None) -> Provenance:
    """The networks that make pixels, as pictures and films name them."""
    faces = faces_by.card if faces_by else None
    return Provenance(
        software=f"restore-batch {__version__}",
        faces=faces.name if faces else "",
        background=background_by.card.name if background_by else "",
        imagined_by=faces.name if faces and faces.imagines else "",
        keeps_size=background_by is not None and background_by.card.scale == 1,
        is_generative=faces is not None and not faces.corrects,
    )


def film_comment(made_by: Provenance) -> str:
    """What a film says of itself; '' where no network had a part in it."""
    parts = []
    if made_by.faces and not made_by.imagined_by:
        parts.append(f"faces restored with {made_by.faces}")
    if made_by.imagined_by:
        parts.append(f"faces imagined by {made_by.imagined_by}, not restored")
    if made_by.background:
        done = "restored" if made_by.keeps_size else "enlarged"
        parts.append(f"{done} with {made_by.background}")
    return f"{made_by.software}: {', '.join(parts)}" if parts else ""


def has_faces_of(made_by: Provenance, records: Sequence[FaceRecord]) -> bool:
    """Whether one of these faces was restored by the face model."""
    return bool(made_by.faces) and any(face.restored for face in records)


def what_was_done(
    made_by: Provenance,
    records: Sequence[FaceRecord],
    repairs: Sequence[RepairRecord] = (),
) -> str:
    """What was done to a picture, in words; "" where no network had a part in it and nothing was
    repaired. ``records``: its faces; ``repairs``: what was repaired."""
    with_faces = has_faces_of(made_by, records)
    parts = list(_repaired(repairs))
    parts += [f"faces: {made_by.faces}"] if with_faces else []
    parts += [f"background: {made_by.background}"] if made_by.background else []
    if not parts:
        return ""
    parts += [_notice(made_by)] if with_faces and made_by.imagined_by else []
    return "; ".join(parts)


def stamped(
    meta: PhotoMeta,
    made_by: Provenance,
    records: Sequence[FaceRecord],
    repairs: Sequence[RepairRecord] = (),
    *,
    text_entries: bool = False,
) -> tuple[PhotoMeta, tuple[str, ...]]:
    """``meta`` that says what made the picture, and warnings.

    ``records``: the faces of the picture: without a restored one no face model is named, and
    where no model had a part nothing is said. ``repairs``: what was repaired. ``text_entries``:
    some may be added. A packet that is not well-formed UTF-8 XMP stays as it is, with a warning.
    """
    done = what_was_done(made_by, records, repairs)
    if not done:
        return meta, ()
    imagined = bool(made_by.imagined_by) and has_faces_of(made_by, records)
    warnings: tuple[str, ...] = ()
    xmp = _with_event(meta.xmp, made_by.software, done, imagined=imagined)
    if xmp is None:
        warnings = ("its XMP is damaged: what was restored is not noted in it",)
        xmp = meta.xmp
    meta = dataclasses.replace(meta, xmp=xmp)
    if imagined:
        history = f"{made_by.software}: {_notice(made_by)}"
        exif = _with_history(meta.exif, made_by.software, history)
        meta = dataclasses.replace(meta, exif=exif)
        if text_entries:
            extras = tuple(extra for extra in meta.extras if extra.text_key != _WARNING)
            text = _with_warning(meta.text, history)
            meta = dataclasses.replace(meta, text=text, extras=extras)
    return meta, warnings


def _notice(made_by: Provenance) -> str:
    return f"contains imagined faces ({made_by.imagined_by}): not the people in the picture"


def _repaired(repairs: Sequence[RepairRecord]) -> Iterator[str]:
    for done in repairs:
        if done.share > 0:
            drawn = f", drawn by {done.drawn_by}" if done.drawn_by else ""
            yield f"damage filled: {done.share:.2%}, found by {done.by}{drawn}"
        if done.unfaded:
            yield "fading: tones changed"


# --- XMP ---------------------------------------------------------------------------------------


def _with_event(xmp: bytes | None, software: str, what: str, *, imagined: bool) -> bytes | None:
    """The packet with one more event in its history; None where it cannot be changed safely."""
    original = packet = _readable(xmp) if xmp else _EMPTY_PACKET
    if packet is None:
        return None
    added = ""
    if imagined:
        packet, before = _with_source_type(packet)
        if before and before != IMAGINED_SOURCE_TYPE:
            what += f"; digital source type before: {before}"
        if before is None:
            added = (
                ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
                f' Iptc4xmpExt:DigitalSourceType="{IMAGINED_SOURCE_TYPE}"'
            )
    event = (
        f'<rdf:li xmlns:rdf="{_RDF}"'
        ' xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#" stEvt:action="edited"'
        f" stEvt:softwareAgent={quoteattr(software)} stEvt:parameters={quoteattr(what)}/>"
    )
    inner = ""
    if end := _END_OF_HISTORY.search(packet):
        packet = packet[: end.start()] + event + packet[end.start() :]
    elif not _HISTORY.search(packet):
        added += ' xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
        inner = f"<xmpMM:History><rdf:Seq>{event}</rdf:Seq></xmpMM:History>"
    if added:
        # All descriptions of a packet must be about the same thing.
        found = _ABOUT.search(packet)
        about = found[1] if found else '""'
        attributes = f'xmlns:rdf="{_RDF}" rdf:about={about}{added}'
        block = f"<rdf:Description {attributes}>{inner}</rdf:Description>"
        end_of_rdf = _END_OF_RDF.search(packet)
        if end_of_rdf is None:
            return None
        packet = packet[: end_of_rdf.start()] + block + packet[end_of_rdf.start() :]
    changed = packet.encode()
    return changed if packet != original and _readable(changed) is not None else None


def _with_source_type(packet: str) -> tuple[str, str | None]:
    """The packet with its own digital source type replaced, and what it was (None: none)."""
    found = _SOURCE_TYPE.search(packet)
    if found is None:
        return packet, None
    packet = packet[: found.start(2)] + IMAGINED_SOURCE_TYPE + packet[found.end(2) :]
    return packet, unescape(found[2]).strip()


def _readable(xmp: bytes) -> str | None:
    """The packet as text, or None unless it is well-formed XML in UTF-8 without a DTD."""
    parser = expat.ParserCreate("utf-8")

    def refuse(*_: object) -> None:
        raise ValueError("a packet has no document type")

    parser.StartDoctypeDeclHandler = refuse
    body = xmp.strip(b"\x00 \t\r\n")
    try:
        parser.Parse(body, True)
        return xmp.decode("utf-8")
    except (expat.ExpatError, ValueError):
        return None


# --- EXIF and PNG text -------------------------------------------------------------------------


def _with_history(exif: bytes | None, software: str, history: str) -> bytes | None:
    """The block with ``history`` in ImageHistory, and Software where the source names none."""
    if exif is None:
        own = {_SOFTWARE: _ascii(software), _IMAGE_HISTORY: _ascii(history)}
        return tiff_tags.block(tiff_tags.Tree(own, {}, {}, {}))
    try:
        file = io.BytesIO(exif)
        layout, at = tiff_tags.layout_of(file)
        if layout.big:
            return exif  # no EXIF block is one: XMP says it all
        main = tiff_tags.directory_at(file, layout, at)
        codes = {entry.code for entry in tiff_tags.entries_of(file, layout, at)[0]}
        before = main[_IMAGE_HISTORY].data.rstrip(b"\x00") if _IMAGE_HISTORY in main else b""
        said = _ascii(f"{before.decode('ascii', 'replace')}; {history}" if before else history)
        tags = {_IMAGE_HISTORY: said}
        if _SOFTWARE not in codes:
            tags[_SOFTWARE] = _ascii(software)
        return _with_tags(exif, tags)
    except tiff_tags.TagError:
        return exif


def _ascii(text: str) -> tiff_tags.Tag:
    return tiff_tags.raw(text.encode("ascii", "replace") + b"\x00", 2)


def _with_tags(exif: bytes, tags: Mapping[int, tiff_tags.Tag]) -> bytes:
    """``exif`` with text tags in its main directory, which moves to the end of the block.

    Nothing else moves: maker notes refer to places in the block that nobody but their maker
    knows.
    """
    file = io.BytesIO(exif)
    layout, at = tiff_tags.layout_of(file)
    entries, link_at = tiff_tags.entries_of(file, layout, at)
    rows = {entry.code: exif[entry.at : entry.at + 12] for entry in entries}
    body = bytearray(exif + b"\x00" * (len(exif) % 2))
    table_at = len(body)
    values_at = table_at + 2 + 12 * len(rows.keys() | tags.keys()) + 4
    values = bytearray()
    for code, tag in tags.items():
        offset = values_at + len(values)
        field = struct.pack(layout.order + "I", offset) if len(tag.data) > 4 else tag.data
        head = struct.pack(layout.order + "HHI", code, tag.field_type, tag.count)
        rows[code] = head + field.ljust(4, b"\x00")
        if len(tag.data) > 4:
            values += tag.data + b"\x00" * (len(tag.data) % 2)
    body += struct.pack(layout.order + "H", len(rows))
    body += b"".join(rows[code] for code in sorted(rows))
    body += exif[link_at : link_at + 4] + values
    struct.pack_into(layout.order + "I", body, 4, table_at)
    return bytes(body)


def _with_warning(text: Mapping[str, str], warning: str) -> dict[str, str]:
    before = text.get(_WARNING)
    return {**text, _WARNING: f"{before}\n{warning}" if before else warning}

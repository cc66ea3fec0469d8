"""Spoiling bytes: what disks, cables and people who mean harm do to files."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

_HEAD = 512
_INTERESTING = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 24, (1 << 31) - 1)
_INTERESTING_LONG = (1 << 31, (1 << 32) - 1, (1 << 32) - 8, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)
_TAG = re.compile(rb"[A-Za-z][A-Za-z0-9 _]{3}")
_LARGEST = 2 << 20


def mutated(data: bytes, chance: Random, others: Sequence[bytes] = ()) -> bytes:
    """``data`` after one to eight changes; ``others``: files of the same kind to borrow from."""
    for _ in range(1 + int(min(chance.expovariate(0.7), 7))):
        change = chance.choice(_CHANGES)
        data = change(data, chance, others)[:_LARGEST]
    if data.startswith(b"\x89PNG") and chance.random() < 0.7:
        data = _with_right_checksums(data)
    return data


def _place(data: bytes, chance: Random) -> int:
    # Half of all changes go where the headers are: anywhere else is mostly compressed pixels.
    return chance.randrange(max(1, min(len(data), _HEAD) if chance.random() < 0.5 else len(data)))


def _span(data: bytes, chance: Random) -> tuple[int, int]:
    start = _place(data, chance)
    longest = max(1, len(data) - start)
    return start, start + chance.randint(1, min(longest, 1 << chance.randint(0, 14)))


def _flip(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    changed = bytearray(data or b"\0")
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]


def _cut(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    return data[: _place(data, chance)]


def _remove(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + data[end:]


def _zero(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    return data[:start] + chance.choice((b"\0", b"\xff")) * (end - start) + data[end:]


def _insert(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    at = _place(data, chance)
    return data[:at] + chance.randbytes(1 << chance.randint(0, 8)) + data[at:]


def _duplicate(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    start, end = _span(data, chance)
    return data[:end] + data[start:end] * chance.choice((1, 1, 3, 50)) + data[end:]


def _swap(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted((_span(data, chance), _span(data, chance)))
    c, d = max(b, c), max(b, c, d)
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _splice(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else data
    start, end = _span(other, chance)
    at = _place(data, chance)
    return data[:at] + other[start:end] + data[at + (end - start) * chance.randrange(2) :]


def _number(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """A number of some width, as a length, a count or an offset would be, overwritten."""
    wide = chance.choice((1, 2, 2, 4, 4, 4, 8))
    value = chance.choice((*_INTERESTING, *_INTERESTING_LONG, len(data), len(data) - 1))
    packed = (value % (1 << 8 * wide)).to_bytes(wide, chance.choice(("big", "little")))
    at = _place(data, chance)
    return data[:at] + packed + data[at + wide :]


def _length_of_tag(data: bytes, chance: Random, others: Sequence[bytes]) -> bytes:
    """The number before or behind something that looks like the name of a box or a chunk."""
    tags = [match.start() for match in _TAG.finditer(data[: 64 * _HEAD])]
    if not tags:
        return _number(data, chance, others)
    at = max(0, chance.choice(tags) + chance.choice((-4, 4)))
    value = chance.choice((*_INTERESTING, *_INTERESTING_LONG)) % (1 << 32)
    return data[:at] + struct.pack(chance.choice("<>") + "I", value) + data[at + 4 :]


_CHANGES: tuple[Callable[[bytes, Random, Sequence[bytes]], bytes], ...] = (
    *(_flip, _flip, _set, _set, _number, _number, _length_of_tag, _length_of_tag),
    *(_cut, _remove, _zero, _insert, _duplicate, _swap, _splice),
)


def _with_right_checksums(png: bytes) -> bytes:
    """Chunks that only their checksum would give away, as one who means harm would write them."""
    done, at = png[:8], 8
    while at + 12 <= len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        body = png[at + 4 : at + 8 + size]
        if len(body) < 4 + size:
            break
        done += png[at : at + 4] + body + zlib.crc32(body).to_bytes(4, "big")
        at += 12 + size
    return done + png[at:]

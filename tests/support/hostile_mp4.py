"""MP4 files that lie: one good film, of which one thing is changed for each."""

# ruff: noqa: E501 - a line a file

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from support.clips import clip

Change = Callable[[bytes], bytes]
MOST = 2**32 - 1
_TABLES = "moov/trak/mdia/minf/stbl"


def box(name: str, *payload: bytes) -> bytes:
    content = b"".join(payload)
    return struct.pack(">I4s", 8 + len(content), name.encode("latin-1")) + content


def _full(name: str, *payload: bytes) -> bytes:
    return box(name, bytes(4), *payload)


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *values)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + size]
        at += size


def edited(data: bytes, path: str, change: Change) -> bytes:
    """``data`` with the payload of the first box at ``path`` changed, as long as it may get: the
    index lies behind the pictures, so that no offset moves."""
    first, _, rest = path.partition("/")
    done, found = b"", False
    for name, payload in _boxes(data):
        if name == first.encode("latin-1") and not found:
            found = True
            changed = edited(payload, rest, change) if rest else change(payload)
            done += box(name.decode("latin-1"), changed)
        else:
            done += box(name.decode("latin-1"), payload)
    if not found:
        raise ValueError(f"no box {path}")
    return done


def _added(data: bytes, path: str, *more: bytes) -> bytes:
    return edited(data, path, lambda payload: payload + b"".join(more))


def _at(place: int, value: bytes) -> Change:
    return lambda payload: payload[:place] + value + payload[place + len(value) :]


def _table(name: str, *values: int) -> Change:
    """The table ``name`` of the film with these words behind its version."""
    return lambda data: edited(data, f"{_TABLES}/{name}", lambda _: bytes(4) + words(*values))


def _long(duration: int) -> Change:
    """Every header in 64 bits, with this duration."""

    def timed(payload: bytes) -> bytes:
        head = b"\1" + payload[1:4] + bytes(16)
        return head + payload[12:16] + struct.pack(">Q", duration) + payload[20:]

    def track(payload: bytes) -> bytes:
        head = b"\1" + payload[1:4] + bytes(16)
        return head + payload[12:20] + struct.pack(">Q", duration) + payload[24:]

    def change(data: bytes) -> bytes:
        data = edited(data, "moov/mvhd", timed)
        data = edited(data, "moov/trak/tkhd", track)
        return edited(data, "moov/trak/mdia/mdhd", timed)

    return change


def _size(width: int, height: int) -> Change:
    def change(data: bytes) -> bytes:
        # In the sample entry behind version, count, and 32 bytes of other fields.
        stored = _at(8 + 8 + 24, struct.pack(">HH", width, height))
        data = edited(data, f"{_TABLES}/stsd", stored)
        return edited(data, "moov/trak/tkhd", _at(76, words(width << 16, height << 16)))

    return change


def _edits(*entries: tuple[int, int, int]) -> Change:
    listed = b"".join(struct.pack(">qqI", *entry) for entry in entries)
    edts = box("edts", box("elst", b"\1\0\0\0", words(len(entries)), listed))

    def change(data: bytes) -> bytes:
        return edited(data, "moov/trak", lambda payload: edts + _without(payload, b"edts"))

    return change


def _without(data: bytes, unwanted: bytes) -> bytes:
    return b"".join(box(n.decode("latin-1"), p) for n, p in _boxes(data) if n != unwanted)


def _nested(name: str, depth: int, inside: bytes = b"") -> bytes:
    """``depth`` boxes, one in the other."""
    sizes = range(8 * depth + len(inside), len(inside), -8)
    return b"".join(struct.pack(">I4s", size, name.encode()) for size in sizes) + inside


def _many_tracks(data: bytes) -> bytes:
    moov = next(payload for name, payload in _boxes(data) if name == b"moov")
    track = next(payload for name, payload in _boxes(moov) if name == b"trak")
    copies = [box("trak", edited(track, "tkhd", _at(12, words(n)))) for n in range(2, 1001)]
    return _added(data, "moov", *copies)


def _elsewhere(data: bytes) -> bytes:
    """The pictures are said to be in another file."""
    path = b"/etc/passwd"
    alias = b"alis" + bytes(4) + words(0) + struct.pack(">HH", len(path), 2) + bytes(142)
    alias += struct.pack(">HH", 2, len(path)) + path + b"\0"
    alias += struct.pack(">HH", 18, len(path)) + path + b"\0" + struct.pack(">hH", -1, 0)
    entries = box("alis", alias[4:]) + box("url ", bytes(4), b"file:///etc/passwd\0")
    return edited(data, "moov/trak/mdia/minf/dinf/dref", lambda _: bytes(4) + words(2) + entries)


def _compressed(data: bytes) -> bytes:
    """A movie box of a gigabyte, deflated to one megabyte."""
    squeezer = zlib.compressobj(9)
    zeros = bytes(1 << 24)
    packed = b"".join(squeezer.compress(zeros) for _ in range(64)) + squeezer.flush()
    cmov = box("cmov", box("dcom", b"zlib"), box("cmvd", words(1 << 30), packed))
    return b"".join(
        box("moov", cmov) if n == b"moov" else box(n.decode("latin-1"), p) for n, p in _boxes(data)
    )


def _titles(*names: bytes) -> bytes:
    items = b"".join(box("\xa9nam", box("data", words(1, 0), name)) for name in names)
    return box(
        "udta", _full("meta", _full("hdlr", words(0), b"mdirappl", bytes(9)), box("ilst", items))
    )


def _chapters(count: int, title: bytes) -> bytes:
    entries = b"".join(
        struct.pack(">QB", 2**63 + number, len(title)) + title for number in range(count)
    )
    return box("udta", box("chpl", b"\1\0\0\0", bytes(1), words(count), entries))


def _fragment(samples: int) -> bytes:
    run = box("trun", words(0x1, samples, MOST))
    track = box("traf", box("tfhd", words(0x20, 1, 0)), run)
    return box("moof", _full("mfhd", words(1)), track) + box("mdat", bytes(64))


CHANGES: dict[str, Change] = {
    "lasts for ever": _long(2**63 - 1),
    "lasts longer than 63 bits": _long(2**64 - 1),
    "clock without a unit": lambda d: edited(d, "moov/trak/mdia/mdhd", _at(12, words(0))),
    "clock too fine": lambda d: edited(d, "moov/trak/mdia/mdhd", _at(12, words(MOST))),
    "film clock without a unit": lambda d: edited(d, "moov/mvhd", _at(12, words(0))),
    "65535 a side": _size(65535, 65535),
    "no size": _size(0, 0),
    "all at once": _table("stts", 1, 12, 0),
    "136 years a frame": _table("stts", 1, 12, MOST),
    "time for four thousand million frames": _table("stts", 1, MOST, 1),
    "times table without end": _table("stts", MOST, 12, 1),
    "times before the beginning": lambda d: _added(
        d, _TABLES, box("ctts", b"\1\0\0\0", words(2, 6, 1 << 31, 6, (1 << 31) - 1))
    ),
    "2^31 samples": _table("stsz", 1, 1 << 31),
    "2^31 samples of no length": _table("stsz", 0, 1 << 31),
    "samples of 2 GB": _table("stsz", (1 << 31) - 1, 12),
    "samples of no length": _table("stsz", 0, 12, *([0] * 12)),
    "samples behind the end": _table("stco", 1, MOST - 7),
    "samples in one another": lambda d: _table("stsc", 1, 1, 1, 1)(_table("stco", 12, *[48] * 12)(d)),
    "chunks without end": _table("stsc", 2, 1, MOST, 1, MOST, 0, MOST),
    "descriptions without end": lambda d: edited(d, f"{_TABLES}/stsd", _at(4, words(MOST))),
    "2^28 samples in one chunk": lambda d: _table("stsc", 1, 1, 1 << 28, 1)(
        _table("stsz", 1, 1 << 28)(d)
    ),
    "10 million samples of the same bytes": lambda d: _table("stsc", 1, 1, 10**7, 1)(
        _table("stsz", 1, 10**7)(_table("stts", 1, 10**7, 512)(d))
    ),
    "keyframes that are none": _table("stss", 4, 0, MOST, 5, 5),
    "100,000 edits": _edits(*[(1, number % 12, 1 << 16) for number in range(100_000)]),
    "edits without end": _edits(*[(2**62, 0, 1 << 16)] * 50),
    "edit to nowhere": _edits((1, 2**62, 1 << 16), (-1, -(2**62), 0)),
    "boxes in boxes": lambda d: d + _nested("moov", 20_000),
    "boxes in a track": lambda d: _added(d, "moov/trak", _nested("udta", 20_000)),
    "two million empty boxes": lambda d: d[:32] + box("free") * 2_000_000,
    "a box larger than all": lambda d: d[:32] + words(1) + b"free" + struct.pack(">Q", 2**63 + 1) + d[32:],
    "a box of 4 bytes": lambda d: d[:32] + words(4) + b"free" + d[32:],
    "1,000 tracks": _many_tracks,
    "pictures in another file": _elsewhere,
    "deflated index of 1 GB": _compressed,
    "title of 10 MB": lambda d: _added(d, "moov", _titles(b"\x1b[31m" * 2_000_000)),
    "10,000 titles": lambda d: _added(d, "moov", _titles(*[b"\n\x9b2J" * 100] * 10_000)),
    "chapters behind all time": lambda d: _added(d, "moov", _chapters(255, b"\x1b[2J\n\xff")),
    "fragments without end": lambda d: d + _fragment(MOST) * 100,
    "pixels of no shape": lambda d: edited(
        d, f"{_TABLES}/stsd", lambda p: p[:8] + _shaped(p[8:], 0, MOST)
    ),
    "pixels like needles": lambda d: edited(
        d, f"{_TABLES}/stsd", lambda p: p[:8] + _shaped(p[8:], MOST, 1)
    ),
    "turned by no matrix": lambda d: edited(d, "moov/trak/tkhd", _at(40, bytes(36))),
    "cut in its index": lambda d: d[: len(d) - 300],
    "cut in its pictures": lambda d: d[:500],
}  # fmt: skip


def _shaped(entry: bytes, across: int, down: int) -> bytes:
    """A sample entry whose pixels have this shape."""
    name, payload = next(_boxes(entry))
    inside = _without(payload[78:], b"pasp") + box("pasp", words(across, down))
    return box(name.decode(), payload[:78], inside)


def films(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each kind with its file, made on the way."""
    source = clip(folder / "good.mp4", frames=12)
    good = source.read_bytes()
    source.unlink()
    for number, (name, change) in enumerate(CHANGES.items()):
        path = folder / f"mp4-{number:02}.mp4"
        path.write_bytes(change(good))
        yield f"mp4: {name}", path

"""Hostile films of the other containers, and hostile headers of HEIF, AVIF and camera raws."""

# ruff: noqa: E501 - a line a file

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from support.clips import clip
from support.hostile_mp4 import MOST, box, edited, words

_PACKET = 188


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _patched(data: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    at = data.index(mark) + offset
    return data[:at] + value + data[at + len(value) :]


def _least(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


# -- AVI: offsets count from the name of a chunk ------------------------------------------------


def _looping_index(data: bytes) -> bytes:
    """A super index of OpenDML whose entries lead to itself."""
    at = data.index(b"strf")
    entries = struct.pack("<QII", at, MOST, MOST) * 200
    index = struct.pack("<HBBI4sIII", 4, 0, 0, 200, b"00dc", 0, 0, 0) + entries
    return data[:at] + _chunk(b"indx", index) + data[at:]


def _avi_streams(data: bytes) -> bytes:
    at = data.index(b"LIST", 12 + 4)  # strl behind hdrl
    at = data.index(b"strl") - 8
    length = 8 + struct.unpack("<I", data[at + 4 : at + 8])[0]
    return data[:at] + data[at : at + length] * 500 + data[at + length :]


AVI: dict[str, Callable[[bytes], bytes]] = {
    "rate without a unit": lambda d: _patched(d, b"strh", 28, _least(0, 25)),
    "rate of nothing": lambda d: _patched(d, b"strh", 28, _least(1, 0)),
    "a thousand million a second": lambda d: _patched(d, b"strh", 28, _least(1, 10**9)),
    "a frame in thirty years": lambda d: _patched(d, b"strh", 28, _least(10**9, 1)),
    "four thousand million frames": lambda d: _patched(d, b"strh", 40, _least(MOST)),
    "65535 a side": lambda d: _patched(d, b"strf", 12, _least(65535, 65535)),
    "size below zero": lambda d: _patched(d, b"strf", 12, _least(1 << 31, 1 << 31)),
    "frames of 2 GB": lambda d: _patched(d, b"00dc", 4, _least((1 << 31) - 1)),
    "index that leads to itself": _looping_index,
    "old index to nowhere": lambda d: _patched(d, b"idx1", 16, _least(MOST, MOST) * 20),
    "500 streams": _avi_streams,
    "lists in lists": lambda d: d[:12] + (b"LIST" + _least(MOST) + b"hdrl") * 50_000 + d[12:],
}


# -- other streams ------------------------------------------------------------------------------


def _random_packets(count: int) -> bytes:
    """A broadcast in which every packet belongs to another stream."""
    rng = np.random.default_rng(4)
    packets = rng.integers(0, 256, (count, _PACKET), np.uint8)
    packets[:, 0] = 0x47
    return packets.tobytes()


def _tables(data: bytes) -> bytes:
    """A table of programs that names every stream number there is, again and again."""
    section = b"".join(struct.pack(">HH", n, 0xE000 | n & 0x1FFF) for n in range(40))
    table = b"\0" + struct.pack(">H", 0xB000 | len(section) + 9) + b"\0\1\xc1\0\0" + section
    packet = b"\x47\x40\0\x10\0" + table
    packet += bytes(4)
    return (packet + b"\xff" * (_PACKET - len(packet))) * 5000 + data


def _times(data: bytes) -> bytes:
    """The clock jumps at every packet that has one."""
    rng = np.random.default_rng(5)
    packets = np.frombuffer(data[: len(data) // _PACKET * _PACKET], np.uint8).copy()
    packets = packets.reshape(-1, _PACKET)
    starts = packets[:, 1] & 0x40 > 0
    packets[starts, 18:24] ^= rng.integers(0, 256, (int(starts.sum()), 6), np.uint8) & 0xFE
    return packets.tobytes()


def _amf(depth: int) -> bytes:
    """FLV whose script data are objects in objects."""
    script = b"\x02\0\x0aonMetaData" + b"\x03\0\1a" * depth
    tag = b"\x12" + len(script).to_bytes(3, "big") + bytes(7) + script
    return b"FLV\1\5\0\0\0\x09" + bytes(4) + tag + struct.pack(">I", len(tag))


def _klv() -> bytes:
    """MXF whose sets are as long as all files."""
    label = bytes.fromhex("060e2b34020501010d01020101020400")
    other = bytes.fromhex("060e2b34025301010d01010101013b00")
    far = b"\x88" + (2**62).to_bytes(8, "big")
    return label + b"\x83\0\0\x78" + bytes(120) + (other + far + bytes(40)) * 2000


def _pages() -> bytes:
    """Ogg pages that go on for ever."""
    page = (
        b"OggS\0\1" + struct.pack("<qIII", -1, 1, 0, 0) + b"\xff" + b"\xff" * 255 + bytes(255 * 255)
    )
    return page * 60


STREAMS: dict[str, tuple[str, Callable[[Path], bytes]]] = {
    "random packets": (".ts", lambda folder: _random_packets(20_000)),
    "programs without end": (".ts", lambda folder: _tables(_good(folder, ".ts"))),
    "clock that jumps": (".ts", lambda folder: _times(_good(folder, ".ts"))),
    "half of a broadcast": (".ts", lambda folder: _good(folder, ".ts")[100 : 188 * 9 + 30]),
    "programs that restart": (".mpg", lambda folder: _good(folder, ".mpg") * 30),
    "objects in objects": (".flv", lambda folder: _amf(100_000)),
    "sets longer than all": (".mxf", lambda folder: _klv()),
    "pages without end": (".ogv", lambda folder: _pages()),
    "65535 a side": (".y4m", lambda folder: b"YUV4MPEG2 W65535 H65535 F25:1 C444\nFRAME\n" + bytes(9999)),
    "header without end": (".y4m", lambda folder: b"YUV4MPEG2 " + b"X" * (4 << 20)),
    "rate without a unit": (".y4m", lambda folder: b"YUV4MPEG2 W64 H48 F1:0 A0:0 C420\nFRAME\n" + bytes(4608)),
    "frames of 4 GB": (".ivf", lambda folder: b"DKIF\0\0\x20\0VP80" + struct.pack("<HHIIII", 65535, 65535, 0, 0, MOST, 0) + struct.pack("<IQ", MOST, 2**63) + bytes(5000)),
    "sizes that change": (".mjpeg", lambda folder: _changing()),
    "noise": (".h264", lambda folder: np.random.default_rng(6).bytes(1 << 20)),
    "noise of tapes": (".dv", lambda folder: np.random.default_rng(7).bytes(1 << 20)),
    "noise of codes": (".vob", lambda folder: b"\0\0\1\xba" + np.random.default_rng(8).bytes(1 << 20)),
    "header alone": (".wmv", lambda folder: bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QI", 2**63, MOST) + bytes(500)),
    "real noise": (".rm", lambda folder: b".RMF" + struct.pack(">IHII", MOST, 1, MOST, MOST) + bytes(5000)),
}  # fmt: skip


def _good(folder: Path, suffix: str) -> bytes:
    path = clip(folder / f"good{suffix}", codec="mpeg2video", frames=25)
    data = path.read_bytes()
    path.unlink()
    return data


def _changing() -> bytes:
    """JPEGs in a row, small ones and in their middle the largest that there can be."""
    done = []
    for number in range(6):
        memory = io.BytesIO()
        Image.new("RGB", (64 + 16 * number, 48)).save(memory, "JPEG")
        done.append(memory.getvalue())
    header = done[3].index(b"\xff\xc0")
    done[3] = done[3][: header + 5] + struct.pack(">HH", 65500, 65500) + done[3][header + 9 :]
    return b"".join(done)


# -- pictures -----------------------------------------------------------------------------------


def _picture(folder: Path, kind: str) -> bytes:
    import pillow_heif

    memory = io.BytesIO()
    image = Image.new("RGB", (64, 48), (90, 120, 30))
    if kind == "heic":
        pillow_heif.from_pillow(image).save(memory)
    else:
        image.save(memory, "AVIF")
    return memory.getvalue()


def _items(data: bytes, count: int) -> bytes:
    """A grid of ``count`` times ``count`` tiles that are all itself."""

    def meta(payload: bytes) -> bytes:
        grid = bytes([0, 0, count - 1, count - 1]) + struct.pack(">HH", 65535, 65535)
        tiles = struct.pack(">HH", 2, count * count) + struct.pack(">H", 2) * (count * count)
        entry = box("infe", b"\2\0\0\0", struct.pack(">HH", 2, 0), b"grid\0")
        refs = box("iref", bytes(4), box("dimg", tiles))
        inside = edited(
            payload[4:], "iinf",
            lambda p: p[:4] + struct.pack(">H", struct.unpack(">H", p[4:6])[0] + 1) + p[6:] + entry,
        )  # fmt: skip
        inside = edited(inside, "pitm", lambda p: bytes(4) + struct.pack(">H", 2))
        return payload[:4] + inside + refs + box("idat", grid)

    return edited(data, "meta", meta)


def _in_meta(path: str, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda data: edited(data, "meta", lambda p: p[:4] + edited(p[4:], path, change))


IMAGES: dict[str, Callable[[bytes], bytes]] = {
    "65535 a side": _in_meta("iprp/ipco/ispe", lambda p: bytes(4) + words(65535, 65535)),
    "4,294,967,295 a side": _in_meta("iprp/ipco/ispe", lambda p: bytes(4) + words(MOST, MOST)),
    "no size": _in_meta("iprp/ipco/ispe", lambda p: bytes(4) + words(0, 0)),
    "65,535 items": _in_meta("iinf", lambda p: p[:4] + b"\xff\xff" + p[6:]),
    "places without end": _in_meta("iloc", lambda p: p[:6] + b"\xff\xff" + p[8:]),
    "places outside": _in_meta("iloc", lambda p: p[:-8] + b"\xff" * 8),
    "properties without end": _in_meta("iprp/ipma", lambda p: p[:4] + words(MOST) + p[8:]),
    "grid of itself": lambda d: _items(d, 255),
    "a primary picture that is not there": _in_meta("pitm", lambda p: bytes(4) + b"\xff\xff"),
    "cut off": lambda d: d[: len(d) * 2 // 3],
}  # fmt: skip


def _tiff(*tags: tuple[int, int, int, int], after: bytes = b"", next_ifd: int = 0) -> bytes:
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + _least(8) + struct.pack("<H", len(tags)) + entries + _least(next_ifd) + after


_SENSOR = ((262, 3, 1, 32803), (259, 3, 1, 1), (258, 3, 1, 16), (277, 3, 1, 1), (273, 4, 1, 200))
_DNG = (50706, 1, 4, 0x00000401)

RAWS: dict[str, tuple[str, bytes]] = {
    "60,000 a side": (".dng", _tiff(_DNG, *_SENSOR, (256, 4, 1, 60_000), (257, 4, 1, 60_000), (279, 4, 1, MOST), after=bytes(4000))),
    "4,294,967,295 a side": (".nef", _tiff(*_SENSOR, (256, 4, 1, MOST), (257, 4, 1, MOST), after=bytes(4000))),
    "directory that leads to itself": (".dng", _tiff(_DNG, *_SENSOR, (330, 4, 1, 8), next_ifd=8, after=bytes(4000))),
    "tags without end": (".arw", b"II*\0" + _least(8) + b"\xff\xff" + struct.pack("<HHII", 330, 4, MOST, 8) * 65535),
    "tiles without end": (".dng", _tiff(_DNG, *_SENSOR, (256, 4, 1, 9000), (257, 4, 1, 9000), (322, 4, 1, 1), (323, 4, 1, 1), (324, 4, MOST, 8), (325, 4, MOST, 8), after=bytes(4000))),
    "noise": (".cr2", b"II*\0" + _least(16) + b"CR\2\0" + np.random.default_rng(9).bytes(100_000)),
    "noise of a Fuji": (".raf", b"FUJIFILMCCD-RAW 0201" + np.random.default_rng(10).bytes(100_000)),
}  # fmt: skip


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each kind with its file, made on the way."""
    source = clip(folder / "good.avi", codec="mpeg4", frames=25)
    good = source.read_bytes()
    source.unlink()
    for number, (name, change) in enumerate(AVI.items()):
        yield f"avi: {name}", _put(folder / f"avi-{number:02}.avi", change(good))
    for number, (name, (suffix, make)) in enumerate(STREAMS.items()):
        yield f"{suffix[1:]}: {name}", _put(folder / f"stream-{number:02}{suffix}", make(folder))
    for kind in ("heic", "avif"):
        good = _picture(folder, kind)
        for number, (name, change) in enumerate(IMAGES.items()):
            yield f"{kind}: {name}", _put(folder / f"{kind}-{number:02}.{kind}", change(good))
    for number, (name, (suffix, data)) in enumerate(RAWS.items()):
        yield f"raw: {name}", _put(folder / f"raw-{number:02}{suffix}", data)


def _put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path

"""Matroska files that lie, written element by element around the pictures of a good film."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av

from support.clips import clip

_UNKNOWN = b"\x01\xff\xff\xff\xff\xff\xff\xff"


def element(identifier: int, *content: bytes) -> bytes:
    """An EBML element with its size in eight bytes."""
    data = b"".join(content)
    return _id(identifier) + (len(data) | 1 << 56).to_bytes(8, "big") + data


def _id(identifier: int) -> bytes:
    return identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")


def _number(identifier: int, value: int) -> bytes:
    return element(identifier, value.to_bytes(8, "big"))


def _nested(identifier: int, depth: int) -> bytes:
    """``depth`` elements of unknown size, one in the other."""
    return (_id(identifier) + _UNKNOWN) * depth


_EBML = element(
    0x1A45DFA3, _number(0x4286, 1), _number(0x42F7, 1), _number(0x42F2, 4), _number(0x42F3, 8),
    element(0x4282, b"matroska"), _number(0x4287, 4), _number(0x4285, 2),
)  # fmt: skip
_VIDEO, _TEXT = 1, 17


@dataclass(frozen=True)
class Film:
    """What is in the file; what is bytes is put there as it is."""

    private: bytes
    pictures: tuple[bytes, ...]
    size: tuple[int, int] = (64, 48)
    tick_ns: int = 1_000_000
    duration: float = 480.0
    frame_ns: int | None = None
    cluster_time: int = 0
    step: int = 40
    entry: bytes = b""
    tracks: bytes = b""
    before: bytes = b""
    after: bytes = b""
    blocks: bytes = b""
    ebml: bytes = _EBML

    def track(
        self, number: int = 1, kind: int = _VIDEO, codec: bytes = b"V_MPEG4/ISO/AVC"
    ) -> bytes:
        picture = element(0xE0, _number(0xB0, self.size[0]), _number(0xBA, self.size[1]))
        return element(
            0xAE, _number(0xD7, number), _number(0x73C5, number), _number(0x83, kind),
            element(0x86, codec), element(0x63A2, self.private) if kind == _VIDEO else b"",
            b"" if self.frame_ns is None else _number(0x23E383, self.frame_ns),
            picture if kind == _VIDEO else b"", self.entry,
        )  # fmt: skip

    def written(self) -> bytes:
        info = element(
            0x1549A966, _number(0x2AD7B1, self.tick_ns),
            element(0x4489, struct.pack(">d", self.duration)),
        )  # fmt: skip
        blocks = b"".join(
            block(1, self.step * number, data, keyframe=number == 0)
            for number, data in enumerate(self.pictures)
        )
        cluster = element(0x1F43B675, _number(0xE7, self.cluster_time), blocks, self.blocks)
        tracks = element(0x1654AE6B, self.track(), self.tracks)
        return self.ebml + element(0x18538067, self.before, info, tracks, cluster, self.after)


def block(track: int, time: int, data: bytes, *, keyframe: bool = True, lacing: int = 0) -> bytes:
    flags = (0x80 if keyframe else 0) | lacing
    return element(0xA3, bytes([track | 0x80]), struct.pack(">hB", time, flags), data)


def _subtitle(data: bytes) -> bytes:
    timed = element(0xA1, b"\x82", struct.pack(">hB", 0, 0), data)
    return element(0xA0, timed, _number(0x9B, 400))


def _attachment(name: bytes, data: bytes = b"font") -> bytes:
    return element(
        0x1941A469,
        element(
            0x61A7, element(0x466E, name), element(0x4660, b"application/x-truetype-font"),
            element(0x465C, data), _number(0x46AE, 7),
        ),
    )  # fmt: skip


def _chapters(count: int, title: bytes, time: int) -> bytes:
    atoms = [
        element(
            0xB6, _number(0x73C4, number + 1), _number(0x91, time), _number(0x92, time + number),
            element(0x80, element(0x85, title), element(0x437C, b"\x1b[1")),
        )
        for number in range(count)
    ]  # fmt: skip
    return element(0x1043A770, element(0x45B9, _number(0x45BC, 1), *atoms))


def _seeks(count: int, position: int, target: int) -> bytes:
    seek = element(0x4DBB, element(0x53AB, _id(target)), _number(0x53AC, position))
    return element(0x114D9B74, seek * count)


def _cues(count: int, position: int) -> bytes:
    points = [
        element(
            0xBB, _number(0xB3, number), element(0xB7, _number(0xF7, 1), _number(0xF1, position))
        )
        for number in range(count)
    ]
    return element(0x1C53BB6B, *points)


def _tag(name: bytes, text: bytes) -> bytes:
    simple = element(0x67C8, element(0x45A3, name), element(0x4487, text))
    return element(0x1254C367, element(0x7373, element(0x63C0), simple))


def _deflated(film: Film) -> Film:
    """Each picture inflates to a hundred megabytes."""
    squeezer = zlib.compressobj(9)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(100)) + squeezer.flush()
    coding = element(0x6D80, element(0x6240, element(0x5034, _number(0x4254, 0))))
    return replace(film, entry=coding, pictures=(bomb,) * 12)


def _giant(film: Film) -> Film:
    """H.264 whose parameters promise pictures of 16000 a side (ITU-T H.264, 7.3.2.1.1)."""

    def ue(value: int) -> str:
        bits = f"{value + 1:b}"
        return "0" * (len(bits) - 1) + bits

    macroblocks = ue(16000 // 16 - 1)
    bits = ue(0) + ue(0) + ue(2) + ue(1) + "0" + macroblocks * 2 + "1" + "1" + "0" + "0" + "1"
    bits += "0" * (-len(bits) % 8)
    parameters = b"\x67\x42\x00\x3e" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    at = 8 + int.from_bytes(film.private[6:8], "big")  # behind the parameters of the good film
    private = b"\x01\x42\x00\x3e\xff\xe1" + len(parameters).to_bytes(2, "big") + parameters
    return replace(film, private=private + film.private[at:], size=(16000, 16000))


def _more_tracks(count: int) -> Callable[[Film], Film]:
    return lambda film: replace(
        film, tracks=b"".join(film.track(number % 126 + 1) for number in range(1, count))
    )


def _texts(data: bytes) -> Callable[[Film], Film]:
    return lambda film: replace(
        film, tracks=film.track(2, _TEXT, b"S_TEXT/UTF8"), blocks=_subtitle(data)
    )


def _with(**changes: object) -> Callable[[Film], Film]:
    return lambda film: replace(film, **changes)  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[Film], Film]] = {
    "clock without a unit": _with(tick_ns=0),
    "clock of centuries": _with(tick_ns=2**63),
    "lasts for ever": _with(duration=float("inf")),
    "lasts no number": _with(duration=float("nan")),
    "lasts 1e300": _with(duration=1e300),
    "lasts less than nothing": _with(duration=-1e18),
    "a frame a nanosecond": _with(frame_ns=1),
    "a frame in thirty years": _with(frame_ns=10**18),
    "frames at one time": _with(step=0),
    "begins at the end of time": _with(cluster_time=2**62),
    "65535 a side": _with(size=(65535, 65535)),
    "no size": _with(size=(0, 0)),
    "16000 a side, and the codec says so too": _giant,
    "1,000 tracks": _more_tracks(1000),
    "attachment named upward": _with(after=_attachment(b"../../x")),
    "attachment named /etc/passwd": _with(after=_attachment(b"/etc/passwd")),
    "attachment named to deceive": _with(after=_attachment(b"\x1b[2J\n\xff.ttf")),
    "attachment of 20 MB": _with(after=_attachment(b"a.ttf", bytes(20 << 20))),
    "10,000 chapters": _with(after=_chapters(10_000, b"\x1b[31m\n", 10**9)),
    "chapters behind all time": _with(after=_chapters(5, b"\xff\x9b", 2**63)),
    "subtitle of 10 MB": _texts(b"x\n\x1b[2J" * 1_500_000),
    "subtitle that is no text": _texts(bytes(range(256)) * 100),
    "header of 40 MB": lambda film: replace(film, private=film.private + bytes(40 << 20)),
    "no header": _with(private=b""),
    "tag of 30 MB": _with(after=_tag(b"TITLE", b"\x1b" * (30 << 20))),
    "10,000 tags": _with(after=b"".join(_tag(b"T%d" % n, b"\n") for n in range(10_000))),
    "tags in tags": _with(after=element(0x1254C367, element(0x7373, _nested(0x67C8, 10_000)))),
    "segments in segments": _with(ebml=_EBML + _nested(0x18538067, 10_000)),
    "clusters in clusters": _with(before=_nested(0x1F43B675, 10_000)),
    "seeks to itself": _with(before=_seeks(10_000, 0, 0x114D9B74)),
    "cues to the beginning": _with(after=_cues(10_000, 0), before=_seeks(1, 2**40, 0x1C53BB6B)),
    "void larger than all": _with(before=_id(0xEC) + (2**56 - 2 | 1 << 56).to_bytes(8, "big")),
    "pictures of no length": _with(pictures=(b"",) * 12),
    "laced to nowhere": _with(blocks=block(1, 500, b"\xff" * 300, lacing=6)),
    "inflates a hundredfold": _deflated,
    "identifiers of 8 bytes": _with(before=b"\x00" * 4096),
}


def films(folder: Path) -> Iterator[tuple[str, Path]]:
    """Each kind with its file, made on the way."""
    source = clip(folder / "good.mp4", frames=12)
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        private = stream.codec_context.extradata or b""
        pictures = tuple(bytes(packet) for packet in container.demux(stream) if packet.size)
    source.unlink()
    good = Film(private, pictures)
    for number, (name, change) in enumerate(CHANGES.items()):
        path = folder / f"mkv-{number:02}.mkv"
        path.write_bytes(change(good).written())
        yield f"mkv: {name}", path

"""What Matroska says of a film that FFmpeg cannot be made to write: pixel shape, priming of sound.

FFmpeg writes DisplayWidth and DisplayHeight (RFC 9559, section 5.1.4.1.28) from a field of the
stream that PyAV does not let us set, and without it says that the display size is unknown. H.264
and HEVC have the shape in the stream as well; FFV1, AV1 and ProRes do not, and the anamorphic
films of the archives are just what FFV1 is for. So the finished file is corrected in place: the
track is given a name with spaces that make room for the elements, and no other byte moves.

Encoders of sound begin with priming samples. MP4 skips them by an edit list, Matroska by the
CodecDelay element (RFC 9559, section 5.1.4.1.25), which FFmpeg writes from a stream parameter
that its MP4 reader leaves empty and PyAV does not let us set. FFmpeg's Matroska reader does set
it, so a stream with the right parameter is read from a Matroska header made here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

__all__ = [
    "CODEC_IDS",
    "DISPLAY_ROOM",
    "LONGEST_HEADER",
    "primed_audio",
    "read_element_header",
    "set_display",
]

DISPLAY_ROOM = " " * 40
"""To be put behind the title of the picture's track before the file is written."""

# Codecs that are primed in MP4 files → what Matroska calls them. Opus has its own field.
CODEC_IDS = {
    "aac": "A_AAC",
    "mp3": "A_MPEG/L3",
    "mp2": "A_MPEG/L2",
    "ac3": "A_AC3",
    "eac3": "A_EAC3",
}
_NANOSECONDS = 10**9
_SEGMENT, _TRACKS, _TRACK = 0x18538067, 0x1654AE6B, 0xAE
_CRC, _VOID, _NAME, _VIDEO = 0xBF, 0xEC, 0x536E, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_PIXELS, _ASPECT_RATIO = 0, 3
LONGEST_HEADER = 12


# -- display size ---
@dataclass(frozen=True)
class _Element:
    """An EBML element (RFC 8794): its identifier, that with its size as stored, its content."""

    identifier: int
    header: bytes
    content: bytes

    def __bytes__(self) -> bytes:
        return self.header + self.content


def set_display(path: Path, sample_aspect: Fraction) -> None:
    """Say how the track with ``DISPLAY_ROOM`` in its name is displayed, and take the room away.

    ``sample_aspect``: width of a pixel over its height. Raises ValueError for a file that FFmpeg
    did not write with such a track.
    """
    with path.open("r+b") as file:
        start, size = _find_tracks(file)
        file.seek(start)
        tracks = list(_elements(file.read(size)))
        places = [number for number, track in enumerate(tracks) if _has_room(track)]
        if len(places) != 1 or tracks[0].identifier != _CRC:
            raise ValueError(f"{path.name}: no single track has room for its display size")
        track = tracks[places[0]]
        tracks[places[0]] = _Element(_TRACK, track.header, _displayed(track.content, sample_aspect))
        # The checksum of RFC 8794, section 11.3.1, is that of everything behind it.
        rest = b"".join(map(bytes, tracks[1:]))
        file.seek(start)
        file.write(tracks[0].header + zlib.crc32(rest).to_bytes(4, "little") + rest)


def _displayed(track: bytes, sample_aspect: Fraction) -> bytes:
    """A track's content of the same length, with its display size and without the room."""
    done = b""
    for element in _elements(track):
        if element.identifier == _VIDEO:
            done += _encoded(_VIDEO, _video(element.content, sample_aspect))
        elif element.identifier == _NAME:
            title = element.content.removesuffix(DISPLAY_ROOM.encode())
            done += _encoded(_NAME, title) if title else b""
        elif element.identifier != _VOID:
            done += bytes(element)
    spare = len(track) - len(done) - 9
    return done + bytes([_VOID]) + (spare | 1 << 56).to_bytes(8, "big") + bytes(spare)


def _video(content: bytes, sample_aspect: Fraction) -> bytes:
    """The description of a picture, with the size at which it is displayed.

    In pixels where that comes out even, else as the ratio of the sides, which is always exact.
    """
    elements = list(_elements(content))
    sizes = {each.identifier: int.from_bytes(each.content, "big") for each in elements}
    width = sizes[_WIDTH] * sample_aspect
    unit, shape = _PIXELS, (width.numerator, sizes[_HEIGHT])
    if width.denominator != 1:
        ratio = width / sizes[_HEIGHT]
        unit, shape = _ASPECT_RATIO, (ratio.numerator, ratio.denominator)
    replaced = (_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT, _VOID)
    kept = b"".join(bytes(each) for each in elements if each.identifier not in replaced)
    return kept + b"".join(
        _encoded(identifier, value.to_bytes(4, "big"))
        for identifier, value in (
            (_DISPLAY_WIDTH, shape[0]),
            (_DISPLAY_HEIGHT, shape[1]),
            (_DISPLAY_UNIT, unit),
        )
    )


def _has_room(track: _Element) -> bool:
    return track.identifier == _TRACK and any(
        element.identifier == _NAME and element.content.endswith(DISPLAY_ROOM.encode())
        for element in _elements(track.content)
    )


def _find_tracks(file: BinaryIO) -> tuple[int, int]:
    """Where the content of the Tracks element begins, and its size."""
    at, end = 0, file.seek(0, 2)
    while at < end:
        file.seek(at)
        identifier, header, size = read_element_header(file.read(LONGEST_HEADER))
        if identifier == _TRACKS:
            return at + header, size
        # The segment is entered, everything else is passed over.
        at += header if identifier == _SEGMENT else header + size
    raise ValueError("no Matroska file with tracks")


# -- priming ---
def primed_audio(stream: av.AudioStream, samples: int) -> InputContainer:
    """A container whose only stream is like ``stream``, with ``samples`` of priming.

    The codec must be one of ``CODEC_IDS``. The caller closes the container.
    """
    context = stream.codec_context
    delay_ns = round(samples * _NANOSECONDS / context.sample_rate)
    audio = _encoded(0xB5, struct.pack(">d", context.sample_rate))
    audio += _encoded(0x9F, _number(context.channels))
    entry = b"".join(
        (
            _encoded(0xD7, _number(1)),  # track number
            _encoded(0x73C5, _number(1)),  # its UID
            _encoded(0x83, _number(2)),  # kind: sound
            _encoded(0x86, CODEC_IDS[context.codec.canonical_name].encode()),
            _encoded(0x63A2, context.extradata) if context.extradata else b"",
            _encoded(0x56AA, _number(delay_ns)),
            _encoded(0xE1, audio),
        )
    )
    # One tick of a Matroska clock is usually a million nanoseconds.
    info = _encoded(0x1549A966, _encoded(0x2AD7B1, _number(1_000_000)))
    tracks = _encoded(_TRACKS, _encoded(_TRACK, entry))
    # Its reader stops only at the first cluster.
    cluster = _encoded(0x1F43B675, _encoded(0xE7, _number(0)))
    kind = _encoded(0x4282, b"matroska")
    kind += _encoded(0x4287, _number(4)) + _encoded(0x4285, _number(2))
    file = _encoded(0x1A45DFA3, kind) + _encoded(_SEGMENT, info + tracks + cluster)
    return av.open(io.BytesIO(file), "r", format="matroska")


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")


# -- elements ---
def _encoded(identifier: int, content: bytes) -> bytes:
    """An element as stored; its size takes one, two or eight bytes (all ones mean unknown)."""
    head = identifier.to_bytes((identifier.bit_length() + 7) // 8, "big")
    size = len(content)
    if size < (1 << 7) - 1:
        head += bytes([size | 1 << 7])
    elif size < (1 << 14) - 1:
        head += (size | 1 << 14).to_bytes(2, "big")
    else:
        head += (size | 1 << 56).to_bytes(8, "big")
    return head + content


def _elements(data: bytes) -> Iterator[_Element]:
    at = 0
    while at < len(data):
        identifier, header, size = read_element_header(data[at : at + LONGEST_HEADER])
        start = at + header
        yield _Element(identifier, data[at:start], data[start : start + size])
        at = start + size


def read_element_header(data: bytes) -> tuple[int, int, int]:
    """(identifier, length of identifier and size, size) of the element that begins here."""
    # The number of leading zero bits says how many bytes follow the first.
    long = 9 - data[0].bit_length()
    wide = 9 - data[long].bit_length()
    size = int.from_bytes(data[long : long + wide], "big") - (1 << 7 * wide)
    return int.from_bytes(data[:long], "big"), long + wide, size

"""Telling Matroska the shape of a film's pixels.

FFmpeg writes DisplayWidth and DisplayHeight (RFC 9559, section 5.1.4.1.28) from a field of the
stream that PyAV does not let us set, and without it says that the display size is unknown. H.264
and HEVC have the shape in the stream as well; FFV1, AV1 and ProRes do not, and the anamorphic
films of the archives are just what FFV1 is for. So the finished file is corrected in place: the
track is given a name with spaces that make room for the elements, and no other byte moves.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

__all__ = ["ROOM", "set_display"]

ROOM = " " * 40
"""To be put behind the title of the picture's track before the file is written."""

_SEGMENT, _TRACKS, _TRACK = 0x18538067, 0x1654AE6B, 0xAE
_CRC, _VOID, _NAME, _VIDEO = 0xBF, 0xEC, 0x536E, 0xE0
_WIDTH, _HEIGHT = 0xB0, 0xBA
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT = 0x54B0, 0x54BA, 0x54B2
_PIXELS, _ASPECT_RATIO = 0, 3
_LONGEST_HEADER = 12

Elements = list[tuple[int, bytes]]


def set_display(path: Path, sample_aspect: Fraction) -> None:
    """Say how the track with ``ROOM`` in its name is displayed, and take the room away.

    ``sample_aspect``: width of a pixel over its height. Raises ValueError for a file that was
    not written by FFmpeg with such a track.
    """
    with path.open("r+b") as file:
        start, end = _tracks(file)
        file.seek(start)
        old = _elements(file.read(end - start))
        new = [
            (identifier, _with_display(content, sample_aspect) if identifier == _TRACK else content)
            for identifier, content in old
        ]
        if new == old:
            raise ValueError(f"{path.name}: no track has room for its display size")
        if new[0][0] == _CRC:
            rest = _joined(new[1:])
            new[0] = (_CRC, zlib.crc32(rest).to_bytes(4, "little"))
        file.seek(start)
        file.write(_joined(new, sizes_of=old))

"""What a file that is no photo is by its first bytes, so that its name can be put right."""

from __future__ import annotations

from typing import NamedTuple

_PACKET_BYTES = 188
"""Of MPEG transport streams; those of cameras and discs put four bytes before each."""


class Other(NamedTuple):
    """``what`` a file is; ``suffix``: that of such films, or "" for what is none."""

    what: str
    suffix: str = ""


_BY_START = (
    (b"\x1aE\xdf\xa3", Other("a film (Matroska or WebM)", ".mkv")),
    (b"FLV\x01", Other("a film (FLV)", ".flv")),
    (b"OggS", Other("a film or sound (Ogg)", ".ogv")),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), Other("a film (ASF, WMV)", ".wmv")),
    (b"\x00\x00\x01\xba", Other("a film (MPEG)", ".mpg")),
    (b"\x00\x00\x01\xb3", Other("a film (MPEG)", ".mpg")),
    (bytes.fromhex("060e2b34020501010d010201"), Other("a film (MXF)", ".mxf")),
    (b".RMF", Other("a film (RealMedia)", ".rm")),
    (b"YUV4MPEG2", Other("a film (YUV4MPEG)", ".y4m")),
    (b"\x76\x2f\x31\x01", Other("OpenEXR, light of high dynamic range")),
    (b"#?RADIANCE", Other("Radiance, light of high dynamic range")),
    (b"II\xbc\x01", Other("JPEG XR")),
    (b"%PDF-", Other("PDF")),
    (b"PK\x03\x04", Other("a ZIP archive")),
    (b"\x00\x00\x01\x00", Other("an icon")),
)
_MOVIE_BOXES = frozenset({b"moov", b"mdat", b"wide"})


def what_else(head: bytes) -> Other | None:
    """What a file is that begins with ``head``, about a kilobyte; None: unknown."""
    if head[4:8] == b"ftyp" or head[4:8] in _MOVIE_BOXES:
        old = head[4:8] != b"ftyp" or head[8:10] == b"qt"
        return Other("a film (QuickTime)", ".mov") if old else Other("a film (MP4)", ".mp4")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Other("a film (AVI)", ".avi")
    for start, other in _BY_START:
        if head.startswith(start):
            return other
    for first, size, suffix in ((0, _PACKET_BYTES, ".ts"), (4, _PACKET_BYTES + 4, ".m2ts")):
        if head[first::size][:5] == b"G" * 5:
            return Other("a film (MPEG transport stream)", suffix)
    return None

"""What a video file may ask of the machine before a picture of it is seen.

An index of a few hundred bytes can promise thousands of millions of pictures: FFmpeg makes room for
all of them, and hands out a packet for each.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from pathlib import Path

import av
from av.container import InputContainer

from restore_batch.errors import MediaError

MOST_BLOCK_BYTES = 1 << 29
"""Of memory that FFmpeg may take in one piece: a decoded 8K picture of 16 bits is 200 MB."""

MOST_PIXELS = 1 << 28
"""Of a picture that is decoded at all."""
USUAL_PIXELS = 1 << 25
"""Of an 8K picture, which needs no second look."""
_GROWN = 4

MOST_STREAMS = 200
"""Of a file: FFmpeg opens a decoder for each to see what is in it."""

_LONGEST_HEADER = 1 << 20

# A film may show a stretch again by its edit list, and Matroska may pack its packets.
_REPEATED = 8
_FEWEST_BYTES = 16 << 20
_FEWEST_PACKETS = 100_000


@functools.cache
def limit_memory() -> None:
    """Keep FFmpeg, in this process, from larger pieces of memory: what asks for one fails as a
    damaged file does. PyAV does not show the function; where it is not found, nothing is limited.
    """
    with contextlib.suppress(OSError, AttributeError):
        loaded = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").split()
        for library in {word for word in loaded if "/libavutil" in word}:
            ctypes.CDLL(library).av_max_alloc(ctypes.c_size_t(MOST_BLOCK_BYTES))


def largest_picture(first_pixels: int) -> int:
    """Pixels that a later picture of a film may have: it comes out in the size of the first."""
    return max(_GROWN * first_pixels, USUAL_PIXELS)


def limit_pictures(stream: av.VideoStream, pixels: int = MOST_PIXELS) -> None:
    """Have the decoder of a stream, not yet begun, take larger pictures for damaged."""
    context = stream.codec_context
    context.options = {**context.options, "max_pixels": str(pixels)}


def size_refusal(width: int, height: int, max_megapixels: float) -> str:
    """Why a film with such frames is not restored, in one line without its name; "" where nothing
    speaks against it."""
    megapixels = width * height / 1e6
    if megapixels <= max_megapixels:
        return ""
    return (
        f"{megapixels:g} megapixels a frame, expected at most {max_megapixels:g}"
        " (limits.max_megapixels)"
    )


def refuse_large(width: int, height: int, max_megapixels: float, source: str) -> None:
    """Raise MediaError, a line that names the film, for frames larger than a job allows."""
    if reason := size_refusal(width, height, max_megapixels):
        raise MediaError(f"{source}: {reason}")


def refuse_long_header(stream: av.VideoStream, source: str) -> None:
    """Raise MediaError where a codec's header is longer than any codec's."""
    if stream.codec_context.extradata_size > _LONGEST_HEADER:
        raise MediaError(
            f"{source}: the header of its codec has {stream.codec_context.extradata_size / 1e6:.0f}"
            " MB; expected a film; take it out of the inputs"
        )


class Allowance:
    """What a file of its size can give, in packets and in bytes of them."""

    def __init__(self, container: InputContainer) -> None:
        self._name, self._size = container.name, container.size
        self._packets = max(self._size, _FEWEST_PACKETS)
        self._bytes = _REPEATED * self._size + _FEWEST_BYTES

    def take(self, packet: av.Packet) -> None:
        """Raises MediaError when the file has given more than it can hold."""
        self._packets -= 1
        self._bytes -= packet.size
        if self._packets < 0 or self._bytes < 0:
            raise MediaError(
                f"{self._name}: its index promises more pictures than its {self._size} bytes can"
                " hold; expected a film; copy it again from where it came, or take it out of the"
                " inputs"
            )

"""What is missing in a JPEG file, which decoders fill in without a word.

libjpeg paints grey what it has no data for and goes on. It counts a warning; only TurboJPEG's
interface hands it on. A progressive file that ends after one of its scans is not even warned of:
the scans themselves tell what they have brought.

Source: ITU-T T.81 annexes B (markers) and G (progressive mode).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from restore_batch.stages.photo.metadata.jpeg_segments import JpegError, JpegHead

_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)
_SOI, _EOI, _SOS, _DNL, _DHT = 0xD8, 0xD9, 0xDA, 0xDC, 0xC4
_WITH_PAYLOAD = frozenset({0xC4, *range(0xDA, 0xDE), *range(0xE0, 0xF0), 0xFE})
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
END = bytes((0xFF, _EOI))

_OF_DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
_TOO_MUCH = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_FILL, _CMYK = 128, 4
_LEAST_RUN_BLOCKS = 8
"""Blocks of exactly the decoder's grey side by side; fewer may be the picture's own."""

MOST_SCANS = 100
"""Encoders write a dozen, those that try everything a few dozen. Each is a pass over the whole
picture, and a few bytes are enough for one."""

_SCAN_HEADS = frozenset(bytes((0, 6 + 2 * count, count)) for count in range(1, 5))
"""Length and number of components."""


class _Mark(NamedTuple):
    marker: int
    payload_at: int


def _marks(data: bytes, at: int) -> Iterator[_Mark]:
    """The markers from ``at`` up to and with the end of the picture; restarts are left out."""
    while (found := _MARKER.search(data, at)) is not None:
        marker, at = found[1][0], found.end()
        yield _Mark(marker, at + 2)
        if marker in {_EOI, _SOI}:
            return
        if marker in _WITH_PAYLOAD or marker in _FRAMES:
            at += max(int.from_bytes(data[at : at + 2], "big"), 2)


class Scans(NamedTuple):
    """How a picture comes. ``too_many``: in more than MOST_SCANS, which are counted no further.
    ``has_end``: the end marker follows them, and not another picture or nothing."""

    too_many: bool
    has_end: bool


def scans(data: bytes, head: JpegHead) -> Scans:
    """Follow the compressed data to its end."""
    count, marker = 1, None
    for marker, at in _marks(data, head.data_at):
        # Damage may look like a marker, but hardly like a whole header.
        count += marker == _SOS and data[at - 2 : at + 1] in _SCAN_HEADS
        if count > MOST_SCANS:
            return Scans(True, False)
    if marker in {_EOI, _SOI}:
        return Scans(False, marker == _EOI)
    # Damage that looks like a marker may lead past the end.
    return Scans(False, data.rstrip(b"\0").endswith(END))


def ended(data: bytes) -> bytes:
    """``data``, which lacks its end marker, with one; zeros that a rescued file is filled up with
    are left out."""
    body = data.rstrip(b"\0")
    if body.endswith(b"\xff") and len(body) < len(data):
        return body + b"\0" + END  # 255 is followed by a zero inside a scan
    return body.removesuffix(b"\xff") + END


def without_stray_markers(data: bytes, head: JpegHead) -> bytes:
    """``data`` with what looks like a marker inside its scans, and is none, made harmless: decoders
    give up at it."""
    wanted = b"\x00\xd0-\xd7" + (b"\xc4\xda" if head.progressive else b"")
    start = _first_scan(data)
    start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    end = data.find(END, start)
    stray = re.compile(rb"\xff[^" + wanted + rb"]", re.DOTALL)
    return data[:start] + stray.sub(b"\xff\x00", data[start:end]) + data[end:]


def height_after(data: bytes, head: JpegHead) -> int:
    """The height that stands behind the first scan, where the header has none. Raises JpegError."""
    for marker, at in _marks(data, head.data_at):
        if marker == _DNL:
            height = int.from_bytes(data[at : at + 2], "big")
            if height:
                return height
    raise JpegError("its height is neither in its header nor behind its first scan")


def with_height(data: bytes, height: int) -> bytes:
    """``data`` with ``height`` in its header."""
    for marker, at in _marks(data, 2):
        if marker in _FRAMES:
            return data[: at + 1] + height.to_bytes(2, "big") + data[at + 3 :]
    raise JpegError("no picture size before the data")


def has_huffman_tables(data: bytes) -> bool:
    """Whether any stand before the first scan."""
    before = itertools.takewhile(lambda mark: mark.marker != _SOS, _marks(data, 2))
    return any(mark.marker == _DHT for mark in before)


def damage(data: bytes, head: JpegHead) -> str | None:
    """What is missing or wrong in a file that ends as it should, "" where all is there; None for
    the kinds of JPEG that nothing here can check."""
    unfinished = _unfinished(data, head)
    if unfinished:
        return unfinished
    if head.lossless:
        return None
    said = _read(data, head, strict=True)
    if not isinstance(said, str):
        return ""
    if not said.startswith(_OF_DAMAGE):
        return None
    reason = said.removeprefix("Corrupt JPEG data: ")
    if head.progressive:
        return f"some of its data is missing or wrong, and with it detail ({reason})"
    return _of_sequential(data, head, reason)


def _of_sequential(data: bytes, head: JpegHead, reason: str) -> str:
    shown = _read(data, head, strict=False)
    share = 0.0 if isinstance(shown, str) else 100 * _grey_share(shown)
    if share:
        lost = f"about {max(share, 1):.0f} % of the picture is missing"
        return f"{lost}, and more may be wrong ({reason})"
    surplus = _TOO_MUCH.fullmatch(reason)
    if surplus:
        return f"it may be: {surplus[1]} bytes are left over behind its pixels"
    return f"some of its data is missing or wrong ({reason})"


def _read(data: bytes, head: JpegHead, *, strict: bool) -> np.ndarray | str:
    """(H / 8, W / 8) luminance, or black of CMYK, or what stands against it; ``strict``: also what
    libjpeg warns of. All data is read and hardly anything computed.

    Never of a lossless picture: libjpeg cannot scale it, and writes all of it into an array that
    TurboJPEG's interface has made for an eighth.
    """
    import simplejpeg

    try:
        small = simplejpeg.decode_jpeg(
            data,
            "CMYK" if head.components == _CMYK else "GRAY",
            fastdct=True,
            min_height=1,
            min_width=1,
            strict=strict,
        )
    except ValueError as error:
        return str(error)
    return np.asarray(small[..., -1])


def _unfinished(data: bytes, head: JpegHead) -> str:
    """What the scans have not brought, by their headers."""
    # Component: the lowest bit so far of its mean (0) and of any of its detail (1).
    lowest: dict[int, dict[int, int]] = {}
    for marker, at in _marks(data, _first_scan(data)):
        if marker != _SOS or at >= len(data):
            continue
        count = data[at]
        end = at + 1 + 2 * count
        if end + 3 > len(data):
            break
        first, last, bits = data[end], data[end + 1], data[end + 2]
        for index in range(count):
            of_component = lowest.setdefault(data[at + 1 + 2 * index], {})
            if first == 0:
                of_component[0] = bits & 15
            if last > 0:
                of_component[1] = bits & 15
    missing = head.components - len(lowest)
    if missing > 0:
        return f"{missing} of its {head.components} colour channels are missing"
    if head.progressive and (
        any(bits for of_component in lowest.values() for bits in of_component.values())
        or not any(1 in of_component for of_component in lowest.values())
    ):
        return "the last of its scans are missing, and with them detail"
    return ""


def _first_scan(data: bytes) -> int:
    """Where the marker of the first scan stands."""
    for marker, at in _marks(data, 2):
        if marker == _SOS:
            return at - 4
    return len(data)


def _grey_share(blocks: np.ndarray) -> float:
    """Share of (H, W) block means that are the decoder's grey, in runs too long for chance."""
    grey = blocks == _FILL
    run = min(_LEAST_RUN_BLOCKS, grey.shape[1])
    windows = np.lib.stride_tricks.sliding_window_view(grey, run, axis=1).all(axis=2)
    covered = np.zeros_like(grey)
    for offset in range(run):
        covered[:, offset : offset + windows.shape[1]] |= windows
    return float(covered.mean())

"""Weaving the two fields of interlaced pictures into one full picture each: a frame for a frame.

FFmpeg's bwdif (Bob Weaver: the motion test of yadif with the interpolation of BBC R&D's w3fdif)
looks at one picture before and one after. The first and last picture of a film have none and
stand in for it themselves, so whoever starts in the middle has to give a picture more, unless the
first that is wanted is not interlaced: such pictures stay as they are where they are marked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import av
import av.filter

from restore_batch.stages.video.types import FieldOrder, VideoFacts

__all__ = ["DecodedPicture", "Fields", "deinterlaced", "fields_to_weave"]

Fields = Literal["marked", "top-first", "bottom-first", "unknown"]
"""Which pictures are interlaced: those that are marked so, each with its own order of fields; or
all of them, in this order (unknown: as marked, else the top field first)."""

# Codecs whose pictures say one by one whether they are interlaced.
_MARKING = frozenset({"dnxhd", "dvvideo", "ffv1", "h264", "mpeg2video", "mpeg4", "prores", "vc1"})
_PARITY = {"marked": "auto", "unknown": "auto", "top-first": "tff", "bottom-first": "bff"}
_FEWEST_COLUMNS, _FEWEST_LINES = 3, 4


@dataclass(frozen=True, eq=False)
class DecodedPicture:
    """A picture as the decoder gave it. ``pts``: None where it has no time. ``damage``: what is
    wrong with it, '' for nothing. ``captions``: closed captions that came with it. ``aspect``: of a
    pixel, None if unknown. ``woven``: its fields have been, with the help of pictures around it."""

    picture: av.VideoFrame
    pts: int | None
    damage: str = ""
    captions: bytes = b""
    aspect: Fraction | None = None
    woven: bool = False


def fields_to_weave(facts: VideoFacts, wish: Literal["auto", "always", "never"]) -> Fields | None:
    """What to deinterlace in a film; None for nothing.

    ``auto``: the pictures that say that they are interlaced, which a film may have anywhere; where
    the codec's pictures do not tell, all of them if the film says so; ``always``: every picture.
    """
    if wish == "never":
        return None
    if wish == "auto" and facts.codec in _MARKING:
        return "marked"
    order: FieldOrder = facts.field_order
    if order == "progressive":
        return "unknown" if wish == "always" else None
    return order


def deinterlaced(pictures: Iterable[DecodedPicture], fields: Fields) -> Iterator[DecodedPicture]:
    """The same pictures, in order, without interlacing; one is held back until the next comes.

    Up to the first that is interlaced, none is held back where they are marked.
    """
    weaver: _Weaver | None = None
    before: DecodedPicture | None = None
    for decoded in pictures:
        if weaver is not None and not weaver.takes(decoded.picture):
            yield from weaver.finish()
            weaver = before = None
        if weaver is None and fields == "marked" and not decoded.picture.interlaced_frame:
            yield decoded
            before = decoded
            continue
        if weaver is None:
            weaver = _Weaver(decoded.picture, fields)
            if before is not None and weaver.takes(before.picture):
                weaver.begin(before, decoded)
        yield from weaver(decoded)
    if weaver is not None:
        yield from weaver.finish()


class _Weaver:
    """The filter, for pictures of one size and pixel format."""

    def __init__(self, like: av.VideoFrame, fields: Fields) -> None:
        self._key = _key(like)
        self._all = fields != "marked"
        self._waiting: deque[DecodedPicture | None] = deque()  # None: has gone its way already
        self._graph: av.filter.Graph | None = None
        if like.width < _FEWEST_COLUMNS or like.height < _FEWEST_LINES:
            return  # too small for the filter
        self._graph = av.filter.Graph()
        self._graph.threads = 1
        entry = self._graph.add_buffer(
            width=like.width, height=like.height, format=like.format, time_base=Fraction(1)
        )
        which = "interlaced" if fields == "marked" else "all"
        bwdif = self._graph.add("bwdif", f"mode=send_frame:parity={_PARITY[fields]}:deint={which}")
        self._graph.link_nodes(entry, bwdif, self._graph.add("buffersink")).configure()

    def takes(self, picture: av.VideoFrame) -> bool:
        return self._key == _key(picture)

    def begin(self, before: DecodedPicture, first: DecodedPicture) -> None:
        """Make ready for the first that is interlaced, ``before`` being the one ahead of it."""
        if self._graph is None:
            return
        # For the first that it weaves, the filter does not look at others: one is woven in vain.
        for decoded in (first, before):
            self._waiting.append(None)
            self._graph.vpush(decoded.picture)

    def __call__(self, decoded: DecodedPicture) -> Iterator[DecodedPicture]:
        if self._graph is None:
            yield decoded
            return
        self._waiting.append(decoded)
        self._graph.vpush(decoded.picture)
        yield from self._woven(self._graph)

    def finish(self) -> Iterator[DecodedPicture]:
        if self._graph is not None:
            self._graph.vpush(None)
            yield from self._woven(self._graph)

    def _woven(self, graph: av.filter.Graph) -> Iterator[DecodedPicture]:
        while self._waiting:
            try:
                picture = graph.vpull()
            except (BlockingIOError, EOFError):
                return
            # One comes out for each that went in, in the same order.
            decoded = self._waiting.popleft()
            if decoded is None:
                continue
            if self._all or decoded.picture.interlaced_frame:
                decoded = replace(decoded, picture=picture, woven=True)
            yield decoded


def _key(picture: av.VideoFrame) -> tuple[str, int, int]:
    return picture.format.name, picture.width, picture.height

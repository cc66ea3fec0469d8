"""Carrying one stream of the source into the result, packet by packet.

A carrier takes the packets of its stream as they are read and returns what is to be written.
It holds no more than a few packets at a time, however long the film is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.stream import Disposition

__all__ = ["Carrier", "ChangedSoundError", "CoverArt"]


class ChangedSoundError(Exception):
    """Sound that cannot be copied after all. ``stream``: its number in the source; ``reason``:
    what was found while it was copied."""

    def __init__(self, stream: int, reason: str) -> None:
        super().__init__(reason)
        self.stream, self.reason = stream, reason


class Carrier(ABC):
    """``target``: the stream of the result. ``origin_s``: what moment of the source is zero.
    ``unreadable``: how many packets were left out because nobody can read them. ``remarks``: what
    else became of some, complete when it is flushed."""

    def __init__(self, target: av.stream.Stream, origin_s: Fraction) -> None:
        self.target = target
        self.origin_s = origin_s
        self.unreadable = 0
        self.remarks: list[str] = []

    @abstractmethod
    def packets(self, packet: av.Packet) -> Iterable[av.Packet]:
        """What to write for one packet of the source."""

    def until(self, time_s: float) -> Iterable[av.Packet]:
        """What to write now that the source has come to this moment of its own clock."""
        return ()

    def flush(self) -> Iterable[av.Packet]:
        """What is left to write once the source has no more packets."""
        return ()


class CoverArt(Carrier):
    """A picture that stands for the film, in MP4 and MOV: one packet, at no time."""

    def __init__(self, target: av.stream.Stream) -> None:
        super().__init__(target, Fraction(0))
        target.disposition = Disposition.attached_pic
        self._done = False

    def packets(self, packet: av.Packet) -> Iterator[av.Packet]:
        """See :class:`Carrier`."""
        if packet.size and not self._done:
            self._done = True
            packet.stream = self.target
            packet.pts = packet.dts = 0
            yield packet

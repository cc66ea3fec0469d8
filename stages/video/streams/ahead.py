"""How the sound of a source begins, which has to be known before a header is written.

Coders of sound begin with priming samples, which nobody hears. The edit list of a film that was
cut without coding it anew hides more in the same way: minutes, sometimes. Of that only the packet
right before what is heard is of use, as decoders are prepared by it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Discard, Disposition

from restore_batch.stages.video.streams.shape import SoundShape

__all__ = ["Beginning", "Start", "is_cover", "look_ahead", "skipped_samples"]

_LOOKAHEAD_PACKETS = 5000
# The longest known is that of HE-AAC: 5186 samples, 0.12 s. What is longer has been cut away.
_LONGEST_PRIMING_S = Fraction(1, 8)


class Start(NamedTuple):
    """``pts``: of the first packet to carry, None if it has none. ``unheard``: how many samples
    from there on are not heard."""

    pts: int | None
    unheard: int


@dataclass(frozen=True)
class Beginning:
    """The beginning of a stream. ``first``: its very first packet. ``lead``: with what prepares
    the decoder for what is heard; ``played``: without it, None where nothing is heard at all.
    ``is_cut``: more is hidden than a coder's priming. ``shape``, ``samples``: what its first packet
    decodes to, and how many samples, where the file's beginning did not tell."""

    first: av.Packet
    lead: Start
    played: Start | None
    is_cut: bool = False
    shape: SoundShape | None = None
    samples: int = 0


def look_ahead(source: InputContainer) -> dict[int, Beginning]:
    """How each stream of sound and cover art begins, by the number of the stream.

    The reader is spent afterwards.
    """
    searches = {}
    for stream in source.streams:
        if stream.type == "audio" or is_cover(stream):
            searches[stream.index] = _Search(stream)
        else:
            stream.discard = Discard.all  # spares reading the picture up to there
    # A damaged file ends early: what was found before is what there is.
    with contextlib.suppress(av.FFmpegError, IndexError):
        _search(source, searches)
    begun = {index: search.found() for index, search in searches.items()}
    return {index: beginning for index, beginning in begun.items() if beginning is not None}


def _search(source: InputContainer, searches: Mapping[int, _Search]) -> None:
    open_ends, patience = set(searches), _LOOKAHEAD_PACKETS
    if not searches:
        return
    for packet in source.demux([source.streams[index] for index in searches]):
        if packet.size and searches[packet.stream.index].take(packet):
            open_ends.discard(packet.stream.index)
        patience -= not packet.is_discard
        if not open_ends or patience < 0:
            break


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether a stream of pictures is no film but stands for one."""
    return bool(stream.disposition & Disposition.attached_pic)


def skipped_samples(packet: av.Packet) -> int:
    """How many samples a decoder has to throw away at the start of a packet."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


class _Search:
    """For the beginning of one stream, packet by packet. Times are in units of the stream."""

    def __init__(self, stream: av.stream.Stream) -> None:
        self._is_sound = isinstance(stream, av.AudioStream)
        rate = 0
        # Of sound that begins late FFmpeg knows no more than the codec.
        self._decoder: av.AudioCodecContext | None = None
        if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
            rate = stream.codec_context.sample_rate
            self._decoder = None if rate else stream.codec_context
        self._decoded: av.AudioFrame | None = None
        self._tick_samples = (stream.time_base or Fraction(1)) * rate
        self._longest_priming = _LONGEST_PRIMING_S * rate
        self._first: av.Packet | None = None
        self._heard: Fraction | None = None
        self._hidden_pts: int | None = None
        self._played_pts: int | None = None

    def take(self, packet: av.Packet) -> bool:
        """Whether the beginning is known with this packet."""
        if self._first is None:
            self._first = packet
            skipped = skipped_samples(packet)
            if packet.pts is not None and self._tick_samples and (skipped or not packet.is_discard):
                self._heard = packet.pts + skipped / self._tick_samples
        if self._decoder is not None:
            self._decode(self._decoder, packet)
            return self._decoded is not None
        if not self._is_sound or packet.pts is None or self._played_pts is not None:
            return True
        end = packet.pts + max(packet.duration or 0, 1)
        if packet.is_discard or (self._heard is not None and end <= self._heard):
            self._hidden_pts = packet.pts
            return False
        self._played_pts = packet.pts
        if self._heard is None:
            self._heard = Fraction(packet.pts)
        return True

    def found(self) -> Beginning | None:
        """What is known by now; None before the first packet."""
        first = self._first
        if first is None:
            return None
        primed = Start(first.pts, skipped_samples(first))
        if self._decoded is not None:
            shape = SoundShape.of(self._decoded)
            return Beginning(first, primed, primed, shape=shape, samples=self._decoded.samples)
        if first.pts is None or self._heard is None:
            return Beginning(first, primed, None if first.is_discard else primed)
        played = None if self._played_pts is None else self._start(self._played_pts)
        if self._start(first.pts).unheard <= self._longest_priming:
            return Beginning(first, primed, played)
        lead_pts = first.pts if self._hidden_pts is None else self._hidden_pts
        return Beginning(first, self._start(lead_pts), played, is_cut=True)

    def _decode(self, decoder: av.AudioCodecContext, packet: av.Packet) -> None:
        if self._decoded is None:
            with contextlib.suppress(av.FFmpegError):  # damage: the next one will do
                self._decoded = next(iter(decoder.decode(packet)), None)

    def _start(self, pts: int) -> Start:
        assert self._heard is not None
        return Start(pts, max(0, round((self._heard - pts) * self._tick_samples)))

"""What decoded sound is like: its rate, its loudspeakers, its depth."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import Self

import av
from av.container import InputContainer

__all__ = ["SoundShape", "largest_shape"]

_USUAL_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
_DEEP = frozenset({"s32", "s32p", "s64", "s64p"})
# What fewer frames have is damage, which looks like anything.
_CERTAIN_FRAMES = 4


@dataclass(frozen=True)
class SoundShape:
    """What decoded sound is like. ``layout``: which loudspeakers the channels are for; ``deep``:
    more than 16 bits."""

    rate: int
    layout: str
    deep: bool

    @classmethod
    def of(cls, sound: av.AudioCodecContext | av.AudioFrame) -> Self:
        """Of what a decoder gives, or is expected to."""
        deep = sound.format is not None and sound.format.name in _DEEP
        return cls(sound.sample_rate, _layout(sound.layout), deep)

    @property
    def channels(self) -> int:
        return av.AudioLayout(self.layout).nb_channels


def largest_shape(source: InputContainer, stream: int) -> SoundShape | None:
    """The highest rate, the most channels and the deepest samples that all of a stream has; None
    where nothing of it can be decoded. The reader is spent afterwards."""
    sound = source.streams[stream]
    if not isinstance(sound, av.AudioStream):
        return None
    counts: Counter[SoundShape] = Counter()
    with contextlib.suppress(IndexError, av.FFmpegError):  # the end, or where nothing can be read
        for packet in source.demux(sound):
            with contextlib.suppress(av.FFmpegError):  # damage, which is passed over
                counts.update(SoundShape.of(frame) for frame in sound.codec_context.decode(packet))
    shapes = [shape for shape, count in counts.items() if count >= _CERTAIN_FRAMES] or [*counts]
    if not shapes:
        return None
    return SoundShape(
        max(shape.rate for shape in shapes),
        max(shapes, key=lambda shape: shape.channels).layout,
        any(shape.deep for shape in shapes),
    )


def _layout(layout: av.AudioLayout) -> str:
    """Which loudspeakers the channels are for; the usual ones where the source does not say."""
    name = layout.name
    return _USUAL_LAYOUTS.get(layout.nb_channels, name) if "channels" in name else name

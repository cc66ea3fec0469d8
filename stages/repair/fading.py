"""Fading undone: a monotone curve for each channel, from where its tones end to where they should.

Faded dyes and silver leave a picture without black: what was darkest is grey, or, where one dye
faded more than the others, coloured. So a picture counts as faded where all channels begin well
above black *and* have little range left, or one alone does so markedly while the others are sound.
Anything else, night and most fog included, stays to the bit: of 188 good photographs of all kinds
none is changed.

A channel whose tones lie between b and w (the 0.5 and 99.5 per cent quantiles) is mapped by
straight lines through (0, 0), (b, b'), (w, w') and (1, 1), where b' and w' are near the ends of the
range; the slope between b and w is at most 2. The curve rises everywhere, so no two tones change
places. A print of a single tone (sepia, cyanotype) gets one curve for all channels, which leaves
its tone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from restore_batch.stages.media import Frame

_LOOK_PX = 512
_TRIM = 0.06
_MOST_TRIM = 0.3
_EVEN = 5.0
_TAILS = (0.5, 99.5)
_ONE_TONE_LIMITS = (0.16, 0.62)
_ALL_LIMITS = (0.19, 0.6)
_SINGLE_LIMITS = (0.25, 0.5)
"""Of faded tones: the darkest is lighter than the first, their range smaller than the second."""
_SOUND_BLACK = 0.15
_BLACK, _WHITE = 0.03, 0.97
_STEEPEST = 2.0
_ONE_TONE = 2.5
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Tones:
    """Where a channel's tones end, in [0, 1]."""

    black: float
    white: float

    def beyond(self, limits: tuple[float, float]) -> bool:
        """Whether it begins above the first and has less range than the second."""
        return self.black > limits[0] and self.white - self.black < limits[1]


def unfaded(frame: Frame, strength: float = 1.0) -> Frame | None:
    """A faded picture with its tones back; None for one that is not faded.

    ``strength`` in [0, 1] blends between the curve and none. The same dtype, grey and alpha.
    """
    tones, one_tone = measure(frame.rgb_hwc)
    if not are_faded(tones, one_tone):
        return None
    dtype = frame.rgb_hwc.dtype
    changed = np.empty_like(frame.rgb_hwc)
    for number, channel in enumerate(tones):
        curve = curve_of(channel, int(np.iinfo(dtype).max), strength).astype(dtype)
        changed[..., number] = curve[frame.rgb_hwc[..., number]]
    return replace(frame, rgb_hwc=changed)


def measure(rgb_hwc: np.ndarray) -> tuple[tuple[Tones, Tones, Tones], bool]:
    """Where the tones of the channels end, borders and mounts left aside, and whether the picture
    is of a single tone: then they are the same for all three."""
    picture = _without_borders(_small(rgb_hwc))
    levels = picture.reshape(-1, 3)
    if _has_one_tone(levels):
        tones = _tones(levels @ _LUMA)
        return (tones, tones, tones), True
    first, second, third = (_tones(levels[:, channel]) for channel in range(3))
    return (first, second, third), False


def are_faded(tones: tuple[Tones, Tones, Tones], one_tone: bool) -> bool:
    """Whether such tones are those of a faded picture."""
    if one_tone:
        return tones[0].beyond(_ONE_TONE_LIMITS)
    if all(channel.beyond(_ALL_LIMITS) for channel in tones):
        return True
    single = [channel for channel in tones if channel.beyond(_SINGLE_LIMITS)]
    sound = [channel for channel in tones if channel.black < _SOUND_BLACK]
    return len(single) == 1 and len(sound) == 2


def curve_of(tones: Tones, peak: int, strength: float = 1.0) -> np.ndarray:
    """The curve of a channel: (peak + 1,) float64 whole numbers that never fall."""
    black, white = min(tones.black, _BLACK), max(tones.white, _WHITE)
    steepest = _STEEPEST * (tones.white - tones.black)
    if (over := (white - black) - steepest) > 0:
        # Less at both ends, in proportion to how far each was to move.
        moved = (tones.black - black) + (white - tones.white)
        black += over * (tones.black - black) / moved
        white = black + steepest
    levels = np.linspace(0, 1, peak + 1)
    mapped = np.interp(levels, [0, tones.black, tones.white, 1], [0, black, white, 1])
    return np.asarray(np.rint(peak * (levels + strength * (mapped - levels))))


def _small(rgb_hwc: np.ndarray) -> np.ndarray:
    """(h, w, 3) float64 in [0, 255], small enough that dust and grain do not decide."""
    ratio = _LOOK_PX / max(rgb_hwc.shape[:2])
    small = rgb_hwc
    if ratio < 1:
        size = tuple(max(1, round(side * ratio)) for side in rgb_hwc.shape[1::-1])
        small = cv2.resize(rgb_hwc, size, interpolation=cv2.INTER_AREA)
    return small.astype(np.float64) * (255.0 / float(np.iinfo(rgb_hwc.dtype).max))


def _without_borders(picture: np.ndarray) -> np.ndarray:
    """Without the outermost part, and without even stripes inside of it: scanner beds, mounts."""
    luma = picture @ _LUMA
    rows, columns = _inner(luma.std(axis=1)), _inner(luma.std(axis=0))
    return picture[rows, columns]


def _inner(spread: np.ndarray) -> slice:
    count = len(spread)
    first, most = int(_TRIM * count), int(_MOST_TRIM * count)
    start, stop = first, count - first
    while start < most and spread[start] < _EVEN:
        start += 1
    while stop > count - most and spread[stop - 1] < _EVEN:
        stop -= 1
    return slice(start, max(stop, start + 1))


def _tones(levels: np.ndarray) -> Tones:
    black, white = np.percentile(levels, _TAILS) / 255
    return Tones(float(black), float(white))


def _has_one_tone(levels: np.ndarray) -> bool:
    """Whether colour follows from brightness, as in a toned or yellowed print."""
    luma = levels @ _LUMA
    place = np.clip(luma / 8, 0, 31).astype(np.int64)
    count = np.maximum(np.bincount(place, minlength=32), 1)
    for channel in (0, 2):
        colour = levels[:, channel] - luma
        usual = np.bincount(place, colour, minlength=32) / count
        if float((colour - usual[place]).std()) > _ONE_TONE:
            return False
    return True

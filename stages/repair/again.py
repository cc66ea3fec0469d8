"""Dirt is where it is by chance: what comes again in the frames around is something else.

Where one frame after another is other than its neighbours, in one place of the picture, something
is shown there: the digits of a timecode, a level meter, a lamp that blinks. And what is found on in
frame after frame, each time as far along, flies: a ball, too fast to be found by what is around it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from restore_batch.stages.repair.dirt import NEAR_PX, Spot, Spots

AROUND_FRAMES = 6
"""Frames on each side that are looked at."""
_OFTEN = 2
"""Other frames, of twelve."""
_COVERED = 0.5
"""Of a spot's pixels. Specks that lie there by chance seldom cover so much."""
_FLIES_FRAMES, _AMONG_MANY_FRAMES, _MANY = 4, 6, 8
"""Frames in a row, and where more than so many spots are in a frame, on average: among them some go
on so by chance."""
_FASTEST = 0.25
"""Of the frame's longer side, from frame to frame."""
_TURNS, _TURNS_PX = 0.12, 2.5
"""By how much one step may differ from the other: of its length, and in pixels."""
_AS_LARGE, _AS_LIGHT = 1.7, 40.0
"""By what the areas of two spots of one thing differ at most, and by how many levels their tones
do."""


def find_dirt(window: Sequence[Spots], at: int) -> np.ndarray:
    """The dirt of the frame ``at`` of some in a row, (H, W) bool, without its soft edges."""
    own = window[at]
    dirt = np.zeros_like(own.mask)
    others = [each for i, each in enumerate(window) if i != at and abs(i - at) <= AROUND_FRAMES]
    masks = [each.near for each in others if each.each]
    for spot in own.each:
        if not spot.may_be_dirt or _is_shown(spot, masks) or _flies(spot, window, at):
            continue
        dirt[spot.part] |= spot.inside
    return dirt


def _is_shown(spot: Spot, masks: Sequence[np.ndarray]) -> bool:
    times = sum(bool(mask[spot.part][spot.inside].mean() >= _COVERED) for mask in masks)
    return times >= _OFTEN


def _flies(spot: Spot, window: Sequence[Spots], at: int) -> bool:
    """Whether it goes on evenly through enough frames, of which its own is any."""
    is_strewn = sum(len(each.each) for each in window) > _MANY * len(window)
    enough = _AMONG_MANY_FRAMES if is_strewn else _FLIES_FRAMES
    farthest = _FASTEST * max(window[at].mask.shape)
    for direction in (1, -1):
        for next_one in _alike(spot, window, at + direction):
            step = next_one.middle_xy - spot.middle_xy
            if np.hypot(*step) > farthest:
                continue
            ahead = 1 + _followed(next_one, step, window, at + direction, direction, enough)
            if 1 + ahead + _followed(spot, -step, window, at, -direction, enough) >= enough:
                return True
    return False


def _followed(
    spot: Spot, step: np.ndarray, window: Sequence[Spots], at: int, direction: int, enough: int
) -> int:
    """Through how many frames it goes on by ``step`` each, from the frame ``at`` in ``direction``;
    ``enough`` at most."""
    reach = _TURNS_PX + _TURNS * float(np.hypot(*step))
    for count in range(enough):
        at += direction
        there = spot.middle_xy + step
        away = [(float(np.hypot(*(o.middle_xy - there))), o) for o in _alike(spot, window, at)]
        nearest = min(away, key=lambda pair: pair[0], default=None)
        if nearest is None or nearest[0] > reach:
            return count
        spot = nearest[1]
    return enough


def _alike(spot: Spot, window: Sequence[Spots], at: int) -> list[Spot]:
    """Spots of the frame ``at``, if there is one, that may be the same thing, elsewhere."""
    if not 0 <= at < len(window):
        return []
    return [
        other
        for other in window[at].each
        if max(other.area, spot.area) <= _AS_LARGE * min(other.area, spot.area)
        and other.is_light == spot.is_light
        and abs(other.luma - spot.luma) <= _AS_LIGHT
        and np.abs(other.middle_xy - spot.middle_xy).max() > NEAR_PX
    ]

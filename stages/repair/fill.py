"""Filling damage from what is around it, so that edges go through and grain stays grain.

Each missing pixel looks along sixteen directions to where the picture begins again. Of the eight
lines through it those count that are short and whose two ends are alike: along an edge they are, so
the edge is drawn through. What is smooth about the result is then given the grain of the nearest
sound place, mirrored at the border of the damage.

Sources: interpolation along the direction in which the picture varies least: Doyle and Looymans
1990, edge-based line averaging for de-interlacing, here in sixteen directions.
"""

from __future__ import annotations

import numpy as np

from restore_batch.stages.parallel import Mapper
from restore_batch.stages.repair.blocks import Where, fill_blocks
from restore_batch.stages.repair.grain import clipped, grain_at, smooth

_ALIKE = 20.0
"""Levels of 255: ends of a line that differ by less are of one surface."""
_FIRST = np.array([(1.0, 0.0), (1.0, 0.5), (1.0, 1.0), (0.5, 1.0)])
_QUARTER_TURN = np.array([[0.0, 1.0], [-1.0, 0.0]])
_WAYS = np.concatenate([_FIRST @ np.linalg.matrix_power(_QUARTER_TURN, turn) for turn in range(4)])
"""(16, 2) x and y: each advances a pixel a step and is opposite to the one 8 places on."""
_LENGTHS = np.hypot(_WAYS[:, 0], _WAYS[:, 1])


def fill(
    samples: np.ndarray,
    mask: np.ndarray | Where,
    damage: np.ndarray | Where,
    reach_px: int,
    mapped: Mapper = map,
    in_place: bool = False,
) -> np.ndarray:
    """A copy of a picture, or itself where that is to be filled ``in_place``, filled at ``mask``;
    outside of it, it is the same.

    ``samples``, ``mask``, ``damage``, ``mapped``: see
    :func:`~restore_batch.stages.repair.blocks.fill_blocks`. ``reach_px``: how far a missing pixel
    looks; pixels that see nothing sound get the mean of what is around their block.
    """

    def draw(part: np.ndarray, missing: np.ndarray, places: np.ndarray) -> np.ndarray:
        return _filled(part, missing, places, reach_px)

    return fill_blocks(samples, mask, damage, reach_px + 4, draw, mapped, in_place)


def _filled(part: np.ndarray, mask: np.ndarray, places: np.ndarray, reach_px: int) -> np.ndarray:
    """The values of the missing pixels at ``places``, (N, 2) rows and columns: (N, C)."""
    steps = _steps_to_sound(mask, places, reach_px)
    sound = (~mask).astype(np.float32)
    values = _interpolated(smooth(part, sound, 0.7), mask, places, steps)
    blind = ~(steps > 0).any(axis=1)
    if blind.any():
        values[blind] = (part * sound[..., None]).sum((0, 1)) / max(float(sound.sum()), 1.0)
    return values + _grain(part, mask, places, steps)


def _steps_to_sound(mask: np.ndarray, places: np.ndarray, reach_px: int) -> np.ndarray:
    """How many steps from each place to the first sound pixel each way, (N, 16) int32; 0 where
    the picture or the reach ends before."""
    height, width = mask.shape
    steps = np.zeros((len(places), len(_WAYS)), np.int32)
    number, way = (index.ravel() for index in np.indices(steps.shape))
    for step in range(1, reach_px + 1):
        row, column = _moved(places[number], way, step)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        number, way, row, column = (each[inside] for each in (number, way, row, column))
        missing = mask[row, column]
        steps[number[~missing], way[~missing]] = step
        number, way = number[missing], way[missing]
        if not len(number):
            break
    return steps


def _moved(places: np.ndarray, way: np.ndarray, step: np.ndarray | int) -> tuple[np.ndarray, ...]:
    """Rows and columns so many steps on. Halves are rounded away from zero both ways, so that
    opposite ways are mirror images."""
    ahead = _WAYS[way] * np.asarray(step)[..., None]
    whole = (np.sign(ahead) * np.floor(np.abs(ahead) + 0.5)).astype(np.int64)
    return places[:, 0] + whole[:, 1], places[:, 1] + whole[:, 0]


def _interpolated(
    ends: np.ndarray, mask: np.ndarray, places: np.ndarray, steps: np.ndarray
) -> np.ndarray:
    """Values between the ends of the lines through each place, (N, C) float32."""
    total = np.zeros((len(places), ends.shape[2]), np.float32)
    weights = np.full((len(places), 1), 1e-12, np.float32)
    half = len(_WAYS) // 2
    for way in range(half):
        there, back = steps[:, way], steps[:, way + half]
        first, second = (
            ends[clipped(_moved(places, np.full(len(places), w), s), mask.shape)]
            for w, s in ((way, there), (way + half, back))
        )
        length = _LENGTHS[way]
        near, far = there * length, back * length
        both = (there > 0) & (back > 0)
        span = np.where(both, near + far, np.maximum(near, far)).astype(np.float32)
        share = np.where(both, near / np.maximum(near + far, 1e-6), back > 0).astype(np.float32)
        apart = np.abs(first - second).max(axis=1) * both
        alike = 1 / (1 + (apart / _ALIKE) ** 2)
        weight = alike**2 / np.maximum(span, 1.0) ** 2
        # A line with one end says little: it is for the borders of pictures.
        weight = np.where(both, weight, np.where(span > 0, 1e-4 * weight, 0))[:, None]
        total += weight * (first + share[:, None] * (second - first))
        weights += weight
    return total / weights


def _grain(part: np.ndarray, mask: np.ndarray, places: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """The grain of the nearest sound place, mirrored, for each place: (N, C) float32."""
    distance = np.where(steps > 0, steps * _LENGTHS, np.inf)
    way = distance.argmin(axis=1)
    nearest = np.take_along_axis(steps, way[:, None], axis=1)[:, 0]
    row, column = _moved(places, way, 2 * nearest + 1)
    inside = (row >= 0) & (row < mask.shape[0]) & (column >= 0) & (column < mask.shape[1])
    at = clipped((row, column), mask.shape)
    return grain_at(part, mask, at, inside & (nearest > 0))

"""The grain that a restored face lacks of the picture that it is pasted into."""

from __future__ import annotations

import zlib

import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.before import Before
from restore_batch.stages.faces.compositing import region, window_of
from restore_batch.stages.faces.grain import (
    LEAST_LEVEL,
    Grain,
    Window,
    cells_in,
    level_around,
    measure_grain,
    missing_share,
    to_window,
)
from restore_batch.stages.faces.grain_field import GrainField
from restore_batch.stages.geometry import invert, scale_of, template, transform
from restore_batch.stages.media import Frame

_MOST_STEADIED = (0.5, 2.0)
_PARTS = 8
"""Of a crop's side: in each the strength of grain may be another."""
_SAY = 0.08
"""Of the crop's side: how far around itself a place says how strong grain is."""
_IN_FACE = 0.9
"""Of the mask: from here on a place shows the restored face."""


def given_grain(
    face: Face,
    crop: np.ndarray,
    source: Frame,
    large: Frame,
    before: Before,
    unit_px: float,
    laid: tuple[np.ndarray, np.ndarray, np.ndarray],
    seen: np.ndarray | None = None,
) -> GrainField | None:
    """What ``face`` is to be given, or None. ``crop``: before it was restored, of which the grain
    is seeded; ``large``: ``source`` enlarged, and ``before``: the same before any face was pasted;
    ``unit_px``: as :func:`measure_grain` takes it. ``laid``: the restored face, its mask and its
    matrix as they are laid over that; ``seen``: the picture there, if what is finer in it stays."""
    # In what the face is pasted into: enlarging made grain coarser, and a network that cleans
    # the picture has taken it away here as well as in the face.
    fitted, mask, to_output = laid
    x, y, side = disc_of(fitted.shape[0], to_output)
    grain = measure_grain(before, (x, y), side, max(unit_px, 1.0))
    if grain is None:
        return None
    box = region(mask, to_output, before.shape)
    cells = cells_in(before.shape, box, len(grain.bands), 0.5)
    cells = cells.some(_shown(mask, to_output, cells.centres_xy()))
    picture = to_window(before)
    if seen is None:
        after = window_of(fitted, to_output, box, cells.halo)
    else:
        after = _sum_of(picture, window_of(fitted - seen, to_output, box, cells.halo))
    missing = missing_share(grain, cells, picture, after)
    strength = _steadied(face, grain, source, large)
    uneven = missing.unevenness(_parts_of(fitted.shape[0], to_output), _SAY * side)
    seed = zlib.crc32(crop.tobytes())
    field = GrainField(grain, missing.shares, seed, strength, uneven.reshape(_PARTS, _PARTS))
    return None if field.is_nil else field


def _sum_of(one: Window, other: Window) -> Window:
    def window(left: int, top: int, width: int, height: int) -> np.ndarray:
        both = one(left, top, width, height), other(left, top, width, height)
        return both[0][..., : both[1].shape[2]] + both[1]

    return window


def disc_of(face_px: int, place: np.ndarray) -> tuple[float, float, float]:
    """Centre of a face and side of its crop, in output pixels."""
    x, y = transform(place, template(face_px).mean(axis=0, keepdims=True))[0]
    return float(x), float(y), face_px * scale_of(place)


def _parts_of(side: int, to_output: np.ndarray) -> np.ndarray:
    """The middles of the parts of a face's square in output pixels, row by row: (P * P, 2)."""
    middles = (np.arange(_PARTS) + 0.5) * (side / _PARTS) - 0.5
    return transform(to_output, np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2))


def _steadied(face: Face, grain: Grain, source: Frame, large: Frame) -> float:
    """By what the measured grain of a face in a film is multiplied to be steady along its track."""
    if face.grain is None:
        return 1.0
    now = grain.level if large is source else level_around(source.rgb_hwc, face)
    low, high = _MOST_STEADIED
    return min(max(face.grain / max(now, LEAST_LEVEL), low), high)


def _shown(mask_hw: np.ndarray, to_output: np.ndarray, points_xy: np.ndarray) -> np.ndarray:
    """Which of (N, 2) output pixels show the face and nothing else: boolean (N,)."""
    x, y = np.rint(transform(invert(to_output), points_xy)).astype(int).T
    height, width = mask_hw.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    weight = mask_hw[np.where(inside, y, 0), np.where(inside, x, 0)]
    return np.asarray(inside & (weight > _IN_FACE))

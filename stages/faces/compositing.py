"""Laying a face over a picture: the inverse warp, only where the face is, in bands of rows.

Where the picture has grain, the face is given as much (:mod:`restore_batch.stages.faces.grain`).

A 100-megapixel scan costs a copy of what lies under its faces; floats exist for one band of one
face.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from restore_batch.stages.faces.before import Before
from restore_batch.stages.faces.grain import Window
from restore_batch.stages.faces.grain_field import GrainField
from restore_batch.stages.geometry import finely_warped, invert, part_under, scale_of, transform

BAND_ROWS = 256
_LAID_AT_ONCE_PX = 1 << 18
_BORDER = cv2.BORDER_REPLICATE

Share = Callable[[np.ndarray, np.ndarray], "np.ndarray | None"]
"""From the x (W,) and y (H,) of output pixels to this face's share of them (H, W)."""


def crop_to_output(
    matrix: np.ndarray, source_wh: tuple[int, int], output_wh: tuple[int, int]
) -> np.ndarray:
    """The (2, 3) matrix from crop pixels to pixels of the enlarged picture.

    ``matrix`` maps source pixels to crop pixels. Pixel centres are at whole numbers, so a
    picture enlarged s times has source pixel x at s * (x + 1/2) - 1/2. The ratios are those of
    the real sizes: round(width * scale) is not exactly the width times scale.
    """
    ratio = np.array(output_wh, dtype=np.float64) / np.array(source_wh, dtype=np.float64)
    back = invert(matrix)
    back *= ratio[:, None]
    back[:, 2] += (ratio - 1.0) / 2.0
    return back


def inside_source(matrix: np.ndarray, face_px: int, source_wh: tuple[int, int]) -> np.ndarray:
    """1 where a crop pixel lies in the source picture, 0 where the crop was filled up.

    (S, S) float32.
    """
    back = invert(matrix)
    x = np.arange(face_px, dtype=np.float64)
    source_x = back[0, 0] * x[None, :] + back[0, 1] * x[:, None] + back[0, 2]
    source_y = back[1, 0] * x[None, :] + back[1, 1] * x[:, None] + back[1, 2]
    width, height = source_wh
    inside = (source_x >= -0.5) & (source_x <= width - 0.5)
    inside &= (source_y >= -0.5) & (source_y <= height - 0.5)
    return inside.astype(np.float32)


def paste_face(
    canvas: np.ndarray,
    background: np.ndarray | Before,
    face_hwc: np.ndarray,
    mask_hw: np.ndarray,
    to_output: np.ndarray,
    strength: float = 1.0,
    share: Share | None = None,
    grain: GrainField | None = None,
    seen_hwc: np.ndarray | None = None,
) -> None:
    """Move ``canvas`` towards a face, in place, by mask x strength x share.

    ``canvas``: rgb_hwc uint8 or uint16, changed; ``background``: the same picture before any
    face was pasted (it may be ``canvas`` for a single face), or the :class:`Before` of it.
    ``face_hwc``: (S, S, 3) float32 in [0, 255], or (S, S, 1) for a grey picture, whose channels
    then stay equal. ``mask_hw``: (S, S) float32 in [0, 1], 0 along its border. ``to_output``: see
    :func:`crop_to_output`. ``grain``: given to the face, and under a soft edge as much as is lost
    there.

    Enlarging is bicubic; a reduction is first averaged over areas, since warps do not prefilter.
    """
    left, top, right, bottom = region(mask_hw, to_output, canvas.shape)
    if left >= right or top >= bottom or strength <= 0.0:
        return
    if isinstance(background, Before):
        background.keep(left, top, right, bottom)
    if seen_hwc is not None:
        seen_hwc = reduced(seen_hwc, mask_hw, to_output)[0]
    face_hwc, mask_hw, to_output = reduced(face_hwc, mask_hw, to_output)
    amplitude_hw = None if grain is None else grain.amplitude(face_hwc)
    unit = np.float32(np.iinfo(canvas.dtype).max / 255)
    channels = face_hwc.shape[2]
    for band in range(top, bottom, BAND_ROWS):
        rows, columns = slice(band, min(band + BAND_ROWS, bottom)), slice(left, right)
        size_wh = (right - left, rows.stop - band)
        local = to_output - np.array([[0.0, 0.0, left], [0.0, 0.0, band]])
        weight = cv2.warpAffine(mask_hw, local, size_wh, flags=cv2.INTER_LINEAR)
        weight = np.asarray(weight) * np.float32(strength)
        owned = share(np.arange(left, right), np.arange(band, rows.stop)) if share else None
        if owned is not None:
            weight *= owned
        change = _change(face_hwc, seen_hwc, local, size_wh)
        change *= unit
        if seen_hwc is None:
            change -= background[rows, columns][..., :channels]
        change *= weight[..., None]
        if grain is not None and amplitude_hw is not None:
            amplitude = cv2.warpAffine(
                amplitude_hw, local, size_wh, flags=cv2.INTER_LINEAR, borderMode=_BORDER
            )
            amplitude = np.asarray(amplitude) * grain.gain(weight) * unit
            change += (
                grain.rows(band - top, rows.stop - top, right - left) * amplitude[..., None]
            )[..., :channels]
        change += canvas[rows, columns, :channels]
        np.rint(change, out=change)
        # One channel of a grey picture is written to all three.
        canvas[rows, columns] = np.clip(change, 0.0, float(np.iinfo(canvas.dtype).max), out=change)


def _change(
    face_hwc: np.ndarray, seen_hwc: np.ndarray | None, local: np.ndarray, size_wh: tuple[int, int]
) -> np.ndarray:
    """A band of the picture, (height, width, C) float32 in levels of 8 bits: the face laid over it,
    clipped to [0, 255], or with ``seen_hwc`` what is to be added to the picture.

    ``face_hwc``: (S, S, C) float32 in [0, 255]; ``seen_hwc``: as :func:`seen_in` returns it, the
    same shape. ``local``: (2, 3) float64, from the face's pixels to the band's. ``size_wh``: of the
    band.
    """
    if seen_hwc is not None:
        return _laid(face_hwc - seen_hwc, local, size_wh)
    laid = _laid(face_hwc, local, size_wh)
    return np.asarray(np.clip(laid, 0.0, 255.0, out=laid))


def seen_in(picture: Before, to_output: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The enlarged picture under the face, warped to the face's (S, S, C) grid: float32 in
    [0, 255]. ``shape``: (S, S, C)."""
    side, _, channels = shape
    to_crop = invert(to_output)
    part, offset = part_under(picture, to_crop, side)
    return finely_warped(part[..., :channels], offset, to_crop, side)


def window_of(
    face_hwc: np.ndarray, to_output: np.ndarray, box: tuple[int, int, int, int], margin: int
) -> Window:
    """A face, as :func:`reduced` returns it, as it is laid over the picture, in output pixels.

    Parts can be asked for that lie in ``box`` (left, top, right, bottom) and ``margin`` around it.
    """
    first_x, first_y = box[0] - margin, box[1] - margin
    across, down = box[2] + margin - first_x, box[3] + margin - first_y

    def lay(left: int, top: int, width: int, height: int) -> np.ndarray:
        local = to_output - np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
        return _laid(face_hwc, local, (width, height))

    if across * down > _LAID_AT_ONCE_PX:
        return lay
    whole = lay(first_x, first_y, across, down)

    def window(left: int, top: int, width: int, height: int) -> np.ndarray:
        x, y = left - first_x, top - first_y
        return whole[y : y + height, x : x + width]

    return window


def _laid(face_hwc: np.ndarray, local: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    laid = cv2.warpAffine(face_hwc, local, size_wh, flags=cv2.INTER_CUBIC, borderMode=_BORDER)
    return np.asarray(laid).reshape(size_wh[1], size_wh[0], face_hwc.shape[2])


def region(
    mask_hw: np.ndarray, to_output: np.ndarray, shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the output pixels that the mask reaches, inside the picture."""
    x, y, width, height = cv2.boundingRect((mask_hw > 0).astype(np.uint8))
    if width == 0 or height == 0:
        return 0, 0, 0, 0
    edges = np.array([(x - 1, y - 1), (x + width, y - 1), (x - 1, y + height)], dtype=np.float64)
    corners = transform(to_output, np.vstack([edges, edges[1:2] + edges[2:3] - edges[:1]]))
    low = np.floor(corners.min(axis=0)).astype(int)
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    return (
        max(int(low[0]), 0),
        max(int(low[1]), 0),
        min(int(high[0]), shape[1]),
        min(int(high[1]), shape[0]),
    )


def reduced(
    face_hwc: np.ndarray, mask_hw: np.ndarray, to_output: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face, mask and matrix brought to about one crop pixel an output pixel, if smaller."""
    side = face_hwc.shape[0]
    small = max(1, int(np.ceil(side * scale_of(to_output) - 1e-6)))
    if small >= side:
        return face_hwc, mask_hw, to_output
    ratio = small / side
    face = np.asarray(cv2.resize(face_hwc, (small, small), interpolation=cv2.INTER_AREA))
    mask = np.asarray(cv2.resize(mask_hw, (small, small), interpolation=cv2.INTER_AREA))
    matrix = to_output.copy()
    matrix[:, :2] /= ratio
    # Pixel x of the small crop lies at (x + 1/2) / ratio - 1/2 of the full one.
    matrix[:, 2] = to_output[:, 2] + to_output[:, :2] @ np.full(2, 0.5 / ratio - 0.5)
    return face.reshape(small, small, -1), mask, matrix

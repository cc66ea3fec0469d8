"""Enlarging pictures of any size through a network, holding one strip of tiles at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from restore_batch.errors import MediaError
from restore_batch.models.base import Tiling, Upscaler
from restore_batch.stages.enlarge.tiles.axis import TiledAxis
from restore_batch.stages.enlarge.tiles.resampling import LineResampler, SeamBlender

_ROWS_AT_ONCE = 64
"""That become integers, so that a strip is not copied whole."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G, B in brightness, ITU-R BT.601 section 2.5.1."""


def tiling_of(upscaler: Upscaler) -> Tiling:
    """How ``upscaler`` wants pictures cut; most do not say."""
    said: Tiling = getattr(upscaler, "tiling", Tiling())
    return said


def upscale_in_tiles(
    upscaler: Upscaler,
    pictures: Sequence[np.ndarray],
    size_wh: tuple[int, int],
    tile_px: int,
    device: str = "cpu",
    grey: bool = False,
) -> list[np.ndarray]:
    """Enlarge pictures of one shape to exactly ``size_wh``.

    ``pictures``: rgb_hwc uint8 or uint16, all of the same shape and dtype; they go through the
    network together, so give one at a time where memory is short. The same dtype comes back.
    With ``grey`` the three channels of the result are equal.

    The float memory is that of one network call plus one strip of tiles already at the final
    width, whatever the picture's size. Raises MediaError when the network returns NaN.
    """
    width, height = size_wh
    outputs = [np.empty((height, width, 3), picture.dtype) for picture in pictures]
    top = 0
    for rgb_nchw in _strips(upscaler, pictures, size_wh, tile_px, device):
        if not bool(torch.isfinite(rgb_nchw).all()):
            raise MediaError(
                "the upscaler returned values that are not numbers: expected 0 to 1; "
                "use precision float32"
            )
        bottom = top + rgb_nchw.shape[2]
        for output, rgb_chw in zip(outputs, rgb_nchw, strict=True):
            for start in range(0, bottom - top, _ROWS_AT_ONCE):
                rows = rgb_chw[:, start : start + _ROWS_AT_ONCE]
                at = top + start
                output[at : at + rows.shape[1]] = _quantise(rows, output.dtype, grey)
        top = bottom
    return outputs


def _strips(
    upscaler: Upscaler,
    pictures: Sequence[np.ndarray],
    size_wh: tuple[int, int],
    tile_px: int,
    device: str,
) -> Iterator[torch.Tensor]:
    """The result from top to bottom as (N, 3, rows, width) float32 pieces in about [0, 1]."""
    scale = upscaler.scale
    height, width = pictures[0].shape[:2]
    tiling = tiling_of(upscaler)
    rows, columns = (TiledAxis(length, tile_px, tiling) for length in (height, width))
    vertical = LineResampler(height * scale, size_wh[1], dim=2, device=device)
    down = SeamBlender(rows, scale, dim=2, device=device)
    for row in rows.tiles:
        source = _to_float([p[row.read_start : row.read_stop] for p in pictures], device)
        across = SeamBlender(columns, scale, dim=3, device=device)
        horizontal = LineResampler(width * scale, size_wh[0], dim=3, device=device)
        # Filled piece by piece: joined afterwards, it would be there twice.
        shape = (len(pictures), 3, (row.stop - row.start) * scale, size_wh[0])
        strip = torch.empty(shape, device=device)
        left = 0
        for column in columns.tiles:
            with torch.inference_mode():
                result = upscaler(source[..., column.read_start : column.read_stop])
            kept = result[
                ...,
                (row.start - row.read_start) * scale : (row.stop - row.read_start) * scale,
                (column.start - column.read_start) * scale : (column.stop - column.read_start)
                * scale,
            ]
            piece = horizontal.push(across.push(kept.float().clone()))
            strip[..., left : left + piece.shape[3]] = piece
            left += piece.shape[3]
            del result, kept, piece
        yield vertical.push(down.push(strip))


def _to_float(pictures: Sequence[np.ndarray], device: str) -> torch.Tensor:
    """rgb_hwc integers to (N, 3, H, W) float32 in [0, 1]; converted after the copy to a GPU."""
    stacked = np.stack(pictures)
    peak = float(np.iinfo(stacked.dtype).max)
    if stacked.dtype != np.uint8:
        stacked = stacked.astype(np.int32)  # torch has few operations for uint16
    rgb_nhwc = torch.from_numpy(stacked).to(device)
    return rgb_nhwc.permute(0, 3, 1, 2).float().div_(peak).contiguous()


def _quantise(rgb_chw: torch.Tensor, dtype: np.dtype, grey: bool) -> np.ndarray:
    """(3, H, W) in [0, 1] to rgb_hwc integers over the full range, rounded to the nearest."""
    if grey:
        luma = sum(w * channel for w, channel in zip(_LUMA, rgb_chw, strict=True))
        assert isinstance(luma, torch.Tensor)
        rgb_chw = luma.expand(3, -1, -1)
    peak = float(np.iinfo(dtype).max)
    levels = rgb_chw.mul(peak).add_(0.5).clamp_(0.0, peak).permute(1, 2, 0)
    whole = levels.to(torch.uint8 if dtype == np.uint8 else torch.int32)
    return whole.cpu().numpy().astype(dtype, copy=False)

"""Enlarging pictures of any size through a network, holding one tile at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from restore_batch.errors import MediaError
from restore_batch.models.base import Tiling, Upscaler
from restore_batch.stages import heap
from restore_batch.stages.enlarge.tiles.axis import TiledAxis
from restore_batch.stages.enlarge.tiles.resampling import LineResampler, SeamBlender

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

    The float memory is that of one network call and of what neighbouring tiles share, whatever the
    picture's size. Raises MediaError when the network returns NaN.
    """
    width, height = size_wh
    outputs = [np.empty((height, width, 3), picture.dtype) for picture in pictures]
    for top, left, rgb_nchw in _pieces(upscaler, pictures, size_wh, tile_px, device):
        if not bool(torch.isfinite(rgb_nchw).all()):
            raise MediaError(
                "the upscaler returned values that are not numbers: expected 0 to 1; "
                "use precision float32"
            )
        bottom, right = top + rgb_nchw.shape[2], left + rgb_nchw.shape[3]
        for output, rgb_chw in zip(outputs, rgb_nchw, strict=True):
            output[top:bottom, left:right] = _quantise(rgb_chw, output.dtype, grey)
    return outputs


def _pieces(
    upscaler: Upscaler,
    pictures: Sequence[np.ndarray],
    size_wh: tuple[int, int],
    tile_px: int,
    device: str,
) -> Iterator[tuple[int, int, torch.Tensor]]:
    """The result as pieces with their top and left, (N, 3, rows, columns) float32 in about [0, 1];
    together they cover it once."""
    scale = upscaler.scale
    height, width = pictures[0].shape[:2]
    tiling = tiling_of(upscaler)
    rows, columns = (TiledAxis(length, tile_px, tiling) for length in (height, width))
    # Along a row of tiles pieces are as wide as in every other, and each goes on downwards by
    # itself: no strip as wide as the picture is held.
    downwards = [
        (
            SeamBlender(rows, scale, dim=2, device=device),
            LineResampler(height * scale, size_wh[1], dim=2, device=device),
        )
        for _ in columns.tiles
    ]
    top = 0
    large = 3 * size_wh[0] * size_wh[1] >= heap.WORTH_BYTES
    for row in rows.tiles:
        across = SeamBlender(columns, scale, dim=3, device=device)
        horizontal = LineResampler(width * scale, size_wh[0], dim=3, device=device)
        left = done = 0
        for column, (down, vertical) in zip(columns.tiles, downwards, strict=True):
            read = slice(row.read_start, row.read_stop), slice(column.read_start, column.read_stop)
            with torch.inference_mode():
                result = upscaler(_to_float([picture[read] for picture in pictures], device))
            kept = result[
                ...,
                (row.start - row.read_start) * scale : (row.stop - row.read_start) * scale,
                (column.start - column.read_start) * scale : (column.stop - column.read_start)
                * scale,
            ]
            piece = horizontal.push(across.push(kept.float().clone()))
            del result, kept
            if large:  # what each tile leaves behind in pieces would add up
                heap.give_back()
            if not piece.shape[3]:
                continue
            piece = vertical.push(down.push(piece))
            yield top, left, piece
            left, done = left + piece.shape[3], piece.shape[2]
            del piece
        top += done


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

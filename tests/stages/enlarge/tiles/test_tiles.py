"""Tiles: they cover, their weights sum to one, and no one sees where they met."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.models.base import Tiling, Upscaler
from restore_batch.stages.enlarge.tiles.axis import SMALLEST_TILE_PX, TiledAxis
from restore_batch.stages.enlarge.tiles.network import upscale_in_tiles
from restore_batch.stages.enlarge.tiles.resampling import LineResampler, lanczos_taps

from support.pixels import Repeat, packaged_upscaler, picture, smooth_picture

lengths = st.integers(1, 5000)
tile_sizes = st.integers(SMALLEST_TILE_PX, 1100)
tilings = st.sampled_from([Tiling(), Tiling(align_px=8, halo_px=32), Tiling(align_px=8)])


@given(lengths, tile_sizes, tilings)
def test_tiles_cover_the_axis_and_read_at_most_their_size(
    length: int, tile_px: int, tiling: Tiling
) -> None:
    axis = TiledAxis(length, tile_px, tiling)
    reached = 0
    for tile in axis.tiles:
        assert 0 <= tile.read_start <= tile.start <= reached <= tile.stop <= tile.read_stop
        assert tile.read_stop <= length
        # To begin at a multiple a tile may have to begin a little earlier.
        assert 0 < tile.read_stop - tile.read_start <= tile_px + tiling.align_px - 4
        assert tile.read_start % tiling.align_px == 0
        reached = tile.stop
    assert axis.tiles[0].start == 0
    assert reached == length


@given(lengths, tile_sizes, tilings)
def test_every_tile_has_its_halo_except_at_the_pictures_border(
    length: int, tile_px: int, tiling: Tiling
) -> None:
    axis = TiledAxis(length, tile_px, tiling)
    for tile in axis.tiles:
        halo_px = tile.start - tile.read_start
        assert halo_px >= min(axis.halo_px, tile.start)
        assert halo_px < axis.halo_px + tiling.align_px - 3
        assert tile.read_stop - tile.stop == min(axis.halo_px, length - tile.stop)


@given(lengths, tile_sizes, st.sampled_from([1, 2, 3, 4]))
def test_weights_are_shares_that_sum_to_one(length: int, tile_px: int, scale: int) -> None:
    axis = TiledAxis(length, tile_px)
    total = np.zeros(length * scale)
    for index, tile in enumerate(axis.tiles):
        weights = axis.weights(index, scale)
        assert weights.min() >= 0
        assert weights.max() <= 1
        total[tile.start * scale : tile.stop * scale] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_tile_too_small_for_its_margins_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        TiledAxis(100, SMALLEST_TILE_PX - 1)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.integers(32, 70),
    st.integers(1, 4),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_an_exact_upscaler_stays_exact_through_tiles(
    width: int, height: int, tile_px: int, scale: int, dtype: type
) -> None:
    source = picture(width, height, seed=width, dtype=dtype)
    (result,) = upscale_in_tiles(Repeat(scale), [source], (width * scale, height * scale), tile_px)
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, source.repeat(scale, 0).repeat(scale, 1))


@pytest.mark.parametrize("size_wh", [(1, 1), (4000, 8), (8, 4000), (33, 31)])
def test_odd_shapes_stay_exact_through_the_smallest_tiles(size_wh: tuple[int, int]) -> None:
    source = picture(*size_wh)
    (result,) = upscale_in_tiles(Repeat(1), [source], size_wh, SMALLEST_TILE_PX)
    np.testing.assert_array_equal(result, source)


@given(st.integers(1, 400), st.integers(1, 400))
def test_resampling_weights_sum_to_one_and_stay_inside(n_in: int, n_out: int) -> None:
    first, weights = lanczos_taps(n_in, n_out)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    position = first[:, None] + np.arange(weights.shape[1])
    assert not weights[(position < 0) | (position >= n_in)].any()


@settings(deadline=None)
@given(
    st.integers(1, 120),
    st.integers(1, 120),
    st.lists(st.integers(1, 30), max_size=8),
    st.sampled_from([2, 3]),
)
def test_resampling_in_pieces_is_resampling_at_once(
    n_in: int, n_out: int, cuts: list[int], dim: int
) -> None:
    shape = [1, 2, 5, 5]
    shape[dim] = n_in
    line = torch.rand(shape, generator=torch.Generator().manual_seed(n_in))
    whole = LineResampler(n_in, n_out, dim).push(line)
    sizes: list[int] = []
    for cut in cuts:
        sizes.append(min(cut, n_in - sum(sizes)))
    stream = LineResampler(n_in, n_out, dim)
    pieces = torch.cat([stream.push(p) for p in line.split([*sizes, n_in - sum(sizes)], dim)], dim)
    assert whole.shape[dim] == n_out
    assert torch.equal(pieces, whole)


@pytest.mark.parametrize("n_out", [37, 80, 160, 213, 397])
def test_resampling_agrees_with_pillows_lanczos(n_out: int) -> None:
    line = np.random.default_rng(0).random((1, 160), dtype=np.float32)
    ours = LineResampler(160, n_out, 3).push(torch.from_numpy(line)[None, None])
    pillow = Image.fromarray(line).resize((n_out, 1), Image.Resampling.LANCZOS)
    np.testing.assert_allclose(ours[0, 0].numpy(), np.asarray(pillow), atol=2e-5)


def _random_rrdb() -> Upscaler:
    from restore_batch.models.nets.rrdb import RRDBNet

    torch.manual_seed(0)
    net = RRDBNet(scale=2, num_feat=16, num_block=2, num_grow_ch=8).eval()

    class Random:
        scale = 2

        def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
            bottom, right = rgb_nchw.shape[2] % 2, rgb_nchw.shape[3] % 2
            padded = torch.nn.functional.pad(rgb_nchw, (0, right, 0, bottom), "replicate")
            result = net(padded) * 8 + 0.5  # stretched to a contrast like that of a picture
            height, width = rgb_nchw.shape[2] * 2, rgb_nchw.shape[3] * 2
            return result[..., :height, :width].clamp(0, 1)

        def bytes_per_pixel(self) -> int:
            return 1

    return Random()


def _tiled_and_whole(
    upscaler: Upscaler, source: np.ndarray, tile_px: int
) -> tuple[np.ndarray, np.ndarray]:
    height, width = source.shape[:2]
    size_wh = (width * upscaler.scale, height * upscaler.scale)
    wide = source.astype(np.uint16) * 257  # 16 bits show differences far below a level of 8
    (tiled,) = upscale_in_tiles(upscaler, [wide], size_wh, tile_px)
    (whole,) = upscale_in_tiles(upscaler, [wide], size_wh, max(width, height, 32))
    return tiled / 257.0, whole / 257.0


def _seam_contrast(difference_hw: np.ndarray, lines: list[int]) -> float:
    """Step of the difference across vertical lines, over its usual step close by."""
    steps = np.abs(np.diff(difference_hw, axis=1)).mean(axis=0)
    near = sorted({c for x in lines for c in range(x - 12, x + 12) if 0 <= c < steps.size})
    usual = steps[near].mean() + 1e-4
    return float(max(steps[x - 1] for x in lines) / usual)


def _edges(axis: TiledAxis, scale: int) -> list[int]:
    inner = {t.start for t in axis.tiles[1:]} | {t.stop for t in axis.tiles[:-1]}
    return [edge * scale for edge in sorted(inner - {axis.length})]


def _check_unseen(upscaler: Upscaler, source: np.ndarray, tile_px: int) -> None:
    tiled, whole = _tiled_and_whole(upscaler, source, tile_px)
    difference = (tiled - whole).mean(axis=2)
    assert np.abs(tiled - whole).mean() < 0.2
    height, width = source.shape[:2]
    columns = _edges(TiledAxis(width, tile_px), upscaler.scale)
    rows = _edges(TiledAxis(height, tile_px), upscaler.scale)
    assert columns
    assert _seam_contrast(difference, columns) < 3
    assert not rows or _seam_contrast(difference.T, rows) < 3


@pytest.mark.slow
def test_tiles_of_a_random_rrdb_network_leave_no_trace() -> None:
    _check_unseen(_random_rrdb(), smooth_picture(131, 107, detail_px=3), 64)


def test_tiles_of_a_published_video_network_leave_no_trace() -> None:
    _check_unseen(packaged_upscaler("realesr-animevideov3"), smooth_picture(131, 99), 80)


@pytest.mark.slow
def test_tiles_of_the_published_photo_network_leave_no_trace() -> None:
    astronaut = pytest.importorskip("skimage.data").astronaut()
    _check_unseen(packaged_upscaler("realesrgan-x4plus"), astronaut[80:176, 60:428], 320)


def test_the_seam_test_sees_tiles_joined_without_cross_fade_and_halo() -> None:
    upscaler = packaged_upscaler("realesr-animevideov3")
    source = smooth_picture(128, 64)
    scale = upscaler.scale
    halves = [
        upscale_in_tiles(upscaler, [half], (64 * scale, 64 * scale), 128)[0]
        for half in (source[:, :64], source[:, 64:])
    ]
    (whole,) = upscale_in_tiles(upscaler, [source], (128 * scale, 64 * scale), 128)
    joined = np.concatenate(halves, axis=1).astype(np.float64)
    assert _seam_contrast((joined - whole).mean(axis=2), [64 * scale]) > 3


def test_a_network_that_returns_nan_is_refused() -> None:
    class Broken(Repeat):
        def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
            return super().__call__(rgb_nchw) * float("nan")

    with pytest.raises(MediaError, match="float32"):
        upscale_in_tiles(Broken(2), [picture(10, 10)], (20, 20), 32)

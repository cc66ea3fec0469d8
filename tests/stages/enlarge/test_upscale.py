"""Enlarged frames: exact size, dtype, grey, alpha; memory that stays within bounds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.base import Tiling, Upscaler
from restore_batch.stages import heap
from restore_batch.stages.enlarge.tiles import memory
from restore_batch.stages.enlarge.upscale import Upscale, enlarge_plainly
from restore_batch.stages.geometry import output_size
from restore_batch.stages.media import Chunk, Failure, Frame

from support.pixels import Repeat, packaged_upscaler, picture, smooth_picture, unit


def stage(upscaler: Upscaler | None, scale: float = 2, tile_px: int | None = None) -> Upscale:
    made = Upscale(None, scale, tile_px)
    made.upscaler = upscaler
    return made


def chunk(*frames: Frame, name: str = "photo") -> Chunk:
    return Chunk(unit(name), frames=frames)


def one(made: Upscale, frame: Frame) -> Frame:
    (done,) = made([chunk(frame)])
    assert isinstance(done, Chunk), done
    return done.upscaled[0]


class ShortOfMemory(Repeat):
    """Runs out of memory above ``limit_px`` of input, in the words of ``error``."""

    def __init__(self, limit_px: int, error: Exception) -> None:
        super().__init__(2)
        self.limit_px, self.error = limit_px, error

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        if rgb_nchw[:, 0].numel() > self.limit_px:
            raise self.error
        return super().__call__(rgb_nchw)


def test_scale_one_passes_the_very_frame_on() -> None:
    frame = Frame(picture(7, 5))
    assert one(stage(Repeat(2), 1), frame) is frame


class Inverts(Repeat):
    """Works at the picture's own size."""

    def __init__(self) -> None:
        super().__init__(1)

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        return 1 - rgb_nchw


def test_at_scale_one_a_network_of_scale_one_restores_frames_and_leaves_their_alpha() -> None:
    rgb = picture(70, 50)
    alpha = picture(70, 50)[..., 0]
    done = one(stage(Inverts(), 1, 64), Frame(rgb, alpha_hw=alpha))
    seen = alpha > 0
    assert np.array_equal(done.rgb_hwc[seen], 255 - rgb[seen])
    assert done.alpha_hw is not None
    assert np.array_equal(done.alpha_hw, alpha)


class Notes(Repeat):
    """Asks for large tiles, and notes how wide those are that it gets."""

    tiling = Tiling(align_px=8, halo_px=32, largest_px=1024)

    def __init__(self) -> None:
        super().__init__(2)
        self.seen: list[int] = []

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        self.seen.append(rgb_nchw.shape[-1])
        return super().__call__(rgb_nchw)


def test_a_network_that_asks_for_larger_tiles_gets_them() -> None:
    asks = Notes()
    one(stage(asks), Frame(picture(900, 40)))
    assert asks.seen == [900]


def test_what_is_huge_goes_through_in_smaller_tiles_and_leaves_no_others_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = Frame(smooth_picture(900, 40))
    monkeypatch.setattr(heap, "HUGE_BYTES", 900 * 40 * 3)
    asks = Notes()
    made = stage(asks)
    in_smaller = one(made, large).rgb_hwc
    one(made, Frame(smooth_picture(890, 40)))
    assert max(asks.seen[:-1]) < 640
    assert asks.seen[-1] == 890
    assert np.array_equal(in_smaller, one(stage(Repeat(2), tile_px=1024), large).rgb_hwc)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.floats(0.3, 4.5),
    st.sampled_from([None, 1, 2, 4]),
    st.sampled_from([np.uint8, np.uint16]),
)
def test_any_scale_gives_exactly_the_rounded_size(
    width: int, height: int, scale: float, network: int | None, dtype: type
) -> None:
    upscaler = None if network is None else Repeat(network)
    alpha = picture(width, height, 1, dtype)[..., 0]
    large = one(stage(upscaler, scale, 32), Frame(picture(width, height, 0, dtype), alpha))
    assert (large.width, large.height) == output_size(width, height, scale)
    assert large.alpha_hw is not None
    assert large.alpha_hw.shape == large.rgb_hwc.shape[:2]
    assert large.rgb_hwc.dtype == large.alpha_hw.dtype == dtype


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("upscaler", [None, Repeat(2), Repeat(4)])
def test_black_and_white_stay_black_and_white(dtype: type, upscaler: Upscaler | None) -> None:
    peak = np.iinfo(dtype).max
    for value in (0, peak // 3, peak):
        frame = Frame(np.full((40, 50, 3), value, dtype))
        assert (one(stage(upscaler, 3, 32), frame).rgb_hwc == value).all()


def test_sixteen_bits_keep_more_levels_than_eight_could_hold() -> None:
    ramp = np.linspace(0, 65535, 400).astype(np.uint16)
    frame = Frame(np.repeat(np.tile(ramp, (4, 1))[..., None], 3, axis=2))
    large = one(stage(Repeat(4), 2, 64), frame)
    assert len(np.unique(large.rgb_hwc)) > 600
    expected = enlarge_plainly(frame, 2).rgb_hwc.astype(int)
    assert np.abs(large.rgb_hwc.astype(int) - expected)[:, 8:-8].max() < 100


def test_a_grey_frame_stays_exactly_grey_through_a_colour_network() -> None:
    class Tinted(Repeat):
        def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
            tint = torch.tensor([1.1, 0.9, 0.7]).reshape(1, 3, 1, 1)
            return (super().__call__(rgb_nchw) * tint).clamp(0, 1)

    grey = np.repeat(smooth_picture(60, 50)[..., :1], 3, axis=2)
    result = one(stage(Tinted(4), 2, 32), Frame(grey, grey=True)).rgb_hwc
    assert (result == result[..., :1]).all()
    assert one(stage(Tinted(4), 2, 32), Frame(grey, grey=True)).grey


def test_alpha_is_enlarged_smoothly_and_within_its_range() -> None:
    alpha = np.zeros((20, 20), np.uint8)
    alpha[:, 10:] = 255
    large = one(stage(None, 4), Frame(picture(20, 20), alpha)).alpha_hw
    assert large is not None
    assert (large[:, :30] == 0).all()
    assert (large[:, -30:] == 255).all()
    assert large[0, 38] < large[0, 40]


def test_a_network_that_enlarges_less_than_wanted_is_helped_by_lanczos() -> None:
    source = smooth_picture(50, 40)
    large = one(stage(Repeat(1), 3, 64), Frame(source)).rgb_hwc.astype(int)
    expected = enlarge_plainly(Frame(source), 3).rgb_hwc.astype(int)
    assert np.abs(large - expected).mean() < 1


def test_the_result_is_the_same_in_any_company() -> None:
    upscaler = packaged_upscaler("realesr-animevideov3")
    frames = [Frame(smooth_picture(50, 40, seed)) for seed in range(3)]
    frames.insert(1, Frame(smooth_picture(30, 60)))
    (together,) = stage(upscaler, 2)([chunk(*frames)])
    assert isinstance(together, Chunk)
    for frame, large in zip(frames, together.upscaled, strict=True):
        np.testing.assert_array_equal(one(stage(upscaler, 2), frame).rgb_hwc, large.rgb_hwc)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
        MemoryError(),
    ],
)
def test_tiles_shrink_when_memory_runs_out_and_the_photo_says_so(error: Exception) -> None:
    source = picture(200, 150)
    made = stage(ShortOfMemory(100 * 100, error), 2)
    (done,) = made([chunk(Frame(source))])
    assert isinstance(done, Chunk)
    np.testing.assert_array_equal(done.upscaled[0].rgb_hwc, source.repeat(2, 0).repeat(2, 1))
    assert any("96 px" in warning for warning in done.warnings)


def test_a_photo_that_fits_in_no_tile_fails_alone_with_what_to_do() -> None:
    made = stage(ShortOfMemory(40 * 40, MemoryError()), 2)
    too_small_to_cut = replace(chunk(Frame(picture(30, 30))), unit=unit("fits"))
    made.upscaler = ShortOfMemory(31 * 31, MemoryError())
    failed, fine = made([chunk(Frame(picture(200, 150))), too_small_to_cut])
    assert isinstance(failed, Failure)
    assert failed.kind == "MediaError"
    assert "200x150" in failed.message
    assert isinstance(fine, Chunk)


def test_a_fault_that_is_not_memory_fails_its_chunk_without_retries() -> None:
    made = stage(ShortOfMemory(50 * 50, RuntimeError("shapes do not match")), 2)
    failed, fine = made([chunk(Frame(picture(60, 60))), chunk(Frame(picture(20, 20)))])
    assert isinstance(failed, Failure)
    assert "shapes do not match" in failed.message
    assert isinstance(fine, Chunk)


def test_on_the_cpu_the_tile_size_does_not_follow_free_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = set()
    for available in (1 << 28, 1 << 36):
        real = memory.psutil.virtual_memory()
        monkeypatch.setattr(
            memory.psutil, "virtual_memory", lambda r=real, a=available: r._replace(available=a)
        )
        sizes.add(memory.tile_side_px(10_000, "cpu"))
    assert len(sizes) == 1
    assert sizes.pop() % 32 == 0


def test_networks_that_need_more_memory_get_smaller_tiles() -> None:
    sides = [memory.tile_side_px(need, "cpu") for need in (1, 20_000, 200_000, 10**9)]
    assert sides == sorted(sides, reverse=True)
    assert sides[-1] == 32


_MEASURE = """
import resource, sys, numpy as np
from support.pixels import Repeat, picture, unit
from restore_batch.stages.media import Chunk, Frame
from restore_batch.stages.enlarge.upscale import Upscale
stage = Upscale(None, 2, 128)
stage.upscaler = Repeat(4)
def run(*size):
    (done,) = stage([Chunk(unit(), frames=(Frame(picture(*size)),))])
    assert done.upscaled[0].height == 2 * size[1], done
run(400, 300)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(*map(int, sys.argv[1:]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="measures memory with getrusage")
@pytest.mark.parametrize("size", [(400, 3000), (3000, 400)])
def test_memory_grows_by_the_output_alone_and_not_by_a_float_picture(size: tuple[int, int]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _MEASURE, *map(str, size)],
        capture_output=True,
        text=True,
        check=True,
    )
    grown_mb = int(run.stdout)
    # 17 MB more of input and output. The network's result is 230 MB, and where it was held by rows
    # of tiles as wide as the picture, a wide one took 140 MB more.
    assert grown_mb < 80


@pytest.mark.parametrize("bad", [{"scale": 0}, {"scale": 2, "tile_px": 16}])
def test_impossible_settings_are_refused_at_once(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Upscale(None, **bad)  # type: ignore[arg-type]

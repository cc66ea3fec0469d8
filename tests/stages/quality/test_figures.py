"""Figures are of the same places at the same size before and after, and cost little."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
import torch

from restore_batch.models.metrics import niqe
from restore_batch.stages.media import Figures, Frame
from restore_batch.stages.quality.figures import figures_of, windows

GOOD = np.tile(skimage.data.astronaut(), (1, 2, 1))
SIZE = (GOOD.shape[1], GOOD.shape[0])


@pytest.mark.parametrize("size", [(1, 1), (40, 3000), (576, 577), (1024, 512), (6000, 4001)])
def test_windows_lie_apart_within_a_picture_and_are_few(size: tuple[int, int]) -> None:
    seen = np.zeros((size[1], size[0]), np.uint8)
    for x, y, width, height in windows(size):
        assert 0 <= x <= x + width <= size[0]
        assert 0 <= y <= y + height <= size[1]
        seen[y : y + height, x : x + width] += 1
    assert seen.max() == 1
    assert 0 < seen.sum() <= 576**2


def test_a_picture_that_fits_is_looked_at_whole() -> None:
    assert windows((576, 200)) == [(0, 0, 576, 200)]


@pytest.mark.parametrize("scale", [2, 3])
def test_a_result_that_shows_the_same_at_another_size_has_the_same_figures(scale: int) -> None:
    large = np.repeat(np.repeat(GOOD, scale, 0), scale, 1)
    assert figures_of(Frame(large), SIZE) == figures_of(Frame(GOOD), SIZE)
    assert figures_of(Frame(GOOD.astype(np.uint16) * 257), SIZE) == figures_of(Frame(GOOD), SIZE)


def test_noise_and_blur_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    noisy = np.clip(GOOD + rng.normal(0, 20, GOOD.shape), 0, 255).astype(np.uint8)
    plain, grainy, soft = (
        figures_of(Frame(picture), SIZE)
        for picture in (GOOD, noisy, cv2.GaussianBlur(GOOD, (0, 0), 3))
    )
    assert plain.noise is not None and grainy.noise is not None and soft.noise is not None
    assert grainy.noise > plain.noise + 10 > soft.noise
    assert plain.sharpness is not None and soft.sharpness is not None
    assert soft.sharpness < plain.sharpness - 0.2
    assert plain.niqe is not None and grainy.niqe is not None and soft.niqe is not None
    assert plain.niqe < min(grainy.niqe, soft.niqe)


def test_a_figure_that_a_picture_is_too_small_or_flat_for_is_left_out() -> None:
    small = figures_of(Frame(GOOD[:100, :100]), (100, 100))
    assert small.niqe is None and small.sharpness is not None
    assert figures_of(Frame(np.zeros((1, 1, 3), np.uint8)), (1, 1)) == Figures(noise=0.0)


@pytest.mark.parametrize(
    ("size", "enough"), [((480, 480), True), ((576, 479), False), ((900, 400), False)]
)
def test_niqe_is_left_out_where_too_few_patches_would_say_it(
    size: tuple[int, int], enough: bool
) -> None:
    found = figures_of(Frame(np.ascontiguousarray(GOOD[: size[1], : size[0]])), size)
    assert (found.niqe is not None) == enough
    assert found.sharpness is not None and found.noise is not None


def test_without_its_model_niqe_alone_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(niqe, "lacks", lambda: "needs a package")
    found = figures_of(Frame(GOOD), SIZE)
    assert found.niqe is None
    assert found.sharpness is not None and found.noise is not None


def test_figures_do_not_depend_on_the_number_of_threads() -> None:
    found = set()
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
            found.add(figures_of(Frame(GOOD), SIZE))
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
    assert len(found) == 1

"""What is fully transparent lends no colour to what is seen."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.enlarge.hidden import REACH_PX, without_hidden_colours
from restore_batch.stages.enlarge.upscale import enlarge_plainly
from restore_batch.stages.media import Frame


def disc(below: tuple[int, int, int], dtype: type, side: int = 96) -> Frame:
    """A white disc with a soft edge, ``below`` (of 255) under what is transparent."""
    peak = int(np.iinfo(dtype).max)
    drawn = np.zeros((4 * side, 4 * side), np.uint8)
    cv2.circle(drawn, (2 * side, 2 * side), side + 1, 255, -1)
    cover = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    alpha = (cover.astype(np.uint32) * peak // 255).astype(dtype)
    rgb = np.full((side, side, 3), peak, dtype)
    rgb[alpha == 0] = np.array(below) * (peak // 255)
    return Frame(rgb, alpha)


def over_white(frame: Frame) -> np.ndarray:
    assert frame.alpha_hw is not None
    peak = np.iinfo(frame.rgb_hwc.dtype).max
    share = frame.alpha_hw[..., None] / peak
    return np.asarray(frame.rgb_hwc / peak * share + (1 - share))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("below", [(0, 0, 0), (255, 0, 255)])
@pytest.mark.parametrize("scale", [0.5, 1.5, 2])
def test_a_white_disc_on_white_has_no_outline(
    dtype: type, below: tuple[int, int, int], scale: float
) -> None:
    assert over_white(enlarge_plainly(disc(below, dtype), scale)).min() > 0.999


@given(seed=st.integers(0, 2**32), side=st.integers(1, 200))
def test_only_what_is_hidden_changes_and_as_if_it_were_the_nearest_seen(
    seed: int, side: int
) -> None:
    rng = np.random.default_rng(seed)
    alpha = (rng.random((side, 100)) < 0.02).astype(np.uint8) * rng.integers(1, 256, dtype=np.uint8)
    frame = Frame(rng.integers(0, 256, (side, 100, 3), np.uint8), alpha)
    done = without_hidden_colours(frame)
    assert done.alpha_hw is frame.alpha_hw
    assert np.array_equal(done.rgb_hwc[alpha > 0], frame.rgb_hwc[alpha > 0])
    if alpha.any():
        colours = {tuple(colour) for colour in frame.rgb_hwc[alpha > 0].tolist()}
        away = cv2.distanceTransform((alpha == 0).astype(np.uint8), cv2.DIST_L2, 5)
        near = (alpha == 0) & (away < REACH_PX - 1)
        assert {tuple(colour) for colour in done.rgb_hwc[near].tolist()} <= colours


def test_what_is_far_from_all_that_is_seen_and_pictures_without_transparency_stay() -> None:
    rgb = np.arange(300 * 8 * 3, dtype=np.uint16).astype(np.uint8).reshape(8, 300, 3)
    alpha = np.zeros((8, 300), np.uint8)
    alpha[:, :4] = 255
    done = without_hidden_colours(Frame(rgb, alpha))
    assert np.array_equal(done.rgb_hwc[:, 120:], rgb[:, 120:])
    for same in (Frame(rgb), Frame(rgb, np.full_like(alpha, 9)), Frame(rgb, np.zeros_like(alpha))):
        assert without_hidden_colours(same) is same

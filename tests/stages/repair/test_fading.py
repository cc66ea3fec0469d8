"""Faded tones get their range back by a curve that rises everywhere; others stay to the bit."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from restore_batch.stages.media import Frame
from restore_batch.stages.repair.fading import Tones, curve_of, unfaded

from support.data import folder


def scene(seed: int = 3, size: int = 300) -> np.ndarray:
    """A picture of soft patches with all tones: rgb_hwc float64 in [0, 1]."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(-0.15, 1.15, (12, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def frame(levels: np.ndarray, dtype: type = np.uint8) -> Frame:
    return Frame(np.rint(levels * np.iinfo(dtype).max).astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_faded_picture_gets_black_and_white_back(dtype: type) -> None:
    good = scene()
    peak = np.iinfo(dtype).max
    done = unfaded(frame(0.3 + 0.5 * good, dtype))
    assert done is not None and done.rgb_hwc.dtype == dtype
    low, high = np.percentile(done.rgb_hwc / peak, (0.5, 99.5))
    assert low < 0.08 and high > 0.9
    assert np.abs(done.rgb_hwc / peak - good).mean() < 0.06


def test_a_single_faded_dye_is_undone_and_the_other_channels_change_little() -> None:
    good = scene()
    faded = good.copy()
    faded[..., 0] = 0.4 + 0.45 * good[..., 0]
    done = unfaded(frame(faded))
    assert done is not None
    error = np.abs(done.rgb_hwc / 255 - good).mean(axis=(0, 1))
    assert error[0] < 0.3 * np.abs(faded - good)[..., 0].mean()
    assert error[1:].max() < 0.02


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: 0.12 + 0.6 * x,  # flat, but with black
        lambda x: 0.35 * x,  # night
        lambda x: (0.55 + 0.45 * x) * (x.mean(axis=2, keepdims=True) > 0.2),  # snow
        lambda x: x * [1.0, 0.8, 0.5],  # evening light
        lambda x: np.full_like(x, 0.5) * (x > 0.1),
    ],
)
def test_what_is_not_faded_stays(change: Callable[[np.ndarray], np.ndarray]) -> None:
    assert unfaded(frame(np.clip(change(scene()), 0, 1))) is None


def test_good_photographs_are_not_faded() -> None:
    places = sorted(folder("RESTORE_BATCH_SCENES", "scenes").glob("eval/*.png"))
    assert places
    for path in places:
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        assert unfaded(Frame(picture)) is None, path.name


def test_a_brown_print_keeps_its_tone() -> None:
    luma = scene().mean(axis=2, keepdims=True) * 1.6 - 0.3
    luma = np.clip(luma, 0, 1)
    brown = np.concatenate([luma * 0.5 + 0.33, luma * 0.5 + 0.28, luma * 0.48 + 0.22], axis=2)
    done = unfaded(frame(brown))
    assert done is not None
    warmth = done.rgb_hwc[..., 0].astype(int) - done.rgb_hwc[..., 2]
    assert warmth.mean() > 15


def test_a_grey_picture_stays_grey() -> None:
    grey = np.repeat(0.3 + 0.45 * scene()[..., :1], 3, axis=2)
    done = unfaded(Frame(frame(grey).rgb_hwc, grey=True))
    assert done is not None and done.grey
    assert (done.rgb_hwc == done.rgb_hwc[..., :1]).all()


def test_a_white_border_does_not_hide_fading() -> None:
    faded = np.ones((300, 300, 3))
    faded[20:280, 20:280] = 0.3 + 0.45 * scene(size=260)
    assert unfaded(frame(faded)) is not None


@pytest.mark.parametrize("peak", [255, 65535])
def test_curves_never_fall_keep_the_ends_and_are_not_steeper_than_twice(peak: int) -> None:
    for black, white in ((0.3, 0.8), (0.45, 0.55), (0.0, 1.0), (0.2, 0.21), (0.9, 0.95)):
        curve = curve_of(Tones(black, white), peak)
        steps = np.diff(curve)
        assert curve[0] == 0 and curve[-1] == peak
        assert steps.min() >= 0
        inner = steps[round(black * peak) + 1 : round(white * peak) - 1]
        assert inner.size == 0 or inner.max() <= 3  # twice, rounded


def test_sixteen_bits_stay_apart() -> None:
    curve = curve_of(Tones(0.3, 0.8), 65535)
    inner = np.arange(round(0.31 * 65535), round(0.79 * 65535))
    assert (np.diff(curve[inner]) > 0).all()


def test_strength_blends_and_none_of_it_changes_nothing() -> None:
    tones = Tones(0.3, 0.8)
    whole, half, none = (curve_of(tones, 255, s) for s in (1.0, 0.5, 0.0))
    np.testing.assert_array_equal(none, np.arange(256))
    assert np.abs(half - (whole + none) / 2).max() <= 1

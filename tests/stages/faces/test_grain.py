"""Grain: measured where it is, made anew as it was, and never seen where there is none."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from restore_batch.stages.faces.grain import (
    LEAST_LEVEL,
    Grain,
    blurred,
    cells_in,
    level_around,
    measure_grain,
    missing_share,
    sigmas,
    to_window,
)
from restore_batch.stages.faces.grain_field import BLOCK_ROWS, GrainField

from support.pixels import face_at

SIDE = 300
MIDDLE = (149.5, 149.5)
LUMA = np.array([0.299, 0.587, 0.114])


def slope(low: float = 90, high: float = 170, side: int = SIDE) -> np.ndarray:
    """(side, side, 3) float64, brighter to the right."""
    return np.repeat(np.tile(np.linspace(low, high, side), (side, 1))[..., None], 3, axis=2)


def noise(seed: int = 0, sigma: float = 0.0, channels: int = 3, side: int = SIDE) -> np.ndarray:
    """Unit noise in all channels, blurred by ``sigma`` pixels: (side, side, channels)."""
    white = np.random.default_rng(seed).normal(size=(side, side, channels))
    soft = cv2.GaussianBlur(white, (0, 0), sigma).reshape(white.shape) if sigma else white
    return soft / soft.std()


def picture(levels: np.ndarray, dtype: type = np.uint8) -> np.ndarray:
    peak = np.iinfo(dtype).max
    return np.clip(np.rint(levels * (peak / 255)), 0, peak).astype(dtype)


def measured(rgb_hwc: np.ndarray, unit_px: float = 1.0) -> Grain:
    grain = measure_grain(rgb_hwc, MIDDLE, 260, unit_px)
    assert grain is not None
    return grain


def octaves(hwc: np.ndarray, bands: int = 3) -> np.ndarray:
    """Covariance of the channels in each octave, away from the border: (K, C, C)."""
    levels = [hwc.astype(np.float32), *(blurred(hwc.astype(np.float32), s) for s in sigmas(bands))]
    inner = np.s_[20:-20, 20:-20]
    each = [(a - b)[inner].reshape(-1, hwc.shape[2]) for a, b in pairwise(levels)]
    return np.stack([np.atleast_2d(np.cov(band.T)) for band in each])


def strength(hwc: np.ndarray) -> float:
    """Standard deviation of what is finer than the coarsest of three octaves."""
    return float((hwc - blurred(hwc.astype(np.float32), sigmas(3)[1]))[20:-20, 20:-20].std())


def made(grain: Grain, seed: int = 1, side: int = SIDE) -> np.ndarray:
    """A field for the brightness that is in the middle of the picture's."""
    field = GrainField(grain, np.ones(len(grain.bands)), seed)
    return field.rows(0, side, side) * grain.at[130]


# --- measuring -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 0.8, 1.6])
@pytest.mark.parametrize("level", [1.5, 5.0, 14.0])
def test_what_is_measured_is_what_is_there(sigma: float, level: float) -> None:
    there = level * noise(1, sigma, channels=1)
    grain = measured(picture(slope() + there))
    true = octaves(there)[:, 0, 0]
    found = grain.bands * grain.at[130] ** 2
    assert np.sqrt(found) == pytest.approx(np.sqrt(true), rel=0.2, abs=0.15)
    assert grain.at[130] == pytest.approx(strength(there), rel=0.1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sixteen_bits_are_measured_in_levels_of_eight(dtype: type) -> None:
    grain = measured(picture(slope() + 4 * noise(2, channels=1), dtype))
    assert grain.at[130] == pytest.approx(strength(4 * noise(2, channels=1)), rel=0.1)


def test_grain_that_follows_the_brightness_is_found_to_do_so() -> None:
    levels = slope(30, 220)
    grain = measured(picture(levels + noise(3, channels=1) * (1 + levels / 25)))
    for level in (60, 125, 190):
        assert grain.at[level] / grain.at[125] == pytest.approx((1 + level / 25) / 6, rel=0.15)


def test_edges_scratches_and_specks_are_not_grain() -> None:
    levels = slope()
    rng = np.random.default_rng(4)
    for _ in range(40):
        x, y = rng.integers(0, SIDE, 2)
        cv2.rectangle(
            levels, (int(x), int(y)), (int(x) + 12, int(y) + 30), rng.uniform(0, 255, 3).tolist(), 2
        )
    for x in range(15, SIDE, 23):
        cv2.line(levels, (x, 0), (x + 9, SIDE), (250, 250, 250), 1)
    assert measured(picture(levels + 3 * noise(5, channels=1))).at[130] == pytest.approx(
        2.85, rel=0.15
    )
    clean = measure_grain(picture(levels), MIDDLE, 260)
    assert clean is None or clean.level < 1.0


@pytest.mark.parametrize("quality", [10, 30, 60])
def test_the_blocks_of_a_jpeg_are_not_grain(quality: int) -> None:
    hills = (
        60
        * np.sin(np.linspace(0, 4, SIDE))[:, None, None]
        * np.cos(np.linspace(0, 5, SIDE))[None, :, None]
    )
    _, file = cv2.imencode(".jpg", picture(slope() + hills), [cv2.IMWRITE_JPEG_QUALITY, quality])
    grain = measure_grain(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR)), MIDDLE, 260)
    assert grain is None or grain.level < 2 * LEAST_LEVEL


def test_a_clean_picture_a_flat_one_and_one_too_small_have_none() -> None:
    assert measure_grain(picture(slope()), MIDDLE, 260) is None
    assert measure_grain(np.full((SIDE, SIDE, 3), 77, np.uint8), MIDDLE, 260) is None
    assert measure_grain(picture(slope(side=40) + 9 * noise(side=40)), (20, 20), 40) is None


def test_the_level_around_a_face_is_that_of_the_picture_there() -> None:
    levels = slope()
    levels[:, 150:] += 12 * noise(6, channels=1)[:, 150:]
    rgb = picture(levels)
    smooth, _ = face_at(60, 150, 80)
    grainy, _ = face_at(240, 150, 80)
    assert level_around(rgb, smooth) == 0
    assert level_around(rgb, grainy) == pytest.approx(11.3, rel=0.15)


# --- making --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.0, 0.8, 1.6])
def test_grain_made_anew_has_the_size_and_strength_of_the_old(sigma: float) -> None:
    there = 6 * noise(7, sigma, channels=1)
    field = made(measured(picture(slope() + there)))
    assert field.shape == (SIDE, SIDE, 1)
    found, true = octaves(field)[:, 0, 0], octaves(there)[:, 0, 0]
    assert np.sqrt(found) == pytest.approx(np.sqrt(true), rel=0.2, abs=0.15)
    assert abs(field.mean()) < 0.1


def test_enlarged_grain_is_made_as_coarse_as_it_was_enlarged() -> None:
    small = picture(slope() + 6 * noise(8, channels=1))
    large = np.asarray(cv2.resize(small, (2 * SIDE, 2 * SIDE), interpolation=cv2.INTER_LANCZOS4))
    grain = measure_grain(large, (299.5, 299.5), 520, 2.0)
    assert grain is not None
    true = octaves(
        large[..., :1].astype(float) - np.repeat(np.repeat(slope()[..., :1], 2, 0), 2, 1), 4
    )
    found = octaves(GrainField(grain, np.ones(4), 2).rows(0, 600, 600) * grain.at[130], 4)
    assert np.sqrt(found[:, 0, 0]) == pytest.approx(np.sqrt(true[:, 0, 0]), rel=0.3, abs=0.15)


def test_colours_of_grain_belong_together_as_they_did() -> None:
    apart = noise(9) * (6, 2, 9)
    together = noise(10, channels=1) * 4
    there = apart + together
    found, true = octaves(made(measured(picture(slope() + there)))), octaves(there)
    for k in range(2):
        sizes = np.sqrt(np.diag(true[k]))
        assert found[k] / np.outer(sizes, sizes) == pytest.approx(
            true[k] / np.outer(sizes, sizes), abs=0.12
        )


def test_a_picture_whose_channels_are_equal_gets_one_channel_of_grain() -> None:
    assert made(measured(picture(slope() + 5 * noise(11, channels=1)))).shape[2] == 1


def test_the_same_seed_makes_the_same_grain_in_whatever_parts_it_is_asked_for() -> None:
    grain = measured(picture(slope() + 5 * noise(12)))
    missing = np.ones(3)
    whole = GrainField(grain, missing, 5).rows(0, 200, 90)
    parts = GrainField(grain, missing, 5)
    cuts = [0, 1, BLOCK_ROWS, 130, 200]
    pieces = [parts.rows(a, b, 90) for a, b in pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)
    other = GrainField(grain, missing, 6).rows(0, 200, 90)
    assert abs(np.corrcoef(other.ravel(), whole.ravel())[0, 1]) < 0.05


def test_made_grain_has_no_period() -> None:
    field = made(measured(picture(slope() + 5 * noise(13, channels=1))), side=400)[..., 0]
    spectrum = np.abs(np.fft.fft2(field - field.mean())) ** 2
    alike = np.fft.ifft2(spectrum).real
    alike /= alike[0, 0]
    alike[:12, :12] = alike[-12:, :12] = alike[:12, -12:] = alike[-12:, -12:] = 0
    assert np.abs(alike).max() < 0.03


def test_only_what_is_missing_is_made() -> None:
    there = 6 * noise(14, channels=1)
    before = picture(slope() + there)
    grain = measured(before)
    cells = cells_in(before.shape, (0, 0, SIDE, SIDE), 3, 1.0)

    def field(after: np.ndarray) -> GrainField:
        missing = missing_share(grain, cells, to_window(before), to_window(after))
        return GrainField(grain, missing.shares, 3)

    added = field(picture(slope() + there / 2)).rows(0, SIDE, SIDE) * grain.at[130]
    both = octaves(there / 2 + added)[:2, 0, 0]
    assert np.sqrt(both) == pytest.approx(np.sqrt(octaves(there)[:2, 0, 0]), rel=0.1)
    assert field(before).is_nil
    assert field(picture(slope() + 1.3 * there)).is_nil


def test_texture_that_the_surroundings_do_not_have_is_not_taken_for_grain() -> None:
    """Pores and wrinkles: a restorer that takes them away took more than grain."""
    before = slope() + 2 * noise(16, channels=1)
    before[110:190, 110:190] += 12 * noise(17, channels=1)[110:190, 110:190]
    rgb = picture(before)
    grain = measured(rgb)
    cells = cells_in(rgb.shape, (110, 110, 190, 190), 3, 0.5)
    missing = missing_share(grain, cells, to_window(rgb), to_window(picture(slope())))
    added = GrainField(grain, missing.shares, 3).rows(0, 80, 80) * grain.at[130]
    assert 1.5 < added.std() < 3.5


@pytest.mark.parametrize("left", [0.0, 0.5])
def test_grain_is_as_strong_under_a_soft_edge(left: float) -> None:
    """``left``: what the restorer left of the picture's own grain."""
    own = 6 * noise(15, channels=1)
    grain = measured(picture(slope() + own))
    field = GrainField(grain, np.full(3, 1 - left**2), 3)
    for weight in (0.2, 0.5, 0.8, 1.0):
        w = np.float32(weight)
        blend = (1 - w) * own + w * left * own
        blend = blend + field.rows(0, SIDE, SIDE) * grain.at[130] * field.gain(w)
        assert blend.std() == pytest.approx(own.std(), rel=0.1)
    assert field.gain(np.float32(0)) == 0


def test_grain_is_given_back_where_it_was_stronger() -> None:
    """A forehead that a JPEG has smoothed between cheeks that it has not."""
    before = (
        slope() + noise(18, channels=1) * np.where(np.arange(SIDE) < 150, 3.0, 6.0)[:, None, None]
    )
    rgb = picture(before)
    cells = cells_in(rgb.shape, (0, 0, SIDE, SIDE), 3, 1.0)
    missing = missing_share(measured(rgb), cells, to_window(rgb), to_window(picture(slope())))
    above, below = missing.unevenness(np.array([(150.0, 60.0), (150.0, 240.0)]), 40.0)
    assert above < 1 < below
    assert below > 1.35 * above
    uneven = np.array([[above], [below]], np.float32).repeat(2, axis=1)
    face = slope().astype(np.float32)
    field = GrainField(measured(rgb), missing.shares, 4, uneven=uneven)
    amplitude = field.amplitude(face)
    assert amplitude[40, 150] < 0.8 * amplitude[260, 150]

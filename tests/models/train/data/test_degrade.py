"""Degradations: each stays in its range, at any size, and keeps what must be kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from restore_batch.models.train.data import degrade
from restore_batch.models.train.data.degrade import Mixed, OldPrint

from support.training import draw_face

_NOTHING: dict[str, Any] = {
    "blur_sigma_px": (0, 0),
    "downsampling": (1, 1),
    "noise_sigma": (0, 0),
    "jpeg_quality": (100, 100),
}
BOTH = pytest.mark.parametrize("kind", [Mixed, OldPrint])


def _grey(side: int = 128) -> np.ndarray:
    return np.repeat(draw_face(5, side)[..., 1:2], 3, axis=2)


def _widths_px(rgb_hwc: np.ndarray) -> tuple[float, float]:
    """Standard deviations of a spot along its longest axis and across it, in pixels."""
    mass = rgb_hwc[..., 1].astype(float)
    y, x = np.indices(mass.shape)
    spread = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=mass.ravel() / mass.sum())
    across, along = np.sqrt(np.linalg.eigvalsh(spread))
    return along, across


def _spot(side: int) -> np.ndarray:
    picture = np.zeros((side, side, 3), np.uint8)
    centre, half = side // 2, side // 64
    picture[centre - half : centre + half, centre - half : centre + half] = 255
    return picture


def test_nothing_asked_for_changes_nothing() -> None:
    face = draw_face(1, 512)
    assert np.array_equal(Mixed(**_NOTHING)(face, np.random.default_rng(0)), face)


@pytest.mark.parametrize("side", [256, 512])
@pytest.mark.parametrize("sigma_px", [3.0, 10.0])
def test_blur_has_the_width_it_is_given_at_512_px(side: int, sigma_px: float) -> None:
    own_px = _widths_px(_spot(side))[0]
    blurred = degrade.blur(_spot(side), sigma_px)
    expected_px = np.hypot(sigma_px * side / 512, own_px)
    # 8 bits cut off the tails of a faint spot.
    assert _widths_px(blurred)[0] == pytest.approx(expected_px, rel=0.08)


def test_an_ellipse_of_blur_has_two_widths() -> None:
    own_px = _widths_px(_spot(512))[0]
    along, across = _widths_px(degrade.blur(_spot(512), 9.0, 3.0, angle=0.7))
    assert along == pytest.approx(np.hypot(9.0, own_px), rel=0.1)
    assert across == pytest.approx(np.hypot(3.0, own_px), rel=0.1)


def test_blur_keeps_within_the_published_range() -> None:
    only_blur = Mixed(**(_NOTHING | {"blur_sigma_px": (0.2, 10.0)}))
    own_px = _widths_px(_spot(512))[0]
    rngs = [np.random.default_rng(seed) for seed in range(60)]
    widths = np.array([_widths_px(only_blur(_spot(512), rng)) for rng in rngs])
    assert widths.max() <= 1.05 * np.hypot(10.0, own_px)
    assert widths.min() >= 0.95 * own_px
    assert widths.max() > 8.0
    assert widths.min() < own_px + 1.0


def test_noise_keeps_within_the_published_range() -> None:
    only_noise = Mixed(**(_NOTHING | {"noise_sigma": (0.0, 15.0)}))
    flat = np.full((128, 128, 3), 128, np.uint8)
    measured = [float(only_noise(flat, np.random.default_rng(s), 512).std()) for s in range(60)]
    assert max(measured) < 15.5
    assert max(measured) > 12.0
    assert min(measured) < 2.0


def test_noise_has_the_strength_it_is_given() -> None:
    only_noise = Mixed(**(_NOTHING | {"noise_sigma": (7.0, 7.0)}))
    flat = np.full((512, 512, 3), 128, np.uint8)
    flat[..., 0] = 120  # not grey: noise of its own in each channel
    noise = only_noise(flat, np.random.default_rng(1)).astype(float) - flat
    assert noise.std((0, 1)) == pytest.approx([7.0] * 3, rel=0.02)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("factor", [2.0, 5.0, 8.0])
def test_downsampling_leaves_so_many_pixels(factor: float) -> None:
    face = draw_face(3, 512)
    reduced = Mixed(**(_NOTHING | {"downsampling": (factor, factor)}))
    small = degrade.resize(face, round(512 / factor))
    assert np.array_equal(reduced(face, np.random.default_rng(0)), degrade.resize(small, 512))


def test_a_network_that_enlarges_gets_the_reduced_picture_itself() -> None:
    face = draw_face(3, 96)
    reduced = Mixed(**(_NOTHING | {"downsampling": (512 / 24, 512 / 24)}))
    assert np.array_equal(reduced(face, np.random.default_rng(0), 24), degrade.resize(face, 24))


def test_lower_jpeg_quality_does_more_harm() -> None:
    face = draw_face(2, 256)
    harm = [np.abs(degrade.jpeg(face, q).astype(int) - face).mean() for q in (100, 90, 75, 60)]
    assert harm == sorted(harm)
    assert harm[0] == 0 < harm[1]


def test_colour_jitter_shifts_whole_channels_of_the_bad_picture() -> None:
    shifts = Mixed(**(_NOTHING | {"colour_jitter": 20, "colour_jitter_prob": 1}))
    flat = np.full((64, 64, 3), 128, np.uint8)
    means = [shifts(flat, np.random.default_rng(s), 64).mean((0, 1)) - 128 for s in range(40)]
    assert np.abs(means).max() <= 20.5
    assert np.abs(means).max() > 15
    assert np.ptp(means, axis=1).max() > 5, "channels move apart"


@BOTH
@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_grey_face_stays_grey(kind: type[Mixed | OldPrint], seed: int) -> None:
    assert degrade.is_grey(kind()(_grey(), np.random.default_rng(seed)))


@BOTH
@given(seed=st.integers(0, 2**32), side=st.sampled_from([64, 96, 256]))
@settings(max_examples=25, deadline=None)
def test_a_seed_makes_a_picture_of_the_size_asked_for_and_spares_the_original(
    kind: type[Mixed | OldPrint], seed: int, side: int
) -> None:
    face = draw_face(7, 128)
    before = face.copy()
    first, second = (kind()(face, np.random.default_rng(seed), side) for _ in range(2))
    assert first.shape == (side, side, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)
    assert np.array_equal(face, before)


@BOTH
def test_damage_is_the_same_at_another_size(kind: type[Mixed | OldPrint]) -> None:
    for seed in range(6):
        large, small = (
            kind()(draw_face(9, side), np.random.default_rng(seed), 256).astype(float)
            for side in (512, 256)
        )
        other = kind()(draw_face(9, 256), np.random.default_rng(seed + 100), 256)
        apart = np.abs(large - small).mean()
        assert apart < 4
        assert apart < 0.7 * np.abs(large - other).mean()


def test_grain_is_strongest_in_the_middle_tones() -> None:
    steps = np.repeat(np.array([5.0, 128.0, 250.0], np.float32), 100)
    picture = np.broadcast_to(steps[None, :, None], (300, 300, 3))
    added = degrade.grain(picture, np.random.default_rng(0), 10.0, 1.5)
    dark, middle, light = (added[:, i : i + 100].std() for i in (0, 100, 200))
    assert middle > 1.5 * dark
    assert middle > 1.5 * light
    assert middle == pytest.approx(10.0, rel=0.1)


def test_a_halftone_keeps_the_tone_and_has_the_pitch_it_is_given() -> None:
    flat = np.full((256, 256, 3), 128.0)
    dots = degrade.halftone(flat, pitch_px=16.0, angle=0.0, strength=1.0)
    assert dots.mean() == pytest.approx(128, abs=2)
    spectrum = np.abs(np.fft.fft2(dots[..., 0] - dots.mean()))
    y, x = np.unravel_index(spectrum[:128, :128].argmax(), (128, 128))
    # At 256 px the pitch is 8 px: 32 periods a side.
    assert (int(x), int(y)) == (32, 32)


def test_wear_is_thin_and_leaves_most_of_the_face() -> None:
    face = draw_face(4, 256).astype(float)
    shares = []
    for seed in range(30):
        worn = degrade.wear(face, np.random.default_rng(seed), scratches=4, specks=12)
        shares.append((np.abs(worn - face).max(2) > 8).mean())
    assert max(shares) < 0.1
    assert max(shares) > 0.002
    assert degrade.wear(face, np.random.default_rng(0), 0, 0) == pytest.approx(face)


@pytest.mark.parametrize(
    "wrong",
    [{"blur_sigma_px": (3, 1)}, {"noise_sigma": (-1, 2)}, {"jpeg_quality": (60, 101)},
     {"anisotropic_prob": 1.5}, {"blurr": (0, 1)}],
)  # fmt: skip
def test_impossible_ranges_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Mixed(**wrong)

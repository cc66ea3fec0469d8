"""Lens, sensor, JPEG and screen: each does its part and leaves the rest."""

from __future__ import annotations

import numpy as np
import pytest

from restore_batch.models.train.data.old_scan.halftone import Halftone
from restore_batch.models.train.data.old_scan.scanner import Jpeg, Lens, Sensor

from support.scenes import draw_scene, grey


def _scene() -> np.ndarray:
    return draw_scene(5, 128, 160).astype(np.float32)


def _roughness(picture: np.ndarray) -> float:
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


def test_a_lens_softens_edges_and_keeps_brightness() -> None:
    scene = _scene()
    sharp = Lens(sigma_px=(0, 0))(scene, np.random.default_rng(0))
    soft = Lens(sigma_px=(1.5, 1.5))(scene, np.random.default_rng(0))
    assert np.array_equal(sharp, scene)
    assert _roughness(soft) < 0.7 * _roughness(scene)
    assert soft.mean() == pytest.approx(scene.mean(), abs=0.5)


def test_an_astigmatic_lens_softens_one_direction_more() -> None:
    spot = np.zeros((41, 41, 3), np.float32)
    spot[20, 20] = 255
    lens = Lens(sigma_px=(0.2, 2.5), astigmatic_prob=1)
    flatnesses = []
    for seed in range(20):
        mass = lens(spot, np.random.default_rng(seed))[..., 1].astype(float)
        y, x = np.indices(mass.shape)
        spread = np.cov(np.stack([x.ravel(), y.ravel()]), aweights=np.maximum(mass, 0).ravel())
        across, along = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1e-6))
        flatnesses.append(along / max(across, 0.05))
    assert np.median(flatnesses) > 1.2


def test_a_sensors_noise_is_as_strong_as_asked_and_grey_on_grey() -> None:
    flat = np.full((128, 128, 3), 150, np.float32)
    flat[..., 0] = 140
    noisy = Sensor(sigma=(5, 5), shot_prob=0, lines_prob=0)(flat, np.random.default_rng(1))
    assert (noisy - flat).std() == pytest.approx(5, rel=0.05)
    assert (
        abs(np.corrcoef((noisy - flat)[..., 0].ravel(), (noisy - flat)[..., 1].ravel())[0, 1])
        < 0.05
    )
    scene = grey(draw_scene(1, 64, 64)).astype(np.float32)
    assert np.ptp(Sensor(sigma=(5, 5))(scene, np.random.default_rng(2)), axis=2).max() == 0


def test_lines_run_along_the_picture() -> None:
    flat = np.full((200, 200, 3), 128, np.float32)
    striped = Sensor(sigma=(5, 5), shot_prob=0, lines_prob=1)(flat, np.random.default_rng(0)) - flat
    along = max(striped.mean(axis).std() for axis in (0, 1))
    assert along > 1.5, "the mean of 200 independent values would vary by 0.35"


def test_jpeg_twice_differs_from_once_and_neither_moves_the_picture() -> None:
    scene = draw_scene(5, 128, 160)
    options = {"quality": (50, 60), "plain_prob": 0}
    once, twice = (
        Jpeg(twice_prob=p, **options)(scene, np.random.default_rng(3)) for p in (0.0, 1.0)
    )
    assert once.shape == twice.shape == scene.shape
    assert not np.array_equal(once, twice)
    for stored in (once, twice):
        error = np.abs(stored.astype(int) - scene)
        moved = np.abs(stored[:, 1:].astype(int) - scene[:, :-1])
        assert 0 < error.mean() < moved.mean()


def test_what_never_was_a_jpeg_is_kept_to_the_bit() -> None:
    scene = draw_scene(5, 64, 64)
    assert np.array_equal(Jpeg(plain_prob=1)(scene, np.random.default_rng(0)), scene)


def test_a_screen_repeats_at_its_pitch_and_keeps_brightness() -> None:
    flat = np.full((120, 120, 3), 128, np.float32)
    dots = Halftone(pitch_px=(4, 4), strength=(0.5, 0.5))(flat, np.random.default_rng(0))
    assert dots.mean() == pytest.approx(128, abs=4)
    spectrum = np.abs(np.fft.fft2(dots[..., 1] - dots[..., 1].mean()))
    y, x = np.unravel_index(spectrum[:, :60].argmax(), (120, 60))
    frequency = np.hypot(min(y, 120 - y), x) / 120
    # Along the diagonals of a screen dots are closer by the root of two.
    assert frequency == pytest.approx(np.sqrt(2) / 4, rel=0.1)


def test_a_screen_over_a_grey_picture_is_grey() -> None:
    scene = grey(draw_scene(1, 64, 64)).astype(np.float32)
    screened = Halftone(coloured_prob=1)(scene, np.random.default_rng(0))
    assert not np.array_equal(screened, scene)
    assert np.ptp(screened, axis=2).max() == 0

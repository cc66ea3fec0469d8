"""What a restorer may draw into a face of few pixels: no more than its picture shows."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from restore_batch.stages.faces.evidence import FEW_PX, MANY_PX, held_to_picture

SIDE = 512
NATIVE = 96


def seen(levels: np.ndarray, noise: float = 5.0) -> np.ndarray:
    """A crop of a face of 96 px: the picture reduced, with grain, and enlarged again."""
    small = cv2.resize(levels.astype(np.float32), (NATIVE, NATIVE), interpolation=cv2.INTER_AREA)
    small = small + np.random.default_rng(1).normal(0, noise, small.shape)
    large = cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return rgb(large)


def rgb(levels: np.ndarray) -> np.ndarray:
    return np.repeat(np.clip(np.rint(levels), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def skin() -> np.ndarray:
    return np.tile(np.linspace(120, 160, SIDE), (SIDE, 1))


def with_rim(levels: np.ndarray) -> np.ndarray:
    """A dark line, a pixel of the source wide, through the middle."""
    drawn = levels.copy()
    drawn[250:256] -= 50
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), 2))


def depth(picture: np.ndarray) -> float:
    """How dark the middle's line is against what is above it."""
    inner = picture[:, 100:400, 0].astype(float)
    return float(inner[200:230].mean() - inner[251:255].mean())


def test_a_line_that_the_picture_does_not_show_fades() -> None:
    drawn = rgb(with_rim(skin()))
    held = held_to_picture(seen(skin()), drawn, NATIVE)
    assert depth(held) < 0.4 * depth(drawn)


def test_a_line_that_the_picture_shows_stays() -> None:
    drawn = rgb(with_rim(skin()))
    held = held_to_picture(seen(with_rim(skin())), drawn, NATIVE)
    assert depth(held) > 0.85 * depth(drawn)


def test_a_blurred_edge_may_be_sharpened() -> None:
    edge = skin()
    edge[:, 256:] -= 70
    drawn = rgb(cv2.GaussianBlur(edge, (0, 0), 3))
    crop = seen(cv2.GaussianBlur(edge, (0, 0), 7))
    held = held_to_picture(crop, drawn, NATIVE)

    def steepness(picture: np.ndarray) -> float:
        line = picture[100:400, :, 0].astype(float).mean(axis=0)
        return float(-np.diff(line).min())

    assert steepness(held) > 1.4 * steepness(crop)


def test_the_grain_of_the_picture_does_not_come_back() -> None:
    drawn = rgb(skin())
    held = held_to_picture(seen(skin(), noise=12), drawn, NATIVE)
    assert np.abs(held.astype(int) - drawn).max() <= 1


def test_a_face_of_many_pixels_is_left_to_its_restorer() -> None:
    drawn, crop = rgb(with_rim(skin())), seen(skin())
    assert held_to_picture(crop, drawn, MANY_PX) is drawn
    left = [depth(held_to_picture(crop, drawn, px)) for px in (FEW_PX, 180.0, 230.0, MANY_PX)]
    assert left == sorted(left)
    assert left[0] < 0.5 * left[-1]


@pytest.mark.parametrize("native_px", [40.0, 96.0, 200.0])
def test_grey_stays_exactly_grey_and_colour_keeps_its_shape(native_px: float) -> None:
    grey = held_to_picture(seen(skin()), rgb(with_rim(skin())), native_px)
    assert (grey == grey[..., :1]).all()
    coloured = rgb(with_rim(skin()))
    coloured[..., 2] //= 2
    held = held_to_picture(seen(skin()), coloured, native_px)
    assert (held.shape, held.dtype) == ((SIDE, SIDE, 3), np.uint8)
    assert abs(float(held[..., 2].mean()) - float(coloured[..., 2].mean())) < 1

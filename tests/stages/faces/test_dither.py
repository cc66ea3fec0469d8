"""Dots of two tones are told from photographs, hard copies and lines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.models.base import Face
from restore_batch.stages.faces.dither import is_dithered
from restore_batch.stages.media import Frame

BOX = (20.0, 10.0, 180.0, 200.0)
FACE = Face(BOX, np.zeros((5, 2), np.float32), 1.0)


def portrait(noise: float = 0.0) -> np.ndarray:
    """A shaded oval before a darker ground, (220, 200) uint8."""
    y, x = np.mgrid[0:220, 0:200].astype(np.float32)
    away = np.hypot((x - 100) / 70, (y - 105) / 90)
    tone = np.where(away < 1, 210 - 110 * away**2 - 60 * (x < 70), 60)
    tone += np.random.default_rng(0).normal(0, noise, tone.shape) if noise else 0
    return np.clip(tone, 0, 255).astype(np.uint8)


def frame(luma: np.ndarray, dtype: type = np.uint8) -> Frame:
    peak = np.iinfo(dtype).max // 255
    return Frame(np.repeat(luma[..., None], 3, axis=2).astype(dtype) * dtype(peak))


def dithered(luma: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(luma).convert("1")).astype(np.uint8) * 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_dithered_portrait_is_made_of_dots(dtype: type) -> None:
    assert is_dithered(frame(dithered(portrait()), dtype), FACE)


def test_and_so_is_one_that_a_jpeg_blurred() -> None:
    _, data = cv2.imencode(".jpg", dithered(portrait()), [cv2.IMWRITE_JPEG_QUALITY, 85])
    assert is_dithered(frame(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)), FACE)


@pytest.mark.parametrize("noise", [0.0, 6.0, 25.0])
def test_photographs_are_not_however_grainy(noise: float) -> None:
    assert not is_dithered(frame(portrait(noise)), FACE)


def test_nor_are_hard_copies_and_drawings_of_two_tones() -> None:
    hard = np.where(portrait(3.0) > 120, 255, 0).astype(np.uint8)
    assert not is_dithered(frame(hard), FACE)
    lines = np.full((220, 200), 255, np.uint8)
    lines[::12] = 0
    assert not is_dithered(frame(lines), FACE)


def test_a_face_outside_of_the_picture_is_none() -> None:
    outside = Face((400.0, 10.0, 500.0, 90.0), FACE.landmarks_xy, 1.0)
    assert not is_dithered(frame(dithered(portrait())), outside)

"""NIQE is that of scikit-video, whose model it takes."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image

from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.metrics.niqe import niqe

from support.data import evaluation_pictures

SAMPLE = Path(__file__).parents[3] / "jobs" / "samples" / "portrait_print.jpg"


@pytest.fixture
def of_scikit_video(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Its own code, given back what newer NumPy and SciPy took from it."""
    misc = types.ModuleType("scipy.misc")

    def imresize(samples: np.ndarray, size: float, interp: str, mode: str) -> np.ndarray:
        assert (interp, mode) == ("bicubic", "F")
        picture = Image.fromarray(samples.astype(np.float32))
        small = (int(picture.width * size), int(picture.height * size))
        return np.asarray(picture.resize(small, Image.Resampling.BICUBIC))

    misc.imresize = imresize  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "scipy.misc", misc)
    monkeypatch.setattr(importlib.import_module("scipy"), "misc", misc, raising=False)
    monkeypatch.setattr(np, "int", int, raising=False)
    monkeypatch.setattr(np, "float", float, raising=False)
    return importlib.import_module("skvideo.measure.niqe")


def picture(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def agrees(path: Path, theirs: types.ModuleType) -> None:
    rgb_hwc = picture(path)
    red, green, blue = np.moveaxis(rgb_hwc.astype(np.float32), -1, 0)
    luma = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    (wanted,) = theirs.niqe(luma[None, ..., None])
    # Where a picture is flat, features are the signs of what rounding leaves.
    assert niqe(rgb_hwc) == pytest.approx(float(wanted), rel=3e-3), path.name


def test_the_score_is_that_of_scikit_video(of_scikit_video: types.ModuleType) -> None:
    agrees(SAMPLE, of_scikit_video)


@pytest.mark.parametrize("part", ["faces", "scenes"])
def test_so_are_those_of_other_real_pictures(part: str, of_scikit_video: types.ModuleType) -> None:
    for path in evaluation_pictures(part)[:3]:
        agrees(path, of_scikit_video)


def test_noise_and_blur_are_less_natural_than_the_photograph() -> None:
    good = skimage.data.astronaut()
    noise = np.random.default_rng(3).normal(0, 25, good.shape)
    noisy = np.clip(good + noise, 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(good, (0, 0), 4)
    assert niqe(good) < min(niqe(noisy), niqe(soft))


def test_a_picture_of_too_few_patches_has_no_score() -> None:
    with pytest.raises(NotComputedError, match="194 px"):
        niqe(np.zeros((193, 400, 3), np.uint8))

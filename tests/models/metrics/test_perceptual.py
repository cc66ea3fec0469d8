"""Perceptual distances are those of their authors' code."""

from __future__ import annotations

import importlib
import importlib.util

import cv2
import numpy as np
import pytest
import torch

from restore_batch.models.families import vgg
from restore_batch.models.metrics import perceptual
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.store import Store

from support.data import evaluation_pictures
from support.stlpips import packages_own


def pictures(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:height, :width]
    true = 127 + 80 * np.sin(np.stack([x / 7, y / 11, (x + y) / 9], axis=2))
    found = (np.clip(np.rint(true + rng.normal(0, s, true.shape)), 0, 255) for s in (15, 0))
    bad, good = (picture.astype(np.uint8) for picture in found)
    return bad, good


def signed(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())[None].float() / 127.5 - 1


def test_st_lpips_is_that_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = packages_own(monkeypatch)
    bad, good = pictures(96, 120)
    with torch.inference_mode():
        expected = float(theirs(signed(bad), signed(good)))
    ours = perceptual.open_st_lpips(Store(download=False))
    assert ours(bad, good) == pytest.approx(expected, abs=1e-4)
    assert ours(good, good) == 0


@pytest.mark.parametrize("part", ["faces", "scenes"])
def test_so_is_that_of_real_pictures(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = packages_own(monkeypatch)
    ours = perceptual.open_st_lpips(Store(download=False))
    for path in evaluation_pictures(part)[:2]:
        good = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        bad = np.ascontiguousarray(cv2.GaussianBlur(good, (0, 0), 1.5))
        with torch.inference_mode():
            expected = float(theirs(signed(bad), signed(good)))
        assert ours(bad, good) == pytest.approx(expected, abs=1e-4)


def test_lpips_is_that_of_its_package_on_the_same_features() -> None:
    theirs = importlib.import_module("lpips").LPIPS(net="vgg", pnet_rand=True, verbose=False)
    layers = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
    state = {
        f"features.{key.split('.', 1)[1]}": value for key, value in theirs.net.state_dict().items()
    }
    heads = package_file("lpips", "lpips/weights/v0.1/vgg.pth")
    assert heads is not None
    ours = perceptual.lpips_by(vgg.network(state, 16, layers), heads)
    bad, good = pictures(64, 80)
    with torch.inference_mode():
        wanted = float(theirs(signed(bad), signed(good)))
    assert ours(bad, good) == pytest.approx(wanted, rel=1e-4)


def test_a_metric_without_its_weights_says_what_to_fetch() -> None:
    nowhere = Store(folder=None, download=False)
    if nowhere.locate(next(card for card in vgg.CARDS if card.name == "vgg16")) is not None:
        pytest.skip("the weights of VGG-16 are here")
    assert "models pull vgg16" in perceptual.lpips_lacks(nowhere)


def test_tiles_cover_a_large_picture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "TILE_PX", 40)
    seen = np.zeros((90, 41), int)
    for tile in perceptual.tiles(90, 41):
        seen[tile] += 1
        assert max(seen[tile].shape) <= 40
    assert (seen == 1).all()

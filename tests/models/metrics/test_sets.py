"""FID and KID are what their papers define, on whatever features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import skimage.data
import torch
from torch import nn

from restore_batch.models.families import inception
from restore_batch.models.metrics import sets
from restore_batch.models.metrics.sets import SETS, features_by, frechet, kernel
from restore_batch.models.weights.store import Store

FID, KID = SETS
F = 8


def drawn(seed: int, count: int, shift: float = 0.0) -> np.ndarray:
    """Correlated features, (count, F) float32."""
    rng = np.random.default_rng(seed)
    mixed = np.random.default_rng(9).normal(size=(F, F))
    return (rng.normal(size=(count, F)) @ mixed + shift).astype(np.float32)


def of_pictures() -> tuple[np.ndarray, np.ndarray]:
    """Features, by a small network, of pieces of a photograph and of the same with noise."""
    torch.manual_seed(4)
    network = nn.Sequential(nn.Conv2d(3, F, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    look = features_by(network)
    good = np.ascontiguousarray(skimage.data.astronaut())
    rng = np.random.default_rng(2)
    true = [good[y : y + 48, x : x + 48] for y in range(0, 464, 48) for x in range(0, 464, 48)]
    bad = [np.clip(p + rng.normal(0, 20, p.shape), 0, 255).astype(np.uint8) for p in true]
    return np.stack([look(p) for p in bad]), np.stack([look(p) for p in true])


def frechet_by_scipy(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    a, b = np.cov(one.T), np.cov(other.T)
    apart = one.mean(0) - other.mean(0)
    root = scipy.linalg.sqrtm(a @ b).real
    return float(apart @ apart + np.trace(a + b - 2 * root))


def kernel_by_numpy(one: np.ndarray, other: np.ndarray) -> float:
    """The unbiased estimate of all pictures at once."""
    one, other = one.astype(np.float64), other.astype(np.float64)

    def k(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    m = len(one)
    inside = sum((k(x, x).sum() - np.trace(k(x, x))) / (m * (m - 1)) for x in (one, other))
    return float(inside - 2 * k(one, other).mean())


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_fid_is_the_formula_of_its_paper_by_scipy(shift: float) -> None:
    one, other = drawn(1, 300, shift), drawn(2, 260)
    assert frechet(one, other) == pytest.approx(frechet_by_scipy(one, other), rel=1e-4)
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_kid_is_the_unbiased_estimate_of_its_paper(shift: float) -> None:
    one, other = drawn(1, 120, shift), drawn(2, 120)
    before = torch.random.get_rng_state()
    assert kernel(one, other) == pytest.approx(kernel_by_numpy(one, other), rel=1e-4, abs=1e-6)
    assert torch.equal(before, torch.random.get_rng_state())


def test_so_are_those_of_pictures_through_a_network() -> None:
    bad, true = of_pictures()
    assert bad.shape == true.shape == (100, F)
    assert frechet(bad, true) == pytest.approx(frechet_by_scipy(bad, true), rel=1e-3)
    assert kernel(bad, true) == pytest.approx(kernel_by_numpy(bad, true), rel=1e-3)
    assert frechet(bad, true) > 10 * frechet(true, true[::-1])


def test_sixteen_bits_have_the_features_of_eight() -> None:
    look = features_by(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    good = skimage.data.astronaut()[:64, :64]
    np.testing.assert_allclose(look(good.astype(np.uint16) * 257), look(good), atol=1e-6)


def test_of_few_pictures_and_without_the_weights_there_is_a_reason_and_no_value(
    tmp_path: Path,
) -> None:
    assert FID.too_few(24) == "needs at least 2,049 pictures with a truth, and there are 24"
    assert not FID.too_few(2049)
    assert KID.too_few(99)
    assert not KID.too_few(100)
    empty = Store(tmp_path, download=False)
    if empty.locate(inception.CARD) is None:
        assert "models pull inception-2015" in sets.lacks(empty)


def test_other_weights_under_that_name_give_no_value(tmp_path: Path) -> None:
    network = inception.network(None)
    (file,) = inception.CARD.sources[0]
    torch.save(network.state_dict(), tmp_path / file.filename)
    assert "not the published" in sets.lacks(Store(tmp_path, download=False))

"""Distances of two sets of pictures: do results, all together, look like true pictures?

FID: Heusel et al. 2017 (arXiv:1706.08500), of the mean and covariance of Inception's features. KID:
Bińkowski et al. 2018 (arXiv:1801.01401), whose expectation does not depend on how many pictures
there are. Both as ``torchmetrics`` computes them, on features by
:mod:`restore_batch.models.families.inception`. Values of other weights or of another way to make
pictures 299 px wide do not compare.
"""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from restore_batch.models.families import inception
from restore_batch.models.weights.store import Store, load_state

Features = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) RGB uint8 or uint16 to (2048,) float32."""

_SUBSETS, _SUBSET = 100, 1000


@dataclass(frozen=True)
class SetMetric:
    """``least``: of how many pictures in each set it says something. ``distance``: of two sets of
    features, (N, F) and (M, F) float32; the less the nearer."""

    name: str
    title: str
    convention: str
    source: str
    least: int
    distance: Callable[[np.ndarray, np.ndarray], float]

    def too_few(self, pairs: int) -> str:
        """Why so many pictures with a truth say nothing; "" where they do."""
        least = f"{self.least:,} pictures with a truth"
        return "" if pairs >= self.least else f"needs at least {least}, and there are {pairs:,}"


def lacks(store: Store) -> str:
    """What is missing for both; "" where nothing is."""
    if importlib.util.find_spec("torchmetrics") is None:
        return "needs the package torchmetrics: pip install 'restore-batch[evaluate]'"
    if store.locate(inception.CARD) is None:
        return f"needs the weights of Inception: `restore-batch models pull {inception.CARD.name}`"
    # By other weights the same arithmetic gives numbers that compare with nobody's.
    verified = store.verify(inception.CARD)
    if verified.status != "good":
        return f"the weights of Inception here are not the published ones: {verified.detail}"
    return ""


def open_features(store: Store) -> Features:
    """Features by the authors' weights. Raises WeightsError where they are not here."""
    return features_by(inception.network(load_state(store.ensure(inception.CARD).paths)))


def features_by(network: Callable[..., object]) -> Features:
    """Features of one picture by a network of (1, 3, H, W) in [0, 1]."""
    import torch

    def features(picture: np.ndarray) -> np.ndarray:
        most = 65535 if picture.dtype == np.uint16 else 255
        chw = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32) / np.float32(most)
        with torch.inference_mode():
            found = network(torch.from_numpy(chw)[None])
        assert isinstance(found, torch.Tensor)
        return np.asarray(found[0].numpy())

    return features


def frechet(results: np.ndarray, true: np.ndarray) -> float:
    """Fréchet distance of the normal distributions with the means and covariances of both."""
    return _computed("fid", "FrechetInceptionDistance", results, true)


def kernel(results: np.ndarray, true: np.ndarray) -> float:
    """Squared maximum mean discrepancy by a cubic kernel, the mean over 100 subsets."""
    import torch

    size = min(_SUBSET, len(results), len(true))
    # torchmetrics draws the subsets from torch's own source of chance.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _computed(
            "kid", "KernelInceptionDistance", results, true, subsets=_SUBSETS, subset_size=size
        )


def _computed(
    module: str, name: str, results: np.ndarray, true: np.ndarray, **options: int
) -> float:
    import torch
    from torch import nn

    class Known(nn.Identity):
        """Stands in the network's place: what comes in are features."""

        num_features = results.shape[1]

    # The package itself names them only where torch-fidelity is installed, which is not needed.
    metric = getattr(importlib.import_module(f"torchmetrics.image.{module}"), name)
    with warnings.catch_warnings():
        # That it keeps all features.
        warnings.simplefilter("ignore", UserWarning)
        metric = metric(Known(), **options).set_dtype(torch.float64)
    for real, found in ((True, true), (False, results)):
        metric.update(torch.from_numpy(np.ascontiguousarray(found, np.float64)), real=real)
    value = metric.compute()
    return float(value[0] if isinstance(value, tuple) else value)


_BY = "Inception of 2015 as pytorch-fid has it, pictures resized bilinearly to 299 px"
SETS: tuple[SetMetric, ...] = (
    SetMetric("fid", "FID", f"{_BY}; from 2,049 pictures on; only values of equally many compare",
              # Of fewer pictures than features a covariance has no full rank.
              "Heusel et al. 2017", 2049, frechet),
    SetMetric("kid", "KID", f"{_BY}; cubic kernel, mean of {_SUBSETS} subsets of at most "
              f"{_SUBSET:,}; from 100 pictures on", "Bińkowski et al. 2018", 100, kernel),
)  # fmt: skip

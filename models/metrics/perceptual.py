"""Perceptual distances: how differently two pictures look to networks that learned from people.

ST-LPIPS: Ghildyal and Liu 2022 (arXiv:2207.13686), by the network and the weights of
:mod:`restore_batch.models.families.stlpips`. LPIPS: Zhang et al. 2018 (arXiv:1801.03924), version
0.1, by VGG-16 and the linear layers that the package ``lpips`` ships. The two scales have nothing
to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.models.base import Card
from restore_batch.models.families import stlpips, vgg
from restore_batch.models.metrics.base import Measure, NotComputedError
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.store import Store, load_state

if TYPE_CHECKING:
    import torch

TILE_PX = 1280
"""Larger pictures are judged in even tiles of at most so many pixels a side; the score is their
mean by area."""
_SMALLEST_PX = 32
_LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
_HEADS = ("lpips", "lpips/weights/v0.1/vgg.pth")


def st_lpips_lacks(store: Store) -> str:
    """What is missing for ST-LPIPS; "" where nothing is."""
    if store.locate(stlpips.CARD) is None:
        return "needs the package stlpips-pytorch: pip install 'restore-batch[evaluate]'"
    return ""


def open_st_lpips(store: Store) -> Measure:
    """ST-LPIPS of two pictures: 0 for equal ones."""
    return _in_tiles(stlpips.network(load_state(store.ensure(stlpips.CARD).paths)).distances)


def lpips_lacks(store: Store) -> str:
    """What is missing for LPIPS; "" where nothing is."""
    if package_file(*_HEADS) is None:
        return "needs the package lpips: pip install 'restore-batch[evaluate]'"
    if store.locate(_vgg16()) is None:
        return "needs the weights of VGG-16: `restore-batch models pull vgg16`"
    return ""


def open_lpips(store: Store) -> Measure:
    """LPIPS (VGG) of two pictures: 0 for equal ones."""
    heads = package_file(*_HEADS)
    if heads is None:
        raise NotComputedError(lpips_lacks(store))
    return lpips_by(vgg.network(load_state(store.ensure(_vgg16()).paths), 16, _LAYERS), heads)


def lpips_by(features: Callable[[Any], Mapping[str, Any]], heads: Path) -> Measure:
    """LPIPS by these features of the five layers and the linear layers in ``heads``."""
    import torch

    state = load_state([heads])
    weights = [state[f"lin{number}.model.1.weight"].flatten() for number in range(len(_LAYERS))]

    def distances(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        seen, wanted = features(one), features(other)
        total = torch.zeros(len(one))
        for layer, weight in zip(_LAYERS, weights, strict=True):
            apart = (_unit(seen[layer]) - _unit(wanted[layer])).square()
            total = total + (apart * weight[:, None, None]).sum(1).mean((1, 2))
        return total

    def _unit(x: torch.Tensor) -> torch.Tensor:
        return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)

    return _in_tiles(distances)


def _vgg16() -> Card:
    return next(card for card in vgg.CARDS if card.architecture["depth"] == 16)


def _in_tiles(distances: Callable[[Any, Any], Any]) -> Measure:
    """From a distance of (N, 3, H, W) in [-1, 1] to one of whole pictures."""
    import torch

    def measure(result: np.ndarray, true: np.ndarray) -> float:
        if min(result.shape[:2]) < _SMALLEST_PX:
            raise NotComputedError(f"needs at least {_SMALLEST_PX} px a side")
        total = 0.0
        with torch.inference_mode():
            for tile in tiles(*result.shape[:2]):
                x, y = (_signed(picture[tile]) for picture in (result, true))
                total += float(distances(x, y)) * x.shape[-1] * x.shape[-2]
        return total / (result.shape[0] * result.shape[1])

    return measure


def tiles(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Slices of rows and columns that cover a picture, each at most :data:`TILE_PX`, all about
    equally large."""
    down, across = (
        [side * i // count for i in range(count + 1)]
        for side in (height, width)
        for count in [-(-side // TILE_PX)]
    )
    for top, bottom in pairwise(down):
        for left, right in pairwise(across):
            yield slice(top, bottom), slice(left, right)


def _signed(picture: np.ndarray) -> torch.Tensor:
    import torch

    most = 65535.0 if picture.dtype == np.uint16 else 255.0
    chw = np.ascontiguousarray(picture.transpose(2, 0, 1), np.float32)
    return torch.from_numpy(chw)[None].div_(most / 2).sub_(1)

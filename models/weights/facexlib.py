"""Weights that facexlib's authors publish: where they are, and how they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from restore_batch.models.base import StateDict, WeightFile
from restore_batch.models.weights import github
from restore_batch.models.weights.state_layout import strip_prefixes

if TYPE_CHECKING:
    import torch

LICENCE_URL = "https://github.com/xinntao/facexlib/blob/master/LICENSE"


def released(path: str, sha256: str | None = None, size_bytes: int | None = None) -> WeightFile:
    """The file ``path``, ``<release>/<file name>``, of facexlib's releases."""
    return github.released("xinntao/facexlib", path, sha256, size_bytes)


def plain_keys(state: StateDict) -> dict[str, torch.Tensor]:
    """``state`` without ``module.`` before every key, which most of these files have."""
    return strip_prefixes(dict(state))


def loaded(net: torch.nn.Module, state: StateDict | None, name: str) -> torch.nn.Module:
    """``net`` in evaluation mode with ``state`` loaded strictly, or its random weights where it
    is None. Raises WeightsError, which starts with ``name``, when keys or shapes do not fit."""
    from restore_batch.models.nets.loading import load_strictly

    return load_strictly(net, None if state is None else plain_keys(state), name)

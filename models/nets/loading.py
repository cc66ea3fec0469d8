"""Load a state dict strictly, and say in one line what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn

from restore_batch.errors import WeightsError

Net = TypeVar("Net", bound=nn.Module)


def inferred(
    infer: Callable[[Mapping[str, torch.Size]], dict[str, Any]], state: Mapping[str, torch.Tensor]
) -> dict[str, Any] | None:
    """The architecture that ``infer`` reads off the shapes of ``state``; None where they are not
    its network's."""
    try:
        return infer({key: tensor.shape for key, tensor in state.items()})
    except (KeyError, IndexError):
        return None


def load_strictly(net: Net, state: Mapping[str, torch.Tensor] | None, name: str) -> Net:
    """``net`` with ``state`` loaded, ready for inference (evaluation mode, no gradients).

    The random weights are kept where ``state`` is None. Raises WeightsError, which names the
    first key of each kind, when keys are missing, left over or of another shape.
    """
    if state is not None:
        try:
            net.load_state_dict(dict(state), strict=True)
        except RuntimeError:
            raise WeightsError(f"{name}: {_misfits(net, state)}") from None
    return net.eval().requires_grad_(False)


def _misfits(net: nn.Module, state: Mapping[str, torch.Tensor]) -> str:
    own = net.state_dict()
    kinds = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)}, expected {tuple(value.shape)}"
            for key, value in own.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    return "; ".join(
        f"{len(keys)} {kind} (the first: {keys[0]})" for kind, keys in kinds.items() if keys
    )

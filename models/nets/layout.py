"""How networks are laid out and counted: channels-last memory, which convolutions are fastest in on
CPUs and on GPUs, and float32 where half precision would show."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def channels_last(net: Net) -> Net:
    """Lay out all convolution weights of ``net`` channels-last, in place.

    ``Module.to(memory_format=…)`` refuses the five-dimensional weights (1, O, I, k, k) of
    modulated convolutions; those are laid out by their last four dimensions.
    """
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
            elif parameter.ndim == 5 and len(parameter) == 1:
                plane = parameter.data[0].contiguous(memory_format=torch.channels_last)
                parameter.data = plane[None]
    return net


def exactly(layer: nn.Module, x: torch.Tensor, *more: torch.Tensor) -> torch.Tensor:
    """``layer`` of ``x`` and what else it takes, in the layer's own precision, also under autocast:
    what becomes a picture's numbers. bfloat16 has 128 steps between 0.5 and 1, which a smooth sky
    shows and 16 bits lose."""
    with torch.autocast(x.device.type, enabled=False):
        result: torch.Tensor = layer(x.to(next(layer.parameters()).dtype), *more)
        return result

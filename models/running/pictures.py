"""Whole pictures to network input: what the networks that repair them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from restore_batch.models.base import Runtime


class PictureNetwork:
    """A network of pictures, laid out for its convolutions on the device of ``runtime``."""

    def __init__(self, net: torch.nn.Module, runtime: Runtime) -> None:
        from restore_batch.models.nets.layout import channels_last

        self._net: Any = channels_last(net.to(runtime.device))
        self._runtime = runtime


def repeated_to(nchw: torch.Tensor, multiple_px: int) -> torch.Tensor:
    """(N, C, H, W) with its last column and row repeated until both sides are multiples."""
    from torch.nn.functional import pad

    height, width = nchw.shape[2:]
    return pad(nchw, (0, -width % multiple_px, 0, -height % multiple_px), mode="replicate")

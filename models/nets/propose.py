"""The proposal network: it says where in a grey picture faces of some pixels may be.

Each cell of 4x4 pixels becomes one place with 16 channels (Shi et al. 2016, arXiv:1609.05158), a
few convolutions at that size follow, and of each cell comes how likely a face's centre is in it,
and where that centre and how large the face would be. It sees the same sizes over and over: the
picture is halved for those twice as large.

Sources: a network that proposes regions, Ren et al. 2015, "Faster R-CNN" (arXiv:1506.01497),
section 3.1; residual connections, He et al. 2016 (arXiv:1512.03385).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.mtcnn import Refiners

CELL_PX = 4
USUAL_PX = 16.0
"""Side of a face of which the network says 0 as its size."""
SIZES_PX = (9.5, 25.0)
"""Sides of the faces that the network is to see, in pixels of what it is shown."""
_RARE = -4.0  # faces are: an untrained network expects none


class ProposalNet(nn.Module):
    """Cells to what is said of each; see the module.

    ``width``: channels; ``depth``: convolutions after the first. ``reach``: cells on each side of
    one that change what is said of it.
    """

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.reach = depth + 1
        self.first = nn.Conv2d(CELL_PX**2, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.head = nn.Conv2d(width, 4, 1)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            bias = cast(torch.Tensor, self.head.bias)
            bias.zero_()
            bias[0] = _RARE

    def forward(self, cells_nchw: torch.Tensor) -> torch.Tensor:
        """(N, 16, h, w), the grey pixels of cells, row by row, in [-1, 1]: (N, 4, h, w) float32 of
        each cell: the logit of a face's centre in it; how far right of and below the cell's middle
        that is, in cells; the binary logarithm of the face's side over :data:`USUAL_PX`."""
        x = F.relu(self.first(cells_nchw))
        for number, convolution in enumerate(self.body):
            more = F.relu(convolution(x))
            x = x + more if number else more
        return cast(torch.Tensor, self.head(x)).float()


class OwnCascade(Refiners):
    """A proposal network and the two of MTCNN that see what it proposes."""

    def __init__(self, width: int = 32, depth: int = 3) -> None:
        super().__init__()
        self.propose = ProposalNet(width, depth)


def infer(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The constructor's arguments of a state dict of those shapes.

    Raises KeyError where they are not this network's.
    """
    depth = sum(k.startswith("propose.body.") and k.endswith(".bias") for k in shapes)
    return {"width": int(shapes["propose.first.bias"][0]), "depth": depth}

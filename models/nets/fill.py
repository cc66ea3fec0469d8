"""The fill network: what lies under damage, of which it is told where it is.

What is missing is first drawn together from what is around it, by a pyramid of weighted means; a
U-Net, the one of whole pictures, then corrects that. It is shown what lies there, too: much damage
lets something through, and what was taken for damage and is none can stay as it is. Nothing is
averaged over the picture, so that a tile of it gives what the whole would.

Sources: pull-push interpolation, Gortler et al. 1996, "The Lumigraph", section 3.4; U-Net,
Ronneberger et al. 2015 (arXiv:1505.04597).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from restore_batch.models.nets.photo import PhotoNet
from restore_batch.models.nets.photo import infer as infer_photo

_HALVINGS = 6
MULTIPLE_PX = 1 << _HALVINGS
"""Sizes that the network takes are multiples of this, and so are places where tiles may begin."""
_TRUNK = "trunk."
_SHOWN = 7
_LEAST = 1e-6


class FillNet(nn.Module):
    """Fills pictures; see the module. ``widths`` and ``blocks``: those of
    :class:`~restore_batch.models.nets.photo.PhotoNet`."""

    def __init__(
        self, widths: Sequence[int] = (32, 48, 96, 160), blocks: Sequence[int] = (1, 1, 3)
    ) -> None:
        super().__init__()
        self.trunk = PhotoNet(1, widths, blocks, inputs=_SHOWN)

    def forward(self, rgb_nchw: torch.Tensor, missing_n1hw: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) RGB in [0, 1] and (N, 1, H, W), 1 where it is to be filled, else 0, H and W
        multiples of 64: the picture, (N, 3, H, W) float32, unclamped where it was filled and the
        same elsewhere.

        Raises ValueError for other sizes.
        """
        height, width = rgb_nchw.shape[-2:]
        if height % MULTIPLE_PX or width % MULTIPLE_PX:
            raise ValueError(
                f"expected sides that are multiples of {MULTIPLE_PX}, got {width}x{height}"
            )
        rgb, missing = rgb_nchw.float(), missing_n1hw.float()
        with torch.no_grad(), torch.autocast(rgb.device.type, enabled=False):
            guess = drawn_together(rgb, missing)
            shown = torch.cat([guess, missing, missing * (rgb - guess)], dim=1)
        (change,) = self.trunk(shown)
        return guess + missing * change


def drawn_together(rgb_nchw: torch.Tensor, missing_n1hw: torch.Tensor) -> torch.Tensor:
    """The picture, filled with the means of what is around: (N, 3, H, W) float32, smooth where
    something is missing and the same elsewhere. What has nothing around within 64 pixels is grey.
    """
    weight = 1 - missing_n1hw
    colour = rgb_nchw * weight
    levels = []
    for _ in range(_HALVINGS):
        levels.append((colour, weight))
        total, sound = 4 * F.avg_pool2d(colour * weight, 2), 4 * F.avg_pool2d(weight, 2)
        colour, weight = total / sound.clamp(min=_LEAST), sound.clamp(max=1)
    drawn = torch.where(weight > 0, colour, 0.5)
    for colour, weight in reversed(levels):
        larger = F.interpolate(drawn, scale_factor=2, mode="bilinear", align_corners=False)
        drawn = weight * colour + (1 - weight) * larger
    return torch.where(missing_n1hw > 0, drawn, rgb_nchw)


def widened(photo: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The keys of a network of whole pictures as those of one that fills, to begin training with:
    it corrects what was drawn together as if it were a picture."""
    state = {_TRUNK + key: value for key, value in photo.items()}
    entry = state[f"{_TRUNK}entry.weight"]
    more = entry.new_zeros((len(entry), _SHOWN - entry.shape[1], *entry.shape[2:]))
    state[f"{_TRUNK}entry.weight"] = torch.cat([entry, more], dim=1)
    return state


def infer(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The constructor's arguments of a state dict of those shapes.

    Raises KeyError where they are not this network's.
    """
    found = infer_photo({key.removeprefix(_TRUNK): shape for key, shape in shapes.items()})
    if found.get("inputs") != _SHOWN:
        raise KeyError(f"{_TRUNK}entry.weight")
    return {key: found[key] for key in ("widths", "blocks")}

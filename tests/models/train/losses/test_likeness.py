"""The identity terms: the embedder's own crop, hand-worked distances, gradients."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from restore_batch.models.families import identity as embedder
from restore_batch.models.train.losses.likeness import arcface_input, identity


class FirstPixels(nn.Module):
    """Embeds a crop as its red and green at the centre."""

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        assert crops.shape[1:] == (3, 112, 112)
        return crops[:, :2, 56, 56]


def _face(side_px: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side_px, side_px), interpolation=cv2.INTER_CUBIC))


def _flat(red: float, green: float) -> torch.Tensor:
    return torch.tensor([red, green, 0.0]).view(1, 3, 1, 1).expand(1, 3, 64, 64)


@pytest.mark.parametrize("side_px", [64, 128, 256, 512, 1024])
def test_the_crop_is_the_one_that_measures_restored_faces(side_px: int) -> None:
    face = _face(side_px)
    wanted = embedder.to_input(face).astype(np.float32)
    seen = arcface_input(torch.from_numpy(face).permute(2, 0, 1)[None].float())[0]
    difference = np.abs(seen.permute(1, 2, 0).numpy() - wanted)
    # cv2 rounds to whole levels, places to 1/32 px, and reduces by another filter.
    assert difference.mean() < 0.6
    assert difference.max() < 4


def test_the_distance_is_that_of_unit_vectors_times_their_size() -> None:
    # (3, 4) and (4, 3) are (0.6, 0.8) and (0.8, 0.6), times √2.
    loss = identity(_flat(3, 4), _flat(4, 3), FirstPixels())
    assert loss.item() == pytest.approx(0.2 * 2**0.5, abs=1e-6)


def test_brighter_is_the_same_person() -> None:
    assert identity(_flat(3, 4), _flat(6, 8), FirstPixels()).item() == pytest.approx(0, abs=1e-6)


def test_arcface_passes_gradients_to_the_face_and_keeps_its_weights() -> None:
    torch.manual_seed(0)
    net = embedder.network(None, num_layers=50, mode="ir_se")
    restored = (torch.rand(1, 3, 128, 128) * 2 - 1).requires_grad_()
    target = torch.rand(1, 3, 128, 128) * 2 - 1
    assert identity(target, target, net).item() == pytest.approx(0, abs=1e-5)
    loss = identity(restored, target, net)
    loss.backward()
    assert loss.item() > 0
    assert restored.grad is not None
    assert torch.isfinite(restored.grad).all()
    assert restored.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in net.parameters())
    assert not net.training


@pytest.mark.parametrize("shape", [(1, 3, 64, 32), (1, 1, 64, 64), (3, 64, 64)])
def test_what_is_no_aligned_face_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square RGB"):
        arcface_input(torch.zeros(shape))

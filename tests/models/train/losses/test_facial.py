"""Facial components: the crops hold the template's eyes and mouth, and style by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.models.train.losses.facial import (
    COMPONENTS_512,
    component_crops,
    component_style,
)
from restore_batch.stages.geometry import TEMPLATE_512


def _coordinates(side_px: int) -> torch.Tensor:
    """(1, 2, S, S): every pixel's x and y."""
    line = torch.arange(float(side_px))
    return torch.stack(torch.meshgrid(line, line, indexing="xy"))[None]


def test_components_are_where_the_template_has_them() -> None:
    left_eye, right_eye, _, mouth_left, mouth_right = TEMPLATE_512
    centres = {name: np.array(place[:2]) for name, place in COMPONENTS_512.items()}
    assert np.allclose(centres["left_eye"], left_eye)
    assert np.allclose(centres["right_eye"], right_eye)
    assert np.allclose(centres["mouth"], (mouth_left + mouth_right) / 2, atol=1e-5)


@given(side_px=st.integers(64, 1024))
def test_crops_are_centred_on_the_component_to_the_pixel(side_px: int) -> None:
    crops = component_crops(_coordinates(side_px))
    assert list(crops) == ["left_eye", "right_eye", "mouth"]
    for name, (x, y, size_px) in COMPONENTS_512.items():
        crop = crops[name]
        width = round(size_px * side_px / 512)
        assert crop.shape == (1, 2, width, width)
        centre = crop.mean((0, 2, 3)).numpy()
        assert np.abs(centre - np.array([x, y]) * side_px / 512).max() <= 0.5 + 1e-3


def test_crops_at_512_px_are_the_authors_sizes_and_pass_gradients() -> None:
    face = torch.rand(2, 3, 512, 512, requires_grad=True)
    crops = component_crops(face)
    assert [crop.shape[-1] for crop in crops.values()] == [80, 80, 120]
    torch.stack([crop.sum() for crop in crops.values()]).sum().backward()
    assert face.grad is not None
    assert face.grad.sum().item() == 2 * 3 * (2 * 80**2 + 120**2)


@pytest.mark.parametrize("shape", [(1, 3, 512, 256), (3, 512, 512), (1, 3, 32, 32)])
def test_what_is_no_aligned_face_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square faces"):
        component_crops(torch.zeros(shape))


def test_style_weighs_the_early_layer_half() -> None:
    # Gram of one channel of constant c is c²: 4 against 1, and 9 against 1.
    fake = [torch.full((1, 1, 4, 4), 2.0), torch.full((1, 1, 2, 2), 3.0)]
    real = [torch.ones(1, 1, 4, 4), torch.ones(1, 1, 2, 2)]
    assert component_style(fake, real).item() == pytest.approx(0.5 * 3 + 1 * 8)

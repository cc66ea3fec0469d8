"""Any ESRGAN-family file by path: known by its keys, padded, and never unpickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import community
from restore_batch.models.families.community import CommunityUpscaler
from restore_batch.models.weights.store import Store


def _random(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
        spread = fan_in**-0.5 if len(shape) > 1 else 0.1
        state[key] = torch.randn(shape, generator=generator) * spread
    return state


def old_esrgan(features: int = 8, growth: int = 32, blocks: int = 1) -> dict[str, torch.Tensor]:
    """A tiny ×4 network in the keys of the first ESRGAN release (``model.N``)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, out: int, given: int) -> None:
        shapes[f"{name}.weight"] = (out, given, 3, 3)
        shapes[f"{name}.bias"] = (out,)

    convolution("model.0", features, 3)
    for block in range(blocks):
        for part in (1, 2, 3):
            for i in range(5):
                out = growth if i < 4 else features
                name = f"model.1.sub.{block}.RDB{part}.conv{i + 1}.0"
                convolution(name, out, features + i * growth)
    convolution(f"model.1.sub.{blocks}", features, features)
    convolution("model.3", features, features)
    convolution("model.6", features, features)
    convolution("model.8", features, features)
    convolution("model.10", 3, features)
    return _random(shapes)


def swinir_x2() -> dict[str, torch.Tensor]:
    """A tiny SwinIR, whose sides must be multiples of its window."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    net = SwinIR(
        img_size=16,
        window_size=8,
        depths=[2],
        embed_dim=12,
        num_heads=[2],
        mlp_ratio=2,
        upscale=2,
        upsampler="pixelshuffledirect",
    )
    return dict(net.state_dict())


@pytest.fixture(scope="module")
def esrgan() -> CommunityUpscaler:
    return _upscaler(old_esrgan())


@pytest.fixture(scope="module")
def swinir() -> CommunityUpscaler:
    return _upscaler(swinir_x2())


def _upscaler(state: dict[str, torch.Tensor]) -> CommunityUpscaler:
    descriptor = community._upscaler(state)
    assert descriptor is not None
    return CommunityUpscaler(descriptor, Runtime())


def _picture(count: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_a_file_of_the_first_esrgan_release_is_usable_by_path(tmp_path: Path) -> None:
    path = tmp_path / "4x_something.pth"
    torch.save(old_esrgan(), path)
    ref = Store(tmp_path / "cache").ref_from_path(path, "upscale", {})
    assert (ref.card.family, ref.card.scale, ref.card.name) == ("community", 4, "4x_something")
    assert ref.card.architecture["name"] == "ESRGAN"
    model = registry.build(ref, Runtime(), tmp_path)
    assert isinstance(model, CommunityUpscaler)
    assert model(_picture(1, 5, 7)).shape == (1, 3, 20, 28)


def test_the_network_module_can_be_had_and_its_description_is_checked() -> None:
    state = old_esrgan()
    net = community.network(state, name="ESRGAN", scale=4)
    assert sum(p.numel() for p in net.parameters()) == sum(t.numel() for t in state.values())
    with pytest.raises(WeightsError, match="scale=4, not 2"):
        community.network(state, scale=2)


@settings(max_examples=12, deadline=None)
@given(height=st.integers(1, 19), width=st.integers(1, 19))
def test_any_size_is_padded_and_cut_to_the_exact_result(
    swinir: CommunityUpscaler, height: int, width: int
) -> None:
    out = swinir(_picture(1, height, width))
    assert out.shape == (1, 3, 2 * height, 2 * width)
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_batch_equals_its_pictures_one_by_one(esrgan: CommunityUpscaler, count: int) -> None:
    batch = _picture(count, 9, 6)
    singles = torch.cat([esrgan(picture[None]) for picture in batch])
    assert torch.equal(esrgan(batch), singles)


def test_an_empty_batch_gives_an_empty_result(esrgan: CommunityUpscaler) -> None:
    assert esrgan(_picture(0, 4, 5)).shape == (0, 3, 16, 20)


@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 1, 4, 4), (1, 4, 4, 4)])
def test_another_layout_is_refused(esrgan: CommunityUpscaler, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\)"):
        esrgan(torch.zeros(shape))


def test_memory_a_pixel_grows_with_the_network(esrgan: CommunityUpscaler) -> None:
    wide = _upscaler(old_esrgan(features=32))
    assert wide.bytes_per_pixel() > esrgan.bytes_per_pixel() > 8 * 4 * 16


def test_half_precision_is_used_only_where_the_architecture_stands_it() -> None:
    descriptor = community._upscaler(old_esrgan())
    assert descriptor is not None
    assert descriptor.supports_bfloat16
    half = CommunityUpscaler(descriptor, Runtime(precision="bfloat16"))
    full = _upscaler(old_esrgan())
    out = half(_picture(1, 8, 8))
    assert out.dtype == torch.float32
    assert 0 < (out - full(_picture(1, 8, 8))).abs().max() < 0.1


def test_networks_that_are_no_upscaler_are_named_not_run(tmp_path: Path) -> None:
    from spandrel.architectures.DnCNN import DnCNN

    net = DnCNN(in_nc=3, out_nc=3, nc=8, nb=3, act_mode="R", mode="DnCNN")
    torch.save(net.state_dict(), tmp_path / "denoise.pth")
    with pytest.raises(WeightsError) as caught:
        Store(tmp_path).ref_from_path(tmp_path / "denoise.pth", "upscale", {})
    assert "cannot be used as an upscaler" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_nobody_knows_is_refused(tmp_path: Path) -> None:
    torch.save({"some.weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="a network no family knows"):
        Store(tmp_path).ref_from_path(tmp_path / "a.pth", "upscale", {})


def test_our_own_families_are_asked_before_spandrel() -> None:
    assert registry.families()[-1].name == "community"

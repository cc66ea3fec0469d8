"""GLEAN: the network computes what the authors' does, and both forms keep their promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import WeightsError
from restore_batch.models.base import Runtime
from restore_batch.models.families.glean import (
    CATEGORY_CARDS,
    FACE_CARDS,
    FAMILIES,
    GLEANRestorer,
    GLEANUpscaler,
    infer,
    network,
    recognise_category,
    recognise_faces,
)
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.weights import store as weights

from support.parity import Case, case, scaled

PUBLISHED = ["glean_in128out1024", "glean_x16_ffhq", "glean_x16_cat", "glean_x8_cat"]
TENSORS = [
    "encoder.0.0.conv_first.weight",
    "encoder.0.0.body.1.rdb2.conv3.weight",
    "encoder.0.0.conv_body.bias",
    "encoder.1.2.weight",
    "encoder.2.3.bias",
    "generator.constant_input.input",
    "generator.conv1.conv.style_modulation.linear.weight_orig",
    "generator.convs.0.conv.style_modulation.bias",
    "generator.convs.3.noise_injector.weight",
    "generator.convs.5.activate.bias",
    "generator.injected_noise_6",
    "fusion_out.1.weight",
    "decoder.0.upsample_conv.weight",
    "decoder.2.2.bias",
]
TINY: dict[str, Any] = {
    "in_size": 8,
    "out_size": 32,
    "rrdb_channels": 8,
    "num_rrdbs": 1,
    "style_channels": 16,
    "num_mlps": 1,
    "narrow": 1 / 32,
}


def _check(fixture: Case, net: torch.nn.Module) -> None:
    with torch.no_grad():
        fixture.check("output", net(fixture.inputs()["lq"]))


def _tiny(seed: int = 0, **changes: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    return network(None, **{**TINY, **changes})


def _crops(count: int) -> list[np.ndarray]:
    coarse = np.random.default_rng(5).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return [np.kron(crop, np.ones((64, 64, 1), np.uint8)) for crop in coarse]


def test_the_output_matches_the_authors_network() -> None:
    fixture = case("glean_small")
    _check(fixture, network(fixture.state(), **fixture.kwargs))
    _check(fixture, channels_last(network(fixture.state(), **fixture.kwargs)))


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_sizes_match_the_authors_network(name: str) -> None:
    fixture = case(name)
    state = fixture.state()
    _check(fixture, channels_last(network(state, **fixture.kwargs)))
    inferred = infer(state) or {}
    assert fixture.kwargs.items() <= inferred.items()
    faces = fixture.kwargs["out_size"] == 1024
    assert (recognise_faces(state) is not None) == faces
    assert (recognise_category(state) is not None) == (not faces)
    cards = [
        c for c in (*FACE_CARDS, *CATEGORY_CARDS) if c.architecture.items() <= inferred.items()
    ]
    assert len(cards) == 1


@pytest.mark.parametrize("key", TENSORS)
def test_a_tensor_off_by_five_percent_is_noticed(key: str) -> None:
    fixture = case("glean_small")
    net = network(scaled(fixture.state(), key), **fixture.kwargs)
    with pytest.raises(AssertionError):
        _check(fixture, net)


@pytest.mark.parametrize("key", ["convs.2.conv.blur.kernel", "to_rgbs.1.upsample.kernel"])
def test_another_filter_than_the_published_one_is_refused(key: str) -> None:
    fixture = case("glean_small")
    with pytest.raises(WeightsError, match=key):
        network(scaled(fixture.state(), f"generator.{key}"), **fixture.kwargs)


def test_the_architecture_is_read_from_the_keys() -> None:
    fixture = case("glean_small")
    inferred = infer(fixture.state()) or {}
    assert fixture.kwargs.items() <= inferred.items()
    assert inferred["channel_multiplier"] == 2
    assert inferred["narrow"] == 1


def test_an_mmagic_checkpoint_loads_from_its_wrapped_file(tmp_path: Path) -> None:
    fixture = case("glean_small")
    state = fixture.state()
    wrapped = {f"generator.{key}": value for key, value in state.items()}
    wrapped["discriminator.conv.weight"] = torch.zeros(2)
    path = tmp_path / "glean_small.pth"
    torch.save({"meta": {"epoch": 1}, "state_dict": wrapped}, path)
    loaded = weights.load_state([path])
    assert loaded.keys() == state.keys()
    assert infer(loaded) == infer(state)


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_a_state_dict_that_does_not_fit_is_refused_by_key(change: str) -> None:
    state = dict(_tiny().state_dict())
    if change == "missing":
        del state["fusion_out.0.bias"]
    elif change == "unexpected":
        state["fusion_out.0.extra"] = torch.zeros(1)
    else:
        state["fusion_out.0.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError, match=r"fusion_out\.0"):
        network(state)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "encoder.0.0.conv_first.weight",
                "encoder.0.0.body.0.rdb1.conv1.weight",
                "generator.conv1.conv.style_modulation.linear.weight_orig",
                "generator.to_rgbs.0.bias",
                "fusion_out.0.weight",
            ]
        ),
        st.lists(st.integers(0, 3), max_size=5).map(torch.zeros),
    )
)
def test_a_foreign_state_dict_is_not_recognised_and_raises_nothing(
    state: dict[str, torch.Tensor],
) -> None:
    assert infer(state) is None


def test_an_input_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="8 px"):
        _tiny()(torch.zeros(1, 3, 9, 8))
    with pytest.raises(ValueError, match="in_size"):
        network(None, **{**TINY, "in_size": 32})


def test_faces_keep_their_size_and_do_not_depend_on_their_company() -> None:
    restore = GLEANRestorer(_tiny(), Runtime(), batch_size=8)
    crops = _crops(3)
    together = restore(crops)
    alone = [restore([crop])[0] for crop in crops]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert together[0].shape == (512, 512, 3)
    assert together[0].dtype == np.uint8
    assert not np.array_equal(together[0], together[1])
    assert restore([]) == []


def test_the_crop_is_reduced_for_the_network_and_its_picture_fitted_to_the_crop() -> None:
    net = _tiny()
    restore = GLEANRestorer(net, Runtime(), batch_size=1)

    def enlarge(lq: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(lq, scale_factor=4, mode="nearest")

    restore._net.forward = enlarge
    # Halves of two colours survive reducing to 8 px and enlarging again, but for their border.
    crop = np.full((512, 512, 3), (10, 20, 30), np.uint8)
    crop[:, 256:] = (200, 210, 220)
    restored = restore([crop])[0].astype(int)
    assert np.abs(restored[:, :128] - (10, 20, 30)).max() <= 3
    assert np.abs(restored[:, -128:] - (200, 210, 220)).max() <= 3


@pytest.mark.parametrize("shape", [(512, 511, 3), (64, 64, 3), (512, 512, 4)])
def test_a_wrong_crop_is_refused_with_what_was_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(512, 512, 3\), got"):
        GLEANRestorer(_tiny(), Runtime(), batch_size=1)([np.zeros(shape, np.uint8)])


@settings(max_examples=15, deadline=None)
@given(height=st.integers(1, 8), width=st.integers(1, 8), count=st.integers(0, 2))
def test_thumbnails_up_to_the_networks_input_are_enlarged(
    height: int, width: int, count: int
) -> None:
    upscale = GLEANUpscaler(_tiny(), Runtime())
    x = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1))
    y = upscale(x)
    assert upscale.scale == 4
    assert y.shape == (count, 3, 4 * height, 4 * width)
    assert y.numel() == 0 or (y.min() >= 0 and y.max() <= 1)
    for i in range(count):
        assert torch.equal(upscale(x[i : i + 1])[0], y[i])


def test_a_picture_larger_than_the_networks_input_is_refused() -> None:
    with pytest.raises(ValueError, match="up to 8x8 px, got 9x8"):
        GLEANUpscaler(_tiny(), Runtime())(torch.zeros(1, 3, 8, 9))


def test_every_card_agrees_with_the_network_it_names() -> None:
    for family in FAMILIES:
        for card in family.cards:
            assert card.family == family.name
            assert card.task == family.task
            assert not card.licence.commercial
            in_size, out_size = card.architecture["in_size"], card.architecture["out_size"]
            assert (card.input_px, card.scale) in {(512, 1), (in_size, out_size // in_size)}

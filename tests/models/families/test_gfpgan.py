"""GFP-GAN: the three published architectures compute what the authors' do, and the restorer
keeps its promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from restore_batch.errors import WeightsError
from restore_batch.models.base import Runtime
from restore_batch.models.families.gfpgan import (
    CARDS,
    FAMILY,
    GFPGANOptions,
    build,
    network,
    recognise,
)
from restore_batch.models.nets.doubling import conv_doubled, double
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.nets.stylegan2 import ModulatedConv2d, Resampling
from restore_batch.models.weights import store as weights

from support.parity import Case, case, scaled

SMALL = [
    "gfpgan_clean_small",
    "gfpgan_clean_small_mapping",
    "gfpgan_original_small",
    "gfpgan_original_small_mapping",
    "gfpgan_bilinear_small",
]
PUBLISHED = ["gfpgan_clean_v1_4", "gfpgan_original_v1"]
ARCHS = {"GFPGANv1Clean": "clean", "GFPGANv1": "original", "GFPGANBilinear": "bilinear"}
CLEAN_TENSORS = [
    "conv_body_first.weight",
    "conv_body_down.1.skip.weight",
    "final_conv.bias",
    "conv_body_up.2.conv2.weight",
    "final_linear.weight",
    "condition_scale.1.2.bias",
    "stylegan_decoder.constant_input.weight",
    "stylegan_decoder.style_convs.0.modulated_conv.modulation.weight",
    "stylegan_decoder.style_convs.3.modulated_conv.modulation.bias",
    "stylegan_decoder.style_convs.5.weight",
    "stylegan_decoder.noises.noise4",
    "stylegan_decoder.to_rgbs.2.modulated_conv.weight",
    "toRGB.3.bias",
]
EQUALISED_TENSORS = [
    "conv_body_first.0.weight",
    "conv_body_down.0.conv2.2.bias",
    "conv_body_down.2.skip.1.weight",
    "final_conv.1.bias",
    "conv_body_up.1.conv2.activation.bias",
    "conv_body_up.3.skip.weight",
    "final_linear.bias",
    "condition_shift.2.0.weight",
    "stylegan_decoder.style_conv1.modulated_conv.modulation.bias",
    "stylegan_decoder.style_convs.2.modulated_conv.modulation.weight",
    "stylegan_decoder.style_convs.4.activate.bias",
    "stylegan_decoder.style_convs.6.weight",
    "stylegan_decoder.to_rgbs.0.bias",
    "toRGB.1.weight",
]
# Largest difference as a share of the image's deviation: twice what the small networks show.
# float16 keeps 11 bits of mantissa, bfloat16 8.
HALF_SHARES = {torch.float16: 0.02, torch.bfloat16: 0.2}
TINY: dict[str, Any] = dict(FAMILY.tiny or {})


def _load(fixture: Case, state: dict[str, torch.Tensor] | None = None) -> torch.nn.Module:
    arch = ARCHS[fixture.spec["model"]["class"]]
    return network(state or fixture.state(), arch=arch, **fixture.kwargs)


def _check(fixture: Case, net: torch.nn.Module) -> None:
    with torch.no_grad():
        image, rgbs = net(fixture.inputs()["x"], return_rgb=True, randomize_noise=False)
    assert len(rgbs) + 1 == len(fixture.spec["outputs"])
    fixture.check("image", image)
    for i, rgb in enumerate(rgbs):
        fixture.check(f"rgb{i}", rgb)


def _tiny_state(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = network(None, **TINY).state_dict()
    strengths = {key: 0.1 + value for key, value in state.items() if value.shape == (1,)}
    return {**state, **strengths}


def _restorer(**options: Any) -> Any:
    return build(_tiny_state(), _tiny_card(), GFPGANOptions(**options), Runtime())


def _tiny_card() -> Any:
    return replace(CARDS[0], architecture=TINY, input_px=TINY["out_size"])


def _crops(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(7)
    return list(generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", SMALL)
def test_image_and_intermediate_pictures_match_the_authors_network(name: str) -> None:
    fixture = case(name)
    _check(fixture, _load(fixture))


@pytest.mark.parametrize("name", SMALL)
def test_channels_last_memory_gives_the_same_picture(name: str) -> None:
    fixture = case(name)
    _check(fixture, channels_last(_load(fixture)))


@pytest.mark.parametrize("dtype", HALF_SHARES)
@pytest.mark.parametrize("name", SMALL)
def test_half_precision_stays_close_in_a_batch(name: str, dtype: torch.dtype) -> None:
    fixture = case(name)
    net = channels_last(_load(fixture))
    x = fixture.inputs()["x"]
    with torch.no_grad(), torch.autocast("cpu", dtype):
        image, _ = net(torch.cat([x, x.flip(3)]), randomize_noise=False)
    deviation = fixture.spec["outputs"][0]["stats"]["std"]
    fixture.check("image", image[:1], atol=HALF_SHARES[dtype] * deviation)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_sizes_match_the_authors_network(name: str) -> None:
    fixture = case(name)
    _check(fixture, channels_last(_load(fixture)))


@pytest.mark.parametrize(
    ("name", "key"),
    [("gfpgan_clean_small", key) for key in CLEAN_TENSORS]
    + [("gfpgan_original_small", key) for key in EQUALISED_TENSORS]
    + [("gfpgan_bilinear_small", key) for key in EQUALISED_TENSORS]
    + [("gfpgan_clean_small_mapping", "stylegan_decoder.style_mlp.3.weight")]
    + [("gfpgan_original_small_mapping", "stylegan_decoder.style_mlp.2.bias")],
)
def test_a_tensor_off_by_five_percent_is_noticed(name: str, key: str) -> None:
    fixture = case(name)
    net = _load(fixture, scaled(fixture.state(), key))
    with pytest.raises(AssertionError):
        _check(fixture, net)


@pytest.mark.parametrize("name", SMALL)
def test_the_architecture_is_read_from_the_keys(name: str) -> None:
    fixture = case(name)
    kwargs = fixture.kwargs
    arch = ARCHS[fixture.spec["model"]["class"]]
    expected = {
        # Bilinear checkpoints have the keys and shapes of original ones.
        "arch": "clean" if arch == "clean" else "original",
        **{key: kwargs[key] for key in recognise(fixture.state()) or {} if key in kwargs},
    }
    assert recognise(fixture.state()) == expected
    assert expected.keys() >= {"out_size", "channel_multiplier", "narrow", "sft_half", "num_mlp"}


def test_an_architecture_that_is_not_given_is_inferred() -> None:
    fixture = case("gfpgan_clean_small")
    _check(fixture, network(fixture.state()))


def test_the_keys_of_another_architecture_are_refused() -> None:
    with pytest.raises(WeightsError, match="clean"):
        network(_tiny_state(), arch="original")


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_a_state_dict_that_does_not_fit_is_refused_by_key(change: str) -> None:
    state = _tiny_state()
    if change == "missing":
        del state["final_conv.bias"]
    elif change == "unexpected":
        state["final_conv.extra"] = torch.zeros(1)
    else:
        state["final_conv.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError, match="final_conv"):
        network(state)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "conv_body_first.weight",
                "conv_body_first.0.weight",
                "stylegan_decoder.style_conv1.modulated_conv.weight",
                "stylegan_decoder.style_conv1.modulated_conv.modulation.weight",
                "stylegan_decoder.to_rgbs.1.bias",
                "final_linear.weight",
                "condition_scale.0.2.weight",
            ]
        ),
        st.lists(st.integers(0, 3), max_size=5).map(torch.zeros),
    )
)
def test_recognising_never_raises_on_a_foreign_state_dict(state: dict[str, torch.Tensor]) -> None:
    assert recognise(state) is None


def test_a_published_checkpoint_loads_from_its_wrapped_file(tmp_path: Path) -> None:
    state = _tiny_state()
    path = tmp_path / "GFPGANv1.4.pth"
    torch.save({"params_ema": state}, path)
    loaded = weights.load_state([path])
    assert recognise(loaded) == recognise(state)
    x = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    with torch.no_grad():
        expected, _ = network(state, **TINY)(x, randomize_noise=False)
        image, _ = network(loaded, **TINY)(x, randomize_noise=False)
    torch.testing.assert_close(image, expected, atol=0, rtol=0)


def test_faces_do_not_depend_on_their_company() -> None:
    restore = _restorer()
    crops = _crops(3)
    together = restore(crops)
    alone = [restore([crop])[0] for crop in crops]
    assert all(np.array_equal(a, b) for a, b in zip(together, alone, strict=True))
    assert together[0].shape == (32, 32, 3)
    assert together[0].dtype == np.uint8
    assert not np.array_equal(together[0], together[1])


def test_no_crops_give_no_faces() -> None:
    assert _restorer()([]) == []


def test_a_second_run_gives_the_same_face() -> None:
    crops = _crops(1)
    assert np.array_equal(_restorer()(crops)[0], _restorer()(crops)[0])


def test_fresh_noise_changes_a_face_but_not_from_run_to_run() -> None:
    crops = _crops(2)
    plain, fresh = _restorer(), _restorer(randomize_noise=True)
    first = fresh(crops)
    torch.randn(5)
    assert all(np.array_equal(a, b) for a, b in zip(first, fresh(crops), strict=True))
    assert np.array_equal(first[1], fresh(crops[1:])[0])
    assert not np.array_equal(first[0], plain(crops)[0])


@pytest.mark.parametrize(
    "crop",
    [
        np.zeros((31, 32, 3), np.uint8),
        np.zeros((32, 32, 4), np.uint8),
        np.zeros((32, 32, 3), np.float32),
        np.zeros((32, 32), np.uint8),
    ],
)
def test_a_wrong_crop_is_refused_with_what_was_expected(crop: np.ndarray) -> None:
    good = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(ValueError, match=r"crop 1: expected uint8 \(32, 32, 3\), got"):
        _restorer()([good, crop])


def test_the_input_reaches_the_network_as_signed_rgb_and_comes_back_rounded() -> None:
    restore = _restorer()
    seen: list[torch.Tensor] = []

    def echo(signed: torch.Tensor, **_: Any) -> tuple[torch.Tensor, list[torch.Tensor]]:
        seen.append(signed.clone())
        return signed * 1.5, []

    restore._net.forward = echo
    crop = np.full((32, 32, 3), (0, 128, 255), np.uint8)
    restored = restore([crop])[0]
    torch.testing.assert_close(seen[0][0, :, 0, 0], torch.tensor([-1.0, 1 / 255, 1.0]))
    assert restored[0, 0].tolist() == [0, 128, 255]


def test_a_bilinear_checkpoint_given_by_path_needs_its_name() -> None:
    fixture = case("gfpgan_bilinear_small")
    architecture = recognise(fixture.state()) or {}
    card = replace(CARDS[0], architecture=architecture, input_px=64)
    named = build(fixture.state(), card, GFPGANOptions(arch="bilinear"), Runtime())
    crop = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    unnamed = build(fixture.state(), card, GFPGANOptions(), Runtime())
    assert not np.array_equal(named([crop])[0], unnamed([crop])[0])
    with torch.no_grad():
        net = network(fixture.state(), arch="bilinear")
        signed = torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 127.5 - 1
        image, _ = net(signed, randomize_noise=False)
    expected = ((image[0].clamp(-1, 1) + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(named([crop])[0] - expected).max() <= 0.51


def test_a_large_style_does_not_overflow_half_precision() -> None:
    torch.manual_seed(0)
    conv = ModulatedConv2d(64, 8, 3, 4).requires_grad_(False)
    conv.modulation.bias += 20_000
    x, code = torch.randn(2, 64, 8, 8), torch.randn(2, 4)
    with torch.autocast("cpu", torch.float16):
        half = conv(x, code).float()
    torch.testing.assert_close(half, conv(x, code), atol=0.02, rtol=0.02)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValidationError):
        GFPGANOptions.model_validate({"weight": 0.5})


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    batch=st.integers(1, 3),
    with_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_a_doubled_convolution_equals_doubling_then_convolving(
    height: int, width: int, batch: int, with_bias: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 3, height, width, generator=generator)
    weight = torch.randn(4, 3, 3, 3, generator=generator)
    bias = torch.randn(4, generator=generator) if with_bias else None
    expected = F.conv2d(double(x), weight, bias, padding=1)
    torch.testing.assert_close(conv_doubled(x, weight, bias), expected, atol=2e-5, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    side=st.sampled_from([1, 4, 16, 20]),
    batch=st.integers(1, 4),
    upsampling=st.sampled_from([None, "bilinear", "fir"]),
    demodulate=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_scaling_activations_equals_scaling_weights(
    side: int, batch: int, upsampling: Resampling | None, demodulate: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    conv = ModulatedConv2d(5, 6, 3, 7, demodulate, upsampling).requires_grad_(False)
    x, code = torch.randn(batch, 5, side, side), torch.randn(batch, 7)
    together = conv(x, code, gain=1.5)
    for i in range(batch):
        # The definition, equations 1 to 3: one set of weights for each style.
        weight = conv.weight[0] * conv.modulation(code[i]).view(1, -1, 1, 1)
        if demodulate:
            norm = (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
            weight = weight * (1.5 / norm)
        torch.testing.assert_close(
            together[i : i + 1], conv._convolve(x[i : i + 1], weight), atol=1e-4, rtol=1e-4
        )


def test_every_card_names_its_files_licence_and_architecture() -> None:
    assert CARDS[0].name == "gfpgan-1.4"
    for card in CARDS:
        assert card.task == "restore"
        assert card.input_px == card.architecture["out_size"] == 512
        assert "NVIDIA" in card.licence.note
        for source in card.sources:
            assert all(file.urls[0].endswith(file.filename) for file in source)

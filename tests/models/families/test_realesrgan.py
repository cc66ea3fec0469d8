"""Real-ESRGAN: both networks compute what the authors' do, and the upscaler keeps its promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models.base import Runtime, StateDict
from restore_batch.models.families.realesrgan import (
    CARDS,
    FAMILY,
    RealESRGANOptions,
    RealESRGANUpscaler,
    build,
    mix,
    network,
    recognise,
)
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.weights import store as weights
from restore_batch.models.weights.ncnn import read_ncnn

from support.parity import Case, case, scaled

RRDB = [
    "realesrgan_rrdb_small",
    "realesrgan_rrdb_x1_small",
    "realesrgan_x2plus",
    "realesrgan_x4plus",
]
SRVGG = ["srvgg_small_x3", "srvgg_animevideov3", "srvgg_general_x4v3"]
RRDB_TENSORS = [
    "conv_first.weight",
    "body.0.rdb1.conv1.bias",
    "body.0.rdb2.conv5.weight",
    "body.0.rdb3.conv3.weight",
    "conv_body.weight",
    "conv_up1.bias",
    "conv_up2.weight",
    "conv_hr.weight",
    "conv_last.bias",
]
SRVGG_TENSORS = ["body.0.weight", "body.1.weight", "body.4.bias", "body.9.weight", "body.10.weight"]
REAL = {
    "x4plus": "realesrgan-x4plus",
    "x4plus_anime": "realesrgan-x4plus-anime",
    "animevideov3": "realesr-animevideov3",
}
TINY_RRDB: dict[str, Any] = {"num_feat": 8, "num_block": 1, "num_grow_ch": 4}
TINY_SRVGG: dict[str, Any] = {"num_feat": 8, "num_conv": 2}


def _check(fixture: Case, net: torch.nn.Module) -> None:
    with torch.no_grad():
        fixture.check("output", net(fixture.inputs()["x"]))


def _tiny(seed: int = 0, **architecture: Any) -> torch.nn.Module:
    torch.manual_seed(seed)
    return network(None, **architecture)


def _upscaler(**architecture: Any) -> RealESRGANUpscaler:
    return RealESRGANUpscaler(_tiny(**architecture), Runtime())


@pytest.mark.parametrize("name", RRDB + SRVGG)
def test_the_output_matches_the_authors_network(name: str) -> None:
    fixture = case(name)
    _check(fixture, network(fixture.state(), **fixture.kwargs))


@pytest.mark.parametrize("name", RRDB + SRVGG)
def test_channels_last_memory_gives_the_same_picture(name: str) -> None:
    fixture = case(name)
    _check(fixture, channels_last(network(fixture.state(), **fixture.kwargs)))


@pytest.mark.parametrize(
    ("name", "key"),
    [("realesrgan_rrdb_small", key) for key in RRDB_TENSORS]
    + [("realesrgan_rrdb_x1_small", "conv_first.weight")]
    + [("realesrgan_x2plus", "conv_first.bias"), ("realesrgan_x4plus", "conv_hr.bias")]
    + [("srvgg_small_x3", key) for key in SRVGG_TENSORS]
    + [("srvgg_general_x4v3", "body.33.weight"), ("srvgg_animevideov3", "body.34.bias")],
)
def test_a_tensor_off_by_five_percent_is_noticed(name: str, key: str) -> None:
    fixture = case(name)
    net = network(scaled(fixture.state(), key), **fixture.kwargs)
    with pytest.raises(AssertionError):
        _check(fixture, net)


@pytest.mark.parametrize("name", RRDB + SRVGG)
def test_the_architecture_is_read_from_the_keys(name: str) -> None:
    fixture = case(name)
    arch = "rrdb" if name in RRDB else "srvgg"
    assert recognise(fixture.state()) == {"arch": arch, **fixture.kwargs}


def test_an_architecture_that_is_not_given_is_inferred() -> None:
    fixture = case("srvgg_small_x3")
    _check(fixture, network(fixture.state()))


def _package_file(card: Any) -> Path:
    import importlib.util

    file = card.sources[-1][0]
    spec = importlib.util.find_spec(file.package_path.split("/")[0])
    if spec is None or spec.origin is None:
        pytest.skip(f"{file.package} is not installed")
    return Path(spec.origin).parents[1] / file.package_path


@pytest.mark.parametrize("model", REAL)
def test_the_packaged_weights_enlarge_a_photo_as_the_authors_network_does(model: str) -> None:
    fixture = case("realesrgan_real_weights")
    card = next(card for card in CARDS if card.name == REAL[model])
    state = read_ncnn(_package_file(card))
    inferred = recognise(state) or {}
    assert inferred == card.architecture
    image = torch.from_numpy(fixture.gold["input"]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        raw = network(state, **card.architecture)(image)[0].numpy()
    assert np.abs(raw[:, 48:144, 48:144] - fixture.gold[f"{model}/crop"]).max() < 5e-5
    blocks = raw.reshape(3, 24, 8, 24, 8).mean(axis=(2, 4))
    assert np.abs(blocks - fixture.gold[f"{model}/blocks"]).max() < 1e-5
    enlarged = build(state, card, RealESRGANOptions(), Runtime())(image)[0]
    picture = (enlarged * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(picture - fixture.gold[f"{model}/uint8"].astype(float)).max() <= 1


@pytest.mark.parametrize("container", ["params_ema", "params"])
def test_a_published_checkpoint_loads_from_its_wrapped_file(tmp_path: Path, container: str) -> None:
    state = _tiny(arch="rrdb", **TINY_RRDB).state_dict()
    path = tmp_path / "RealESRGAN_x4plus.pth"
    torch.save({container: state}, path)
    assert recognise(weights.load_state([path])) == recognise(state)


def _two_files(tmp_path: Path) -> tuple[StateDict, list[dict[str, torch.Tensor]]]:
    """The two networks of general-x4v3, tiny, as the loader gives them."""
    states = [_tiny(seed, arch="srvgg", **TINY_SRVGG).state_dict() for seed in (1, 2)]
    paths = []
    for file, state in zip(CARDS[3].sources[0], states, strict=True):
        paths.append(tmp_path / file.filename)
        torch.save({"params": state}, paths[-1])
    return weights.load_state(paths), states


@pytest.mark.parametrize("denoise", [0.0, 0.3, 1.0])
def test_denoise_mixes_the_two_networks_weight_by_weight(tmp_path: Path, denoise: float) -> None:
    both, (noiseless, noisy) = _two_files(tmp_path)
    mixed = mix(both, denoise)
    assert mixed.keys() == noiseless.keys()
    for key, value in mixed.items():
        expected = denoise * noiseless[key] + (1 - denoise) * noisy[key]
        torch.testing.assert_close(value, expected)
    assert recognise(both) == recognise(noiseless)


def test_denoise_changes_the_picture(tmp_path: Path) -> None:
    both, _ = _two_files(tmp_path)
    card = replace(CARDS[3], architecture=recognise(both) or {})
    x = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pictures = {
        denoise: build(both, card, RealESRGANOptions(denoise=denoise), Runtime())(x)
        for denoise in (None, 0.0, 0.5, 1.0)
    }
    assert torch.equal(pictures[None], pictures[0.5])
    assert not torch.equal(pictures[0.0], pictures[1.0])


def test_denoise_is_refused_where_there_is_nothing_to_mix() -> None:
    state = _tiny(arch="srvgg", **TINY_SRVGG).state_dict()
    assert mix(state, None) is state
    with pytest.raises(UsageError, match="general-x4v3"):
        mix(state, 0.5)


@pytest.mark.parametrize("denoise", [-0.1, 1.1])
def test_denoise_outside_zero_to_one_is_refused(denoise: float) -> None:
    with pytest.raises(ValidationError):
        RealESRGANOptions(denoise=denoise)


@pytest.mark.parametrize("change", ["missing", "unexpected", "misshapen"])
def test_a_state_dict_that_does_not_fit_is_refused_by_key(change: str) -> None:
    state = dict(_tiny(arch="rrdb", **TINY_RRDB).state_dict())
    if change == "missing":
        del state["conv_up1.bias"]
    elif change == "unexpected":
        state["conv_up1.extra"] = torch.zeros(1)
    else:
        state["conv_up1.bias"] = torch.zeros(3)
    with pytest.raises(WeightsError, match="conv_up1"):
        network(state)


def test_the_keys_of_the_other_network_are_refused() -> None:
    with pytest.raises(WeightsError, match="rrdb"):
        network(_tiny(arch="rrdb", **TINY_RRDB).state_dict(), arch="srvgg")


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "conv_first.weight",
                "conv_last.weight",
                "conv_hr.weight",
                "body.0.rdb1.conv1.weight",
                "body.x.weight",
                "body.0.bias",
                "a.body.0.weight",
                "a-wdn.body.0.weight",
            ]
        ),
        st.lists(st.integers(0, 3), max_size=5).map(torch.zeros),
    )
)
def test_recognising_never_raises_on_a_foreign_state_dict(state: Mapping[str, Any]) -> None:
    recognise(state)


def test_networks_of_other_families_are_not_recognised() -> None:
    assert recognise({}) is None
    assert recognise({"body.0.bias": torch.zeros(3)}) is None
    assert recognise({"conv1.weight": torch.zeros(3, 3, 3, 3)}) is None


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    count=st.integers(0, 3),
    architecture=st.sampled_from(
        [
            {"arch": "rrdb", "scale": 4, **TINY_RRDB},
            {"arch": "rrdb", "scale": 2, **TINY_RRDB},
            {"arch": "rrdb", "scale": 1, **TINY_RRDB},
            {"arch": "srvgg", "upscale": 3, **TINY_SRVGG},
        ]
    ),
)
def test_any_size_and_count_comes_back_enlarged_in_range_and_independent_of_its_company(
    height: int, width: int, count: int, architecture: dict[str, Any]
) -> None:
    upscale = _upscaler(**architecture)
    x = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3)) * 4 - 1.5
    y = upscale(x)
    assert y.shape == (count, 3, height * upscale.scale, width * upscale.scale)
    assert y.dtype == torch.float32
    assert y.numel() == 0 or (y.min() >= 0 and y.max() <= 1)
    for i in range(count):
        assert torch.equal(upscale(x[i : i + 1])[0], y[i])


def test_a_size_that_needs_no_padding_goes_through_unchanged() -> None:
    upscale = _upscaler(arch="rrdb", scale=2, **TINY_RRDB)
    x = torch.rand(1, 3, 6, 10)
    with torch.no_grad():
        expected = upscale._net(x).clamp(0, 1)
    torch.testing.assert_close(upscale(x), expected, atol=1e-6, rtol=0)


def test_odd_sizes_are_padded_by_reflection() -> None:
    upscale = _upscaler(arch="rrdb", scale=2, **TINY_RRDB)
    x = torch.rand(1, 3, 5, 7)
    reflected = torch.nn.functional.pad(x, (0, 1, 0, 1), mode="reflect")
    torch.testing.assert_close(upscale(x), upscale(reflected)[:, :, :10, :14], atol=1e-6, rtol=0)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8), (1, 3, 0, 8)])
def test_a_wrong_shape_is_refused_with_what_was_expected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\), got"):
        _upscaler(arch="srvgg", **TINY_SRVGG)(torch.zeros(shape))


def test_the_result_can_be_changed_in_place_by_later_stages() -> None:
    y = _upscaler(arch="srvgg", **TINY_SRVGG)(torch.rand(1, 3, 4, 4))
    y.mul_(2)
    assert not y.requires_grad


def test_working_memory_grows_with_the_output_and_shrinks_with_precision() -> None:
    need = {
        scale: _upscaler(arch="rrdb", scale=scale, **TINY_RRDB).bytes_per_pixel()
        for scale in (4, 2, 1)
    }
    # Every intermediate of the ×2 network is that of the ×4 network on half the sides.
    assert need[4] == pytest.approx(4 * need[2], rel=0.05)
    assert need[4] == pytest.approx(16 * need[1], rel=0.05)
    half = RealESRGANUpscaler(_tiny(arch="rrdb", **TINY_RRDB), Runtime(precision="bfloat16"))
    assert half.bytes_per_pixel() == pytest.approx(0.75 * need[4], rel=0.01)


def test_every_card_agrees_with_the_architecture_it_names() -> None:
    assert FAMILY.cards[0].name == "realesrgan-x4plus"
    for card in CARDS:
        small = {**card.architecture, "num_feat": 8}
        if card.architecture["arch"] == "rrdb":
            small["num_block"] = 1
        assert _upscaler(**small).scale == card.scale
        assert card.licence.commercial
        assert all(file.sha256 for source in card.sources for file in source)

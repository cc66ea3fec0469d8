"""SRGAN: the three networks compute what the authors' do, and the upscaler keeps its promises."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import WeightsError
from restore_batch.models.base import NoOptions, Runtime
from restore_batch.models.families.srgan import CARDS, FAMILY, build, network, recognise
from restore_batch.models.nets.srgan import doublings

from support.data import weights
from support.parity import case, scaled

FIXTURES = ["srresnet_paper_x4", "msrresnet_x4", "srgan_generator_x2", "srgan_generator_x4"]
INNER_TENSORS = {
    "srresnet_paper_x4": [
        "conv1.0.weight",
        "trunk.7.rcb.3.weight",
        "trunk.0.rcb.1.running_var",
        "upsampling.1.upsample_block.2.weight",
        "conv3.bias",
    ],
    "msrresnet_x4": [
        "conv_first.bias",
        "trunk_net.15.conv2.weight",
        "upsample1.upsample_conv.weight",
        "conv_hr.weight",
        "conv_last.weight",
    ],
    "srgan_generator_x4": [
        "block1.1.weight",
        "block4.bn1.bias",
        "block7.1.running_var",
        "block8.1.prelu.weight",
        "block8.2.weight",
    ],
}
# bfloat16 keeps 8 bits of mantissa: the images in [0, 1] differ by up to 0.018 (0.0024 in the
# mean), of which this is twice. Channels-last only reorders sums.
BFLOAT16_ATOL = 0.04
CHANNELS_LAST_FACTOR = 100


def _forward(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return net(x)


def _tiny(**architecture: Any) -> tuple[torch.nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    return network(None, **architecture), architecture


TINY = [
    {"network": "srresnet", "channels": 8, "num_rcb": 2, "upscale": 2},
    {"network": "msrresnet", "mid_channels": 8, "num_blocks": 2, "upscale_factor": 3},
    {"network": "msrresnet", "mid_channels": 8, "num_blocks": 1, "upscale_factor": 4},
    {"network": "generator", "channels": 8, "scale_factor": 8, "trunk_end": "prelu"},
]


@pytest.mark.parametrize("name", FIXTURES)
def test_the_output_is_that_of_the_official_network(name: str) -> None:
    fixture = case(name)
    net = network(fixture.state(), **fixture.kwargs)
    fixture.check("output", _forward(net, fixture.inputs()["x"]))


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, keys in INNER_TENSORS.items() for key in keys]
)
def test_a_tensor_changed_by_five_percent_is_noticed(name: str, key: str) -> None:
    fixture = case(name)
    net = network(scaled(fixture.state(), key), **fixture.kwargs)
    with pytest.raises(AssertionError, match="beyond"):
        fixture.check("output", _forward(net, fixture.inputs()["x"]))


@pytest.mark.parametrize("name", FIXTURES)
def test_channels_last_and_bfloat16_stay_near_the_official_output(name: str) -> None:
    fixture = case(name)
    net = network(fixture.state(), **fixture.kwargs).to(memory_format=torch.channels_last)
    x = fixture.inputs()["x"].contiguous(memory_format=torch.channels_last)
    atol = CHANNELS_LAST_FACTOR * fixture.spec["outputs"][0]["atol"]
    fixture.check("output", _forward(net, x), atol=atol)
    fixture.check("output", _forward(net.bfloat16(), x.bfloat16()), atol=BFLOAT16_ATOL)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_architecture_is_read_from_the_official_keys(name: str) -> None:
    fixture = case(name)
    inferred = recognise(fixture.state())
    assert inferred is not None
    assert inferred.items() >= fixture.kwargs.items()
    fixture.check("output", _forward(network(fixture.state(), **inferred), fixture.inputs()["x"]))


@pytest.mark.parametrize("architecture", TINY)
def test_the_architecture_is_read_from_wrapped_and_prefixed_checkpoints(
    architecture: dict[str, Any],
) -> None:
    net, _ = _tiny(**architecture)
    state = net.state_dict()
    trained = {f"generator.{k}": v for k, v in state.items()}
    trained["discriminator.conv.weight"] = torch.zeros(1)
    compiled = {"state_dict": {f"_orig_mod.{k}": v for k, v in state.items()}, "epoch": 3}
    for checkpoint in (state, trained, compiled):
        inferred = recognise(checkpoint)
        assert inferred is not None
        assert inferred.items() >= architecture.items()
        again = network(checkpoint, **inferred)
        assert all(torch.equal(v, again.state_dict()[k]) for k, v in state.items())


@pytest.mark.parametrize("state", [{}, {"conv1.0.weight": torch.zeros(8, 3, 9, 9)}])
def test_other_weights_are_not_recognised_and_refused(state: dict[str, torch.Tensor]) -> None:
    assert recognise(state) is None
    with pytest.raises(WeightsError, match="no SRGAN weights"):
        network(state)


def test_weights_of_another_of_the_networks_are_refused() -> None:
    net, _ = _tiny(**TINY[0])
    with pytest.raises(WeightsError, match="not those of network 'generator'"):
        network(net.state_dict(), network="generator")


def test_weights_with_a_missing_key_are_refused_by_its_name() -> None:
    net, architecture = _tiny(**TINY[0])
    state = net.state_dict()
    del state["conv3.bias"]
    with pytest.raises(WeightsError, match=r"conv3\.bias"):
        network(state, **architecture)


@pytest.mark.parametrize("architecture", TINY)
def test_the_upscaler_gives_each_picture_of_a_batch_what_it_gives_it_alone(
    architecture: dict[str, Any],
) -> None:
    net, _ = _tiny(**architecture)
    card = next(c for c in CARDS if c.architecture["network"] != "srresnet")
    card = type(card)(**{**vars(card), "architecture": architecture})
    upscaler = build(net.state_dict(), card, NoOptions(), Runtime())
    rgb_nchw = torch.rand(3, 3, 13, 18, generator=torch.Generator().manual_seed(1))
    together = upscaler(rgb_nchw)
    scale = upscaler.scale
    assert together.shape == (3, 3, 13 * scale, 18 * scale)
    assert together.dtype == torch.float32
    assert together.min() >= 0
    assert together.max() <= 1
    assert all(torch.equal(together[i : i + 1], upscaler(rgb_nchw[i : i + 1])) for i in range(3))
    assert upscaler.bytes_per_pixel() > 12 * scale**2


@settings(max_examples=10, deadline=None)
@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_any_size_of_picture_is_taken(height: int, width: int) -> None:
    net, _ = _tiny(**TINY[0])
    assert _forward(net, torch.zeros(1, 3, height, width)).shape == (1, 3, height * 2, width * 2)


@given(st.integers(-4, 300))
def test_only_powers_of_two_are_doublings(scale: int) -> None:
    if scale in (2, 4, 8, 16, 32, 64, 128, 256):
        assert 2 ** doublings(scale) == scale
    else:
        with pytest.raises(ValueError, match="scale"):
            doublings(scale)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_published_weights_enlarge_without_changing_what_is_seen(scale: int) -> None:
    path = weights() / "srgan" / f"netG_epoch_{scale}_100.pth"
    state = torch.load(path, map_location="cpu", weights_only=True)
    card = next(c for c in CARDS if c.name == f"srgan-generator-x{scale}")
    inferred = recognise(state)
    assert inferred is not None
    assert inferred.items() >= card.architecture.items()
    upscaler = build(state, card, NoOptions(), Runtime())
    # A smooth picture: what comes out, shrunk again, must be what went in.
    grid = np.linspace(0, 3, 40)
    wave = 0.5 + 0.3 * np.sin(grid[:, None] + grid[None, :])
    x = torch.from_numpy(np.stack([wave, wave[::-1], wave.T[::-1]])[None]).float()
    enlarged = upscaler(x)
    back = torch.nn.functional.avg_pool2d(enlarged, scale)
    assert torch.mean((back - x) ** 2) < 0.05**2
    assert float(enlarged.std()) > 0.1


def test_every_card_is_buildable_by_its_own_architecture() -> None:
    assert len({card.name for card in CARDS}) == len(CARDS)
    for card in CARDS:
        net = network(None, **card.architecture)
        assert int(net.scale) == card.scale
        inferred = recognise(net.state_dict())
        assert inferred is not None
        assert inferred.items() >= card.architecture.items()
    assert FAMILY.tiny is not None
    network(None, **FAMILY.tiny)

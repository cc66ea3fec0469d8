"""VGG: torchvision's keys and features, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torchvision.models.vgg import cfgs, make_layers

from restore_batch.errors import WeightsError
from restore_batch.models.base import NoOptions, Runtime
from restore_batch.models.families import vgg
from restore_batch.models.nets.judges.vgg import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VGGFeatures,
    layer_indices,
)

COLUMNS = {16: "D", 19: "E"}


def _state(depth: int) -> dict[str, torch.Tensor]:
    """A state dict as torchvision publishes it, with a small classifier."""
    torch.manual_seed(0)
    features = make_layers(cfgs[COLUMNS[depth]])
    state = {f"features.{key}": value for key, value in features.state_dict().items()}
    return {**state, "classifier.0.weight": torch.zeros(2, 2), "classifier.0.bias": torch.zeros(2)}


@pytest.mark.parametrize("depth", [16, 19])
def test_features_are_torchvisions(depth: int) -> None:
    state = _state(depth)
    layers = ("relu1_1", "conv2_2", "conv4_3", "relu5_1")
    net = vgg.network(state, layers=layers)
    theirs = make_layers(cfgs[COLUMNS[depth]])
    for module in theirs:
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    theirs.load_state_dict(
        {key[9:]: value for key, value in state.items() if key.startswith("features.")}
    )
    signed = torch.rand(1, 3, 32, 32) * 2 - 1
    seen = net(signed)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    x = (signed * 0.5 + 0.5 - mean) / std
    indices = layer_indices(depth)
    with torch.no_grad():
        for index, module in enumerate(theirs):
            x = module(x)
            for name in layers:
                if indices[name] == index:
                    assert torch.allclose(seen.pop(name), x, atol=1e-5)
    assert not seen


def test_the_layers_are_where_the_papers_code_finds_them() -> None:
    of_19, of_16 = layer_indices(19), layer_indices(16)
    known = {
        "relu1_1": 1,
        "conv3_4": 16,
        "relu4_1": 20,
        "relu5_1": 29,
        "conv5_4": 34,
        "relu5_4": 35,
    }
    assert {name: of_19[name] for name in known} == known
    assert of_16["conv4_3"] == 21
    assert of_16["conv5_3"] == 28
    assert "conv5_4" not in of_16


def test_pictures_can_enter_as_they_are() -> None:
    torch.manual_seed(0)
    plain = VGGFeatures(["conv1_1"], preparation="as_is", widths=(4, 4, 4, 4, 4))
    signed = torch.rand(1, 3, 16, 16) * 2 - 1
    assert torch.equal(plain(signed)["conv1_1"], plain.features[0](signed))


def test_nothing_is_built_above_the_last_layer() -> None:
    net = VGGFeatures(["conv1_2", "relu1_1"], widths=(4, 4, 4, 4, 4))
    assert list(net.state_dict()) == [
        "features.0.weight",
        "features.0.bias",
        "features.2.weight",
        "features.2.bias",
    ]


def test_the_network_is_fixed_but_passes_gradients_on() -> None:
    net = vgg.network(None, layers=("conv2_1",), widths=(4, 4, 4, 4, 4))
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    net(x)["conv2_1"].sum().backward()
    assert x.grad is not None
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())


@pytest.mark.parametrize("depth", [16, 19])
def test_the_depth_is_read_from_the_keys(depth: int) -> None:
    with torch.device("meta"):
        state = _state(depth)
    assert vgg.recognise(state) == {"depth": depth}
    state.pop("features.28.weight")
    assert vgg.recognise(state) is None


def test_other_networks_are_not_taken_for_it() -> None:
    with torch.device("meta"):
        for column, batch_norm in (("A", False), ("B", False), ("D", True)):
            features = make_layers(cfgs[column], batch_norm=batch_norm)
            state = {f"features.{key}": value for key, value in features.state_dict().items()}
            assert vgg.recognise(state) is None
    assert vgg.recognise({}) is None


def test_another_depth_and_missing_tensors_are_refused() -> None:
    state = _state(16)
    with pytest.raises(WeightsError, match="VGG-16's, expected VGG-19's"):
        vgg.network(state, 19)
    state.pop("features.2.bias")
    with pytest.raises(WeightsError, match=r"VGG-16: 1 missing \(the first: features\.2\.bias\)"):
        vgg.network(state, 16, layers=("conv2_1",))


@pytest.mark.parametrize("layers", [["conv5_4"], ["conv6_1"], []])
def test_a_layer_that_there_is_not_is_named(layers: list[str]) -> None:
    with pytest.raises(ValueError, match=r"VGG-16 has no layer (conv5_4|conv6_1|\(none given\))"):
        VGGFeatures(layers, depth=16)


@pytest.mark.parametrize("card", vgg.CARDS, ids=lambda card: card.name)
def test_the_cards_name_torchvisions_files(card: vgg.Card) -> None:
    (file,) = card.sources[0]
    assert file.sha256 is not None
    # torchvision puts the first digits of the checksum into the name.
    assert file.filename == f"{card.name}-{file.sha256[:8]}.pth"
    assert file.urls == (f"https://download.pytorch.org/models/{file.filename}",)


def test_built_from_its_card_it_gives_the_deepest_features() -> None:
    card = vgg.CARDS[1]
    net = vgg.build(_state(16), card, NoOptions(), Runtime())
    assert list(net(torch.zeros(1, 3, 32, 32))) == ["conv5_3"]

"""Judges: only those that are needed, from the weight store, and only published files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torchvision.models.vgg import cfgs, make_layers

from restore_batch.errors import WeightsError
from restore_batch.files import sha256_of
from restore_batch.models.base import Card
from restore_batch.models.families import identity, vgg
from restore_batch.models.train.losses.judges import identity_network, load_judges
from restore_batch.models.train.losses.objectives import (
    FidelityObjective,
    GFPGANObjective,
    GLEANObjective,
    HiFaceGANObjective,
    SRGANObjective,
)
from restore_batch.models.weights.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "weights", download=False)


def _published(card: Card, path: Path) -> Card:
    """``card``, as if ``path`` were the file that was published."""
    (file,) = card.sources[0]
    return replace(card, sources=((replace(file, sha256=sha256_of(path), size_bytes=None),),))


def _random_vgg(card: Card, folder: Path) -> Path:
    """Random weights in torchvision's form, under the published name."""
    torch.manual_seed(0)
    column = {16: "D", 19: "E"}[card.architecture["depth"]]
    state = make_layers(cfgs[column]).state_dict()
    path = folder / card.sources[0][0].filename
    folder.mkdir(parents=True, exist_ok=True)
    torch.save({f"features.{key}": value for key, value in state.items()}, path)
    return path


def test_without_judging_terms_nothing_is_loaded(store: Store) -> None:
    judges = load_judges(FidelityObjective(), 256, store)
    assert not judges.discriminators
    assert judges.features is None
    assert judges.identity is None


def test_the_features_are_those_of_the_file_in_the_store(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = vgg.CARDS[0]
    path = _random_vgg(card, store.folder)
    monkeypatch.setattr(vgg, "CARDS", (_published(card, path),))
    judges = load_judges(SRGANObjective(), 32, store)
    assert list(judges.discriminators) == ["main"]
    assert judges.features is not None
    published = torch.load(path, weights_only=True)
    ours = judges.features.state_dict()
    assert torch.equal(ours["features.34.weight"], published["features.34.weight"])
    assert list(judges.features(torch.zeros(1, 3, 32, 32))) == ["relu5_4"]


@pytest.mark.parametrize(
    ("objective", "filename"),
    [
        (SRGANObjective(), "vgg19-dcbb9e9d.pth"),
        (HiFaceGANObjective(), "vgg19-dcbb9e9d.pth"),
        (GLEANObjective(), "vgg16-397923af.pth"),
        (GFPGANObjective(perceptual=0, style=0), "recognition_arcface_ir_se50.pth"),
    ],
)
def test_weights_that_are_not_here_are_named_with_their_address(
    store: Store, objective: SRGANObjective, filename: str
) -> None:
    with pytest.raises(WeightsError, match=filename):
        load_judges(objective, 64, store)


def test_a_file_that_only_has_the_published_name_is_refused(store: Store) -> None:
    path = _random_vgg(vgg.CARDS[1], store.folder)
    with pytest.raises(WeightsError, match=rf"{path.name} is not the published"):
        load_judges(GLEANObjective(), 64, store)


def test_the_identity_network_is_arcface_from_the_store(store: Store) -> None:
    torch.manual_seed(0)
    state = identity.network(None, **identity.CARD.architecture).state_dict()
    store.folder.mkdir(parents=True)
    torch.save(state, store.folder / identity.CARD.sources[0][0].filename)
    net = identity_network(GFPGANObjective(), store)
    assert not net.training
    assert torch.equal(net.state_dict()["input_layer.0.weight"], state["input_layer.0.weight"])

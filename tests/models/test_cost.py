"""What a card says that its network costs is what torch counts on the network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from restore_batch.models import registry
from restore_batch.models.base import Card, NoOptions, Runtime

_TOLERANCE = 0.03
# The side that a network works at where the card does not say it: its protocol resizes.
_SIDES_PX = {"arcface": 112, "dlib": 150}
# In larger pictures a network may work on bands, and compute some rows twice.
_ANY_SIZE_PX = 256
_LAST_LAYERS = {"vgg16": ("conv5_3",), "vgg19": ("conv5_4",)}
_CARDS = [card for card in registry.cards() if card.family not in ("cascade", "mtcnn", "pulse")]


def counted_tflop(card: Card) -> float:
    """Counted on shapes alone: nothing is computed."""
    architecture: dict[str, Any] = dict(card.architecture)
    if card.name in _LAST_LAYERS:
        architecture["layers"] = _LAST_LAYERS[card.name]
    network = registry.family_of(card).network(None, **architecture)
    side = card.input_px or _SIDES_PX.get(card.family, _ANY_SIZE_PX)
    side = architecture.get("in_size", side) if card.family.startswith("glean") else side
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        picture = torch.rand(1, 3, side, side)
        network(picture, picture[:, :1]) if card.task == "fill" else network(picture)
    per_pass = counter.get_total_flops() / 1e12
    return per_pass if card.per == "face" else per_pass / (side**2 / 1e6)


@pytest.mark.parametrize("card", _CARDS, ids=lambda card: card.name)
def test_a_card_says_what_its_network_computes(card: Card) -> None:
    assert card.tflop == pytest.approx(counted_tflop(card), rel=_TOLERANCE)


@pytest.mark.parametrize("name", ["mtcnn", "cascade-1"])
def test_the_cost_of_a_cascade_is_that_of_its_first_network_on_all_levels(name: str) -> None:
    card = registry.card(name)
    family = registry.family_of(card)
    state = family.network(None, **card.architecture).state_dict()
    state = {key: torch.zeros_like(value) for key, value in state.items()}
    # Networks of zeros find nothing likely, so that the other two are not asked.
    if "propose.head.bias" in state:
        state["propose.head.bias"][0] = -9
    detector = family.build(state, card, NoOptions(), Runtime())
    with FlopCounterMode(display=False) as counter:
        assert detector([np.zeros((1000, 1000, 3), np.uint8)], 0.5) == [[]]
    assert card.tflop == pytest.approx(counter.get_total_flops() / 1e12, rel=_TOLERANCE)


def test_a_search_costs_at_least_what_its_steps_compute() -> None:
    card = registry.card("pulse")
    network: Any = registry.family_of(card).network(None, **card.architecture)
    with FakeTensorMode(allow_non_fake_inputs=True), FlopCounterMode(display=False) as counter:
        latents = torch.rand(1, 18, 512, requires_grad=True)
        noises = [torch.rand(1, 1, side, side) for side in network.noise_sizes_px]
        network(latents, noises).sum().backward()
    assert card.tflop is not None
    assert card.tflop >= 100 * counter.get_total_flops() / 1e12


def test_every_network_that_is_taken_unasked_has_a_known_cost() -> None:
    assert all(card.tflop for card in registry.cards() if card.rank is not None)


def test_no_two_networks_of_a_task_have_the_same_rank() -> None:
    for task in ("detect", "restore", "upscale", "parse", "identity"):
        ranks = [card.rank for card in registry.ranked(task)]  # type: ignore[arg-type]
        assert ranks == sorted(set(ranks))

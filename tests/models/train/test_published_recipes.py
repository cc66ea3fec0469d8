"""The recipes of the published systems: they validate, and their numbers are the papers'."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from restore_batch.models import registry
from restore_batch.models.train.losses.objectives import OBJECTIVES
from restore_batch.models.train.recipe import Recipe
from restore_batch.models.train.trainer import rate

FOLDER = Path(__file__).resolve().parents[3] / "jobs" / "train"
PUBLISHED = ("srgan", "hifacegan", "gfpgan", "glean")


def _recipe(name: str) -> Recipe:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    return Recipe.model_validate(YAML(typ="safe").load(text))


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_names_a_known_objective_and_weights_it_has(name: str) -> None:
    objective = _recipe(name).objective
    assert objective.name == name
    kind = OBJECTIVES[objective.name]
    assert objective.weights.keys() <= {field.name for field in fields(kind)}
    # As published, so that nothing is to be set.
    assert kind(**objective.weights) == kind()


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipes_network_is_one_that_was_published(name: str) -> None:
    network = _recipe(name).network
    family = next(family for family in registry.families() if family.name == network.family)
    if name == "srgan":
        # The paper's own network: its weights were never published.
        assert network.architecture["network"] == "srresnet"
        return
    assert any(dict(card.architecture) == network.architecture for card in family.cards)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("srgan", {"rate": 1e-4, "betas": (0.9, 0.999), "steps": 200_000, "batch": 16, "side": 96}),
        (
            "hifacegan",
            {"rate": 1e-4, "betas": (0, 0.9), "steps": 1_750_000, "batch": 2, "side": 512},
        ),
        ("gfpgan", {"rate": 3e-5, "betas": (0, 0.99), "steps": 800_000, "batch": 12, "side": 512}),
        (
            "glean",
            {"rate": 1e-4, "betas": (0.9, 0.99), "steps": 300_000, "batch": 16, "side": 1024},
        ),
    ],
)
def test_the_hyper_parameters_are_the_published_ones(name: str, wanted: dict[str, Any]) -> None:
    recipe = _recipe(name)
    assert {
        "rate": recipe.optimiser.learning_rate,
        "betas": recipe.optimiser.betas,
        "steps": recipe.run.steps,
        "batch": recipe.run.batch,
        "side": recipe.data[0].side_px,
    } == wanted


def test_gleans_rate_falls_by_half_along_half_of_a_cosine() -> None:
    recipe = _recipe("glean")
    last = recipe.run.steps
    rates = [rate(recipe.schedule, step, last) for step in (0, last // 2, last - 1)]
    assert rates == pytest.approx([1, 0.5 + 0.5**0.5 / 2, 0.5], abs=1e-2)


def test_gfpgans_lazily_regularised_discriminator_is_slowed_down_by_16_of_17() -> None:
    recipe = _recipe("gfpgan")
    assert recipe.discriminator_optimiser is not None
    assert recipe.discriminator_optimiser.learning_rate == pytest.approx(2e-3 * 16 / 17, rel=1e-3)
    assert recipe.discriminator_optimiser.betas[1] == pytest.approx(0.99 ** (16 / 17), abs=1e-6)
    assert recipe.run.ema == pytest.approx(0.5 ** (32 / 10_000), abs=1e-5)
    assert recipe.component_optimiser is not None
    assert recipe.component_optimiser.learning_rate == 2e-3
    assert recipe.component_optimiser.betas == (0.9, 0.99)
    # 3x3 convolutions of 512 channels, equalised.
    assert recipe.optimiser.learning_rate == pytest.approx(2e-3 / (512 * 9) ** 0.5, rel=0.05)


def test_hifacegan_learns_at_two_time_scales_and_decays_for_20_of_50_epochs() -> None:
    recipe = _recipe("hifacegan")
    assert recipe.discriminator_optimiser is not None
    assert recipe.discriminator_optimiser.learning_rate == 4 * recipe.optimiser.learning_rate
    assert recipe.schedule.decay_steps / recipe.run.steps == pytest.approx(20 / 50)

"""Recipes: the shipped ones are valid, and what contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from restore_batch.models.train.losses.objectives import objective_of
from restore_batch.models.train.recipe import Recipe

from support.data import ROOT

SHIPPED = sorted((ROOT / "jobs" / "train").glob("*.yaml"))


def _compact() -> dict[str, Any]:
    return dict(YAML(typ="safe").load(ROOT / "jobs" / "train" / "compact.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_is_valid_and_names_an_objective_that_takes_its_weights(
    path: Path,
) -> None:
    recipe = Recipe.model_validate(YAML(typ="safe").load(path), context={"base_dir": path.parent})
    objective_of(recipe.objective)
    assert recipe.output.is_relative_to(ROOT)


def test_paths_are_relative_to_the_recipes_folder(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        _compact() | {"output": "../out"}, context={"base_dir": tmp_path}
    )
    assert recipe.output == tmp_path.parent / "out"
    assert all(folder.is_absolute() for faces in recipe.data for folder in faces.folders)


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("name", "Not A File Name"),
        ("data", []),
        ("data", [{"folders": ["a"], "side_px": 256, "every": 2}]),
        ("data", [{"folders": [], "side_px": 256}]),
        ("scenes", [{"folders": ["a"], "crop_px": 64}]),
        ("degradations", {"mixed": 0, "old_print": 0}),
        ("degradations", {"mixed_options": {"noise": [0, 1]}}),
        ("objective", {"name": "beauty"}),
        ("optimiser", {"learning_rate": 0}),
        ("run", {"steps": 0, "batch": 1}),
        ("objective", {"name": "proposals"}),
        ("portraits", {"folders": ["a"]}),
        ("surprise", 1),
    ],
)
def test_contradictions_are_refused(section: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(_compact() | {section: value})

"""Reads a training recipe from YAML; every mistake is reported at its line, all in one go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from restore_batch.jobs.yaml_options import Wording, options_from_file

if TYPE_CHECKING:
    from restore_batch.models.train.recipe import Recipe

_WORDING = Wording("a recipe", "name: and network:", "run.steps=1000")


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file; its paths are relative to the file's folder.

    ``overrides`` as after ``--set``: ``run.steps=100``, with values in YAML. Raises JobFileError
    with every mistake found.
    """
    from restore_batch.models.train.recipe import Recipe

    recipe, _ = options_from_file(path, Recipe, overrides, _WORDING)
    return recipe

"""The trained weights as a file that is shipped: safetensors, with a record of their making."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from restore_batch.files import settle, whole
from restore_batch.models import registry
from restore_batch.models.train.curves import read_curve
from restore_batch.models.train.recipe import Recipe


def export(recipe: Recipe, state: Mapping[str, torch.Tensor], step: int, part: str = "") -> Path:
    """Write ``<output>/<name><part>.safetensors`` and beside it ``<name><part>.json``.

    The record holds the architecture, the recipe, the step, the last scores and the checksum;
    the registry takes title, licence and limits from it. Returns the path of the weights.
    """
    name = recipe.name + part
    path = recipe.output / f"{name}.safetensors"
    dtype: torch.dtype = getattr(torch, recipe.export)
    stored = {
        key: (value.to(dtype) if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in state.items()
    }
    with whole(path) as written:
        written.write_bytes(save(stored))  # metadata would be in another order each time
        size_bytes, sha256 = settle(written)
    scores = recipe.output / "validation.csv"
    record = {
        "name": name,
        "family": recipe.network.family,
        "architecture": _architecture(recipe, state) if part else recipe.network.architecture,
        "about": recipe.about.model_dump(),
        "step": step,
        "scores": read_curve(scores)[-1] if scores.is_file() else {},
        "sha256": sha256,
        "size_bytes": size_bytes,
        "recipe": recipe.model_dump(mode="json"),
    }
    with whole(path.with_suffix(".json")) as written:
        written.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    return path


def _architecture(recipe: Recipe, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """That of a part of the network, as its keys tell it."""
    family = next(f for f in registry.families() if f.name == recipe.network.family)
    return family.recognise(state) or {}

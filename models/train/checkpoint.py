"""Checkpoints: a run's whole state on disk, the newest two of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch

from restore_batch.errors import UsageError
from restore_batch.files import whole
from restore_batch.models.train.recipe import Recipe

_KEPT = 2
_NAME = re.compile(r"step-(\d+)\.pt")
# What may change between a run and its continuation: how long, where and how often, not what.
_FREE: dict[str, bool | set[str]] = {
    "output": True,
    "network": {"start_from"},  # read once, before the first step
    "run": {
        "steps", "device", "threads", "workers", "loaders",
        "checkpoint_every_steps", "log_every_steps",
    },
    "validation": True,
    "schedule": True,
    "export": True,
    "about": True,
}  # fmt: skip


class Checkpoints:
    """The checkpoints in ``<output>/checkpoints`` of a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        self._folder = recipe.output / "checkpoints"
        self._identity = _identity(recipe)

    def write(self, state: Mapping[str, Any]) -> Path:
        """Write ``state`` under its "step", whole or not at all; older ones are removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"step-{state['step']:08d}.pt"
        with whole(path) as written, written.open("wb") as file:
            torch.save({**state, "recipe": self._identity}, file)
        for old in self._all()[:-_KEPT]:
            old.unlink()
        return path

    def there(self) -> bool:
        """Whether there is any."""
        return bool(self._all())

    def newest(self) -> dict[str, Any] | None:
        """The state of the latest step, on the CPU, or None.

        Raises UsageError when another recipe wrote it.
        """
        there = self._all()
        if not there:
            return None
        # Tensors and plain values only: a checkpoint from elsewhere runs no code.
        saved: dict[str, Any] = torch.load(there[-1], map_location="cpu", weights_only=True)
        if saved.pop("recipe") != self._identity:
            raise UsageError(
                f"{there[-1]} is of another recipe: only the run's length, schedule and machine"
                " may change; give another output, or start anew without --resume"
            )
        return saved

    def _all(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if _NAME.fullmatch(path.name))


def _identity(recipe: Recipe) -> str:
    """What a continuation must have in common with the run: folders by their names alone, since
    runs are moved with their pictures to other machines."""
    settings = recipe.model_dump(mode="json", exclude=cast(Any, _FREE))
    for source in (*settings["data"], *settings["scenes"]):
        source["folders"] = [Path(folder).name for folder in source["folders"]]
    if settings["degradations"]["outlines"] is not None:
        settings["degradations"]["outlines"] = Path(settings["degradations"]["outlines"]).name
    for option in ("outlines", "finder"):
        if settings["damage"] is not None and settings["damage"][option] is not None:
            settings["damage"][option] = Path(settings["damage"][option]).name
    return json.dumps(settings)

"""Which stages there are, and in which order they come.

A stage is found by scanning the folders of this package, then the entry points of the group
``restore_batch.stages`` (each names a Stage or several). It comes right behind the stage that it
says it follows; of several that follow one stage, those come first that have less behind them.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TypeGuard

from restore_batch.jobs.units import Photo
from restore_batch.plugins import modules_in, offered
from restore_batch.stages.base import Stage

FOLDERS = ("photo", "quality", "repair", "faces", "enlarge", "previews", "film")
ENTRY_POINTS = "restore_batch.stages"


@cache
def stage_classes() -> tuple[type[Stage], ...]:
    """All stages, in their order."""
    found: dict[str, type[Stage]] = {}
    for stage in [*_own(), *offered(ENTRY_POINTS, _is_stage, "Stage")]:
        if found.setdefault(stage.name, stage) is not stage:
            warnings.warn(f"stage {stage.name!r} is there twice; kept the first", stacklevel=2)
    return tuple(in_order(found.values()))


def in_order(stages: Iterable[type[Stage]]) -> list[type[Stage]]:
    """The stages, each behind the one that it follows. Raises ValueError where that is unknown."""
    followers: dict[str, list[type[Stage]]] = {}
    for stage in stages:
        followers.setdefault(stage.after, []).append(stage)

    def runs(name: str) -> list[type[Stage]]:
        behind = [[stage, *runs(stage.name)] for stage in followers.pop(name, ())]
        behind.sort(key=lambda run: (len(run), run[0].name))
        return [stage for run in behind for stage in run]

    # A photo's stages work on the frames of films too, so they must come before a film's own.
    order = sorted(runs(""), key=lambda stage: Photo not in stage.kinds)
    if followers:
        raise ValueError(
            f"no stage is called {' or '.join(sorted(followers))}, which others follow"
        )
    return order


def _is_stage(value: object) -> TypeGuard[type[Stage]]:
    return inspect.isclass(value) and issubclass(value, Stage)


def _own() -> Iterator[type[Stage]]:
    for folder in FOLDERS:
        for module in modules_in(f"restore_batch.stages.{folder}"):
            for value in vars(module).values():
                if _is_stage(value) and value.__module__ == module.__name__:
                    yield value

"""Which stages there are, and in which order they come.

A stage is found by scanning the folders of this package, then the entry points of the group
``restore_batch.stages`` (each names a Stage or several). It comes right behind the stage that it
says it follows; of several that follow one stage, those come first that have less behind them.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata

from restore_batch.stages.base import Stage

FOLDERS = ("photo", "faces", "enlarge", "film")
ENTRY_POINTS = "restore_batch.stages"


@cache
def stage_classes() -> tuple[type[Stage], ...]:
    """All stages, in their order."""
    found: dict[str, type[Stage]] = {}
    for stage in [*_own(), *_plugins()]:
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
    order = sorted(runs(""), key=lambda stage: not stage.of_frames and stage.pool == "films")
    if followers:
        raise ValueError(
            f"no stage is called {' or '.join(sorted(followers))}, which others follow"
        )
    return order


def _own() -> Iterator[type[Stage]]:
    for folder in FOLDERS:
        package = importlib.import_module(f"restore_batch.stages.{folder}")
        for found in pkgutil.iter_modules(package.__path__):
            if not found.ispkg:
                yield from _declared(f"{package.__name__}.{found.name}")


def _declared(name: str) -> Iterator[type[Stage]]:
    for value in vars(importlib.import_module(name)).values():
        if inspect.isclass(value) and issubclass(value, Stage) and value.__module__ == name:
            yield value


def _plugins() -> Iterator[type[Stage]]:
    for point in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda p: p.name):
        try:
            loaded = point.load()
            offered = (loaded,) if inspect.isclass(loaded) else tuple(loaded)
            if not all(issubclass(stage, Stage) for stage in offered):
                raise TypeError("is not a Stage")
        except Exception as error:  # someone else's package must not take this one down
            warnings.warn(f"stage plug-in {point.value!r} left out: {error}", stacklevel=2)
            continue
        yield from offered

"""What can be added by a file: found in a folder of this package, or offered by another package."""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Callable, Iterator
from importlib import metadata
from types import ModuleType
from typing import TypeGuard, TypeVar

Kind = TypeVar("Kind")


def modules_in(package: str) -> Iterator[ModuleType]:
    """The modules of a package's folder, imported, by name; not those of folders in it."""
    folder = importlib.import_module(package).__path__
    for found in sorted(pkgutil.iter_modules(folder), key=lambda module: module.name):
        if not found.ispkg:
            yield importlib.import_module(f"{package}.{found.name}")


def offered(group: str, is_one: Callable[[object], TypeGuard[Kind]], noun: str) -> Iterator[Kind]:
    """What other packages offer by the entry points of ``group``, one or several each.

    ``is_one``: whether something is what is wanted, a ``noun``. What cannot be loaded or is
    something else is left out with a warning: someone else's package must not take this one down.
    """
    for point in sorted(metadata.entry_points(group=group), key=lambda p: p.name):
        try:
            loaded = point.load()
            several = isinstance(loaded, tuple | list) and not is_one(loaded)
            found = tuple(loaded) if several else (loaded,)
            if not all(map(is_one, found)):
                raise TypeError(f"is not a {noun}")
        except Exception as error:
            text = f"plug-in {point.value!r} of {group} left out: {error}"
            warnings.warn(text, stacklevel=2)
            continue
        yield from filter(is_one, found)

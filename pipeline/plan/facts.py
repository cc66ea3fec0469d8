"""What headers say, of very many photos at once.

Each fact of a photo is a number or a word, and all photos have the same ones: their names are kept
once, not for each of a million.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any


class Facts(Mapping[str, Any]):
    """A mapping that cannot be changed, equal to the one that it was made of."""

    __slots__ = ("_places", "_values")

    def __init__(self, plain: Mapping[str, Any]) -> None:
        self._places = _places(tuple(plain))
        self._values = tuple(
            sys.intern(value) if type(value) is str else value for value in plain.values()
        )

    def __getitem__(self, name: str) -> Any:
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    return {name: place for place, name in enumerate(names)}

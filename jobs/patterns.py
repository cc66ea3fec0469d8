"""Patterns of paths: ``*``, ``?`` and ``[…]`` within a name, ``**`` for any folders.

Inputs and exclusions follow the same rules. Case and Unicode composition are ignored, as scanners
write ``.TIF`` and ``.tif`` alike. A pattern that matches a folder covers all that lies in it.
"""

from __future__ import annotations

import fnmatch
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

__all__ = ["Patterns", "Roots", "Scope", "escaped", "has_pattern", "literal", "split_pattern"]

_ESCAPED = re.compile(r"\[([*?[])\]")
_Pattern = tuple[str, ...]


def has_pattern(path: str) -> bool:
    """Whether ``path`` holds pattern characters that are not escaped (``[*]`` is a star)."""
    return re.search(r"[*?[]", _ESCAPED.sub("", path)) is not None


def literal(path: str) -> str:
    """``path`` without the escapes of pattern characters."""
    return _ESCAPED.sub(r"\1", path)


def escaped(path: str) -> str:
    """The pattern that ``path`` alone matches, of paths that differ by more than case."""
    return re.sub(r"[*?[]", r"[\g<0>]", path)


class Roots:
    """The folders and files that inputs name, and how a file below them is excluded."""

    def __init__(self, inputs: Iterable[str]) -> None:
        self._order: dict[str, int] = {}
        for number, entry in enumerate(inputs):
            starts = [split_pattern(entry)[0]] if has_pattern(entry) else [literal(entry)]
            for start in (entry, *starts):  # brackets in a name that exists are no pattern
                self._order.setdefault(start.rstrip("/"), number)

    def exclusion_of(self, source: str) -> str:
        """The pattern that leaves out the local file ``source``: its path inside the first input
        that it was found by, from the beginning. "" where it lies in none of them."""
        order = self._order
        ends = [place for place, character in enumerate(source) if character == "/"]
        found = [(order[source[:end]], end) for end in ends if source[:end] in order]
        if source in order:
            found.append((order[source], ends[-1]))  # named outright: by its name alone
        if not found:
            return ""
        _, end = min(found)
        return "/" + escaped(source[end + 1 :])


def split_pattern(path: str) -> tuple[str, _Pattern]:
    """The fixed folder that ``path`` starts with, and the pattern below it."""
    parts = path.replace(os.sep, "/").split("/")
    fixed = next(i for i, part in enumerate(parts) if has_pattern(part))
    return literal("/".join(parts[:fixed])) or "/", tuple(parts[fixed:])


class Patterns:
    """A list of exclusions.

    A pattern without a slash is compared with the name of every file and folder; one with a
    slash with the path inside the input, from its beginning.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._names: list[str] = []
        self._paths: list[_Pattern] = []
        for pattern in patterns:
            text = pattern.rstrip("/").removeprefix("./")
            if "/" in text:
                self._paths.append(tuple(text.lstrip("/").split("/")))
            elif text:
                self._names.append(text)

    def __bool__(self) -> bool:
        return bool(self._names or self._paths)

    def match(self, parts: Sequence[str]) -> bool:
        """Whether the path of these components, or a folder it lies in, is excluded."""
        return bool(self) and self._matches(parts)

    def _matches(self, parts: Sequence[str]) -> bool:
        return any(_same(n, part) for n in self._names for part in parts) or any(
            _covers(pattern, parts) for pattern in self._paths
        )


class Scope:
    """What of an input is wanted: all that is not excluded, or only what a pattern covers."""

    def __init__(self, excluded: Patterns, pattern: _Pattern = ()) -> None:
        self._excluded = excluded
        self._pattern = pattern

    def takes(self, parts: Sequence[str]) -> bool:
        """Whether the file at ``parts``, below the root, is wanted."""
        return _covers(self._pattern, parts) and not self._excluded.match(parts)

    def enters(self, parts: Sequence[str]) -> bool:
        """Whether anything in the folder at ``parts`` could be wanted."""
        return _leads_to(self._pattern, parts) and not self._excluded.match(parts)


def _covers(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_covers(pattern[1:], parts[i:]) for i in range(len(parts) + 1))
    return bool(parts) and _same(pattern[0], parts[0]) and _covers(pattern[1:], parts[1:])


def _leads_to(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    if not pattern or not parts or pattern[0] == "**":
        return True
    return _same(pattern[0], parts[0]) and _leads_to(pattern[1:], parts[1:])


def _same(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(unicodedata.normalize("NFC", name)) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(unicodedata.normalize("NFC", pattern)), re.IGNORECASE)

"""How inputs are told apart, put in order and counted: by the numbers in their names, by their
folders, by their kinds."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache

from restore_batch.jobs.outputs import folded
from restore_batch.text import plural

HIDDEN_FILE, HIDDEN_FOLDER = _HIDDEN = "hidden file", "hidden folder"

# Folders that file servers and operating systems leave, full of thumbnails and deleted pictures.
_NOT_THE_USERS = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "__macosx", "lost+found", "system volume information"}
)
# Nobody looks for pictures of their own there: the state of runs, versions of texts, indices.
_OF_PROGRAMS = frozenset(
    {
        *(".restore-batch", ".git", ".hg", ".svn", ".appledouble", ".appledb", ".appledesktop"),
        *(".spotlight-v100", ".fseventsd", ".documentrevisions-v100", ".temporaryitems"),
    }
)
_KINDS_NAMED = 8
_NUMBERS = re.compile(r"\d+")


def labels_of(roots: Sequence[str]) -> dict[str, str]:
    """For each root its last folder names, as few as tell all roots apart."""
    parts = {root: [printable(p) for p in re.split(r"[/\\]", root) if p] for root in roots}
    labels: dict[str, str] = {}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {root: "/".join(parts[root][-depth:]) for root in roots}
        if len({folded(label) for label in labels.values()}) == len(roots):
            break
    return labels


def natural_order(parts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Sort key: numbers by value, letters without case, then the exact name.

    One text for all that is compared before the exact name: of a million names, each has its key
    while they are sorted.
    """
    *folders, name = parts
    return "".join((*map(_by_value_again, folders), _by_value(name))), tuple(parts)


def _by_value(name: str) -> str:
    plain = name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()
    # What ends sorts before what goes on; of two numbers, the one with fewer digits is smaller.
    return _NUMBERS.sub(_number, plain) + "\0\0"


def _number(found: re.Match[str]) -> str:
    digits = str(int(found[0]))
    return f"\0{chr(1 + len(digits))}{digits}"


_by_value_again = lru_cache(maxsize=4096)(_by_value)
"""Of folders, which are asked about for each file in them."""


def is_visible(name: str) -> bool:
    """Whether what is of this name in a folder is looked at, where only the folder is named."""
    return not name.startswith(".") and name.casefold() not in _NOT_THE_USERS


def hidden_kind(name: str, *, is_folder: bool) -> str:
    """What something that is not visible counts as; "" where it is worth no word, as what macOS
    writes beside ``photo.jpg``, ``._photo.jpg``."""
    if name.startswith("._") or name.casefold() in _OF_PROGRAMS:
        return ""
    return HIDDEN_FOLDER if is_folder else HIDDEN_FILE


def printable(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 as ``%E9``."""
    if name.isascii():
        return name
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in name)


def passed_over_line(passed_over: Mapping[str, int]) -> str:
    """``12 files passed over: 10 .xmp, 2 .svg; 1 hidden folder passed over``; "" where there are
    none. Keys are suffixes with their dot, "" for none, kinds of what is no file, HIDDEN_FILE and
    HIDDEN_FOLDER."""
    shown = {key: number for key, number in passed_over.items() if key not in _HIDDEN}
    hidden = [plural(passed_over[kind], kind) for kind in _HIDDEN if passed_over.get(kind)]
    lines = (_kinds(shown), f"{' and '.join(hidden)} passed over" if hidden else "")
    return "; ".join(filter(None, lines))


def _kinds(passed_over: Mapping[str, int]) -> str:
    count = sum(passed_over.values())
    kinds = sorted(passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{number} {_kind(suffix, number)}" for suffix, number in kinds[:_KINDS_NAMED]]
    if len(kinds) > _KINDS_NAMED:
        named.append(f"{sum(number for _, number in kinds[_KINDS_NAMED:])} others")
    files = "file" if count == 1 else "files"
    return f"{count} {files} passed over: {', '.join(named)}" if count else ""


def _kind(suffix: str, number: int) -> str:
    if not suffix:
        return "without a suffix"
    return suffix if suffix.startswith(".") or number == 1 else f"{suffix}s"

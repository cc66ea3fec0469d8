"""How inputs are told apart and put in order: by the numbers in their names, by their folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from restore_batch.jobs.outputs import folded


def labels_of(roots: Sequence[str]) -> dict[str, str]:
    """For each root its last folder names, as few as tell all roots apart."""
    parts = {root: [printable(p) for p in re.split(r"[/\\]", root) if p] for root in roots}
    labels: dict[str, str] = {}
    for depth in range(1, max(map(len, parts.values()), default=0) + 1):
        labels = {root: "/".join(parts[root][-depth:]) for root in roots}
        if len({folded(label) for label in labels.values()}) == len(roots):
            break
    return labels


def natural_order(parts: Sequence[str]) -> tuple[Any, ...]:
    """Sort key: numbers by value, letters without case, then the exact name."""
    words = [re.split(r"(\d+)", unicodedata.normalize("NFC", p).casefold()) for p in parts]
    by_value = tuple(
        tuple(int(word) if i % 2 else word for i, word in enumerate(split)) for split in words
    )
    return (by_value, tuple(parts))


def printable(name: str) -> str:
    """``name`` with the bytes that are not UTF-8 as ``%E9``."""
    return "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in name)

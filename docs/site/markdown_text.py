"""Text of the code as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE = re.compile(r"(`[^`]+`)")
_ROLE = re.compile(r":\w+:(?=`)")
_SPECIAL = re.compile(r"([\\*_<>\[\]|{}#])")


def prose(text: str) -> str:
    """A docstring or a description on one line: what it says in code stays so, and nothing else is
    taken for Markdown."""
    words = " ".join(_ROLE.sub("", text).replace("``", "`").split())
    parts = _CODE.split(words)
    return "".join(part if i % 2 else _SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts))


def code(*texts: str) -> str:
    """Each in code, with commas between; a dash for none."""
    return ", ".join(f"`{text}`" for text in texts) or "–"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, whose cells are Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def paragraphs(*texts: str) -> str:
    """Those that are not empty, with an empty line between."""
    return "\n\n".join(filter(None, texts))

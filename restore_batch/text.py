"""Text that comes from outside, made fit to be shown."""

from __future__ import annotations


def legible(text: str) -> str:
    """``text`` for reading only: what is no Unicode becomes a visible escape, so that a name which
    is not UTF-8 ends no program."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")

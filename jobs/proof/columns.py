"""What the columns of a manifest hold: how a value is put in, and how it comes out again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from sqlite3 import Row
from typing import Any


def packed(text: str) -> str | bytes:
    """``text`` as SQLite can keep it and give it back unchanged.

    File names that are not UTF-8 arrive with surrogate escapes, which are no Unicode text.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _name(value: Any) -> Any:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else _text(value)


def _json(value: Any) -> Any:
    return [] if value == "[]" else json.loads(value)  # as nearly all of a million are


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("text was expected")
    return value


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise ValueError("a number was expected")
    return value


_NAMES = ("output", "source", "stand_in", "item", "staged_path")
_JSON = ("job", "models", "probe", "seconds", "warnings", "sidecars", "box", "landmarks", "quality")
_TEXTS = (
    "outcome", "version", "job_file", "stamp", "sha256", "unit", "stand_in_sha256",
    "unit_state", "kind", "state", "base_key", "face_key", "source_sha256", "stage", "error_kind",
    "error", "message", "note",
)  # fmt: skip
_NUMBERS = (
    "started", "ended", "total", "run", "attempts", "face_count", "size_bytes", "mtime_ns",
    "width", "height", "attempt", "frame", "face", "score", "restored", "identity", "blend",
    "number", "first_byte", "end_byte", "repaired",
)  # fmt: skip
_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_NAMES, _name),
    **dict.fromkeys(_JSON, _json),
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(_NUMBERS, _number),
}
READERS: Mapping[str, tuple[type, Callable[[Any], Any]]] = {
    **{name: (str, decode) for name, decode in _DECODERS.items()},
    **dict.fromkeys(_JSON, (Row, _json)),
    **dict.fromkeys(_NUMBERS, (int, _number)),
}
"""With each column the type of a value that is what was put in; any other must be decoded."""
AS_IT_IS: tuple[type, Callable[[Any], Any]] = (object, lambda value: value)
"""The same of a column that is none of these."""


def decoded(column: str, value: Any) -> Any:
    """What was put into ``column``; ValueError where that cannot be."""
    if value is None or column not in _DECODERS:
        return value
    try:
        return _DECODERS[column](value)
    except (TypeError, ValueError) as error:  # a flipped bit may have made it another type
        raise ValueError(f"column {column} cannot be read: {error}") from None


def encoded(column: str, value: Any) -> Any:
    """What :func:`decoded` turns into ``value``."""
    if value is None:
        return None
    if column in _JSON:
        return json.dumps(value)
    return packed(value) if column in _NAMES else value

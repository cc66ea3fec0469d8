"""What a validator found, said in the user's words.

pydantic says *what rule* a value broke; a user wants to know *what to write*. So the sentence
comes from the schema of the option ("expected a number from 0 to 1, got 'high'"), and only our
own validators' messages pass through. The same words serve options of models, which are
validated later, against the schema of the model chosen.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

__all__ = ["Mistake", "did_you_mean", "misfits", "mistakes"]

_Schema = Mapping[str, Any]
_Location = tuple[str | int, ...]
_YES_OR_NO = {
    **dict.fromkeys(("yes", "on", "true", "y"), True),
    **dict.fromkeys(("no", "off", "false", "n"), False),
}
_MOST = 100
"""A file with more mistakes than this is not the file that was meant."""


@dataclass(frozen=True)
class Mistake:
    """One wrong option. ``path`` is dotted (``inputs.1`` for list entries); ``at_key`` is True
    when the name is wrong and not the value."""

    path: str
    message: str
    at_key: bool = False


def mistakes(error: ValidationError, model: type[BaseModel], prefix: str = "") -> list[Mistake]:
    """The mistakes in ``error``, found while ``model`` was validated, at most one an option: all
    of a hundred, of more the first hundred and how many there are.

    ``prefix`` is the dotted path under which the model stands in the job file.
    """
    root = model.model_json_schema()
    found: dict[_Location, Mistake] = {}
    for detail in error.errors(include_url=False)[:_MOST]:
        location, schema = _follow(root, detail["loc"])
        path = ".".join(str(part) for part in (*([prefix] if prefix else []), *location))
        match detail["type"]:
            case "extra_forbidden" | "invalid_key":
                name = str(detail["loc"][-1])
                path = ".".join(str(p) for p in (*([prefix] if prefix else []), *detail["loc"]))
                mistake = Mistake(path, "unknown option" + _meant(name, location, root), True)
                location = tuple(detail["loc"])
            case "missing":
                mistake = Mistake(path, f"missing: expected {_expected(schema, root)}")
            case "value_error":
                mistake = Mistake(path, str(detail["ctx"]["error"]))
            case _:
                mistake = Mistake(path, _wrong_value(schema, root, detail["input"]))
        found.setdefault(location, mistake)
    # A list is only said to be too short when none of its entries is to blame.
    shown = [m for at, m in found.items() if not any(at == o[: len(at)] != o for o in found)]
    if error.error_count() > _MOST:
        shown.append(Mistake(prefix, f"{error.error_count():,} mistakes; these are the first"))
    return shown


def misfits(values: Mapping[str, Any], model: type[BaseModel], prefix: str) -> list[Mistake]:
    """All mistakes in ``values``, written under ``prefix``, as a ``model``: empty when they fit.

    For options whose schema is known only once a model is chosen.
    """
    try:
        model.model_validate(dict(values))
    except ValidationError as error:
        return mistakes(error, model, prefix)
    return []


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``", did you mean 'strength'?"`` for the closest of ``known``, or nothing."""
    close = difflib.get_close_matches(name.casefold(), list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


_MOST_MEANT = 3


def _meant(name: str, section: _Location, root: _Schema) -> str:
    siblings = _options(_follow(root, section)[1], root)
    if hint := did_you_mean(name, siblings):
        return hint
    elsewhere = [path for path in _leaves(root, root) if path.rpartition(".")[2] == name]
    if elsewhere:
        return f", did you mean {' or '.join(map(repr, elsewhere[:_MOST_MEANT]))}?"
    return f"; known are {', '.join(siblings)}" if siblings else ""


def _leaves(schema: _Schema, root: _Schema) -> Iterator[str]:
    for name, option in _options(schema, root).items():
        below = list(_leaves(option, root))
        yield from (f"{name}.{leaf}" for leaf in below)
        if not below:
            yield name


def _resolve(schema: _Schema, root: _Schema) -> _Schema:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _options(schema: _Schema, root: _Schema) -> dict[str, _Schema]:
    schema = _resolve(schema, root)
    found: dict[str, _Schema] = {}
    for choice in (schema, *schema.get("anyOf", ())):
        found |= _resolve(choice, root).get("properties", {})
    return found


def _follow(root: _Schema, location: _Location) -> tuple[_Location, _Schema]:
    """The part of ``location`` that the schema knows, and the schema there.

    pydantic appends names of its own (members of a union) to a location; they end here.
    """
    schema = _resolve(root, root)
    for depth, part in enumerate(location):
        choices = [_resolve(choice, root) for choice in (schema, *schema.get("anyOf", ()))]
        below = [
            choice["items"] if isinstance(part, int) else choice["properties"][part]
            for choice in choices
            if (isinstance(part, int) and "items" in choice) or part in choice.get("properties", ())
        ]
        if not below:
            return location[:depth], schema
        schema = _resolve(below[0], root)
    return location, schema


def _wrong_value(schema: _Schema, root: _Schema, value: Any) -> str:
    choices = [str(choice) for choice in _choices(schema, root)]
    text = f"expected {_expected(schema, root)}, got {_shown(value)}"
    kinds = {_resolve(s, root).get("type") for s in (schema, *schema.get("anyOf", ()))}
    if meant := _of_yes_or_no(value, choices, kinds):
        return f"{text}, did you mean {meant}?"
    if choices and isinstance(value, str):
        return text + did_you_mean(value, choices)
    if "string" in kinds and isinstance(value, bool | int | float) and not choices:
        return text + " (put it in quotes)"
    if "array" in kinds and isinstance(value, str) and value and value.isprintable():
        return text + f" (write [{value}])"
    return text


def _of_yes_or_no(value: Any, choices: Sequence[str], kinds: Collection[str | None]) -> str:
    """What the words of YAML 1.1 for true and false, and these, may stand for; "" if nothing."""
    said = _YES_OR_NO.get(str(value).casefold())
    if said is None:
        return ""
    if "boolean" in kinds:
        return "" if isinstance(value, bool) else str(said).lower()
    if said and "object" in kinds:
        return "{}"  # with what is usual in it
    words = ("auto",) if said else ("off", "none")
    return next((repr(word) for word in words if word in choices), "")


def _choices(schema: _Schema, root: _Schema) -> list[Any]:
    schema = _resolve(schema, root)
    own = [schema["const"]] if "const" in schema else list(schema.get("enum", ()))
    return own + [c for option in schema.get("anyOf", ()) for c in _choices(option, root)]


_SECTION = "a section of options"


def _expected(schema: _Schema, root: _Schema) -> str:
    schema = _resolve(schema, root)
    words = ", ".join(str(choice) for choice in _choices(schema, root))
    if "anyOf" in schema:
        # null is left out where something else is allowed: who wrote a value wants a value.
        kinds = [s for s in schema["anyOf"] if s.get("type") != "null" and not _choices(s, root)]
        others = list(dict.fromkeys(_expected(kind, root) for kind in kinds))
        if not words or others:
            others.sort(key=lambda other: other == _SECTION)
            at = len(others) - (_SECTION in others)
            return " or ".join([*others[:at], *([words] if words else []), *others[at:]])
    if words:
        return f"one of {words}" if ", " in words else words
    kind = schema.get("type", "")
    if kind in ("number", "integer"):
        return ("a number" if kind == "number" else "a whole number") + _limits(schema)
    if kind == "array":
        return "a list" + (" with at least one entry" if schema.get("minItems") else "")
    if kind == "string":
        return "a path" if schema.get("format") == "path" else "a name or text"
    return {"boolean": "true or false", "object": _SECTION}.get(kind, "another value")


def _limits(schema: _Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    parts = [
        f"{word} {limit:g}"
        for word, limit in (
            ("of at least", low),
            ("above", above),
            ("of at most", high),
            ("below", below),
        )
        if limit is not None
    ]
    return " " + " and ".join(parts) if parts else ""


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case Mapping():
            return "a section of options"
        case []:
            return "an empty list"
        case list() | tuple():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 60 else text[:57] + "..."

"""Options in YAML: read with the place of each, changed by overrides, checked by a schema.

What job files and training recipes have in common. They may be as large as
:mod:`~restore_batch.jobs.yaml_reading` says. Every mistake is found in one go and reported
where it stands, as an editor or a terminal can jump to it:
``jobs/archive.yaml:6:3: restore.strenght: unknown option, did you mean 'strength'?``
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from restore_batch.errors import JobFileError, Problem
from restore_batch.jobs.mistakes import Mistake, mistakes
from restore_batch.jobs.yaml_reading import (
    DEFECTS,
    MAX_DEPTH,
    MAX_NODES,
    BeyondLimitError,
    Wording,
    bounded_yaml,
    constructed,
    duplicates,
    mark_of,
    option_of,
    parsed,
    shown,
    text_of,
)

__all__ = [
    "Further",
    "Overrides",
    "Places",
    "Setting",
    "Wording",
    "options_from_file",
    "options_from_mapping",
]


class Setting(NamedTuple):
    """An override by something with a name of its own: the flag ``where`` sets the option at the
    dotted ``path``, and is named in what is said of it."""

    where: str
    path: str
    value: object


Overrides = Mapping[str, object] | Sequence[str | Setting]
Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True)
class Places:
    """Where each option stands: in the file ``name``, or in an override."""

    name: str
    root: Node | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)

    def of(self, path: str, *, at_key: bool = False) -> str:
        """The place of the option at the dotted ``path``: see :meth:`LoadedJob.problem`."""
        override = self._override(path)
        if override is not None or self.root is None:
            return override or self.name
        return mark_of(self.name, _find(self.root, path, at_key))

    def problem(self, path: str, message: str, *, at_key: bool = False) -> Problem:
        """``message`` about an option, at its place."""
        text = f"{shown(path)}: {message}" if path else message
        return Problem(self.of(path, at_key=at_key), text)

    def order(self, mistake: Mistake) -> tuple[bool, int, int, str]:
        """Sorts mistakes as the file has them, those of overrides last."""
        overridden = self._override(mistake.path) is not None
        if self.root is None:
            return overridden, 0, 0, ""
        mark = _find(self.root, mistake.path, mistake.at_key).start_mark
        return overridden, mark.line, mark.column, mistake.path

    def _override(self, path: str) -> str | None:
        """Where the override stands that set ``path``, something above it or something in it."""
        related = [o for o in self.overrides if o == path or path.startswith(o + ".")]
        return self.overrides[max(related, key=len)] if related else None


@dataclass(frozen=True)
class Further(Generic[Schema]):
    """What is asked of options that are refused, so that all mistakes are found at once.

    ``check`` is given the options with the defaults in place of what is wrong, and ``needed`` in
    place of what must be given and is not.
    """

    check: Callable[[Schema], Iterable[Mistake]] = lambda options: ()
    needed: Mapping[str, Any] = field(default_factory=dict)


def options_from_file(
    path: str | os.PathLike[str],
    schema: type[Schema],
    overrides: Overrides,
    wording: Wording,
    further: Further[Schema] | None = None,
) -> tuple[Schema, Places]:
    """The options in a YAML file, and where they stand.

    ``overrides`` change them first: ``["restore.strength=0.7"]`` with values in YAML, as after
    ``--set``, or ``{"restore.strength": 0.7}``. The schema's context holds ``base_dir``, the
    file's folder. Raises JobFileError with every mistake found, in the order of the file,
    overrides last.
    """
    name = os.fspath(path)
    root = parsed(text_of(name, wording), name, wording)
    problems = [Problem(where, message) for where, message in duplicates(root, name)]
    data = constructed(root, name)
    if problems:
        # Which of two values is meant is not known, so nothing more can be said of them.
        raise JobFileError(problems)
    places = Places(name, root)
    return _validated(data, schema, overrides, Path(name).parent, places, wording, further)


def options_from_mapping(
    mapping: Mapping[str, Any],
    schema: type[Schema],
    overrides: Overrides,
    wording: Wording,
    further: Further[Schema] | None = None,
    *,
    name: str,
    base_dir: Path,
) -> tuple[Schema, Places]:
    """The options in a mapping, which is left as it is; like :func:`options_from_file`, with
    ``name`` for the place."""
    try:
        data = _copied(mapping)
    except _TooMuchError as error:
        raise JobFileError([Problem(name, str(error))]) from None
    return _validated(data, schema, overrides, base_dir, Places(name), wording, further)


def _validated(
    data: dict[Any, Any],
    schema: type[Schema],
    overrides: Overrides,
    base_dir: Path,
    written: Places,
    wording: Wording,
    further: Further[Schema] | None,
) -> tuple[Schema, Places]:
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    for where, path, value in _overrides(overrides, problems, wording):
        if (conflict := _set(data, path, value)) is None:
            origins[path] = where
        else:
            problems.append(Problem(where, conflict))
    places = Places(written.name, written.root, origins)
    options, found = _fitted(data, schema, base_dir)
    if options is not None and not problems:
        return options, places
    if further is not None:
        rest = options or _without_mistakes(data, found, schema, base_dir, further.needed)
        known = {mistake.path for mistake in found}
        more = further.check(rest) if rest is not None else ()
        found += [mistake for mistake in more if mistake.path not in known]
    found.sort(key=places.order)
    problems[:0] = [places.problem(m.path, m.message, at_key=m.at_key) for m in found]
    raise JobFileError(problems)


def _fitted(
    data: Mapping[Any, Any], schema: type[Schema], base_dir: Path
) -> tuple[Schema | None, list[Mistake]]:
    """The options that ``data`` describes, or what is wrong with it."""
    try:
        return schema.model_validate(data, context={"base_dir": base_dir.absolute()}), []
    except ValidationError as error:
        return None, mistakes(error, schema)


def _without_mistakes(
    data: Mapping[Any, Any],
    found: Sequence[Mistake],
    schema: type[Schema],
    base_dir: Path,
    needed: Mapping[str, Any],
) -> Schema | None:
    """The options with defaults in place of what is wrong, to look at the rest of them; None where
    what is left fits no schema either."""
    wrong = {mistake.path for mistake in found}
    sections = {path.partition(".")[0] for path in wrong}
    for left_out in (wrong, sections):
        options, _ = _fitted({**needed, **_without(data, left_out)}, schema, base_dir)
        if options is not None:
            return options
    return None


def _without(value: Any, wrong: Collection[str], path: str = "") -> Any:
    """A copy of ``value`` that lacks what stands at the dotted paths ``wrong``."""
    if not any(below.startswith(path) for below in wrong):
        return value  # nothing to leave out, and what is not looked into may be a circle
    if isinstance(value, Mapping):
        return {
            key: _without(below, wrong, f"{path}{key}.")
            for key, below in value.items()
            if f"{path}{key}" not in wrong
        }
    if isinstance(value, list):
        return [
            _without(below, wrong, f"{path}{number}.")
            for number, below in enumerate(value)
            if f"{path}{number}" not in wrong
        ]
    return value


# --- overrides ---------------------------------------------------------------------------------


def _overrides(
    overrides: Overrides, problems: list[Problem], wording: Wording
) -> Iterator[tuple[str, str, object]]:
    """(where, dotted path, value) of each; those that cannot be read go to ``problems``."""
    if isinstance(overrides, Mapping):
        for path, value in overrides.items():
            where = f"override {shown(path)}"
            try:
                yield where, path, _copied(value)
            except _TooMuchError as error:
                problems.append(Problem(where, str(error)))
        return
    for text in [overrides] if isinstance(overrides, str) else overrides:
        if isinstance(text, Setting):
            yield text
            continue
        where = f"--set {shown(text)}"
        path, equals, written = text.partition("=")
        path = path.strip()
        if not equals or not all(path.split(".")):
            problems.append(Problem(where, f"expected option=value, such as {wording.override}"))
            continue
        try:
            if path.count(".") > MAX_DEPTH:
                raise BeyondLimitError(problem="nested too deeply")
            yield where, path, bounded_yaml().load(written)
        except (YAMLError, RecursionError, *DEFECTS) as error:
            reason = shown(str(getattr(error, "problem", None) or "not YAML"))
            problems.append(Problem(where, f"{shown(path)}: cannot read the value: {reason}"))


def _set(data: dict[Any, Any], path: str, value: object) -> str | None:
    """Set the option at the dotted ``path``; a message when something else is in the way."""
    *sections, last = path.split(".")
    for depth, section in enumerate(sections, 1):
        below = data.get(section)
        if below is None:
            below = data[section] = {}
        if not isinstance(below, dict):
            prefix = ".".join(sections[:depth])
            return f"{path}: {prefix!r} is not a section of options; set it as a whole"
        data = below
    data[last] = value
    return None


class _TooMuchError(ValueError):
    """A mapping is no job, however it is read."""


def _copied(value: Any) -> Any:
    """Mappings copied into plain dicts, so that overrides never change what the caller holds."""
    left = MAX_NODES

    def copied(value: Any, level: int) -> Any:
        nonlocal left
        if not isinstance(value, Mapping):
            return value
        left -= len(value)
        if level > MAX_DEPTH or left < 0:
            raise _TooMuchError(
                "nested too deeply" if level > MAX_DEPTH else f"more than {MAX_NODES:,} options"
            )
        return {k: copied(v, level + 1) for k, v in value.items()}

    return copied(value, 1)


# --- positions ---------------------------------------------------------------------------------


def _find(root: Node, path: str, at_key: bool) -> Node:
    """The node of the option at ``path``, or of the nearest section that is written."""
    node = found = root
    for part in path.split(".") if path else []:
        if isinstance(node, MappingNode):
            pairs = [(key, value) for key, value in node.value if option_of(key) == part]
        elif isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            pairs = [(node.value[int(part)],) * 2]
        else:
            pairs = []
        if not pairs:
            return found
        key, node = pairs[0]
        found = key if at_key else node
    return found

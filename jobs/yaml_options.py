"""Options in YAML: read with the place of each, changed by overrides, checked by a schema.

What job files and training recipes have in common. Every mistake is found in one go and reported
where it stands, as an editor or a terminal can jump to it:
``jobs/archive.yaml:6:3: restore.strenght: unknown option, did you mean 'strength'?``
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from restore_batch.errors import JobFileError, Problem
from restore_batch.jobs.mistakes import Mistake, mistakes

__all__ = [
    "Further",
    "Overrides",
    "Places",
    "Wording",
    "options_from_file",
    "options_from_mapping",
]

Overrides = Mapping[str, object] | Sequence[str]
Schema = TypeVar("Schema", bound=BaseModel)


@dataclass(frozen=True)
class Wording:
    """What a kind of file is called, what must stand in it, and how an override may look."""

    noun: str
    must_hold: str
    override: str


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
        return _mark(self.name, _find(self.root, path, at_key))

    def problem(self, path: str, message: str, *, at_key: bool = False) -> Problem:
        """``message`` about an option, at its place."""
        text = f"{_shown(path)}: {message}" if path else message
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
    root = _parse(_read(name, wording), name, wording)
    problems = [Problem(where, message) for where, message in _duplicates(root, name)]
    data = _construct(root, name)
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
    return _validated(_copied(mapping), schema, overrides, base_dir, Places(name), wording, further)


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
            yield f"override {_shown(path)}", path, _copied(value)
        return
    for text in [overrides] if isinstance(overrides, str) else overrides:
        where = f"--set {_shown(text)}"
        path, equals, written = text.partition("=")
        path = path.strip()
        if not equals or not all(path.split(".")):
            problems.append(Problem(where, f"expected option=value, such as {wording.override}"))
            continue
        try:
            yield where, path, _yaml().load(written)
        except (YAMLError, RecursionError) as error:
            reason = getattr(error, "problem", None) or "not YAML"
            problems.append(Problem(where, f"{path}: cannot read the value: {reason}"))


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


def _copied(value: Any) -> Any:
    """Mappings copied into plain dicts, so that overrides never change what the caller holds."""
    if isinstance(value, Mapping):
        return {k: _copied(v) for k, v in value.items()}
    return value


# --- YAML --------------------------------------------------------------------------------------


class _Constructor(SafeConstructor):
    """Plain data only. A date is left as text: an album named 1950-06-01 is a name."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    yaml.allow_duplicate_keys = True  # reported by us, all of them, with both places
    return yaml


def _read(name: str, wording: Wording) -> str:
    path = Path(name)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise JobFileError([Problem(name, "no such file")]) from None
    except IsADirectoryError:
        text = f"is a folder; expected {wording.noun} in YAML"
        raise JobFileError([Problem(name, text)]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JobFileError([Problem(name, f"cannot be read: {reason}")]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig", "replace")
        where = _offset(name, good, len(good))
        raise JobFileError([Problem(where, "not UTF-8 text: save the file as UTF-8")]) from None


def _parse(text: str, name: str, wording: Wording) -> MappingNode:
    """The tree of YAML nodes, which knows positions; the top must be a mapping."""
    try:
        root = _yaml().compose(text)
    except ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        problem = Problem(_offset(name, text, position), "a control character is not allowed")
    except MarkedYAMLError as error:
        problem = _syntax(error, name)
    except RecursionError:
        problem = Problem(f"{name}:1:1", "nested too deeply")
    else:
        if isinstance(root, MappingNode):
            return root
        if root is None:
            problem = Problem(f"{name}:1:1", f"the file is empty; expected {wording.must_hold}")
        else:
            kind = "a list" if isinstance(root, SequenceNode) else "a single value"
            message = f"expected options such as {wording.must_hold}, got {kind}"
            problem = Problem(_mark(name, root), message)
    raise JobFileError([problem])


def _construct(root: MappingNode, name: str) -> dict[Any, Any]:
    yaml = _yaml()
    try:
        return dict(yaml.constructor.construct_document(root))
    except MarkedYAMLError as error:
        raise JobFileError([_syntax(error, name)]) from None
    except RecursionError:
        raise JobFileError([Problem(f"{name}:1:1", "nested too deeply")]) from None


def _syntax(error: MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    if isinstance(error, ConstructorError) and "tag" in reason:
        reason = "tags (words that begin with !) are not allowed; put the text in quotes"
    return Problem(where, f"not valid YAML: {' '.join(reason.split())}")


def _duplicates(root: Node, name: str) -> Iterator[tuple[str, str]]:
    pending: list[tuple[Node, str]] = [(root, "")]
    seen: set[int] = set()  # aliases share nodes, and may even form a circle
    while pending:
        node, path = pending.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            pending += [(entry, f"{path}{i}.") for i, entry in enumerate(node.value)]
        if isinstance(node, MappingNode):
            first: dict[str, Node] = {}
            for key, value in node.value:
                option = str(key.value)
                if option in first:
                    mark = first[option].start_mark
                    message = f"is given twice, first at line {mark.line + 1}:{mark.column + 1}"
                    yield _mark(name, key), f"{_shown(path + option)}: {message}"
                first.setdefault(option, key)
                pending.append((value, f"{path}{option}."))


# --- positions ---------------------------------------------------------------------------------


def _find(root: Node, path: str, at_key: bool) -> Node:
    """The node of the option at ``path``, or of the nearest section that is written."""
    node = found = root
    for part in path.split(".") if path else []:
        if isinstance(node, MappingNode):
            pairs = [(key, value) for key, value in node.value if str(key.value) == part]
        elif isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            pairs = [(node.value[int(part)],) * 2]
        else:
            pairs = []
        if not pairs:
            return found
        key, node = pairs[0]
        found = key if at_key else node
    return found


def _mark(name: str, node: Node) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _shown(text: str) -> str:
    """``text`` on one line, whatever it holds."""
    return text if text.isprintable() else repr(text)


def _offset(name: str, text: str, position: int) -> str:
    before = text[:position]
    return f"{name}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"

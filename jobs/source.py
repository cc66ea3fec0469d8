"""A job file on disk: from YAML to a :class:`~restore_batch.jobs.spec.Job`, and back to a line.

Every mistake is found in one go and reported where it stands, as an editor or a terminal can
jump to it: ``jobs/archive.yaml:6:3: restore.strenght: unknown option, did you mean 'strength'?``
The positions outlive loading: what only the planner can know (an unknown model, a missing input)
is reported the same way, through :meth:`LoadedJob.problem`. What it can know of a job that is
refused anyway is asked at once, so that nobody corrects a file twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from restore_batch.errors import JobFileError, Problem
from restore_batch.jobs.mistakes import Mistake, mistakes
from restore_batch.jobs.spec import Job

__all__ = ["LoadedJob", "job_from_mapping", "json_schema", "load_job"]

Overrides = Mapping[str, object] | Sequence[str]
FurtherCheck = Callable[[Job], Iterable[Mistake]]
"""What else is wrong with a job that has mistakes; it is given the job with the defaults in their
place."""


@dataclass(frozen=True)
class LoadedJob:
    """A job and where each of its options stands.

    ``name`` is the job file as the user gave it, ``job`` for jobs made in Python.
    """

    job: Job
    name: str = "job"
    _root: Node | None = field(default=None, repr=False, compare=False)
    _overrides: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def problem(self, path: str, message: str, *, at_key: bool = False) -> Problem:
        """``message`` about the option at the dotted ``path``, at its place in the file.

        List entries are numbers (``inputs.0``). The place is that of the value, or of the key
        with ``at_key``; of the nearest section where the option is not written; the override
        where one has set it.
        """
        where = _place(path, at_key, self.name, self._root, self._overrides)
        return Problem(where, f"{_shown(path)}: {message}" if path else message)

    def placed(self, found: Iterable[Mistake]) -> list[Problem]:
        """Mistakes found after loading, where they stand."""
        return [self.problem(m.path, m.message, at_key=m.at_key) for m in found]


def load_job(
    path: str | os.PathLike[str],
    overrides: Overrides = (),
    further: FurtherCheck = lambda job: (),
) -> LoadedJob:
    """Read and validate a job file.

    ``overrides`` change it first: ``["restore.strength=0.7"]`` with values in YAML, as after
    ``--set``, or ``{"restore.strength": 0.7}``. Paths in overrides, too, are relative to the
    job file's folder. ``further`` is asked when the job is refused.

    Raises JobFileError with every mistake found, in the order of the file, overrides last.
    """
    name = os.fspath(path)
    root = _parse(_read(name), name)
    problems = [Problem(where, message) for where, message in _duplicates(root, name)]
    data = _construct(root, name)
    if problems:
        # Which of two values is meant is not known, so nothing more can be said of them.
        raise JobFileError(problems)
    return _validated(data, overrides, Path(name).parent, name, root, further)


def job_from_mapping(
    mapping: Mapping[str, Any],
    base_dir: str | os.PathLike[str] = ".",
    overrides: Overrides = (),
    further: FurtherCheck = lambda job: (),
) -> Job:
    """The job that ``mapping`` describes, with paths relative to ``base_dir``.

    Raises JobFileError like :func:`load_job`, with ``job`` for the place.
    """
    return _validated(_copied(mapping), overrides, Path(base_dir), "job", None, further).job


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of job files, for editors that complete and check YAML."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Job.model_json_schema(),
        "title": "restore-batch job",
    }
    return dict(_unwrapped(schema))


def _unwrapped(value: Any) -> Any:
    """The same schema with each description on one line."""
    if isinstance(value, Mapping):
        return {
            k: " ".join(v.split()) if k == "description" and isinstance(v, str) else _unwrapped(v)
            for k, v in value.items()
        }
    return [_unwrapped(v) for v in value] if isinstance(value, list) else value


def _validated(
    data: dict[Any, Any],
    overrides: Overrides,
    base_dir: Path,
    name: str,
    root: Node | None,
    further: FurtherCheck,
) -> LoadedJob:
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    for where, path, value in _overrides(overrides, problems):
        if (conflict := _set(data, path, value)) is None:
            origins[path] = where
        else:
            problems.append(Problem(where, conflict))
    job, found = _job(data, base_dir)
    if job is not None and not problems:
        return LoadedJob(job, name, root, origins)
    rest = job or _without_mistakes(data, found, base_dir)
    if rest is not None:
        known = {mistake.path for mistake in found}
        found += [mistake for mistake in further(rest) if mistake.path not in known]
    found.sort(key=lambda m: _order(m, root, origins))
    problems[:0] = [
        Problem(_place(m.path, m.at_key, name, root, origins), f"{_shown(m.path)}: {m.message}")
        for m in found
    ]
    raise JobFileError(problems)


def _job(data: Mapping[Any, Any], base_dir: Path) -> tuple[Job | None, list[Mistake]]:
    """The job that ``data`` describes, or what is wrong with it."""
    try:
        return Job.model_validate(data, context={"base_dir": base_dir.absolute()}), []
    except ValidationError as error:
        return None, mistakes(error, Job)


def _without_mistakes(
    data: Mapping[Any, Any], found: Sequence[Mistake], base_dir: Path
) -> Job | None:
    """The job with defaults in place of what is wrong, to look at the rest of it; None where what
    is left makes no job either."""
    wrong = {mistake.path for mistake in found}
    sections = {path.partition(".")[0] for path in wrong}
    for left_out in (wrong, sections):
        # What a job must have and this one has not is of no interest to the rest.
        job, _ = _job({"inputs": ["."], "output": "."} | _without(data, left_out), base_dir)
        if job is not None:
            return job
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


def _overrides(overrides: Overrides, problems: list[Problem]) -> Iterator[tuple[str, str, object]]:
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
            problems.append(Problem(where, "expected option=value, such as restore.strength=0.7"))
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


def _read(name: str) -> str:
    path = Path(name)
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise JobFileError([Problem(name, "no such file")]) from None
    except IsADirectoryError:
        raise JobFileError([Problem(name, "is a folder; expected a job file in YAML")]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JobFileError([Problem(name, f"cannot be read: {reason}")]) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig", "replace")
        where = _offset(name, good, len(good))
        raise JobFileError([Problem(where, "not UTF-8 text: save the file as UTF-8")]) from None


def _parse(text: str, name: str) -> MappingNode:
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
            problem = Problem(f"{name}:1:1", "the file is empty; expected inputs: and output:")
        else:
            kind = "a list" if isinstance(root, SequenceNode) else "a single value"
            message = f"expected options such as inputs: and output:, got {kind}"
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


def _override(path: str, origins: Mapping[str, str]) -> str | None:
    """Where the override stands that set ``path``, something above it or something in it."""
    related = [o for o in origins if o == path or path.startswith(o + ".")]
    return origins[max(related, key=len)] if related else None


def _place(
    path: str, at_key: bool, name: str, root: Node | None, origins: Mapping[str, str]
) -> str:
    return _override(path, origins) or (
        name if root is None else _mark(name, _find(root, path, at_key))
    )


def _order(
    mistake: Mistake, root: Node | None, origins: Mapping[str, str]
) -> tuple[bool, int, int, str]:
    overridden = _override(mistake.path, origins) is not None
    if root is None:
        return overridden, 0, 0, ""
    mark = _find(root, mistake.path, mistake.at_key).start_mark
    return overridden, mark.line, mark.column, mistake.path


def _mark(name: str, node: Node) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _shown(text: str) -> str:
    """``text`` on one line, whatever it holds."""
    return text if text.isprintable() else repr(text)


def _offset(name: str, text: str, position: int) -> str:
    before = text[:position]
    return f"{name}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"

"""Reads YAML within limits: what a hostile or mistaken file may cost is known before it is built.

Aliases let a hundred bytes stand for gigabytes, so values are counted as they would be after each
alias and merge key is replaced by what it names. No job comes near any of these limits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode
from ruamel.yaml.reader import ReaderError

from restore_batch.errors import JobFileError, Problem
from restore_batch.text import joined_surrogates

__all__ = [
    "DEFECTS",
    "MAX_DEPTH",
    "MAX_FILE_BYTES",
    "MAX_NODES",
    "BeyondLimitError",
    "Wording",
    "bounded_yaml",
    "constructed",
    "duplicates",
    "mark_of",
    "option_of",
    "parsed",
    "shown",
    "text_of",
]

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 50_000
"""Keys, values and list entries, each counted as often as an alias repeats it."""

_MAX_OPTIONS = 1000
"""Of one mapping."""

_MAX_CHARACTERS = 10_000
_MAX_NUMBER_BITS = 64
_LONGEST_SHOWN = 500


class BeyondLimitError(MarkedYAMLError):
    """More than any job needs: nested too deeply, too long, or too much once aliases are
    replaced."""


def bounded_yaml() -> YAML:
    """A reader of plain data within these limits. Raises MarkedYAMLError."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.Constructor = _Constructor
    yaml.allow_duplicate_keys = True  # reported by us, all of them, with both places
    return yaml


def _beyond(what: str, mark: Any) -> BeyondLimitError:
    return BeyondLimitError(problem=what, problem_mark=mark)


class _Composer(Composer):
    """Counts while it composes, so that nothing beyond the limits is ever built."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False  # YAML 1.2 allows them
        self._level = 0
        self._total = 0
        # Node to how many nodes it stands for. Those that are not finished lack: an alias to one
        # is a circle, which is built once.
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        if isinstance(event, ScalarEvent) and len(event.value) > _MAX_CHARACTERS:
            raise _beyond(
                f"a value of {len(event.value):,} characters; expected at most {_MAX_CHARACTERS:,}",
                event.start_mark,
            )
        if isinstance(parent, MappingNode) and len(parent.value) >= _MAX_OPTIONS:
            raise _beyond(f"more than {_MAX_OPTIONS:,} options in one section", event.start_mark)
        if self._level >= MAX_DEPTH:
            raise _beyond("nested too deeply", event.start_mark)
        before = self._total
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if isinstance(event, AliasEvent):
            self._total += self._sizes.get(id(node), 1)
        else:
            self._total += 1
            self._sizes[id(node)] = self._total - before
        if self._total > MAX_NODES:
            raise _beyond(
                f"more than {MAX_NODES:,} values, counted with what its aliases repeat",
                event.start_mark,
            )
        return node


class _Constructor(SafeConstructor):
    """Plain data only. A date is left as text: an album named 1950-06-01 is a name."""

    def construct_scalar(self, node: Node) -> Any:
        value = super().construct_scalar(node)
        try:
            return joined_surrogates(value) if isinstance(value, str) else value
        except ValueError as error:
            raise ConstructorError(None, None, str(error), node.start_mark) from None

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep=deep)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            # A tag that does not fit its value, or a number longer than Python converts.
            kind = str(node.tag).rpartition(":")[2]
            raise ConstructorError(
                problem=f"a value that is no {kind}", problem_mark=node.start_mark
            ) from error
        if isinstance(value, int) and value.bit_length() > _MAX_NUMBER_BITS:
            raise _beyond("a number of more than 64 bits", node.start_mark)
        return value


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


@dataclass(frozen=True)
class Wording:
    """What a kind of file is called, what must stand in it, and how an override may look."""

    noun: str
    must_hold: str
    override: str


# What ruamel raises on escapes and keys that it did not expect.
DEFECTS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)


def text_of(name: str, wording: Wording) -> str:
    """The text of a file of at most MAX_FILE_BYTES. Raises JobFileError."""
    path = Path(name)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise JobFileError([Problem(name, "no such file")]) from None
    except IsADirectoryError:
        text = f"is a folder; expected {wording.noun} in YAML"
        raise JobFileError([Problem(name, text)]) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise JobFileError([Problem(name, f"cannot be read: {reason}")]) from None
    if len(raw) > MAX_FILE_BYTES:
        text = f"larger than {MAX_FILE_BYTES >> 20} MiB; expected {wording.noun} in YAML"
        raise JobFileError([Problem(name, text)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        good = raw[: error.start].decode("utf-8-sig", "replace")
        where = _offset(name, good, len(good))
        raise JobFileError([Problem(where, "not UTF-8 text: save the file as UTF-8")]) from None


def parsed(text: str, name: str, wording: Wording) -> MappingNode:
    """The tree of YAML nodes, which knows positions; the top must be a mapping. Raises
    JobFileError."""
    try:
        root = bounded_yaml().compose(text)
    except ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        problem = Problem(_offset(name, text, position), "a control character is not allowed")
    except MarkedYAMLError as error:
        problem = _syntax(error, name)
    except DEFECTS:
        problem = Problem(f"{name}:1:1", "not valid YAML")
    else:
        if isinstance(root, MappingNode):
            return root
        if root is None:
            problem = Problem(f"{name}:1:1", f"the file is empty; expected {wording.must_hold}")
        else:
            kind = "a list" if isinstance(root, SequenceNode) else "a single value"
            message = f"expected options such as {wording.must_hold}, got {kind}"
            problem = Problem(mark_of(name, root), message)
    raise JobFileError([problem])


def constructed(root: MappingNode, name: str) -> dict[Any, Any]:
    """The plain data of a tree. Raises JobFileError."""
    yaml = bounded_yaml()
    try:
        return dict(yaml.constructor.construct_document(root))
    except MarkedYAMLError as error:
        raise JobFileError([_syntax(error, name)]) from None
    except RecursionError:  # a merge key that names its own mapping
        raise JobFileError([Problem(f"{name}:1:1", "nested too deeply")]) from None
    except DEFECTS:
        raise JobFileError([Problem(f"{name}:1:1", "not valid YAML: unhashable key")]) from None


def _syntax(error: MarkedYAMLError, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
    if isinstance(error, BeyondLimitError):
        return Problem(where, str(error.problem))
    reason = ", ".join(part for part in (error.context, error.problem) if part)
    if isinstance(error, ConstructorError) and "tag" in reason:
        reason = "tags (words that begin with !) are not allowed; put the text in quotes"
    return Problem(where, f"not valid YAML: {shown(' '.join(reason.split()))}")


def duplicates(root: Node, name: str) -> Iterator[tuple[str, str]]:
    """Place and message of each option that its section has already."""
    pending: deque[tuple[Node, str]] = deque([(root, "")])
    seen: set[int] = set()  # aliases share nodes, and may even form a circle
    while pending:
        node, path = pending.popleft()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            pending += [(entry, f"{path}{i}.") for i, entry in enumerate(node.value)]
        if isinstance(node, MappingNode):
            first: dict[str, Node] = {}
            for key, value in node.value:
                option = option_of(key)
                if option in first:
                    mark = first[option].start_mark
                    message = f"is given twice, first at line {mark.line + 1}:{mark.column + 1}"
                    yield mark_of(name, key), f"{shown(path + option)}: {message}"
                first.setdefault(option, key)
                pending.append((value, f"{path}{option}."))


def option_of(key: Node) -> str:
    """The name of an option; "?" where a list or a mapping is its key."""
    return key.value if isinstance(key.value, str) else "?"


def mark_of(name: str, node: Node) -> str:
    """``job.yaml:6:3``: where a node starts."""
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def shown(text: str) -> str:
    """``text`` on one line, whatever it holds."""
    text = text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
    return text if text.isprintable() else repr(text)


def _offset(name: str, text: str, position: int) -> str:
    before = text[:position]
    return f"{name}:{before.count(chr(10)) + 1}:{position - before.rfind(chr(10))}"

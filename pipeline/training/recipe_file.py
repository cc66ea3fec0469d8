"""Reads a training recipe from YAML; every mistake is reported at its line, all in one go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from restore_batch.errors import JobFileError, Problem
from restore_batch.jobs.mistakes import mistakes

if TYPE_CHECKING:
    from restore_batch.models.train.recipe import Recipe


def load_recipe(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a file; its paths are relative to the file's folder.

    ``overrides`` as after ``--set``: ``run.steps=100``, with values in YAML. Raises JobFileError
    with every mistake found.
    """
    from restore_batch.models.train.recipe import Recipe

    name = os.fspath(path)
    root, data = _read(name)
    problems = [p for text in overrides if (p := _override(data, text)) is not None]
    if problems:
        raise JobFileError(problems)
    try:
        return Recipe.model_validate(data, context={"base_dir": Path(name).absolute().parent})
    except ValidationError as error:
        raise JobFileError(
            [
                Problem(_place(root, m.path, m.at_key, name), f"{m.path}: {m.message}".lstrip(": "))
                for m in mistakes(error, Recipe)
            ]
        ) from None


def _read(name: str) -> tuple[Node, dict[str, Any]]:
    try:
        text = Path(name).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise JobFileError([Problem(name, f"cannot be read: {reason}")]) from None
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if not isinstance(root, MappingNode):
            raise JobFileError([Problem(f"{name}:1:1", "expected a recipe: name:, network: …")])
        return root, dict(YAML(typ="safe", pure=True).load(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise JobFileError([Problem(where, f"not valid YAML: {error.problem}")]) from None
    except YAMLError as error:
        reason = " ".join(str(error).split())
        raise JobFileError([Problem(name, f"not valid YAML: {reason}")]) from None


def _override(data: dict[str, Any], text: str) -> Problem | None:
    """Change one option of ``data``; what is wrong with ``text``, if anything."""
    where = f"--set {text}"
    path, equals, written = text.partition("=")
    *sections, last = path.strip().split(".")
    if not equals or not all([*sections, last]):
        return Problem(where, "expected option=value, such as run.steps=1000")
    for section in sections:
        below = data.setdefault(section, {})
        if not isinstance(below, dict):
            return Problem(where, f"{section!r} is not a section of options; set it as a whole")
        data = below
    try:
        data[last] = YAML(typ="safe", pure=True).load(written)
    except YAMLError:
        return Problem(where, "cannot read the value: not YAML")
    return None


def _place(root: Node, path: str, at_key: bool, name: str) -> str:
    """Where the option at the dotted ``path`` stands, or the nearest section that is written."""
    node = found = root
    for part in path.split("."):
        pairs: list[tuple[Node, Node]] = []
        if isinstance(node, MappingNode):
            pairs = [pair for pair in node.value if pair[0].value == part]
        elif isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
            pairs = [(node.value[int(part)],) * 2]
        if not pairs:
            break
        key, node = pairs[0]
        found = key if at_key else node
    return f"{name}:{found.start_mark.line + 1}:{found.start_mark.column + 1}"

"""Stages, photo formats, containers and codecs, from their catalogues."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from markdown_text import code, paragraphs, prose, table

from restore_batch.stages.base import Stage
from restore_batch.stages.catalogue import stage_classes


def markdown() -> str:
    """A heading for each stage, in their order: what it is given, and what it says of itself."""
    return paragraphs(*(part for stage in stage_classes() for part in _stage(stage)))


def brief() -> str:
    """A line for each stage, in their order."""
    rows = [
        (f"`{stage.name}`", code(stage.after) if stage.after else "–", _first(stage))
        for stage in stage_classes()
    ]
    return table(("stage", "follows", "what it does"), rows)


def _first(stage: type[Stage]) -> str:
    return prose((inspect.getdoc(stage) or "").split("\n\n")[0])


def _stage(stage: type[Stage]) -> Iterator[str]:
    yield f"## {stage.name} {{ #{stage.name} }}"
    first, *others = (inspect.getdoc(stage) or "").split("\n\n")
    yield prose(first)
    kinds = sorted(kind.__name__ for kind in stage.kinds)
    facts = [
        ("follows", code(stage.after) if stage.after else "nothing: it begins from a file"),
        ("works on", f"{code(*kinds)}{', and frames of films' if stage.of_frames else ''}"),
        ("reads → writes", f"{code(*sorted(stage.reads))} → {code(*sorted(stage.writes))}"),
        ("reads where filled", code(*sorted(stage.may_read)) or "–"),
        ("options", _links(stage)),
        ("networks", code(*stage.networks.values())),
        ("pool", code(stage.pool) if stage.pool else "that of the stage that follows"),
        ("version", str(stage.version)),
    ]
    yield "\n".join(f"- **{label}:** {text}" for label, text in facts)
    yield from map(prose, others)


def _links(stage: type[Stage]) -> str:
    keys = sorted(set(stage.takes.values()))
    own = [] if stage.options is None else [f"stages.{stage.name}"]
    return ", ".join(f"[`{key}`](job-file.md#{key})" for key in [*keys, *own]) or "–"

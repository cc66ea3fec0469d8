"""Which card a weight file the user already has belongs to: by checksum, keys, then name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_batch.errors import WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Card, Family, Licence, StateDict, Task, WeightFile
from restore_batch.models.weights.fingerprint import fingerprint

UNKNOWN_LICENCE = Licence(
    "unknown", "not known", commercial=True, note="the file was given by path: ask its author"
)

_MAX_RECORD_BYTES = 1 << 20


def published(path: Path) -> tuple[Card, WeightFile] | None:
    """The card and file whose published checksum ``path`` has."""
    return next(
        (
            (card, file)
            for card in registry.cards()
            for source in card.sources
            for file in source
            if file.sha256 is not None and file.sha256 == fingerprint(path)
        ),
        None,
    )


def part_of(path: Path) -> tuple[Card, WeightFile] | None:
    """The only card that has a file of this name among several (``mapping.pt`` of PULSE)."""
    hits = [
        (card, file)
        for card in registry.cards()
        for source in card.sources
        if len(source) > 1
        for file in source
        if file.filename == path.name
    ]
    return hits[0] if len({card.name for card, _ in hits}) == 1 else None


def card_for(state: StateDict, path: Path, name: str | None = None) -> Card:
    """The published card whose network ``state`` (read from ``path``) is.

    ``name``: a card or family the user named; then it must be that. Raises WeightsError when
    no family knows it, when it is no published network, or when several cards share the
    architecture and neither file name nor ``name`` decides.
    """
    if name is not None:
        named = registry.card(name)
        registry.check_is(named, state, path)
        return named
    known = registry.identify(state)
    if known is None:
        raise WeightsError(f"{path} is {registry.describe(state)}; it cannot be added")
    family, architecture = known
    fitting = [card for card in family.cards if _same(card.architecture, architecture)]
    by_name = [card for card in fitting if path.stem in _stems(card)]
    if len(by_name) == 1 or len(fitting) == 1:
        return (by_name or fitting)[0]
    if not fitting:
        raise WeightsError(
            f"{path} is {registry.describe(state)}, but no published one; use it by its path"
        )
    names = ", ".join(card.name for card in fitting)
    raise WeightsError(f"{path} could be {names}: say which with --name, or use it by its path")


def card_by_path(state: StateDict, path: Path, task: Task) -> Card:
    """A card for a file that a job names by path. Raises WeightsError for another task's."""
    known = registry.identify(state)
    if known is None:
        from restore_batch.models.families import community

        other = community.what_else(state)
        seems = f"a {other} network" if other else registry.describe(state)
        raise WeightsError(f"{path} cannot be used as {registry.TASK_NOUNS[task]}: it is {seems}")
    family, architecture = known
    if family.task != task:
        raise WeightsError(f"{path} is {registry.describe(state)}, not {registry.TASK_NOUNS[task]}")
    like = next((c for c in family.cards if _same(c.architecture, architecture)), None)
    input_px, scale = (like.input_px, like.scale) if like else _sizes(family, architecture)
    said = _record(path)
    return Card(
        name=path.stem,
        family=family.name,
        task=task,
        title=said.get("title") or f"{family.name}, from {path.name}",
        paper=family.cards[0].paper if family.cards else "",
        licence=(
            Licence("stated", said["licence"], commercial=True, note=f"says {path.stem}.json")
            if said.get("licence")
            else UNKNOWN_LICENCE
        ),
        sources=((WeightFile(path.name, sha256=None),),),
        architecture=architecture,
        input_px=input_px,
        scale=scale,
        limits=said.get("limits", ""),
        imagines=any(card.imagines for card in family.cards),
        corrects=any(card.corrects for card in family.cards),
        takes_specks=any(card.takes_specks for card in family.cards),
    )


def _record(path: Path) -> Mapping[str, str]:
    """What the record that training left beside weights says about them, if it is theirs."""
    beside = path.with_suffix(".json")
    try:
        is_record = beside.is_file() and beside.stat().st_size <= _MAX_RECORD_BYTES
        record = json.loads(beside.read_text(encoding="utf-8")) if is_record else {}
        about = record["about"] if record.get("sha256") == fingerprint(path) else {}
    except (ValueError, KeyError, AttributeError, OSError, RecursionError):
        return {}  # some other program's file of that name
    if not isinstance(about, dict):
        return {}
    return {key: value for key, value in about.items() if isinstance(value, str)}


def _same(card: Mapping[str, Any], inferred: Mapping[str, Any]) -> bool:
    shared = card.keys() & inferred.keys()
    return all(_plain(card[key]) == _plain(inferred[key]) for key in shared)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def _stems(card: Card) -> set[str]:
    return {Path(file.filename).stem for source in card.sources for file in source}


def _sizes(family: Family, architecture: Mapping[str, Any]) -> tuple[int | None, int]:
    """(input_px, scale) from the names that networks of the field give these arguments."""

    def first(*names: str) -> int | None:
        return next((int(architecture[name]) for name in names if name in architecture), None)

    if family.task == "upscale":
        return None, first("scale", "upscale", "scale_factor", "upscale_factor") or 1
    out_px = first("out_size", "output_px")
    input_px = first("in_size", "input_px") or out_px
    if input_px is None and family.cards:
        input_px = family.cards[0].input_px
    return input_px, out_px // input_px if out_px and input_px else 1

"""What a user is told of the models: one table for the terminal, for scripts and for the
documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

from restore_batch.models import registry
from restore_batch.models.base import Card, Task, WeightFile
from restore_batch.models.speed import Speeds
from restore_batch.models.weights.packages import packages_of

if TYPE_CHECKING:
    from restore_batch.models.weights.store import Store

_OUTPUTS: Mapping[Task, str] = {
    "detect": "faces",
    "damage": "mask",
    "fill": "picture",
    "parse": "mask",
    "identity": "vector",
    "features": "features",
}


def cards(task: Task | None = None) -> list[Card]:
    """Of one task, or of all: face restorers first, then upscalers, then what they need."""
    order = get_args(Task)
    return sorted(registry.cards(task), key=lambda card: order.index(card.task))


def record(card: Card, store: Store, speeds: Speeds) -> dict[str, Any]:
    """One model for scripts. ``accept``: whether a job must accept the licence by its key."""
    here = store.locate(card)
    return {
        "name": card.name,
        "family": card.family,
        "task": card.task,
        "title": card.title,
        "size": size(card),
        "licence": card.licence.key,
        "licence_title": card.licence.title,
        "accept": not card.licence.commercial,
        "source": source(card),
        "weights": store.availability(card),
        "here": here is not None,
        "tflop": card.tflop,
        "rank": card.rank,
        "speed": [asdict(speed) for speed in speeds.get(card.name, ())],
    }


def show(shown: Sequence[Card], store: Store, speeds: Speeds) -> None:
    """Print the table: each model with its licence, its weights and how fast it is here."""
    from rich.table import Table

    from restore_batch.pipeline.cli.screen import Screen

    table = Table(box=None, header_style="bold")
    # The name is what other commands take, so it is never cut.
    for heading in ("model", "task", "in → out"):
        table.add_column(heading, no_wrap=True)
    for heading in ("licence", "weights", "here", "speed here"):
        table.add_column(heading)
    for card in shown:
        licence = card.licence.title
        if not card.licence.commercial:
            licence += f"; non-commercial, key {card.licence.key}"
        here = store.locate(card)
        table.add_row(
            card.name,
            card.task,
            size(card),
            licence,
            source(card),
            "–" if here is None else str(here),
            "; ".join(f"{speed} ({speed.where})" for speed in speeds.get(card.name, ())),
        )
    Screen().print(table)


def markdown(shown: Sequence[Card]) -> str:
    """The table of the documentation: what does not depend on the machine."""
    headings = ("system", "task", "in → out, px", "licence", "weights")
    lines = [f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|"]
    for card in shown:
        licence = f"[{card.licence.title}]({card.licence.url})"
        if not card.licence.commercial:
            licence += " **non-commercial**"
        cells = (f"`{card.name}`", card.task, size(card), licence, source(card))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def size(card: Card) -> str:
    """Side of the input → side of the output, in pixels, or what comes out instead."""
    given = "any" if card.input_px is None else f"{card.input_px}"
    if card.task in _OUTPUTS:
        return f"{given} → {_OUTPUTS[card.task]}"
    if card.input_px is None:
        return f"any → ×{card.scale}"
    return f"{given} → {card.input_px * card.scale}"


def source(card: Card) -> str:
    """Where the weights come from, and how large they are where that was published."""
    return " or ".join(dict.fromkeys(_origin(files) for files in card.sources))


def _origin(files: Sequence[WeightFile]) -> str:
    if all(file.urls for file in files):
        where = urlsplit(files[0].urls[0]).netloc
    elif all(file.package for file in files):
        where = packages_of(files)
    else:
        where = "by hand"
    sizes = [file.size_bytes for file in files if file.size_bytes]
    megabytes = sum(sizes) / 1e6
    digits = 0 if megabytes >= 10 else 1
    return f"{where}, {megabytes:.{digits}f} MB" if len(sizes) == len(files) else where

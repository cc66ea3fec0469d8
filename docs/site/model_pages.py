"""The networks and their licences, from their cards."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from markdown_text import code, paragraphs, prose, table

from restore_batch.models import registry
from restore_batch.models.base import Card, Licence, WeightFile
from restore_batch.pipeline.cli import model_table
from restore_batch.pipeline.cli.model_facts import kind, written

_OF_TASK = {
    "restore": "Face restorers",
    "upscale": "Upscalers and restorers of whole pictures",
    "detect": "Face detectors",
    "damage": "Finders of damage",
    "fill": "Networks that fill damage",
    "parse": "Face parsers",
    "identity": "Identity networks",
    "features": "Networks that judge and train others",
}


def overview() -> str:
    """A line for each network."""
    return model_table.markdown(model_table.cards())


def licences() -> str:
    """A line for each licence: whether a job must accept it, and for which networks."""
    found: dict[Licence, list[str]] = {}
    for card in model_table.cards():
        found.setdefault(card.licence, []).append(card.name)
    rows = [
        (
            f"[{prose(licence.title)}]({licence.url})" if licence.url else prose(licence.title),
            "no" if licence.commercial else f"yes: `{licence.key}`",
            code(*names),
            prose(licence.note) or "–",
        )
        for licence, names in found.items()
    ]
    return table(("licence", "must be accepted", "networks", "note"), rows)


def details() -> str:
    """Each network by its task: paper, limits, licence, files with their checksums, options."""
    return paragraphs(
        *(
            text
            for task, cards in groupby(model_table.cards(), key=lambda card: card.task)
            for text in (f"## {_OF_TASK[task]}", *(part for card in cards for part in _card(card)))
        )
    )


def _card(card: Card) -> Iterator[str]:
    yield f"### {card.name} {{ #{card.name} }}"
    yield prose(f"{card.title}.")
    facts = [
        ("paper", prose(card.paper)),
        ("size", prose(model_table.size(card))),
        ("cost", f"{card.tflop:g} TFLOP a {card.per}" if card.tflop is not None else ""),
        ("limits", prose(card.limits)),
        ("licence", f"{prose(card.licence.title)}{_consent(card.licence)}"),
        *(
            ("weights" if len(card.sources) == 1 else f"weights, choice {number}", _files(source))
            for number, source in enumerate(card.sources, 1)
        ),
    ]
    yield "\n".join(f"- **{label}:** {text}" for label, text in facts if text)
    options = registry.family_of(card).options.model_json_schema()
    rows = [
        (
            f"`{key}`",
            prose(kind(option)),
            "required" if key in options.get("required", ()) else code(written(option["default"])),
            prose(option.get("description", "")),
        )
        for key, option in options.get("properties", {}).items()
    ]
    if rows:
        yield table(("option", "takes", "default", "what it does"), rows)


def _consent(licence: Licence) -> str:
    if licence.commercial:
        return ""
    return f", **non-commercial**: `weights: {{accept_licences: [{licence.key}]}}`"


def _files(source: tuple[WeightFile, ...]) -> str:
    return "; ".join(map(_file, source))


def _file(file: WeightFile) -> str:
    wheres = [
        *(f"<{url}>" for url in file.urls),
        *([f"package `{file.package}`"] if file.package else []),
    ]
    checksum = f"SHA-256 `{file.sha256}`" if file.sha256 else "no published checksum"
    return f"`{file.filename}`, {' or '.join(wheres) or 'by hand'}, {checksum}"

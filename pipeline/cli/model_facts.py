"""All that is known of one model, for ``restore-batch models describe``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from restore_batch.models import registry
from restore_batch.models.base import Card, WeightFile
from restore_batch.pipeline.cli.model_table import size

_KINDS = {
    "number": "number",
    "integer": "whole number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "array": "list",
    "object": "mapping",
}


def facts(card: Card, availability: str) -> Iterator[tuple[str, str]]:
    """Label and text, a line each; ``availability``: where the weights are or come from."""
    licence = card.licence
    yield "model", f"{card.name} ({registry.TASK_NOUNS[card.task]}, family {card.family})"
    yield "what", card.title
    yield "paper", card.paper
    yield "size", size(card) + (" (side in pixels)" if card.input_px else "")
    if card.tflop is not None:
        yield "cost", f"{card.tflop:g} TFLOP a {card.per}"
    if card.limits:
        yield "limits", card.limits
    yield "licence", licence.title
    if not licence.commercial:
        yield (
            "",
            (
                "NON-COMMERCIAL use only; to use it, accept it in the job: "
                f"`weights: {{accept_licences: [{licence.key}]}}`"
            ),
        )
    if licence.url:
        yield "", licence.url
    if licence.note:
        yield "", licence.note
    by_hand = f"by hand: `restore-batch models add PATH --name {card.name}` takes the files"
    yield "weights", by_hand if availability == "manual" else availability
    for number, source in enumerate(card.sources, 1):
        for file in source:
            yield f"source {number}", _file(file)
    yield from _options(card)


def _file(file: WeightFile) -> str:
    bytes_ = f"{file.size_bytes:,} bytes" if file.size_bytes else "size not published"
    checksum = f"sha256 {file.sha256}" if file.sha256 else "no published checksum"
    wheres = [*file.urls, *([f"package {file.package}"] if file.package else [])]
    return f"{file.filename} ({bytes_}, {checksum}) {' '.join(wheres) or 'by hand'}"


def _options(card: Card) -> Iterator[tuple[str, str]]:
    schema = registry.family_of(card).options.model_json_schema()
    required = schema.get("required", ())
    for key, option in schema.get("properties", {}).items():
        default = "required" if key in required else f"default {written(option.get('default'))}"
        description = " ".join(option.get("description", "").split())
        yield "option", f"{key}: {kind(option)}, {default}. {description}".rstrip()
    if not schema.get("properties"):
        yield "option", "none"


def kind(schema: Mapping[str, Any]) -> str:
    """What an option takes, in words, from its JSON Schema."""
    if "anyOf" in schema:
        return " or ".join(kind(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(map(written, schema["enum"]))
    if "const" in schema:
        return written(schema["const"])
    name = _KINDS.get(schema.get("type", ""), "anything")
    if name == "list" and "items" in schema:
        return f"list of {kind(schema['items'])}s"
    limits = (
        ("from", "minimum"), ("above", "exclusiveMinimum"),
        ("to", "maximum"), ("below", "exclusiveMaximum"),
    )  # fmt: skip
    words = [f"{word} {written(schema[key])}" for word, key in limits if key in schema]
    return " ".join([name, *words])


def written(value: object) -> str:
    """As it would stand in a job file."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    return str(value)

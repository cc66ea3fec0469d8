"""Every key of a job file: what it takes, its default, what it does. From the schema itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import code, paragraphs, prose, table

from restore_batch.pipeline.cli.model_facts import kind, written
from restore_batch.pipeline.plan.photos import job_schema
from restore_batch.stages.catalogue import stage_classes

Schema = Mapping[str, Any]
_REQUIRED = "must be given"


def markdown() -> str:
    """A heading for each section and, below it, for each of its keys."""
    schema = job_schema()
    sections = {
        key: section
        for key, value in schema["properties"].items()
        if (section := _section(value, schema)) is not None
    }
    alone = [key for key in schema["properties"] if key not in sections]
    return paragraphs(
        "## The whole job",
        *(_key(key, schema, key, schema) for key in alone),
        *(
            text
            for name, section in sections.items()
            for text in (
                f"## {name} {{ #{name} }}",
                prose(section.get("description", "")),
                *(_key(f"{name}.{key}", section, key, schema) for key in section["properties"]),
            )
        ),
        *_stages(),
    )


def brief() -> str:
    """A line for each key."""
    schema = job_schema()
    rows: list[tuple[str, str, str, str]] = []
    for key, value in schema["properties"].items():
        section = _section(value, schema)
        if section is None:
            rows.append((f"`{key}`", *_facts(schema, key, schema)))
        else:
            rows += [
                (f"`{key}.{each}`", *_facts(section, each, schema))
                for each in section["properties"]
            ]
    for stage in stage_classes():
        if stage.options is not None:
            own = stage.options.model_json_schema()
            rows += [
                (f"`stages.{stage.name}.{each}`", *_facts(own, each, own))
                for each in own["properties"]
            ]
    return table(("key", "takes", "default", "what it does"), rows)


def _section(value: Schema, schema: Schema) -> Schema | None:
    """The section that a key of the job is, or None for a key that has a value."""
    name = value.get("$ref", "").rpartition("/")[2]
    found: Schema | None = schema["$defs"].get(name)
    # A section may be a single word instead.
    ways = [] if found is None else found.get("anyOf", [found])
    return next((way for way in ways if "properties" in way), found)


def _key(title: str, section: Schema, key: str, schema: Schema) -> str:
    takes, default, said = _facts(section, key, schema)
    default = default if default == _REQUIRED else f"default {default}"
    return paragraphs(f"### {title} {{ #{title} }}", f"*{takes}*; {default}", said)


def _facts(section: Schema, key: str, schema: Schema) -> tuple[str, str, str]:
    """What a key takes, its default, and what it does."""
    value = section["properties"][key]
    required = key in section.get("required", ())
    default = _REQUIRED if required else code(written(value.get("default", {})))
    takes = prose(kind(_inlined(value, schema)))
    return takes, default, prose(value.get("description", ""))


def _inlined(value: Any, schema: Schema) -> Any:
    """A schema without references."""
    if isinstance(value, list):
        return [_inlined(each, schema) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return _inlined(_section(value, schema), schema)
    return {key: _inlined(each, schema) for key, each in value.items()}


def _stages() -> Iterator[str]:
    """The options of stages without a section of their own."""
    for stage in stage_classes():
        if stage.options is not None:
            yield f"## stages.{stage.name} {{ #stages.{stage.name} }}"
            schema = stage.options.model_json_schema()
            for key in schema["properties"]:
                yield _key(f"stages.{stage.name}.{key}", schema, key, schema)

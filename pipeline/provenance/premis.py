"""A job as PREMIS: originals and results as objects, what was done as events, who did it as agents.

Source: PREMIS Data Dictionary 3.0 (2015), sections 1.1 to 1.3, and its XML Schema; event types as
the Library of Congress lists them (id.loc.gov/vocabulary/preservation/eventType).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import IO, Any, TypeAlias
from xml.sax.saxutils import escape

from restore_batch.pipeline.provenance.recorded import Recorded, Records, clock
from restore_batch.stages.media_types import media_type_of
from restore_batch.text import legible

NAMESPACE = "http://www.loc.gov/premis/v3"
MARK = "<!-- Written by restore-batch; replaced whenever it is written anew. -->"
COLUMNS = (
    "event_identifier", "event_type", "event_date_time", "event_detail", "event_outcome",
    "event_outcome_note", "agents", "source_object", "source_sha256", "outcome_object",
    "outcome_sha256",
)  # fmt: skip
_TYPE = "modification"
"""The process of creating a changed version of a digital object."""

Node: TypeAlias = "tuple[str, str | Sequence[Node]]"


def write_premis(records: Records, file: IO[str]) -> None:
    """Write objects, events and agents."""
    file.write(
        f'<?xml version="1.0" encoding="UTF-8"?>\n{MARK}\n<premis xmlns="{NAMESPACE}"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="3.0">\n'
    )
    for item in records.items():
        file.write(_element("object", _original(item), ' xsi:type="file"') + "\n")
        if not item.error:
            file.write(_element("object", _result(item), ' xsi:type="file"') + "\n")
    for item in records.items():
        file.write(_element("event", _event(item, records)) + "\n")
    for agent in _agents(records):
        file.write(_element("agent", agent) + "\n")
    file.write("</premis>\n")


def write_events(records: Records, file: IO[str]) -> None:
    """Write the events as CSV, one a line, with :data:`COLUMNS`."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    for item in records.items():
        entry = item.entry
        rows.writerow(
            (
                _event_id(item), _TYPE, _moment(item), _detail(item), _outcome(item), _note(item),
                "; ".join(name for name, _ in _instruments(item, records)),
                _plain(entry.source), entry.source_sha256,
                "" if item.error else _plain(entry.output), "" if item.error else entry.sha256,
            )
        )  # fmt: skip


def _plain(value: str) -> str:
    # A spreadsheet would take a name that begins so for a formula.
    return legible(f"'{value}" if value[:1] in ("=", "+", "-", "@") else value)


def _element(name: str, content: str | Sequence[Node], attributes: str = "") -> str:
    inner = (
        escape(legible(content))
        if isinstance(content, str)
        else "".join(_element(*node) for node in content)
    )
    return f"<{name}{attributes}>{inner}</{name}>"


def _identifier(what: str, kind: str, value: str, *more: Node) -> Node:
    return what, ((f"{what}Type", kind), (f"{what}Value", value), *more)


def _linked(what: str, kind: str, value: str, role: str) -> Node:
    return (
        f"linking{what}Identifier",
        (
            (f"linking{what}IdentifierType", kind),
            (f"linking{what}IdentifierValue", value),
            (f"linking{what}Role", role),
        ),
    )


def _source_kind(item: Recorded) -> str:
    return "URI" if "://" in item.entry.source else "path"


def _characteristics(name: str, sha256: str, size_bytes: int | None) -> Node:
    fixity: list[Node] = []
    if sha256:
        digest = (("messageDigestAlgorithm", "SHA-256"), ("messageDigest", sha256))
        fixity = [("fixity", digest)]
    size: list[Node] = [] if size_bytes is None else [("size", str(size_bytes))]
    designation: Node = ("formatDesignation", (("formatName", media_type_of(name)),))
    return "objectCharacteristics", (*fixity, *size, ("format", (designation,)))


def _original(item: Recorded) -> list[Node]:
    entry = item.entry
    return [
        _identifier("objectIdentifier", _source_kind(item), entry.source),
        _characteristics(entry.source, entry.source_sha256, None),
        ("originalName", item.original_name),
        _event_link(item),
    ]


def _result(item: Recorded) -> list[Node]:
    entry = item.entry
    related: Node = (
        "relationship",
        (
            ("relationshipType", "derivation"),
            ("relationshipSubType", "has source"),
            _identifier("relatedObjectIdentifier", _source_kind(item), entry.source),
            _identifier("relatedEventIdentifier", "local", _event_id(item)),
        ),
    )
    return [
        _identifier("objectIdentifier", "path in output", entry.output),
        _characteristics(entry.output, entry.sha256, entry.size_bytes),
        related,
        _event_link(item),
    ]


def _event_link(item: Recorded) -> Node:
    what = "linkingEventIdentifier"
    return what, ((f"{what}Type", "local"), (f"{what}Value", _event_id(item)))


def _event(item: Recorded, records: Records) -> list[Node]:
    entry = item.entry
    note = _note(item)
    detail: list[Node] = (
        [("eventOutcomeDetail", (("eventOutcomeDetailNote", note),))] if note else []
    )
    nodes: list[Node] = [
        _identifier("eventIdentifier", "local", _event_id(item)),
        ("eventType", _TYPE),
        ("eventDateTime", _moment(item)),
        ("eventDetailInformation", (("eventDetail", _detail(item)),)),
        ("eventOutcomeInformation", (("eventOutcome", _outcome(item)), *detail)),
    ]
    for name, role in _instruments(item, records):
        nodes.append(_linked("Agent", "local", name, role))
    nodes.append(_linked("Object", _source_kind(item), entry.source, "source"))
    if not item.error:
        nodes.append(_linked("Object", "path in output", entry.output, "outcome"))
    return nodes


def _event_id(item: Recorded) -> str:
    return f"restoration-{item.entry.unit}"


def _moment(item: Recorded) -> str:
    return clock(item.finished.ended if item.finished else None)


def _detail(item: Recorded) -> str:
    faces = f"; faces found: {item.entry.face_count:,}" if item.entry.face_count else ""
    return f"restoration to a viewing copy{faces}"


def _outcome(item: Recorded) -> str:
    if item.error:
        return "failure"
    return "success with warnings" if item.entry.warnings else "success"


def _note(item: Recorded) -> str:
    return legible(item.error or "; ".join(item.entry.warnings))


def _run_of(item: Recorded, records: Records) -> dict[str, Any]:
    run = item.finished.run if item.finished else None
    return next((each for each in records.runs if each["id"] == run), {})


def _instruments(item: Recorded, records: Records) -> list[tuple[str, str]]:
    """The agents of an event, and the role of each."""
    run = _run_of(item, records)
    software = (_software(run), "executing program")
    return [software, *((_model(model), str(model["role"])) for model in run.get("models") or ())]


def _software(run: dict[str, Any]) -> str:
    return f"restore-batch {run.get('version') or 'of an unknown version'}"


def _model(model: dict[str, Any]) -> str:
    return f"{model['card']} {str(model['sha256'])[:12]}"


def _agents(records: Records) -> Iterator[list[Node]]:
    seen: set[str] = set()
    for run in records.runs:
        found = [(_software(run), "restore-batch", str(run["version"]), "")]
        for model in run["models"] or ():
            note = f"SHA-256 {model['sha256']}; {model.get('licence') or ''}"
            found.append((_model(model), str(model["card"]), "", note))
        for identifier, name, version, note in found:
            if identifier in seen:
                continue
            seen.add(identifier)
            yield [
                _identifier("agentIdentifier", "local", identifier),
                ("agentName", name),
                ("agentType", "software"),
                *([("agentVersion", version)] if version else []),
                *([("agentNote", note)] if note else []),
            ]

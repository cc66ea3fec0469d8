"""A job as an RO-Crate: its output folder is the crate, each run an action on the originals.

Written an entity a line, as it is read from the manifest: a hundred thousand items need no memory
of theirs beside their names.

Source: RO-Crate Metadata Specification 1.1 (Sefton et al. 2020), sections 3 to 6 and "Provenance
of entities".
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from restore_batch.jobs.outputs import CRATE
from restore_batch.jobs.written import KEPT_NAME, is_kept_job
from restore_batch.pipeline.provenance.recorded import Recorded, Records, as_uri, clock
from restore_batch.stages.media_types import media_type_of
from restore_batch.text import legible

_CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}]
_RIGHTS = {
    "@id": "#rights",
    "@type": "CreativeWork",
    "name": "those of the originals",
    "description": "Results have no licence of their own: what holds for the originals holds for"
    " them, beside what the licences of the networks ask for.",
}

Entity = Mapping[str, Any]


def write_crate(records: Records, file: IO[str], others: Sequence[str] = ()) -> None:
    """Write the metadata file. ``others``: records beside it, relative to the output folder."""
    file.write(f'{{"@context": {json.dumps(_CONTEXT)},\n"@graph": [')
    for number, entity in enumerate(_entities(records, others)):
        file.write(("," if number else "") + "\n" + json.dumps(entity))
    file.write("\n]}\n")


def _entities(records: Records, others: Sequence[str]) -> Iterator[Entity]:
    parts = [{"@id": as_uri(name)} for name in others]
    originals: dict[int, list[Entity]] = defaultdict(list)
    results: dict[int, list[Entity]] = defaultdict(list)
    for item in records.items():
        files = [{"@id": as_uri(path)} for path in _files_of(item, records.output_dir)]
        parts += files
        if item.finished and not item.error:
            originals[item.finished.run].append({"@id": _original_id(item)})
            results[item.finished.run] += files
    kept = records.output_dir / KEPT_NAME
    if is_kept_job(kept):
        parts.append({"@id": KEPT_NAME})
    actions = [{"@id": f"#run-{run['id']}"} for run in records.runs]
    last = records.runs[-1] if records.runs else {}
    yield {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
        "creator": {"@id": "#restore-batch"},
    }
    yield {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Restored pictures: {legible(records.output_dir.absolute().name)}",
        "description": "Viewing copies of photos and films, restored by networks. The originals"
        " stay the masters.",
        "datePublished": clock(last.get("ended") or last.get("started"))[:10],
        "license": {"@id": _RIGHTS["@id"]},
        "hasPart": parts,
        "mentions": actions,
    }
    yield _RIGHTS
    yield {
        "@id": "#restore-batch",
        "@type": "SoftwareApplication",
        "name": "restore-batch",
        "softwareVersion": str(last.get("version") or ""),
    }
    yield from _models(records)
    for run in records.runs:
        yield _action(run, originals[run["id"]], results[run["id"]])
    for item in records.items():
        yield from _of_item(item, records.output_dir)
    for name in others:
        yield {"@id": as_uri(name), "@type": "File", "encodingFormat": media_type_of(name),
               "name": name}  # fmt: skip
    if is_kept_job(kept):
        yield {"@id": KEPT_NAME, "@type": "File", "encodingFormat": "application/yaml",
               "name": "the job, to be run again"}  # fmt: skip


def _files_of(item: Recorded, output_dir: Path) -> list[str]:
    """Of an item that failed, the copy of the original that stands in for a result."""
    if item.error:
        return [item.entry.stand_in] if item.entry.stand_in else []
    return [item.entry.output, *item.beside(output_dir)]


def _original_id(item: Recorded) -> str:
    return f"#original-{item.entry.unit}"


def _of_item(item: Recorded, output_dir: Path) -> Iterator[Entity]:
    entry = item.entry
    origin = {"@id": _original_id(item)}
    original: dict[str, Any] = {
        **origin,
        "@type": "CreativeWork",
        "name": legible(item.original_name),
        "alternateName": legible(entry.source),
        "encodingFormat": media_type_of(entry.source),
    }
    if entry.source_sha256:
        original["sha256"] = entry.source_sha256
    yield original
    files = _files_of(item, output_dir)
    if item.error:
        yield {
            "@id": f"#failed-{entry.unit}",
            "@type": "CreateAction",
            "name": f"Restoration of {legible(item.original_name)}",
            "object": origin,
            "instrument": {"@id": "#restore-batch"},
            "actionStatus": {"@id": "http://schema.org/FailedActionStatus"},
            "error": legible(item.error),
            **({"endTime": clock(item.finished.ended)} if item.finished else {}),
        }
    for path in files:
        described: dict[str, Any] = {
            "@id": as_uri(path),
            "@type": "File",
            "name": legible(path),
            "encodingFormat": media_type_of(path),
            "isBasedOn": origin,
        }
        if item.error:
            described["description"] = "a copy of the original, which could not be restored"
        elif path == entry.output:
            described |= {"sha256": entry.sha256, "contentSize": str(entry.size_bytes)}
            if item.finished:
                described["dateCreated"] = clock(item.finished.ended)
            if entry.warnings:
                described["description"] = legible("; ".join(entry.warnings))
        yield described


def _models(records: Records) -> Iterator[Entity]:
    seen: set[str] = set()
    for run in records.runs:
        for model in run["models"] or ():
            if (named := _model_id(model)) not in seen:
                seen.add(named)
                yield {
                    "@id": named,
                    "@type": "SoftwareApplication",
                    "name": str(model.get("card") or ""),
                    "description": str(model.get("title") or ""),
                    "license": str(model.get("licence") or ""),
                    "sha256": str(model.get("sha256") or ""),
                }


def _model_id(model: Mapping[str, Any]) -> str:
    return f"#model-{as_uri(str(model.get('card') or ''))}-{str(model.get('sha256') or '')[:12]}"


def _action(
    run: Mapping[str, Any], originals: Sequence[Entity], results: Sequence[Entity]
) -> Entity:
    models = [{"@id": _model_id(model)} for model in run["models"] or ()]
    state = "Active" if run["ended"] is None else "Failed"
    state = "Completed" if run["outcome"] == "finished" else state
    ended = {"endTime": clock(run["ended"])} if run["ended"] is not None else {}
    return {
        "@id": f"#run-{run['id']}",
        "@type": "CreateAction",
        "name": "Restoration",
        "startTime": clock(run["started"]),
        **ended,
        "instrument": [{"@id": "#restore-batch"}, *models],
        "object": originals,
        "result": results,
        "actionStatus": {"@id": f"http://schema.org/{state}ActionStatus"},
        "description": f"restore-batch {run['version']}: {run['outcome'] or 'not ended'}",
    }

"""What must hold after a disturbed run, and after the run that takes the job to its end."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import reduce
from pathlib import Path
from typing import Any

from support.archive import checksums
from support.schedules.job import UNITS
from support.schedules.steps import Kind, Step

_HOW_IT_MAY_END: Mapping[Kind, tuple[int, ...]] = {
    "kill": (-9, 0),
    "kill a worker": (0,),
    # Before work begins and after it there is nothing to finish first.
    "interrupt": (130, 0),
    "terminate": (130, -15, 0),
    "stop and go on": (0,),
    "second run": (0,),
    "original removed": (0, 1),
}
_ON_RECORD = {
    "units": "SELECT kind, item, state, base_key, face_key, source_sha256, face_count, staged_path,"
    " size_bytes, sha256, width, height, stage, error_kind, error, warnings, sidecars, repaired,"
    " quality FROM units",
    "items": "SELECT output, source, stand_in, stand_in_sha256, unit_state FROM items",
    "sources": "SELECT source, stamp, sha256, probe FROM sources",
    "faces": "SELECT units.item, frame, face, box, landmarks, score, restored, identity, blend,"
    " note FROM faces JOIN units ON units.id = faces.unit",
}
_HELD = "another program holds it"
_BY_AN_ERROR = (3, 0)
"""0: it struck at nothing that matters, such as the removal of a leftover."""


def after_disturbance(
    step: Step, code: int | None, stderr: str, output: Path, expected: Mapping[str, str]
) -> Iterator[str]:
    """What is wrong: one line each."""
    may_be = _HOW_IT_MAY_END.get(step.kind, _BY_AN_ERROR)
    if code not in may_be:
        ended = "did not end" if code is None else f"ended with {code}"
        yield f"{step}: {ended}, expected one of {may_be}: {_last_line(stderr)}"
    if "Traceback" in stderr:
        yield f"{step}: a traceback: {_last_line(stderr)}"
    found = checksums(output)
    for problem in whole_results(output, expected):
        yield f"{step}: {problem}"
    if code == 0 and step.kind != "original removed" and found.keys() != expected.keys():
        yield f"{step}: ended with 0, with {len(found)} of {len(expected)} results"


def whole_results(output: Path, expected: Mapping[str, str]) -> Iterator[str]:
    """What lies among the results and is none: one line each."""
    for name, sha256 in checksums(output).items():
        if expected.get(name) != sha256:
            yield f"{name} is there and is no whole result"


def of_second(step: Step, code: int | None, stderr: str) -> Iterator[str]:
    """What is wrong with how a run ended that began beside a stopped one.

    It is let in where the first was stopped before it took the folder, and finds the manifest
    locked where that happened in the middle of opening it.
    """
    if code not in (0, 2) and not (code == 3 and _HELD in stderr):
        yield f"{step}: the second ended with {code}: {_last_line(stderr)}"


def at_the_end(
    code: int | None, stderr: str, output: Path, expected: Mapping[str, str], *, again: bool,
    units: int = UNITS,
) -> Iterator[str]:  # fmt: skip
    """What is wrong with a job that was resumed: one line each. ``again``: something failed on the
    way and was asked for again; of a film that failed the parts are made anew. ``units``: how many
    are committed."""
    if code != 0:
        yield f"the last run ended with {code}: {_last_line(stderr)}"
    found = checksums(output)
    for name in sorted({*found, *expected}):
        if found.get(name) != expected.get(name):
            state = "missing" if name not in found else "not asked for"
            yield f"{name} is {state if state == 'missing' or name not in expected else 'another'}"
    hidden = output / ".restore-batch"
    for folder in ("tmp", "parts"):
        yield from (f"left over: {p.relative_to(output)}" for p in (hidden / folder).rglob("*"))
    yield from _ledger(hidden / "manifest.sqlite", again, units)


def _ledger(path: Path, again: bool, units: int) -> Iterator[str]:
    with closing(sqlite3.connect(path)) as ledger:
        (verdict,) = ledger.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            yield f"integrity_check: {verdict}"
        commits = Counter(
            unit for (unit,) in ledger.execute("SELECT unit FROM attempts WHERE outcome = 'done'")
        )
        for unit, times in commits.items():
            if times > 1 and not again:
                yield f"unit {unit} was committed {times} times"
        (done,) = ledger.execute("SELECT COUNT(*) FROM units WHERE state = 'done'").fetchone()
        if done != units:
            yield f"{done} units are on record as done, expected {units}"
        states = ledger.execute(
            "SELECT DISTINCT state FROM units JOIN items ON items.unit = units.id"
        ).fetchall()
        if states != [("done",)]:
            yield f"the ledger says of its items {states}"


def on_record(output: Path) -> dict[str, list[str]]:
    """What the ledger says of inputs and results, table by table: all of it but when, how often and
    by which run it was made, and the names that units go by."""
    with closing(sqlite3.connect(output / ".restore-batch" / "manifest.sqlite")) as ledger:
        films = [unit for (unit,) in ledger.execute("SELECT id FROM units WHERE kind = 'join'")]
        tables = {name: ledger.execute(query).fetchall() for name, query in _ON_RECORD.items()}
    named = {name: sorted(map(repr, rows)) for name, rows in tables.items()}
    return {
        name: [reduce(lambda text, film: text.replace(film, "FILM"), films, row) for row in rows]
        for name, rows in named.items()
    }


def differences(found: Mapping[str, list[str]], expected: Mapping[str, list[str]]) -> Iterator[str]:
    """Rows of one ledger that are not those of the other."""
    for table, rows in expected.items():
        lacks, more = Counter(rows), Counter(found[table])
        yield from (f"the ledger's {table} lack {row}" for row in (lacks - more).elements())
        yield from (f"the ledger's {table} have {row}" for row in (more - lacks).elements())


def events(output: Path) -> list[dict[str, Any]]:
    """What was told of the runs so far; a line that was cut off is none."""
    path = output / ".restore-batch" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def begun_after_done(output: Path) -> Iterator[str]:
    """Units that were repeated although their results were committed. The index of a film is worth
    nothing by itself, and is made by every run."""
    done: set[str] = set()
    for event in events(output):
        if event["kind"] in ("run", "index"):
            continue
        if event["state"] == "done":
            done.add(event["unit"])
        elif event["state"] == "begun" and event["unit"] in done:
            yield f"{event['kind']} {event['output']} was done and is begun again"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]

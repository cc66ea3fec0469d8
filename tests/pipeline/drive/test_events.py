"""What a run says of its units while it goes on, for programs that follow it."""

from __future__ import annotations

import json
import os
import threading
import time
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import jsonschema
import pytest

from restore_batch.pipeline.drive import events
from restore_batch.pipeline.drive.events import EventLog, Events
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.engine.backend import Done, Failed
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.session import RunOptions, read_job, run_job

from support.archive import checksums, make_archive, write_job
from support.clips import clip
from support.data import ROOT
from support.simulated import Fate, Nothing, Simulated
from support.toys import groups, unit

FORM = jsonschema.Draft202012Validator(
    json.loads((ROOT / "deploy" / "events.schema.json").read_text(encoding="utf-8"))
)
PICTURES = 3


def lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of the newest file, each of the documented form."""
    text = (folder / "events.jsonl").read_text(encoding="ascii")
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        FORM.validate(line)
    return found


def run(folder: Path, output: str = "out") -> Summary:
    job = write_job(
        folder / "job.yaml", inputs=["in"], output=output, restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"},
        engine={"kind": "local", "workers": 1, "threads": 1},
    )  # fmt: skip
    return run_job(read_job(job), Unwatched(), RunOptions())


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Photos, a film, and a file that only looks like a photo."""
    folder = make_archive(tmp_path / "in", faces=0, scenes=PICTURES, side_px=48)
    (folder / "bad.jpg").write_bytes(b"no picture")
    clip(folder / "film.mkv", codec="ffv1", frames=6)
    return tmp_path


def test_each_change_of_a_unit_is_a_line_of_the_documented_form(inputs: Path) -> None:
    summary = run(inputs)
    found = lines(inputs / "out" / ".restore-batch")
    first, *changes, last = found
    assert (first["state"], first["total"]) == ("begun", PICTURES + 2)
    assert (last["state"], last["items"]) == ("finished", summary.items())
    assert summary.items() == {"done": PICTURES + 1, "unchanged": 0, "failed": 1, "left": 0}
    states: dict[tuple[str, str], list[str]] = {}
    for line in changes:
        states.setdefault((line["kind"], Path(line["source"]).name), []).append(line["state"])
    assert states == {
        **{("photo", f"scene{n:02}.jpg"): ["begun", "done"] for n in range(PICTURES)},
        **{(kind, "film.mkv"): ["begun", "done"] for kind in ("index", "segment", "join")},
        ("photo", "bad.jpg"): ["failed"],
    }
    photo = next(line for line in changes if line["state"] == "done" and line["kind"] == "photo")
    assert set(photo["stages"]) >= {"decode", "encode"}
    assert (photo["attempts"], photo["node"]) == (1, os.uname().nodename)


def test_a_second_run_adds_its_lines_and_says_nothing_of_what_is_unchanged(inputs: Path) -> None:
    run(inputs)
    (inputs / "in" / "bad.jpg").unlink()
    before = lines(inputs / "out" / ".restore-batch")
    run(inputs)
    after = lines(inputs / "out" / ".restore-batch")
    assert after[: len(before)] == before
    assert [(line["run"], line["kind"]) for line in after[len(before) :]] == [(2, "run")] * 2


@pytest.mark.parametrize("obstacle", ["folder", "pipe"])
def test_events_that_cannot_be_written_cost_the_run_nothing(inputs: Path, obstacle: str) -> None:
    place = inputs / "out" / ".restore-batch" / "events.jsonl"
    place.parent.mkdir(parents=True)
    (os.mkdir if obstacle == "folder" else os.mkfifo)(place)
    assert run(inputs).done == PICTURES + 1
    assert run(inputs, "other").done == PICTURES + 1
    assert checksums(inputs / "out") == checksums(inputs / "other")
    assert not place.is_file()


def test_a_disk_that_does_not_answer_holds_up_neither_run_nor_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    class Hanging(EventLog):
        def _open(self) -> Any:
            answers.wait()
            return super()._open()

    monkeypatch.setattr(events, "_ENDS_WITHIN_S", 0.1)
    monkeypatch.setattr(events, "_MOST_WAITING", 10)
    log = Hanging(tmp_path / "events.jsonl")
    for number in range(30):
        log.write({"number": number})
    log.close()
    assert 18 <= log.left_out <= 20
    assert not (tmp_path / "events.jsonl").exists()
    answers.set()


def test_a_unit_that_kills_its_workers_is_seen_to_do_so(tmp_path: Path) -> None:
    one = groups((Nothing("g0"),))
    simulated = Simulated(one, 1, Random(1), Fate(poison={"a": 0}))
    told_of = Events(tmp_path)
    told_of.began(1, "0", 2)
    scheduler = Scheduler(
        one, simulated, Budget(1 << 40), Limits(3), on_start=told_of.begun, on_loss=told_of.lost
    )
    for outcome in chain.from_iterable(scheduler.run([unit("a"), unit("b")])):
        if isinstance(outcome, Done):
            told_of.done(outcome)
        else:
            assert isinstance(outcome, Failed)
            told_of.failed(outcome)
    told_of.ended("finished", {"done": 1, "unchanged": 0, "failed": 1, "left": 0}, 1.0)
    told = [(e["state"], e["attempts"]) for e in lines(tmp_path) if e.get("unit") == "a"]
    times = [(state, n) for n in (1, 2, 3) for state in ("begun", "lost")]
    assert told == [*times, ("failed", 3)]


def test_a_long_log_is_replaced_and_only_so_many_are_kept(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl", largest_bytes=1000, files_kept=2)
    for number in range(500):
        log.write({"number": number})
    log.close()
    files = sorted(tmp_path.iterdir(), reverse=True)
    assert [path.name for path in files] == ["events.jsonl.2", "events.jsonl.1", "events.jsonl"]
    assert all(path.stat().st_size <= 1000 for path in files)
    kept = [json.loads(line)["number"] for path in files for line in path.read_text().splitlines()]
    assert kept == list(range(500 - len(kept), 500))
    assert len(kept) > 100


def test_half_a_line_that_a_kill_has_left_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"v": 1}\n{"v": 1, "ti')
    log = EventLog(path)
    log.write({"v": 1, "state": "begun"})
    log.close()
    assert path.read_text().splitlines() == [
        '{"v": 1}', '{"v": 1, "ti', '{"v": 1, "state": "begun"}',
    ]  # fmt: skip


def test_what_was_left_out_is_told_once_the_disk_takes_more(tmp_path: Path) -> None:
    place = tmp_path / "events.jsonl"
    place.mkdir()
    log = EventLog(place)
    for _ in range(3):
        log.write({"lost": True})
    while log.left_out < 3:
        time.sleep(0.01)
    place.rmdir()
    log.write({"lost": False})
    log.close()
    assert json.loads(place.read_text()) == {"lost": False, "left_out": 3}

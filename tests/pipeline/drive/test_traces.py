"""Tracebacks of failed units are kept beside the manifest, one file for each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from restore_batch.errors import MediaError, trace_of
from restore_batch.jobs.units import Photo
from restore_batch.pipeline.drive.traces import FAILURES, MOST_FILES, Traces
from restore_batch.pipeline.engine.backend import Failed
from restore_batch.stages.media import Failure


def divided(number: int, error: type[Exception] = ZeroDivisionError) -> Exception:
    """An error of one place in the code, whose text is another each time."""
    try:
        raise error(f"photo {number}")
    except Exception as met:
        return met


def failed(number: int, error: Exception, **more: str) -> Failed:
    unit = Photo(id=f"{number:016x}", source=f"/in/{number}.jpg", output=f"{number}.jpg")
    text = f"{type(error).__name__}: {error}"
    failure = Failure(unit, "align", type(error).__name__, text, trace=trace_of(error), **more)
    return Failed(unit, failure)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".restore-batch").mkdir()
    return tmp_path / ".restore-batch"


def test_the_message_names_a_file_that_says_what_was_met_where(folder: Path) -> None:
    kept = Traces(folder, {f"{7:016x}": "node-3"}.__getitem__).kept(failed(7, divided(7)))
    found = re.fullmatch(
        r"ZeroDivisionError: photo 7 \(its traceback: (\S+)\)", kept.failure.message
    )
    assert found is not None
    text = (folder.parent / found[1]).read_text("utf-8")
    assert "on node-3" in text
    assert "photo 0000000000000007, stage align: /in/7.jpg" in text
    assert 'raise error(f"photo {number}")' in text
    assert text.endswith("ZeroDivisionError: photo 7\n")


def test_a_fault_that_meets_many_is_written_once(folder: Path) -> None:
    traces = Traces(folder, lambda _: "")
    messages = [traces.kept(failed(i, divided(i))).failure.message for i in range(5)]
    assert len({message.rpartition("traceback: ")[2] for message in messages}) == 1
    (file,) = (folder / FAILURES).iterdir()
    assert "photo 0" in file.read_text("utf-8")


def test_what_is_foreseen_and_what_ends_the_run_is_left_as_it_is(folder: Path) -> None:
    traces = Traces(folder, lambda _: "")
    foreseen = failed(1, divided(1, MediaError))
    full = failed(2, divided(2), storage_fault="no space left")
    assert traces.kept(foreseen) is foreseen
    assert traces.kept(full) is full
    assert not (folder / FAILURES).exists()


def test_a_folder_that_is_full_or_cannot_be_written_costs_nothing(folder: Path) -> None:
    (folder / FAILURES).write_text("a file lies in the way")
    outcome = failed(1, divided(1))
    assert Traces(folder, lambda _: "").kept(outcome) is outcome
    (folder / FAILURES).unlink()
    (folder / FAILURES).mkdir()
    for number in range(MOST_FILES):
        (folder / FAILURES / f"{number}.txt").touch()
    assert Traces(folder, lambda _: "").kept(outcome) is outcome

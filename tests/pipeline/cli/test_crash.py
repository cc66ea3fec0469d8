"""An error that nobody has foreseen ends with where its log is and how to go on."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest

from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.summary import Summary

from support.archive import make_archive, write_job
from support.command_line import call


@pytest.fixture
def job(tmp_path: Path) -> Path:
    make_archive(tmp_path / "in", faces=0, scenes=1, side_px=32)
    return write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, engine={"kind": "local"},
    )  # fmt: skip


def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(run: Run) -> Summary:
        return {}["no such\nkey \x1b[2J"]  # type: ignore[return-value]

    monkeypatch.setattr(Run, "execute", execute)


def log_in(folder: Path, name: str) -> str:
    (log,) = folder.glob(name)
    return log.read_text(encoding="utf-8")


def test_a_run_that_crashes_says_where_its_log_is_and_that_it_can_go_on(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(monkeypatch)
    called = call("run", job)
    assert called.exit_code == 3
    fault, log, on = called.stderr.splitlines()
    assert fault.startswith("restore-batch: a fault of its own, not of your files: KeyError: ")
    assert "\x1b" not in fault
    place = Path(log.removeprefix("restore-batch: please report it; all about it is in "))
    assert place.parent == job.parent / "out" / ".restore-batch"
    assert on == "restore-batch: what is done is kept; the same command goes on from there"
    text = place.read_text(encoding="utf-8")
    assert f"restore-batch run {job}" in text
    assert "Traceback" in text
    assert "KeyError" in text


def test_where_no_log_can_be_written_all_of_it_is_said(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash(monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    real_open = Path.open

    def refuse(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.name.startswith("crash-"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    called = call("run", job)
    assert called.exit_code == 3
    assert "Traceback (most recent call last):" in called.stderr
    assert "\x1b" not in called.stderr


def test_other_commands_leave_their_log_among_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def named(job: str) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("restore_batch.pipeline.cli.status.named", named)
    called = call("status", "out")
    assert called.exit_code == 3
    assert len(called.stderr.splitlines()) == 2
    assert "RuntimeError: unforeseen" in log_in(tmp_path, "restore-batch-crash-*.log")

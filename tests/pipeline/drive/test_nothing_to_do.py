"""A run that comes to no unit, because all are done or because it is stopped before the first."""

from __future__ import annotations

from pathlib import Path

from restore_batch.pipeline.cli.progress import watcher_for
from restore_batch.pipeline.drive.summary import Summary
from restore_batch.pipeline.session import RunOptions, open_run, read_job

from support.archive import write_job
from support.clips import clip


def run(folder: Path, *, stopped: bool = False) -> Summary:
    """Restore a film of six frames to ``folder/out``."""
    if not (folder / "film.mkv").exists():
        clip(folder / "film.mkv", codec="ffv1", frames=6)
    job = write_job(
        folder / "job.yaml", inputs=["film.mkv"], output="out",
        engine={"kind": "local", "workers": 1, "threads": 1},
        restore={"model": "none"}, background={"model": "none", "scale": 1},
    )  # fmt: skip
    with open_run(read_job(job), watcher_for(quiet=True), RunOptions()) as opened:
        if stopped:
            opened.drain()
        return opened.execute()


def test_parts_that_an_earlier_run_could_not_remove_are_removed(tmp_path: Path) -> None:
    assert run(tmp_path).done == 1
    left = tmp_path / "out" / ".restore-batch" / "parts" / "65ee6611ce750a2a"
    left.mkdir(parents=True)
    (left / "000000.part").write_bytes(b"part")
    assert run(tmp_path).unchanged == 1
    assert not left.exists()


def test_a_run_that_is_stopped_before_its_first_unit_has_not_finished(tmp_path: Path) -> None:
    summary = run(tmp_path, stopped=True)
    assert (summary.done, summary.left, summary.interrupted) == (0, 1, True)
    assert summary.exit_code == 130
    assert run(tmp_path).done == 1

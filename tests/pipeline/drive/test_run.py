"""What a run does beside its items."""

from __future__ import annotations

from pathlib import Path

from restore_batch.jobs.manifest import FOLDER
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import RunOptions, read_job, run_job

from support.archive import make_archive, write_job


class Losing(Unwatched):
    """Leaves what a worker would that is cut off while it writes."""

    def __init__(self, staging: Path) -> None:
        super().__init__()
        self.staging = staging

    def begin(self, plan: Plan, summary: Summary) -> None:
        super().begin(plan, summary)
        (self.staging / "lost.1.png").write_bytes(b"half")


def test_a_finished_run_leaves_nothing_of_workers_that_were_lost(tmp_path: Path) -> None:
    make_archive(tmp_path / "in", faces=0, scenes=1, side_px=48)
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"}, report=False,
        engine={"kind": "local", "workers": 1, "threads": 1},
    )  # fmt: skip
    staging = tmp_path / "out" / FOLDER / "tmp"
    watcher = Losing(staging)
    assert run_job(read_job(job), watcher, RunOptions()).done == 1
    assert list(staging.iterdir()) == []
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 1

"""A source that holds something else is restored anew, however little speaks of the change."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from restore_batch.files import sha256_of
from restore_batch.jobs.inputs import discover
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.pipeline.drive.standing import Standing, Standings
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import RunOptions, plan_job, read_job, run_job

from support.archive import make_archive, write_job

PICTURES = 4


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job that was run to its end."""
    make_archive(tmp_path / "in", faces=0, scenes=PICTURES, side_px=64)
    path = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 1}, detect={"model": "none"},
        engine={"kind": "local", "workers": 1},
    )  # fmt: skip
    assert run(path).done == PICTURES
    return path


def run(job: Path, *, verify: bool = False) -> Summary:
    return run_job(read_job(job), Unwatched(), RunOptions(verify=verify))


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.done, summary.unchanged, len(summary.failed)


def put_other_content(path: Path) -> None:
    """Another picture of the same size, with the time of the first set on it."""
    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[-3] ^= 1  # the picture's last data, before its end mark
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".new"))
    put_other_content(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def lead_elsewhere(path: Path) -> None:
    path.rename(path.with_suffix(".first"))
    shutil.copy2(path.with_suffix(".first"), path.with_suffix(".second"))
    put_other_content(path.with_suffix(".second"))
    path.symlink_to(path.with_suffix(".second"))


@pytest.mark.parametrize("change", [put_other_content, replace, lead_elsewhere])
def test_other_content_of_the_same_size_and_time_is_restored_anew(
    job: Path, change: Callable[[Path], None]
) -> None:
    path = job.parent / "in" / "scene02.jpg"
    before = path.stat()
    change(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    summary = run(job)
    assert counts(summary) == (1, PICTURES - 1, 0)
    ((source, text),) = summary.warned
    assert source == str(path)
    assert "content has changed" in text
    assert counts(run(job)) == (0, PICTURES, 0)


def test_an_archive_that_was_copied_is_read_again_and_nothing_of_it_made_again(job: Path) -> None:
    """Also where the copy keeps no times, or a mount numbers its files anew."""
    folder = job.parent / "in"
    shutil.copytree(folder, job.parent / "copy", copy_function=shutil.copy)
    shutil.rmtree(folder)
    (job.parent / "copy").rename(folder)
    summary = run(job)
    assert counts(summary) == (0, PICTURES, 0)
    assert summary.warned == []


def test_a_manifest_that_noted_size_and_time_alone_is_taken_over(job: Path) -> None:
    set_stamps(job, lambda size, mtime_ns: f"{size} mtime_ns:{mtime_ns}")
    assert counts(run(job)) == (0, PICTURES, 0)
    assert len(stamps(job)) == PICTURES
    assert all("ctime_ns:" in stamp and "inode:" in stamp for stamp in stamps(job))


def test_verify_reads_originals_and_results_and_says_which_have_changed(job: Path) -> None:
    original, result = job.parent / "in" / "scene01.jpg", job.parent / "out" / "scene03.jpg"
    put_other_content(original)
    put_other_content(result)
    altered = result.read_bytes()
    forget_the_change(job, original)
    assert counts(run(job)) == (0, PICTURES, 0), "nothing but the content speaks of it"
    summary = run(job, verify=True)
    assert counts(summary) == (2, PICTURES - 2, 0)
    told = {Path(source).name: text for source, text in summary.warned}
    assert set(told) == {"scene01.jpg", "scene03.jpg"}
    assert "the original's content has changed" in told["scene01.jpg"]
    assert "scene03.jpg was altered after it was written" in told["scene03.jpg"]
    assert (job.parent / "out" / "scene03.altered.jpg").read_bytes() == altered
    assert counts(run(job, verify=True)) == (0, PICTURES, 0)
    result.unlink()
    ((_, text),) = run(job, verify=True).warned
    assert text == "the result scene03.jpg is gone; it is made again"


def test_a_result_that_was_retouched_is_kept_and_the_run_says_where(job: Path) -> None:
    result = job.parent / "out" / "scene02.jpg"
    result.write_bytes(b"hours of work")
    summary = run(job)
    assert counts(summary) == (1, PICTURES - 1, 0)
    ((source, text),) = summary.warned
    assert Path(source).name == "scene02.jpg"
    assert "that is kept as scene02.altered.jpg" in text
    assert (job.parent / "out" / "scene02.altered.jpg").read_bytes() == b"hours of work"
    assert counts(run(job)) == (0, PICTURES, 0)


def test_a_new_source_is_read_by_its_worker_alone_and_then_on_record(job: Path) -> None:
    make_archive(job.parent / "in", faces=0, scenes=PICTURES + 2, side_px=64)
    loaded = read_job(job)
    plan = plan_job(loaded)
    assert isinstance(plan, Plan)
    with Manifest.open(plan.output_dir) as manifest:
        found = [each for each in Standings(plan, manifest) if isinstance(each, Standing)]
    assert [each.state for each in found] == ["pending"] * 2
    assert [each.source_sha256 for each in found] == ["", ""], "nobody has read them"
    assert counts(run(job)) == (2, PICTURES, 0)
    with closing(database(job)) as opened:
        noted = dict(opened.execute("SELECT source, sha256 FROM sources"))
        made_from = dict(
            opened.execute(
                "SELECT items.source, units.source_sha256 FROM items"
                " JOIN units ON units.id = items.unit"
            )
        )
    held = {str(path): sha256_of(path) for path in (job.parent / "in").glob("*.jpg")}
    assert len(held) == PICTURES + 2
    assert noted == made_from == held
    assert counts(run(job)) == (0, PICTURES + 2, 0)


def test_what_failed_in_its_worker_is_known_by_its_content(job: Path) -> None:
    """Also where all files are copied: it is not tried again unasked."""
    job.write_text(job.read_text().replace("{", '{"limits": {"damaged": "refuse"}, ', 1))
    folder = job.parent / "in"
    (folder / "cut.jpg").write_bytes((folder / "scene00.jpg").read_bytes()[:-300])
    first = run(job)
    assert len(first.failed) == 1
    shutil.copytree(folder, job.parent / "copy", copy_function=shutil.copy)
    shutil.rmtree(folder)
    (job.parent / "copy").rename(folder)
    again = run(job)
    assert counts(again) == (0, PICTURES, 1)
    assert again.failed[0][1] == "earlier run"
    (folder / "cut.jpg").write_bytes((folder / "scene01.jpg").read_bytes())
    assert counts(run(job)) == (1, PICTURES, 0)


def test_a_retry_counts_the_attempts_at_what_a_worker_has_read(job: Path) -> None:
    job.write_text(job.read_text().replace("{", '{"limits": {"damaged": "refuse"}, ', 1))
    folder = job.parent / "in"
    (folder / "cut.jpg").write_bytes((folder / "scene00.jpg").read_bytes()[:-300])
    for expected in (1, 2, 3):
        again = run_job(read_job(job), Unwatched(), RunOptions(retry=expected > 1))
        assert len(again.failed) == 1
        manifest = Manifest.read(job.parent / "out")
        assert manifest is not None
        with manifest:
            (failed,) = manifest.items("failed")
            assert (failed.attempts, Path(failed.source).name) == (expected, "cut.jpg")


def database(job: Path) -> sqlite3.Connection:
    return sqlite3.connect(job.parent / "out" / FOLDER / "manifest.sqlite", isolation_level=None)


def stamps(job: Path) -> list[str]:
    with closing(database(job)) as opened:
        return [stamp for (stamp,) in opened.execute("SELECT stamp FROM sources")]


def set_stamps(job: Path, stamp: Callable[[int, int], str]) -> None:
    with closing(database(job)) as opened:
        for (source,) in opened.execute("SELECT source FROM sources").fetchall():
            status = Path(source).stat()
            opened.execute(
                "UPDATE sources SET stamp = ? WHERE source = ?",
                (stamp(status.st_size, status.st_mtime_ns), source),
            )


def forget_the_change(job: Path, source: Path) -> None:
    """As when a disk, and no program, has changed it: the file system knows nothing."""
    (file,) = discover([str(source)], {".jpg"}).files
    with closing(database(job)) as opened:
        changed = opened.execute(
            "UPDATE sources SET stamp = ? WHERE source = ?",
            (f"{file.size_bytes} {file.version}", str(source)),
        )
        assert changed.rowcount == 1

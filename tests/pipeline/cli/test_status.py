"""``restore-batch status``: short for thousands of items, complete where it is asked to be."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from click.testing import CliRunner

from restore_batch.errors import UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import FOLDER, PARTS
from restore_batch.jobs.units import Join, Segment
from restore_batch.pipeline.cli.status import status

from support.archive import command
from support.ledger import do, do_fail, photo, scratch_folder

DONE, FAILED, BEGUN, TOTAL = 2500, 321, 3, 4000
WITHIN_S = 300


@pytest.fixture(scope="module")
def output() -> Iterator[Path]:
    """The folder of a run that is at its 2,825th of 4,000 items."""
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name)
        with Manifest.open(folder) as manifest:
            manifest._db.execute("PRAGMA synchronous = OFF")
            manifest.begin_run("0", "job.yaml", {}, [], TOTAL)
            for number in range(DONE):
                do(manifest, photo(folder, f"done/{number:04d}.png"), faces=number % 3)
            for number in range(FAILED):
                do_fail(manifest, photo(folder, f"failed/{number:04d}.png"))
            for number in range(BEGUN):
                manifest.start(photo(folder, f"begun/{number}.png"), "source")
            yield folder


def lines(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(status, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


TOTALS = "2,500 done, 321 failed, 3 at work, 1,176 left; last run is going on"


def test_by_default_only_what_is_at_work_and_the_first_failures_are_listed(output: Path) -> None:
    assert lines(output) == [
        *(f"at work  begun/{number}.png" for number in range(BEGUN)),
        *(
            f"failed   failed/{number:04d}.png  decode: failed/{number:04d}.png: not a picture"
            for number in range(20)
        ),
        "… and 301 more that failed: --failed lists them",
        TOTALS,
    ]


def test_all_lists_every_item(output: Path) -> None:
    *items, totals = lines(output, "--all")
    assert totals == TOTALS
    assert len(items) == DONE + FAILED + BEGUN
    assert "done     done/0002.png  2 faces" in items


def test_failed_lists_every_failure_and_nothing_else(output: Path) -> None:
    *items, totals = lines(output, "--failed")
    assert totals == TOTALS
    assert len(items) == FAILED
    assert all(item.startswith("failed   failed/") for item in items)


def test_json_holds_everything(output: Path) -> None:
    found = json.loads("\n".join(lines(output, "--json")))
    assert found["counts"] == {"done": DONE, "failed": FAILED, "pending": BEGUN}
    assert found["left"] == TOTAL - DONE - FAILED - BEGUN
    assert [item["output"] for item in found["at_work"]] == [f"begun/{n}.png" for n in range(3)]
    assert len(found["items"]) == DONE + FAILED + BEGUN
    assert found["last_run"]["total"] == TOTAL
    failed = json.loads("\n".join(lines(output, "--json", "--failed")))
    assert len(failed["items"]) == FAILED
    assert failed["counts"] == found["counts"]


def test_what_an_ended_run_had_begun_is_left(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [], 4)
        do(manifest, photo(tmp_path, "a.png"))
        manifest.start(photo(tmp_path, "b.png"), "source")
        manifest.end_run("interrupted")
    assert lines(tmp_path) == ["1 done, 3 left; last run interrupted"]


def test_a_film_at_work_is_shown_with_its_segments(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [], 1)
        film = Join(**vars(photo(tmp_path, "a.mp4")))
        manifest.expect(film, "source")
        for number in range(2):
            part = photo(tmp_path, f"{PARTS}/{film.id}/{number:06d}.part")
            manifest.start(Segment(**vars(part), work=None), "source")
        assert lines(tmp_path)[0] == "at work  a.mp4  segments done: 0 of the 2 begun"


def test_of_a_run_that_was_cut_off_nothing_is_at_work(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
        assert lines(tmp_path)[-1] == "1 done, 1 at work, 1 left; last run is going on"
    assert lines(tmp_path) == ["1 done, 2 left; last run was cut off"]
    assert json.loads("\n".join(lines(tmp_path, "--json")))["at_work"] == []


def test_whoever_looks_whether_a_run_goes_on_keeps_none_from_beginning(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
    lock = os.open(tmp_path / FOLDER / "lock", os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    looked = Timer(0.1, os.close, [lock])
    looked.start()
    Manifest.open(tmp_path).close()
    looked.join()


def test_the_state_of_a_bucket_is_found_by_the_job_file_that_names_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with Manifest.open(state) as manifest:
        do(manifest, photo(state, "a.png"))
    job = tmp_path / "job.yaml"
    job.write_text("inputs: [in]\noutput: s3://bucket/place\nstate: state\n", encoding="utf-8")
    assert lines(job)[-1].startswith("1 done")


def test_the_original_that_stands_in_for_a_failure_is_named(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        do_fail(manifest, photo(tmp_path, "a.png"), "a.tif")
    assert lines(tmp_path)[0].endswith("; the original stands in: a.tif")


def test_a_comparison_is_told_as_one_with_the_names_of_its_restorers(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with Manifest.open(tmp_path / name) as manifest:
            manifest.begin_run("0", "job.yaml", {}, [], 2)
            do_fail(manifest, photo(tmp_path / name, "a.png"))
    shown = lines(tmp_path)
    assert [line.split()[1] for line in shown[:2]] == ["one/a.png", "two/a.png"]
    assert shown[2].startswith("2 failed, 2 left; ")


# -- a run that goes on ---
class Watching:
    """``status --watch`` in a process of its own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.process = subprocess.Popen(
            command("status", "--watch", folder), stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, **{"stdout": subprocess.PIPE, **settings},
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout is not None
        return str(self.process.stdout.readline()).rstrip("\n")

    def end(self) -> list[str]:
        """What it says from now on to its end."""
        out, err = self.process.communicate(timeout=WITHIN_S)
        assert err == ""
        return (out or "").splitlines()


def begin(manifest: Manifest) -> None:
    manifest.begin_run("0", "job.yaml", {}, [], 3)
    do(manifest, photo(manifest.output_dir, "a.png"))
    manifest.start(photo(manifest.output_dir, "b.png"), "source")


def test_a_watch_goes_on_until_the_run_ends_and_then_says_how(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
        watching = Watching(tmp_path)
        assert watching.line() == "1 done, 1 at work, 1 left"
        do(manifest, photo(tmp_path, "b.png"))
        do_fail(manifest, photo(tmp_path, "c.png"))
        assert watching.process.poll() is None
        manifest.end_run("finished")
    told = watching.end()
    assert told[-2:] == [
        "failed   c.png  decode: c.png: not a picture", "2 done, 1 failed; last run finished",
    ]  # fmt: skip
    assert watching.process.returncode == 0


def test_a_watch_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "support.ledger", "hold", str(tmp_path)], stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    running.stdout.readline()
    watching = Watching(tmp_path)
    assert watching.line() == "1 done"
    running.kill()
    running.communicate()
    assert watching.end() == ["1 done"]


def test_a_watch_draws_on_a_terminal_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    drawn = b""
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
        watching = Watching(tmp_path, stdout=its, env={**os.environ, "TERM": "xterm"})
        os.close(its)
        while b"1/3" not in drawn or b"b.png" not in drawn:
            drawn += os.read(ours, 4096)
        manifest.end_run("interrupted")
    with suppress(OSError):  # what a terminal answers whose program is gone
        while more := os.read(ours, 4096):
            drawn += more
    watching.process.communicate(timeout=WITHIN_S)
    os.close(ours)
    assert drawn.rfind(b"\x1b[?25h") > drawn.rfind(b"\x1b[?25l")
    assert b"1 done, 2 left; last run interrupted" in drawn


def test_who_stops_watching_is_told_that_the_run_goes_on(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
        watching = Watching(tmp_path)
        watching.line()
        watching.process.send_signal(signal.SIGINT)
        assert watching.end() == ["no longer watched; the run goes on"]
        assert watching.process.returncode == 130
        do(manifest, photo(tmp_path, "b.png"))


def test_watching_where_no_run_goes_on_says_so_and_changes_nothing(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        begin(manifest)
    lines(tmp_path)  # the files that readers share are there

    def files() -> dict[str, bytes]:
        found = (path for path in (tmp_path / FOLDER).rglob("*") if path.is_file())
        # The index that readers of SQLite share says who reads.
        return {path.name: path.read_bytes() for path in found if path.suffix != ".sqlite-shm"}

    before = files()
    said = lines(tmp_path, "--watch")
    assert said[0] == "no run is going on there (one that is still planning cannot be seen)"
    assert said[-1] == "1 done, 2 left; last run was cut off"
    assert files() == before


def test_a_watch_and_a_list_are_not_asked_for_together(output: Path) -> None:
    result = CliRunner().invoke(status, ["--watch", "--all", str(output)])
    assert isinstance(result.exception, UsageError)

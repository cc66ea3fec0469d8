"""A run killed at any moment leaves complete files only, and the next run goes on from there."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore_batch.files import publish, sha256_of
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.units import Unit

from support import ledger
from support.ledger import content, original, photo, scratch_folder

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        yield Path(folder)


def program(what: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "support.ledger", what, str(folder)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip


def rows(manifest: Manifest, query: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in manifest._db.execute(query)]


def assert_consistent(manifest: Manifest) -> None:
    """What must hold after ``recover``, whatever came before."""
    assert rows(manifest, "PRAGMA integrity_check") == [("ok",)]
    assert rows(manifest, "SELECT id FROM units WHERE state = 'staged'") == []
    twice = (
        "SELECT unit, attempt, COUNT(*) FROM attempts GROUP BY unit, attempt HAVING COUNT(*) > 1"
    )
    assert rows(manifest, twice) == []
    assert list(manifest.staging_dir.iterdir()) == []
    done = rows(
        manifest,
        "SELECT item, sha256, face_count, (SELECT COUNT(*) FROM faces WHERE faces.unit = units.id)"
        " FROM units JOIN items ON items.unit = units.id WHERE state = 'done'",
    )
    for output, sha256, face_count, faces in done:
        assert sha256_of(manifest.output_dir / str(output)) == sha256
        assert face_count == faces


# -- killed at each step --------------------------------------------------------------------------
@pytest.fixture(scope="module")
def killed_once() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        process = program("kill_at_every_step", Path(name))
        assert process.wait(timeout=120) == 0
        assert process.stdout is not None
        process.stdout.close()
        yield Path(name)


@pytest.fixture
def killed(killed_once: Path, scratch: Path) -> list[Path]:
    """The folders that a run leaves when it is killed at its first, second … step."""
    shutil.copytree(killed_once, scratch, dirs_exist_ok=True)
    return sorted((p for p in scratch.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))


def test_the_kills_reach_every_stage_of_a_commit(killed: list[Path]) -> None:
    """Else the other tests would prove nothing."""
    found = set()
    for folder in killed:
        reader = Manifest.read(folder)
        assert reader is not None
        with reader:
            redone = photo(folder, ledger.REDONE)
            state = rows(reader, f"SELECT state FROM units WHERE id = '{redone.id}'")
            is_new = (folder / ledger.REDONE).read_bytes() == content(redone)
            copy_is_there = (folder / ledger.FAILED_BEFORE_COPY).exists()
            replaced = reader.state_of(photo(folder, ledger.FAILED_BEFORE)) == "done"
        found.add((state[0][0] if state else None, is_new, replaced, copy_is_there))
    assert {
        (None, False, False, True),
        ("pending", False, False, True),
        ("staged", False, False, True),
        ("staged", True, False, True),
        ("done", True, False, True),
        ("done", True, True, True),  # the result is there and its stand-in still too
        ("done", True, True, False),
    } <= found


def test_after_a_kill_at_any_step_every_unit_is_wholly_done_or_wholly_not(
    killed: list[Path],
) -> None:
    for folder in killed:
        with Manifest.open(folder) as manifest:
            manifest.recover()
            assert_consistent(manifest)
            older = {ledger.REDONE: content(photo(folder, ledger.REDONE, base="old"))}
            for output in (ledger.REDONE, ledger.FAILED_BEFORE, ledger.NEW):
                unit, path = photo(folder, output), folder / output
                found = path.read_bytes() if path.exists() else None
                if manifest.state_of(unit, verify=True) == "done":
                    assert found == content(unit), folder
                else:
                    assert found == older.get(output), folder


def test_after_a_kill_at_any_step_a_stand_in_is_there_exactly_while_it_is_needed(
    killed: list[Path],
) -> None:
    for folder in killed:
        with Manifest.open(folder) as manifest:
            manifest.recover()
            unit = photo(folder, ledger.FAILED_BEFORE)
            copy = folder / ledger.FAILED_BEFORE_COPY
            (line,) = (i for i in manifest.items() if i.output == ledger.FAILED_BEFORE)
            if manifest.state_of(unit) == "done":
                assert (copy.exists(), line.stand_in) == (False, ""), folder
            else:
                assert copy.read_bytes() == original(unit), folder
                assert line.stand_in == ledger.FAILED_BEFORE_COPY, folder


def test_a_run_killed_at_any_step_is_taken_to_its_end_by_the_next(killed: list[Path]) -> None:
    for folder in killed:
        with Manifest.open(folder) as manifest:
            ledger.resume(manifest)
            assert_consistent(manifest)
            for output in (ledger.REDONE, ledger.FAILED_BEFORE, ledger.NEW):
                assert manifest.state_of(photo(folder, output), verify=True) == "done"
            assert manifest.state_of(photo(folder, ledger.FAILS)) == "failed"
            lines = {i.output: i.stand_in for i in manifest.items()}
        assert lines == {
            ledger.REDONE: "", ledger.FAILED_BEFORE: "", ledger.NEW: "",
            ledger.FAILS: ledger.FAILS_COPY,
        }  # fmt: skip
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        visible = {name for name in files if not name.startswith(FOLDER)}
        assert visible == {
            ledger.REDONE, ledger.FAILED_BEFORE, ledger.NEW, ledger.FAILS_COPY,
        }  # fmt: skip


# -- killed at random -----------------------------------------------------------------------------
def test_a_run_killed_at_random_moments_loses_and_doubles_nothing(scratch: Path) -> None:
    """The same folder is killed again and again: what one kill leaves, the next run starts with."""
    chance = random.Random()
    for _ in range(8):
        process = program("commit_for_ever", scratch)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.15))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
        with Manifest.open(scratch) as manifest:
            manifest.recover()
            assert_consistent(manifest)
            complete = {
                content(photo(scratch, f"{number}.png", base=f"base{version}"))
                for number in range(5)
                for version in range(3)
            }
            for path in scratch.glob("*.png"):
                assert path.read_bytes() in complete
            names = [i.output for i in manifest.items()]
            assert len(names) == len(set(names))
            listed = {i.output for i in manifest.items() if i.state == "done"}
            assert listed <= {p.name for p in scratch.glob("*.png")}
    assert listed, "the runs got somewhere"


# -- what recover finds ---------------------------------------------------------------------------
def cut_short(folder: Path, *outputs: str) -> Unit:
    """Units whose commit ended between its first and its second step; returns the last."""

    def cut(*_: Path) -> None:
        raise InterruptedError

    with Manifest.open(folder) as manifest, pytest.MonkeyPatch.context() as patch:
        patch.setattr("restore_batch.jobs.results.local.put", cut)
        for output in outputs or ("sub/a.png",):
            unit = manifest.start(photo(folder, output), "source")
            with pytest.raises(InterruptedError):
                manifest.commit(unit, ledger.staged(unit, faces=1))
    return unit


def recovered(folder: Path, unit: Unit) -> tuple[int, str]:
    with Manifest.open(folder) as manifest:
        finished = manifest.recover()
        assert_consistent(manifest)
        assert manifest.recover() == 0, "there is nothing left to do"
        return finished, manifest.state_of(unit, verify=True)


def test_a_commit_cut_before_the_rename_is_finished(scratch: Path) -> None:
    unit = cut_short(scratch)
    assert recovered(scratch, unit) == (1, "done")
    assert (scratch / unit.output).read_bytes() == content(unit)


def test_a_commit_cut_after_the_rename_is_finished(scratch: Path) -> None:
    unit = cut_short(scratch)
    publish(unit.staged_path, scratch / unit.output)
    assert recovered(scratch, unit) == (1, "done")


def test_a_commit_is_finished_where_the_folder_has_moved_to(scratch: Path) -> None:
    cut_short(scratch / "here")
    (scratch / "here").rename(scratch / "there")
    assert recovered(scratch / "there", photo(scratch / "there", "sub/a.png")) == (1, "done")


def test_a_staged_file_that_is_missing_means_pending(scratch: Path) -> None:
    unit = cut_short(scratch)
    unit.staged_path.unlink()
    assert recovered(scratch, unit) == (0, "pending")
    assert not (scratch / unit.output).exists()


@pytest.mark.parametrize("damage", ["truncated", "altered"])
def test_a_staged_file_that_is_damaged_is_not_published(scratch: Path, damage: str) -> None:
    unit = cut_short(scratch)
    data = content(unit)
    unit.staged_path.write_bytes(data[:-1] if damage == "truncated" else b"\0" + data[1:])
    assert recovered(scratch, unit) == (0, "pending")
    assert not (scratch / unit.output).exists()


def test_one_commit_that_cannot_be_finished_does_not_hold_up_the_rest(scratch: Path) -> None:
    free = cut_short(scratch, "a.png", "b.png")
    (scratch / "a.png").mkdir()
    assert recovered(scratch, free) == (1, "done")
    assert recovered(scratch, photo(scratch, "a.png")) == (0, "pending")
    assert (scratch / "a.png").is_dir()


def test_leftovers_in_the_staging_folder_are_removed_and_links_not_followed(scratch: Path) -> None:
    outside = scratch / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    with Manifest.open(scratch / "out") as manifest:
        staging = manifest.staging_dir
        (staging / "file.png").touch()
        (staging / "folder" / "deep").mkdir(parents=True)
        (staging / "folder" / "deep" / "file").touch()
        (staging / "link").symlink_to(outside)
        (staging / "dangling").symlink_to(outside / "nothing")
        assert manifest.recover() == 0
        assert list(staging.iterdir()) == []
    assert (outside / "kept").exists()

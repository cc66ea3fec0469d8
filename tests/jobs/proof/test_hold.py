"""One process at a time writes to an output folder, whatever is done to that folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.proof.hold import Hold

from support.ledger import do, photo

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Path]:
    """An output folder that another process writes to."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.ledger", "hold", str(tmp_path / "out")],
        stdout=subprocess.PIPE, text=True, cwd=TESTS,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield tmp_path / "out"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("what", [FOLDER, f"{FOLDER}/lock", f"{FOLDER}/manifest.sqlite"])
def test_a_second_process_is_kept_out_while_what_the_first_keeps_is_gone(
    holder: Path, what: str
) -> None:
    """Between the removal and the first one's next commit there may be no lock that both see."""
    if (holder / what).is_dir():
        shutil.rmtree(holder / what)
    else:
        (holder / what).unlink()
    with pytest.raises(OutputLockedError, match="is writing there; wait for it"):
        Manifest.open(holder)


def test_a_place_from_which_the_output_was_moved_away_is_free(holder: Path) -> None:
    holder.rename(holder.with_name("moved"))
    with Manifest.open(holder):
        pass
    with pytest.raises(OutputLockedError):
        Manifest.open(holder.with_name("moved"))


def remove_folder(output: Path) -> None:
    shutil.rmtree(output / FOLDER)


def remove_lock(output: Path) -> None:
    (output / FOLDER / "lock").unlink()


def remove_manifest(output: Path) -> None:
    (output / FOLDER / "manifest.sqlite").unlink()


def remove_log(output: Path) -> None:
    (output / FOLDER / "manifest.sqlite-wal").unlink()


def replace_manifest(output: Path) -> None:
    manifest = output / FOLDER / "manifest.sqlite"
    shutil.copy(manifest, output / "copy")
    os.replace(output / "copy", manifest)  # noqa: PTH105


def replace_lock(output: Path) -> None:
    remove_lock(output)
    (output / FOLDER / "lock").touch()


def move(output: Path) -> None:
    output.rename(output.with_name("moved"))


DEEDS = (
    remove_folder, remove_lock, remove_manifest, remove_log, replace_manifest, replace_lock, move,
)  # fmt: skip


@pytest.mark.parametrize("deed", DEEDS)
def test_nothing_is_committed_once_the_manifest_is_not_where_it_was(
    tmp_path: Path, deed: Callable[[Path], None]
) -> None:
    output = tmp_path / "out"
    with Manifest.open(output) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        do(manifest, photo(output, "a.png"))
        begun = manifest.start(photo(output, "b.png"), "source")
        deed(output)
        for change in (
            lambda: manifest.start(photo(output, "c.png"), "source"),
            lambda: manifest.fail(begun, "decode", "MediaError", "no picture"),
            lambda: manifest.note_source("c", "1", "abc", None, "p"),
            lambda: manifest.end_run("finished"),
            manifest.check_place,
        ):
            with pytest.raises(ManifestError, match="removed or replaced while a run was writing"):
                change()  # type: ignore[no-untyped-call]
    assert output.exists() == (deed is not move)


def test_a_result_is_not_put_where_its_manifest_is_no_longer(tmp_path: Path) -> None:
    from support.ledger import staged

    output = tmp_path / "out"
    with Manifest.open(output) as manifest:
        unit = manifest.start(photo(output, "sub/a.png"), "source")
        result = staged(unit)
        remove_manifest(output)
        with pytest.raises(ManifestError):
            manifest.commit(unit, result)
    assert not (output / "sub").exists()


def test_a_manifest_that_was_put_in_the_place_of_another_keeps_its_own_log(tmp_path: Path) -> None:
    """SQLite removes the log of a database by its name when it closes it."""
    first = Manifest.open(tmp_path)
    do(first, photo(tmp_path, "a.png"))
    shutil.rmtree(tmp_path / FOLDER)
    first._hold.release()  # type: ignore[union-attr]
    with Manifest.open(tmp_path) as second:
        second.begin_run("1", "job.yaml", {}, [])
        first.close()
        assert (tmp_path / FOLDER / "manifest.sqlite-wal").exists()
        second.end_run("finished")
    with Manifest.open(tmp_path) as third:
        last = third.last_run()
        assert last is not None
        assert last["outcome"] == "finished"


def test_a_lock_that_is_replaced_before_it_is_taken_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    folder = tmp_path / FOLDER
    folder.mkdir()
    flock, calls = fcntl.flock, []

    def replaced_meanwhile(handle: int, how: int) -> None:
        if not calls:
            (folder / "lock").unlink()
            (folder / "lock").touch()
        calls.append(handle)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", replaced_meanwhile)
    hold = Hold(folder)
    monkeypatch.undo()
    with pytest.raises(OutputLockedError):
        Hold(folder)
    hold.check()
    hold.release()
    Hold(folder).release()


def test_a_folder_in_the_place_of_the_lock_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FOLDER / "lock").mkdir(parents=True)
    with pytest.raises(RestoreBatchError, match="lock: cannot write there"):
        Manifest.open(tmp_path)

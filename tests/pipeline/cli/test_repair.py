"""``restore-batch repair-manifest`` says what it found, of one folder or of a whole comparison."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.manifest import FOLDER, Manifest

from support.command_line import call
from support.damage import DAMAGES
from support.ledger import do, photo


def finished(folder: Path, *outputs: str) -> Path:
    with Manifest.open(folder) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [], len(outputs))
        for output in outputs:
            do(manifest, photo(folder, output), faces=1)
        manifest.end_run("finished")
    return folder


def said(*arguments: str | Path) -> list[str]:
    done = call(*map(str, arguments))
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_repair_says_what_is_proven_what_is_made_again_and_what_is_left_alone(
    tmp_path: Path,
) -> None:
    finished(tmp_path, *(f"{number}.png" for number in range(9)))
    (tmp_path / "0.png").unlink()
    (tmp_path / "by hand \x1b[2J.png").touch()
    DAMAGES["overwritten"](tmp_path / FOLDER)
    rebuilt, again, others, aside = said("repair-manifest", tmp_path)
    assert rebuilt == f"{tmp_path}: the manifest is rebuilt; 8 results proven and taken over"
    assert again.endswith("1 result missing or altered, for the next run to make again: 0.png")
    assert "1 other file that nothing proves to be of this job, left alone: by hand" in others
    kept = Path(aside.partition(" is kept in ")[2])
    assert (kept / "manifest.sqlite").read_bytes().startswith(b"this is not a database")
    assert said("repair-manifest", tmp_path) == [
        f"{tmp_path}: the manifest is sound; nothing was changed"
    ]
    assert said("status", tmp_path) == ["8 done, 1 left; last run finished"]


def test_all_manifests_of_a_comparison_are_repaired(tmp_path: Path) -> None:
    for name in ("one", "two"):
        finished(tmp_path / name, "a.png")
    DAMAGES["removed"](tmp_path / "two" / FOLDER)
    sound, rebuilt, _ = said("repair-manifest", tmp_path)
    assert sound.startswith(f"{tmp_path / 'one'}: the manifest is sound")
    assert rebuilt.startswith(f"{tmp_path / 'two'}: the manifest is rebuilt; 1 result proven")


@pytest.mark.parametrize("command", ["status", "repair-manifest"])
def test_a_folder_where_nothing_was_run_is_a_wrong_argument(command: str, tmp_path: Path) -> None:
    done = call(command, str(tmp_path))
    assert done.exit_code == 2
    assert "nothing was run there yet" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["overwritten", "removed", "replaced_by_a_folder"])
def test_status_of_a_damaged_manifest_is_one_line_that_says_what_to_do(
    damage: str, tmp_path: Path
) -> None:
    DAMAGES[damage](finished(tmp_path, "a.png") / FOLDER)
    done = call("status", str(tmp_path))
    assert done.exit_code == 3
    (line,) = done.stderr.splitlines()
    assert f"`restore-batch repair-manifest {tmp_path}`" in line


def test_a_repair_beside_a_run_is_refused(tmp_path: Path) -> None:
    finished(tmp_path, "a.png")
    with Manifest.open(tmp_path):
        done = call("repair-manifest", str(tmp_path))
    assert done.exit_code == 2
    assert "is writing there" in done.stderr

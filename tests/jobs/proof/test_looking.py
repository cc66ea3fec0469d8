"""Who only looks at a manifest leaves no trace, and sees what a run has committed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from restore_batch.jobs.database import Database
from restore_batch.jobs.history import History
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof import looking
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.proof.looking import stamp_of

from support.ledger import do, photo

# Has a manifest open, commits an item for each line that it is given, and says when it is done.
WRITER = """
import sys
from pathlib import Path
from restore_batch.jobs.manifest import Manifest
from support.ledger import do, photo
output = Path(sys.argv[1])
with Manifest.open(output) as manifest:
    for line in sys.stdin:
        do(manifest, photo(output, line.strip()))
        print("done", flush=True)
"""


def outputs(output: Path) -> list[str]:
    return History.glance(output, lambda history: [entry.output for entry in history.entries()])


def tree(output: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(output)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in output.rglob("*")
        if path.is_file()
    } | {str(path): (b"", path.stat().st_mtime_ns) for path in output.rglob("*") if path.is_dir()}


def writer(output: Path) -> subprocess.Popen[str]:
    tests = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(output)], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(tests)},
    )  # fmt: skip


def committed(process: subprocess.Popen[str], name: str) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{name}\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_a_manifest_at_rest_is_read_without_a_trace(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        do(manifest, photo(tmp_path, "a.png"))
    before = tree(tmp_path)
    assert outputs(tmp_path) == ["a.png"]
    assert tree(tmp_path) == before


def test_a_look_beside_a_run_sees_each_commit_and_leaves_no_trace(tmp_path: Path) -> None:
    process = writer(tmp_path)
    stamps = set()
    for number in range(3):
        committed(process, f"{number}.png")
        before = tree(tmp_path)
        assert outputs(tmp_path) == [f"{each}.png" for each in range(number + 1)]
        assert tree(tmp_path) == before
        stamps.add(stamp_of(tmp_path / FOLDER / "manifest.sqlite"))
    process.communicate()
    assert len(stamps) == 3
    # Nobody else had it open: the run could tidy up.
    assert not list(tmp_path.glob(f"{FOLDER}/*-wal"))


def test_what_a_killed_run_committed_is_seen_without_taking_it_over(tmp_path: Path) -> None:
    process = writer(tmp_path)
    committed(process, "a.png")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = tree(tmp_path)
    assert outputs(tmp_path) == ["a.png"]
    assert tree(tmp_path) == before
    (tmp_path / FOLDER / "manifest.sqlite-shm").unlink()
    with pytest.raises(ManifestError, match="restore-batch status"):
        outputs(tmp_path)


def test_a_folder_without_a_manifest_is_an_error_and_stays_empty(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="not there"):
        outputs(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_that_ends_just_when_somebody_looks_leaves_nothing_of_its_log_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = writer(tmp_path)
    committed(process, "a.png")
    connect_as = looking.connect_as

    def after_the_run(path: Path, query: str) -> Database:
        if not process.stdin.closed:  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1)  # it may have to wait for this look
        return connect_as(path, query)

    monkeypatch.setattr(looking, "connect_as", after_the_run)
    assert outputs(tmp_path) == ["a.png"]
    process.wait()
    assert not list(tmp_path.glob(f"{FOLDER}/*-wal"))
    assert not list(tmp_path.glob(f"{FOLDER}/*-shm"))
    assert outputs(tmp_path) == ["a.png"]

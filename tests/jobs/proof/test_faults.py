"""Whatever SQLite and the disk meet is one line that names the file and says what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof.faults import DamagedManifestError, ManifestError, fault_of

from support.ledger import do, photo, scratch_folder

CODES = sorted(
    value for name, value in vars(sqlite3).items()
    if name.startswith("SQLITE_") and isinstance(value, int) and "LIMIT" not in name
)  # fmt: skip
MANIFEST = f"{FOLDER}/manifest.sqlite"


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest.open(tmp_path) as opened:
        opened.begin_run("0", "job.yaml", {}, [])
        do(opened, photo(tmp_path, "a.png"), faces=1)
        yield opened


@pytest.mark.parametrize("code", CODES)
def test_every_error_that_sqlite_has_is_one_line_with_the_file_and_a_way_on(
    code: int, tmp_path: Path
) -> None:
    error = sqlite3.OperationalError("a text of\nseveral lines")
    error.sqlite_errorcode = code
    (tmp_path / FOLDER).mkdir()
    (tmp_path / MANIFEST).touch()
    said = str(fault_of(error, tmp_path / MANIFEST))
    assert "\n" not in said
    assert said.startswith(str(tmp_path / MANIFEST))
    assert any(way in said for way in ("run again", "repair-manifest"))


def test_another_program_that_holds_the_database_is_named_as_the_reason(
    manifest: Manifest,
) -> None:
    manifest._db.execute("PRAGMA busy_timeout = 0")
    path = manifest.output_dir / MANIFEST
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ManifestError, match="another program holds it"):
            manifest.end_run("finished")
    with pytest.raises(ManifestError, match="another program holds it"):
        manifest.end_run("finished")  # what came after a change that failed would not fit it


@pytest.mark.parametrize("opened", [Manifest.open, Manifest.read], ids=["open", "read"])
def test_a_name_of_a_table_that_is_no_text_is_found_as_damage(
    opened: Callable[[Path], object], tmp_path: Path
) -> None:
    with Manifest.open(tmp_path) as manifest:
        do(manifest, photo(tmp_path, "a.png"))
    path = tmp_path / MANIFEST
    data = path.read_bytes()
    # SQLite quotes the name of what it cannot make sense of.
    damaged = data.replace(b"tableattemptsattempts", b"tableattempt\xffattemptz")
    assert damaged != data
    path.write_bytes(damaged)
    with pytest.raises(DamagedManifestError, match="repair-manifest") as said:
        opened(tmp_path)
    assert "\n" not in str(said.value)


def test_what_a_killed_run_left_half_way_in_the_database_is_taken_back_by_a_reader(
    tmp_path: Path,
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    with Manifest.open(whole) as manifest:
        do(manifest, photo(whole, "a.png"))
    with closing(sqlite3.connect(whole / MANIFEST, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        for number in range(200):
            database.execute(
                "INSERT INTO sources VALUES (?, ?, '', '{}')", [f"{number}", "x" * 999]
            )
        shutil.copytree(whole, killed)
    assert (killed / f"{MANIFEST}-journal").stat().st_size
    reader = Manifest.read(killed)
    assert reader is not None
    with reader:
        assert reader.counts() == {"done": 1}


def test_a_page_that_goes_bad_under_an_open_manifest_is_found_as_damage(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        for number in range(60):
            do(manifest, photo(tmp_path, f"{number}.png"), faces=2)
    reader = Manifest.read(tmp_path)
    assert reader is not None
    with reader:
        reader._db.execute("PRAGMA cache_size = 1")
        data = (tmp_path / MANIFEST).read_bytes()
        (tmp_path / MANIFEST).write_bytes(data[:4096] + bytes(len(data) - 4096))
        with pytest.raises(DamagedManifestError):
            list(reader.items())


OPEN = """
import os, sys
from pathlib import Path
from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.manifest import Manifest
if os.getuid() == 0:
    os.setuid(65534)  # root may read and write everywhere
try:
    getattr(Manifest, sys.argv[1])(Path(sys.argv[2])).close()
except RestoreBatchError as error:
    print(error)
"""


def lock_file(folder: Path) -> None:
    (folder / MANIFEST).chmod(0)


def lock_folder(folder: Path) -> None:
    (folder / FOLDER).chmod(0)


def allow_reading_only(folder: Path) -> None:
    (folder / MANIFEST).chmod(0o444)


def lock_journal(folder: Path) -> None:
    (folder / FOLDER / "journal.jsonl").chmod(0)


@pytest.mark.parametrize("how", ["open", "read"])
@pytest.mark.parametrize("lock", [lock_file, lock_folder, allow_reading_only, lock_journal])
def test_a_missing_permission_is_one_line(lock: Callable[[Path], None], how: str) -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name)
        with Manifest.open(folder) as manifest:
            do(manifest, photo(folder, "a.png"))
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)
        lock(folder)
        done = subprocess.run(
            [sys.executable, "-c", OPEN, how, name], capture_output=True, text=True, check=False
        )
        (folder / FOLDER).chmod(0o777)
    assert done.stderr == ""
    if how == "read" and lock in (allow_reading_only, lock_journal):
        assert done.stdout == "", "reading needs no more than that"
        return
    (line,) = done.stdout.splitlines()
    assert name in line
    assert any(word in line for word in ("permission", "Permission")), line
    assert "repair-manifest" not in line


def test_a_journal_that_cannot_be_written_ends_the_change_and_what_follows(
    manifest: Manifest,
) -> None:
    assert manifest._journal is not None
    os.close(manifest._journal._handle)
    manifest._journal._handle = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(ManifestError, match=r"journal\.jsonl: cannot be read or written"):
        manifest.note_source("b", "1", "abc", None, "p")
    with pytest.raises(ManifestError):
        manifest.end_run("finished")
    assert manifest.noted_sources(["b"]) == {}

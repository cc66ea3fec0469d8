"""Files beside a result come and go with it, and those of others are never touched."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import sidecar_of
from restore_batch.jobs.proof.kept import NAME
from restore_batch.jobs.proof.repair import repair
from restore_batch.jobs.records import SidecarFile, StagedResult
from restore_batch.jobs.results import local
from restore_batch.jobs.units import Photo

from support.ledger import photo, staged

MASK = ".mask.png"


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest.open(tmp_path) as opened:
        opened.begin_run("0", "job.yaml", {}, [])
        yield opened


def with_sidecars(unit: Photo, **contents: bytes) -> StagedResult:
    """A staged result with a sidecar for each ``name=content``, of the suffix ``.name.png``."""
    result = staged(unit)
    files = []
    for name, data in contents.items():
        suffix = f".{name}.png"
        path = unit.staged_path.with_name(unit.staged_path.name + suffix)
        path.write_bytes(data)
        files.append(SidecarFile(suffix, len(data), hashlib.sha256(data).hexdigest()))
    return replace(result, sidecars=tuple(files))


def do(manifest: Manifest, unit: Photo, **contents: bytes) -> Photo:
    begun = manifest.start(unit, "source")
    manifest.commit(begun, with_sidecars(begun, **contents))
    return begun


def beside(folder: Path, suffix: str = MASK) -> Path:
    return folder / f"a.png{suffix}"


def test_a_sidecar_is_committed_with_its_result(manifest: Manifest, tmp_path: Path) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"), mask=b"white")
    assert beside(tmp_path).read_bytes() == b"white"
    assert manifest.state_of(unit) == "done"
    assert list(manifest.staging_dir.iterdir()) == []


def test_a_result_without_its_sidecar_is_pending(manifest: Manifest, tmp_path: Path) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"), mask=b"white")
    beside(tmp_path).unlink()
    assert manifest.state_of(unit) == "pending"


def test_only_verifying_reads_sidecars(manifest: Manifest, tmp_path: Path) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"), mask=b"white")
    beside(tmp_path).write_bytes(b"black")
    assert manifest.state_of(unit) == "done"
    assert manifest.state_of(unit, verify=True) == "pending"


def test_a_newer_result_replaces_its_sidecar(manifest: Manifest, tmp_path: Path) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"), mask=b"white")
    do(manifest, photo(tmp_path, "a.png"), mask=b"grey")
    assert beside(tmp_path).read_bytes() == b"grey"


def test_one_that_was_altered_is_kept_beside_the_newer(manifest: Manifest, tmp_path: Path) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"), mask=b"white")
    beside(tmp_path).write_bytes(b"retouched")
    do(manifest, photo(tmp_path, "a.png"), mask=b"grey")
    assert beside(tmp_path).read_bytes() == b"grey"
    assert beside(tmp_path, ".mask.altered.png").read_bytes() == b"retouched"
    assert dict(manifest.altered.kept()) == {"a.png.mask.png": "a.png.mask.altered.png"}


def test_a_sidecar_that_a_newer_result_has_not_goes(manifest: Manifest, tmp_path: Path) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"), mask=b"white", film=b"f")
    do(manifest, photo(tmp_path, "a.png"), film=b"f")
    assert not beside(tmp_path).exists()
    assert beside(tmp_path, ".film.png").exists()


def test_a_sidecar_that_somebody_changed_stays(manifest: Manifest, tmp_path: Path) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"), mask=b"white")
    beside(tmp_path).write_bytes(b"retouched")
    do(manifest, photo(tmp_path, "a.png"))
    assert beside(tmp_path).read_bytes() == b"retouched"


def test_a_file_of_somebody_else_is_not_replaced(manifest: Manifest, tmp_path: Path) -> None:
    beside(tmp_path).write_bytes(b"theirs")
    with pytest.raises(RestoreBatchError, match=r"a\.png\.mask\.png: a file that this job did"):
        do(manifest, photo(tmp_path, "a.png"), mask=b"white")
    assert beside(tmp_path).read_bytes() == b"theirs"
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize("published", [0, 1, 2])
def test_a_commit_that_was_cut_short_is_finished(
    published: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    done = iter(range(3))
    put = local.put

    def cut(staged_file: Path, final: Path) -> None:
        if next(done) == published:
            raise Killed
        put(staged_file, final)

    unit = photo(tmp_path, "a.png")
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        with monkeypatch.context() as patched:
            patched.setattr(local, "put", cut)
            with pytest.raises(Killed):
                do(manifest, unit, mask=b"white", film=b"f")
    with Manifest.open(tmp_path) as manifest:
        assert manifest.recover() == 1
        assert manifest.state_of(unit) == "done"
    assert beside(tmp_path).read_bytes() == b"white"
    assert beside(tmp_path, ".film.png").read_bytes() == b"f"


def test_a_repaired_manifest_knows_its_sidecars(tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        do(manifest, unit, mask=b"white")
    (tmp_path / FOLDER / NAME).write_bytes(b"no manifest")
    repaired = repair(tmp_path)
    assert (repaired.taken, repaired.unproven) == (1, ())
    beside(tmp_path).unlink()
    with Manifest.open(tmp_path) as manifest:
        assert manifest.state_of(unit) == "pending"


def test_a_manifest_without_sidecars_is_taken_over(tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        do(manifest, unit)
    with sqlite3.connect(tmp_path / FOLDER / NAME) as database:
        database.execute("ALTER TABLE units DROP COLUMN sidecars")
        database.execute("PRAGMA user_version = 3")
    with Manifest.open(tmp_path) as manifest:
        assert manifest.state_of(unit) == "done"


def test_a_sidecars_name_is_never_too_long() -> None:
    output = f"folder/{'n' * 250}.png"
    name = sidecar_of(output, MASK).rpartition("/")[2]
    assert len(name) <= 255
    assert name.endswith(".png")
    assert sidecar_of("folder/a.png", MASK) == "folder/a.png.mask.png"

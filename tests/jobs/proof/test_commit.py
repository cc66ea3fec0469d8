"""Results that wait together are committed together, and each as surely as if it were alone."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof import commit, journal
from restore_batch.jobs.records import SidecarFile, StagedResult
from restore_batch.jobs.results import local
from restore_batch.jobs.units import Photo

from support import ledger
from support.ledger import content, photo, scratch_folder, staged

TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest.open(tmp_path) as opened:
        opened.begin_run("0", "job.yaml", {}, [])
        yield opened


def waiting(manifest: Manifest, *outputs: str) -> list[tuple[Photo, StagedResult]]:
    units = [manifest.start(photo(manifest.output_dir, output), "source") for output in outputs]
    return [(unit, staged(unit, faces=1)) for unit in units]


def lines(manifest: Manifest) -> list[journal.Line]:
    return list(journal.read_lines(manifest.output_dir / FOLDER / journal.NAME))


def states(manifest: Manifest) -> set[str]:
    """Of all units, as another process sees them."""
    reader = Manifest.read(manifest.output_dir)
    assert reader is not None
    with reader:
        return {row["state"] for row in reader._db.execute("SELECT state FROM units")}


def test_results_that_wait_together_take_each_step_together(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    sync_folder = local.sync_folder
    monkeypatch.setattr(local, "sync_folder", lambda f: (synced.append(f), sync_folder(f)))
    outputs = [f"{folder}/{number}.png" for folder in "ab" for number in range(20)]
    group = waiting(manifest, *outputs)
    before = len(lines(manifest))
    assert manifest.commit_all(group) == (None,) * 40
    assert sorted(synced) == [manifest.output_dir / "a", manifest.output_dir / "b"]
    added = lines(manifest)[before:]
    assert [(line.kept, len(line.tables["units"])) for line in added] == [(True, 40), (False, 40)]
    for unit, _ in group:
        assert (manifest.output_dir / unit.output).read_bytes() == content(unit)
        assert manifest.state_of(unit, verify=True) == "done"


def test_no_result_is_moved_before_all_are_on_record_and_none_is_done_before_its_folder_is_synced(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, sync_folder = local.put, local.sync_folder
    steps: list[str] = []

    def watched_put(source: Path, final: Path) -> None:
        assert states(manifest) == {"staged"}
        last = lines(manifest)[-1]
        assert last.kept
        assert len(last.tables["units"]) == 3
        steps.append("put")
        put(source, final)

    def watched_sync(folder: Path) -> None:
        assert states(manifest) == {"staged"}
        steps.append("sync")
        sync_folder(folder)

    monkeypatch.setattr(local, "put", watched_put)
    monkeypatch.setattr(local, "sync_folder", watched_sync)
    manifest.commit_all(waiting(manifest, "a.png", "b/b.png", "b/c.png"))
    assert steps == ["put", "put", "put", "sync", "sync"]
    assert states(manifest) == {"done"}


def test_what_stops_one_result_holds_up_none_of_the_others(manifest: Manifest) -> None:
    (manifest.output_dir / "foreign.png").write_bytes(b"not ours")
    group = waiting(manifest, "a.png", "foreign.png", "cut.png", "gone.png", "b.png")
    group[2][0].staged_path.write_bytes(b"short")
    group[3][0].staged_path.unlink()
    reasons = manifest.commit_all(group)
    assert [type(reason) for reason in reasons] == [
        type(None), RestoreBatchError, RestoreBatchError, FileNotFoundError, type(None),
    ]  # fmt: skip
    assert "did not write" in str(reasons[1])
    assert (manifest.output_dir / "foreign.png").read_bytes() == b"not ours"
    found = {unit.output: manifest.state_of(unit, verify=True) for unit, _ in group}
    assert [output for output, state in found.items() if state == "done"] == ["a.png", "b.png"]


def test_a_result_is_not_put_where_another_of_its_group_has_a_sidecar(manifest: Manifest) -> None:
    (first, result), second = waiting(manifest, "a.png", "a.png.mask.png")
    mask = b"mask"
    first.staged_path.with_name(f"{first.staged_path.name}.mask.png").write_bytes(mask)
    sidecar = SidecarFile(".mask.png", len(mask), hashlib.sha256(mask).hexdigest())
    reasons = manifest.commit_all([(first, replace(result, sidecars=(sidecar,))), second])
    assert reasons[0] is None
    assert "did not write" in str(reasons[1])
    assert (manifest.output_dir / "a.png.mask.png").read_bytes() == mask


def test_more_than_a_group_holds_are_all_committed(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MOST_AT_ONCE", 3)
    group = waiting(manifest, *(f"{number}.png" for number in range(8)))
    before = len(lines(manifest))
    assert manifest.commit_all(group) == (None,) * 8
    assert len(lines(manifest)) == before + 2 * 3
    assert {manifest.state_of(unit) for unit, _ in group} == {"done"}


def test_nothing_to_commit_changes_nothing(manifest: Manifest) -> None:
    before = lines(manifest)
    assert manifest.commit_all([]) == ()
    assert lines(manifest) == before


# -- killed at each step of a group ---------------------------------------------------------------
@pytest.fixture(scope="module")
def killed() -> Iterator[list[Path]]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        process = subprocess.run(
            [sys.executable, "-m", "support.ledger", "kill_in_a_group_at_every_step", name],
            env={**os.environ, "PYTHONPATH": str(TESTS)}, check=False, timeout=120,
        )  # fmt: skip
        assert process.returncode == 0
        folders = (path for path in Path(name).iterdir() if path.name.isdigit())
        yield sorted(folders, key=lambda path: int(path.name))


def test_a_group_that_is_killed_at_any_step_is_taken_to_its_end_by_the_next(
    killed: list[Path],
) -> None:
    found = set()
    for folder in killed:
        units = {output: photo(folder, output) for output in ledger.GROUP}
        old = content(photo(folder, ledger.REDONE, base="old"))
        reader = Manifest.read(folder)
        assert reader is not None
        with reader:
            rows = reader._db.execute("SELECT * FROM units WHERE base_key = 'base'").fetchall()
            noted = reader.noted_sources([unit.source for unit in units.values()])
        states = [row["state"] for row in rows]
        attempts = {row["item"]: row["attempts"] for row in rows}
        # All are begun at once, and what is known of their sources is on record with the results.
        times = attempts[ledger.FAILED_BEFORE] - 1
        assert [attempts.get(each, 0) for each in (ledger.REDONE, ledger.NEW)] == [times] * 2
        assert len(noted) == (3 if {"staged", "done"} & set(states) else 0), folder
        moved = sum(
            (folder / output).exists() and (folder / output).read_bytes() == content(unit)
            for output, unit in units.items()
        )
        found.add((states.count("staged"), moved))
        with Manifest.open(folder) as manifest:
            manifest.recover()
            for output, unit in units.items():
                path = folder / output
                if manifest.state_of(unit, verify=True) == "done":
                    assert path.read_bytes() == content(unit), folder
                elif output == ledger.REDONE:
                    assert path.read_bytes() == old, folder
                else:
                    assert not path.exists(), folder
            assert list(manifest.staging_dir.iterdir()) == []
            ledger.resume_in_a_group(manifest)
            for unit in units.values():
                assert manifest.state_of(unit, verify=True) == "done", folder
        copy = folder / ledger.FAILED_BEFORE_COPY
        assert not copy.exists(), folder
        shutil.rmtree(folder)
    assert {(3, moved) for moved in range(4)} <= found, "else this would prove nothing"


def test_a_copy_arrives_whole(tmp_path: Path) -> None:
    data = os.urandom(2_500_000)
    with Manifest.open(tmp_path) as manifest:
        manifest.put_copy(io.BytesIO(data), tmp_path / "staged", "sub/final")
    assert (tmp_path / "sub/final").read_bytes() == data
    assert not (tmp_path / "staged").exists()


def test_a_copy_whose_source_breaks_off_leaves_nothing_and_keeps_the_older_file(
    tmp_path: Path,
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError("the disk is gone")
            return super().read(10)

    (tmp_path / "final").write_text("older")
    with (
        Manifest.open(tmp_path) as manifest,
        pytest.raises(OSError, match="the disk is gone"),
    ):
        manifest.put_copy(Broken(b"x" * 100), tmp_path / "staged", "final")
    assert (tmp_path / "final").read_text() == "older"
    assert not (tmp_path / "staged").exists()

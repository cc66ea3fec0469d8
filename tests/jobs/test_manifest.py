"""The ledger says ``done`` exactly when the result asked for lies there, and spares other files."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.proof.schema import SCHEMA_VERSION
from restore_batch.jobs.records import ItemAtWork, ItemStatus
from restore_batch.jobs.results import local
from restore_batch.jobs.units import Join, Segment
from restore_batch.text import legible

from support.ledger import (
    content,
    do,
    do_fail,
    original,
    photo,
    scratch_folder,
    source_facts,
    staged,
)

TESTS = Path(__file__).resolve().parents[1]


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest.open(tmp_path) as opened:
        opened.begin_run("0", "job.yaml", {}, [])
        yield opened


def item(manifest: Manifest, output: str = "a.png") -> ItemStatus:
    return next(i for i in manifest.items() if i.output == output)


@contextmanager
def program(what: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """``support.ledger`` in a process of its own, once it is ready; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "support.ledger", what, str(folder)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS)},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# -- when a unit must be done again ---------------------------------------------------------------
def test_a_unit_never_seen_is_pending(manifest: Manifest) -> None:
    assert manifest.state_of(photo(manifest.output_dir, "a.png")) == "pending"


def test_a_committed_unit_is_done_and_its_file_in_place(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "sub/a.png"), faces=2)
    assert manifest.state_of(unit) == manifest.state_of(unit, verify=True) == "done"
    assert (manifest.output_dir / "sub/a.png").read_bytes() == content(unit)
    assert not unit.staged_path.exists()
    assert item(manifest, "sub/a.png").faces == 2


def test_a_done_unit_is_still_done_when_the_manifest_is_opened_again(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as first:
        unit = do(first, photo(tmp_path, "a.png"))
    with Manifest.open(tmp_path) as second:
        assert second.recover() == 0
        assert second.state_of(unit) == "done"


def test_a_deleted_result_is_pending(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    (manifest.output_dir / "a.png").unlink()
    assert manifest.state_of(unit) == "pending"


def test_a_result_of_another_size_is_pending(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    path = manifest.output_dir / "a.png"
    stat = path.stat()
    with path.open("ab") as file:
        file.write(b"x")
    assert manifest.state_of(unit) == "pending"
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert manifest.state_of(unit) == "pending"


def test_a_result_altered_in_place_is_pending(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    alter(manifest.output_dir / "a.png", keep_time=False)
    assert manifest.state_of(unit) == "pending"


def test_only_verifying_finds_damage_that_left_size_and_time_alone(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    alter(manifest.output_dir / "a.png", keep_time=True)
    assert manifest.state_of(unit) == "done"
    assert manifest.state_of(unit, verify=True) == "pending"


def test_a_result_that_was_only_touched_or_copied_back_is_done(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    os.utime(manifest.output_dir / "a.png", ns=(1, 1))
    assert manifest.state_of(unit) == "done"


def test_a_folder_in_the_place_of_a_result_is_pending_and_not_replaced(
    manifest: Manifest,
) -> None:
    unit = photo(manifest.output_dir, "a.png")
    data = b"x" * (manifest.output_dir / FOLDER / "tmp").stat().st_size
    begun = manifest.start(unit, "source")
    manifest.commit(begun, staged(begun, data=data))
    path = manifest.output_dir / "a.png"
    path.unlink()
    path.mkdir()
    assert path.stat().st_size == len(data), "a folder of the very size of the result"
    assert manifest.state_of(unit) == "pending"
    again = manifest.start(unit, "source")
    with pytest.raises(OSError):
        manifest.commit(again, staged(again))
    assert path.is_dir()
    assert manifest.recover() == 0
    assert manifest.state_of(unit) == "pending"


def test_options_that_matter_to_every_picture_redo_a_unit(manifest: Manifest) -> None:
    do(manifest, photo(manifest.output_dir, "a.png"))
    assert manifest.state_of(photo(manifest.output_dir, "a.png", base="other")) == "pending"


def test_options_of_faces_redo_only_pictures_with_faces(manifest: Manifest) -> None:
    do(manifest, photo(manifest.output_dir, "none.png"), faces=0)
    do(manifest, photo(manifest.output_dir, "some.png"), faces=1)
    assert manifest.state_of(photo(manifest.output_dir, "none.png", face="other")) == "done"
    assert manifest.state_of(photo(manifest.output_dir, "some.png", face="other")) == "pending"


def test_going_back_to_earlier_options_redoes_a_unit(manifest: Manifest) -> None:
    folder = manifest.output_dir
    do(manifest, photo(folder, "a.png", base="one"))
    do(manifest, photo(folder, "a.png", base="two"))
    assert (folder / "a.png").read_bytes() == content(photo(folder, "a.png", base="two"))
    assert manifest.state_of(photo(folder, "a.png", base="one")) == "pending"
    do(manifest, photo(folder, "a.png", base="one"))
    assert manifest.state_of(photo(folder, "a.png", base="one")) == "done"
    assert manifest.state_of(photo(folder, "a.png", base="two")) == "pending"
    assert len(list(manifest.items())) == 1


def test_another_kind_of_unit_under_the_same_name_is_pending(manifest: Manifest) -> None:
    unit = do(manifest, photo(manifest.output_dir, "a.png"))
    assert manifest.state_of(Join(**vars(unit))) == "pending"


# -- failures -------------------------------------------------------------------------------------
def test_a_failed_unit_stays_failed_until_failures_are_forgotten(tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with Manifest.open(tmp_path) as manifest:
        do_fail(manifest, unit)
        assert manifest.error_of("a.png") == "a.png: not a picture"
    with Manifest.open(tmp_path) as manifest:
        manifest.recover()
        assert manifest.state_of(unit) == "failed"
        assert manifest.forget_failures() == 1
        assert manifest.state_of(unit) == "pending"
        assert manifest.error_of("a.png") == ""
        assert manifest.forget_failures() == 0


@pytest.mark.parametrize("other", [{"base": "other"}, {"face": "other"}])
def test_other_options_give_a_failed_unit_another_chance(
    manifest: Manifest, other: dict[str, str]
) -> None:
    do_fail(manifest, photo(manifest.output_dir, "a.png"))
    assert manifest.state_of(photo(manifest.output_dir, "a.png", **other)) == "pending"


def test_failures_that_other_options_have_overcome_are_not_counted(manifest: Manifest) -> None:
    do_fail(manifest, photo(manifest.output_dir, "a.png", base="one"))
    do(manifest, photo(manifest.output_dir, "a.png", base="two"))
    assert manifest.forget_failures() == 0


def test_attempts_are_counted_and_each_writes_to_a_file_of_its_own(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    first, second = manifest.start(unit, "source"), manifest.start(unit, "source")
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.staged_path != second.staged_path
    assert item(manifest).attempts == 2
    assert item(manifest).state == "pending"


# -- files that are not ours ----------------------------------------------------------------------
def test_a_file_that_the_job_did_not_write_is_never_replaced(manifest: Manifest) -> None:
    path = manifest.output_dir / "a.png"
    path.write_bytes(b"a negative scanned by hand")
    unit = manifest.start(photo(manifest.output_dir, "a.png"), "source")
    assert not manifest.is_ours("a.png")
    with pytest.raises(RestoreBatchError, match=r"a\.png: a file that this job did not write"):
        manifest.commit(unit, staged(unit))
    assert path.read_bytes() == b"a negative scanned by hand"
    assert not manifest.is_ours("a.png")


def test_a_dangling_link_of_somebody_else_is_not_replaced_either(manifest: Manifest) -> None:
    (manifest.output_dir / "a.png").symlink_to(manifest.output_dir / "disk-not-mounted.png")
    unit = manifest.start(photo(manifest.output_dir, "a.png"), "source")
    with pytest.raises(RestoreBatchError, match="did not write"):
        manifest.commit(unit, staged(unit))
    assert (manifest.output_dir / "a.png").is_symlink()


def test_a_commit_that_was_cut_short_claims_no_file_put_there_since(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = manifest.start(photo(manifest.output_dir, "a.png"), "source")
    cut_before_rename(manifest, unit, monkeypatch)
    path = manifest.output_dir / "a.png"
    path.write_bytes(b"put there before the next run")
    assert manifest.recover() == 0
    assert not manifest.is_ours("a.png")
    assert path.read_bytes() == b"put there before the next run"
    assert manifest.state_of(unit) == "pending"


def test_a_staged_file_that_is_cut_short_is_not_published(manifest: Manifest) -> None:
    unit = manifest.start(photo(manifest.output_dir, "a.png"), "source")
    result = staged(unit)
    os.truncate(result.staged_path, 100)
    with pytest.raises(RestoreBatchError, match="100 bytes where its worker wrote"):
        manifest.commit(unit, result)
    assert not (manifest.output_dir / "a.png").exists()
    assert manifest.state_of(unit) == "pending"


# -- stand-ins ------------------------------------------------------------------------------------
def test_a_stand_in_beside_the_result_is_removed_on_success(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, "a.tif")
    assert item(manifest).stand_in == "a.tif"
    assert (manifest.output_dir / "a.tif").read_bytes() == original(unit)
    do(manifest, unit)
    assert not (manifest.output_dir / "a.tif").exists()
    assert item(manifest).stand_in == ""


def test_a_stand_in_in_the_place_of_the_result_is_replaced_on_success(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, "a.png")
    assert manifest.is_ours("a.png")
    assert manifest.state_of(unit) == "failed"
    do(manifest, unit)
    assert (manifest.output_dir / "a.png").read_bytes() == content(unit)
    assert item(manifest).stand_in == ""


def test_a_stand_in_that_somebody_worked_on_is_not_removed(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, "a.tif")
    (manifest.output_dir / "a.tif").write_bytes(b"restored by hand")
    do(manifest, unit)
    assert (manifest.output_dir / "a.tif").read_bytes() == b"restored by hand"
    assert item(manifest).stand_in == ""


def test_a_stand_in_that_somebody_worked_on_is_not_replaced(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, "a.png")
    (manifest.output_dir / "a.png").write_bytes(b"restored by hand")
    assert not manifest.is_ours("a.png")
    begun = manifest.start(unit, "source")
    with pytest.raises(RestoreBatchError, match="did not write"):
        manifest.commit(begun, staged(begun))
    assert (manifest.output_dir / "a.png").read_bytes() == b"restored by hand"


@pytest.mark.parametrize("stand_in", ["a.png", "a.tif"])
def test_a_stand_in_is_remembered_when_the_unit_fails_again_without_one(
    manifest: Manifest, stand_in: str
) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, stand_in)
    do_fail(manifest, unit)
    assert manifest.is_ours(stand_in)
    do(manifest, unit)
    left = {p.name for p in manifest.output_dir.iterdir()} - {FOLDER}
    assert left == {"a.png"}


def test_a_stand_in_under_another_name_takes_the_place_of_the_first(manifest: Manifest) -> None:
    do_fail(manifest, photo(manifest.output_dir, "a.png", base="one"), "a.tif")
    do_fail(manifest, photo(manifest.output_dir, "a.png", base="two"), "a.bmp")
    left = {p.name for p in manifest.output_dir.iterdir()} - {FOLDER}
    assert left == {"a.bmp"}
    assert item(manifest).stand_in == "a.bmp"


def test_a_result_in_the_place_of_another_items_stand_in_is_kept(manifest: Manifest) -> None:
    failed, other = (photo(manifest.output_dir, name) for name in ("a.png", "a.tif"))
    do_fail(manifest, failed, "a.tif")
    do(manifest, other)
    assert manifest.is_ours("a.tif")
    do(manifest, failed)
    assert manifest.state_of(other, verify=True) == "done"
    assert manifest.is_ours("a.tif")


def test_a_stand_in_that_cannot_be_removed_does_not_undo_the_result(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do_fail(manifest, unit, "a.tif")
    (manifest.output_dir / "a.tif").unlink()
    (manifest.output_dir / "a.tif").mkdir()
    do(manifest, unit)
    assert manifest.state_of(unit) == "done"
    assert (manifest.output_dir / "a.tif").is_dir()


# -- the lock -------------------------------------------------------------------------------------
def test_a_second_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    with program("hold", tmp_path) as holder:
        with pytest.raises(OutputLockedError, match=rf"process {holder.pid} is writing there"):
            Manifest.open(tmp_path)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        with Manifest.open(tmp_path) as manifest:
            assert manifest.state_of(photo(tmp_path, "a.png")) == "done"


def test_a_second_opening_in_the_same_process_is_refused(manifest: Manifest) -> None:
    with pytest.raises(OutputLockedError, match=rf"process {os.getpid()} "):
        Manifest.open(manifest.output_dir)


def test_reading_works_beside_a_writer_and_sees_what_it_commits(manifest: Manifest) -> None:
    reader = Manifest.read(manifest.output_dir)
    assert reader is not None
    with reader:
        assert list(reader.items()) == []
        do(manifest, photo(manifest.output_dir, "a.png"), faces=1)
        assert [(i.output, i.state, i.faces) for i in reader.items()] == [("a.png", "done", 1)]
        with pytest.raises(ManifestError):
            reader.begin_run("0", "job.yaml", {}, [])


def test_a_program_that_looks_into_the_manifest_takes_nothing_from_its_writer(
    manifest: Manifest, tmp_path: Path
) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"))
    # The last to close a database removes its log: SQLite's locks say whether there are others.
    looks = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM units')"
    path = tmp_path / FOLDER / "manifest.sqlite"
    subprocess.run([sys.executable, "-c", looks, str(path)], check=True)
    do(manifest, photo(tmp_path, "b.png"))
    assert manifest.state_of(unit) == "done"


def test_reading_works_beside_a_writer_in_another_process(tmp_path: Path) -> None:
    with program("hold", tmp_path):
        reader = Manifest.read(tmp_path)
        assert reader is not None
        with reader:
            assert [i.output for i in reader.items()] == ["a.png"]


def test_there_is_nothing_to_read_where_nothing_was_run(tmp_path: Path) -> None:
    assert Manifest.read(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "manifest.sqlite.new").touch()  # a writer that is just about to begin
    assert Manifest.read(tmp_path) is None


@pytest.mark.parametrize("name", ["50% of #7?", "a&mode=rwc", "Größe 写真", "nul\udcff"])
def test_an_output_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    with Manifest.open(folder) as manifest:
        unit = do(manifest, photo(folder, "a.png"))
        reader = Manifest.read(folder)
        assert reader is not None
        with reader:
            assert reader.state_of(unit) == "done"
    assert {p.name for p in tmp_path.iterdir()} == {name}


def test_a_finished_manifest_on_a_read_only_disk_can_be_read() -> None:
    code = """
import os, sys
from pathlib import Path
from restore_batch.jobs.manifest import Manifest
if os.getuid() == 0:
    os.setuid(65534)  # root may write everywhere
print([i.state for i in Manifest.read(Path(sys.argv[1])).items()])
"""
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name)
        with Manifest.open(folder) as manifest:
            do(manifest, photo(folder, "a.png"))
        folder.chmod(0o755)
        (folder / FOLDER).chmod(0o555)
        ran = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=False
        )
        (folder / FOLDER).chmod(0o755)
    assert (ran.stdout, ran.stderr) == ("['done']\n", "")


# -- a manifest that is not for us ----------------------------------------------------------------
def test_a_manifest_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with Manifest.open(tmp_path):
        pass
    path = tmp_path / FOLDER / "manifest.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE faces")
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(RestoreBatchError, match=r"manifest\.sqlite: written by a newer"):
        Manifest.open(tmp_path)
    with pytest.raises(RestoreBatchError, match="update restore-batch"):
        Manifest.read(tmp_path)
    assert path.read_bytes() == before
    path.unlink()
    with Manifest.open(tmp_path):
        pass  # the refusal kept no lock


def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path) -> None:
    with Manifest.open(tmp_path):
        pass
    path = tmp_path / FOLDER / "manifest.sqlite"
    path.write_bytes(b"this is not a database" * 400)
    for opening in (Manifest.open, Manifest.read):
        with pytest.raises(RestoreBatchError, match=r"manifest\.sqlite: damaged \(file is"):
            opening(tmp_path)
    assert path.read_bytes().startswith(b"this is not")


def test_a_file_in_the_place_of_the_output_folder_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(RestoreBatchError, match="out: cannot write there"):
        Manifest.open(tmp_path / "out")


# -- names and facts ------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    source=st.text(st.characters(exclude_categories=[])),
    message=st.text(st.characters(exclude_categories=[])),
    stem=st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=30),
    raw=st.binary(max_size=20),
)
def test_any_name_and_any_message_is_kept(source: str, message: str, stem: str, raw: bytes) -> None:
    # Any bytes but two can stand in a file's name; those that are no UTF-8 become escapes.
    name = stem + os.fsdecode(raw.translate(None, b"/\0")) + ".png"
    with (
        tempfile.TemporaryDirectory(dir=scratch_folder()) as folder,
        Manifest.open(Path(folder)) as manifest,
    ):
        manifest.begin_run("0", source, {"inputs": source}, [])
        unit = replace(photo(Path(folder), name), source=source)
        begun = manifest.start(unit, "source")
        manifest.fail(begun, "decode", "MediaError", message, name)
        assert manifest.state_of(unit) == "failed"
        (found,) = manifest.items()
        assert (found.output, found.source, found.stand_in) == (name, source, name)
        found.error.encode()
        if message.isascii():
            assert found.error == manifest.error_of(name) == legible(message)
        manifest.note_source(source, "7 x", "abc", {"width": 3}, "probe")
        assert source_facts(manifest, source, "7 x", "probe") == ("abc", {"width": 3})
        begun = manifest.start(unit, "source")
        if len(os.fsencode(name)) < 250:
            manifest.commit(begun, replace(staged(begun), warnings=(source, message)))
            assert manifest.state_of(unit, verify=True) == "done"
            assert item(manifest, name).warnings == (source, message)


def test_facts_of_a_source_hold_only_while_its_stamp_is_the_same(manifest: Manifest) -> None:
    assert source_facts(manifest, "a", "1", "p") == (None, None)
    manifest.note_source("a", "1", "abc", {"width": 3}, "p")
    assert source_facts(manifest, "a", "1", "p") == ("abc", {"width": 3})
    assert source_facts(manifest, "a", "2", "p") == (None, None)
    manifest.note_source("a", "2", "def", None, "p")
    assert source_facts(manifest, "a", "2", "p") == ("def", None)
    assert source_facts(manifest, "a", "1", "p") == (None, None)


def test_a_header_that_another_probe_has_read_is_not_used_but_the_checksum_is(
    manifest: Manifest,
) -> None:
    manifest.note_source("a", "1", "abc", {"width": 3}, "old")
    assert source_facts(manifest, "a", "1", "new") == ("abc", None)
    manifest.note_source("a", "1", "abc", {"width": 4}, "new")
    assert source_facts(manifest, "a", "1", "new") == ("abc", {"width": 4})
    assert source_facts(manifest, "a", "1", "old") == ("abc", None)


def test_a_manifest_of_the_first_format_keeps_all_but_the_headers(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        manifest.begin_run("0.1.0", "job.yaml", {}, [])
        unit = do(manifest, photo(tmp_path, "a.png"), faces=2)
        manifest.note_source("a", "1", "abc", {"width": 3}, "p")
        manifest.end_run("finished")
    path = tmp_path / FOLDER / "manifest.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE runs DROP COLUMN total")
        database.execute("UPDATE sources SET probe = ?", ('{"width": 3}',))
        database.execute("PRAGMA user_version = 1")
    database.close()

    def check(manifest: Manifest) -> None:
        assert manifest.state_of(unit, verify=True) == "done"
        assert source_facts(manifest, "a", "1", "p") == ("abc", None)
        last = manifest.last_run()
        assert last is not None
        assert (last["version"], last.get("total")) == ("0.1.0", None)
        assert (manifest.at_work(), manifest.not_begun()) == ((), 0)

    reader = Manifest.read(tmp_path)
    assert reader is not None
    with reader:
        check(reader)
    for _ in range(2):
        with Manifest.open(tmp_path) as manifest:
            check(manifest)
            manifest.begin_run("0.2.0", "job.yaml", {}, [], 7)
            assert manifest.not_begun() == 6
            manifest.end_run("interrupted")
            manifest.begin_run("0.1.0", "job.yaml", {}, [])
            manifest.end_run("finished")


def test_two_names_that_look_alike_when_printed_are_two_sources(manifest: Manifest) -> None:
    manifest.note_source("a\udcff", "1", "abc", None, "p")
    assert source_facts(manifest, "a\\udcff", "1", "p") == (None, None)


# -- how far a job is -----------------------------------------------------------------------------
def test_what_a_run_has_begun_is_at_work_until_the_run_ends(manifest: Manifest) -> None:
    folder = manifest.output_dir
    do(manifest, photo(folder, "done.png"))
    do_fail(manifest, photo(folder, "failed.png"))
    manifest.start(photo(folder, "begun.png"), "source")
    (found,) = manifest.at_work()
    assert (found.output, found.attempts, found.segments_begun) == ("begun.png", 1, 0)
    assert manifest.counts() == {"done": 1, "failed": 1, "pending": 1}
    manifest.end_run("interrupted")
    assert manifest.at_work() == ()
    manifest.begin_run("1", "job.yaml", {}, [])
    assert manifest.at_work() == (), "the new run has not come to it"


def test_a_film_is_at_work_while_its_segments_are(manifest: Manifest) -> None:
    folder = manifest.output_dir
    film = Join(**vars(photo(folder, "a.mp4")))
    manifest.expect(film, "source")
    for number in range(3):
        output = f"{PARTS}/{film.id}/{number:06d}.part"
        part = Segment(**vars(photo(folder, output)), work=None)
        if number < 2:
            do(manifest, part)
        else:
            manifest.start(part, "source")
    do(manifest, Segment(**vars(photo(folder, f"{PARTS}/another-film/000000.part")), work=None))
    (found,) = manifest.at_work()
    assert found == ItemAtWork("a.mp4", "/in/a.mp4", 0, 2, 1)
    assert manifest.counts() == {"pending": 1}, "segments are no items"
    assert manifest.result_of(film) is None
    do(manifest, film, faces=1)
    assert manifest.at_work() == ()
    result = manifest.result_of(film)
    assert result is not None
    assert result == manifest.result_at("a.mp4")
    assert (result.face_count, len(manifest.faces_in(result))) == (1, 1)
    assert item(manifest, "a.mp4").attempts == 1


def test_what_a_stopped_run_did_not_come_to_is_left(tmp_path: Path) -> None:
    with Manifest.open(tmp_path) as manifest:
        assert manifest.not_begun() == 0
        manifest.begin_run("0", "job.yaml", {}, [], 5)
        do(manifest, photo(tmp_path, "a.png"))
        do_fail(manifest, photo(tmp_path, "b.png"))
        assert manifest.not_begun() == 3
        manifest.end_run("interrupted")
        assert manifest.not_begun() == 3
        manifest.begin_run("0", "job.yaml", {}, [], 1)
        assert manifest.not_begun() == 0, "more is on record than this job names"
        manifest.end_run("finished")
        assert manifest.not_begun() == 0


def test_the_last_run_is_told_with_its_job_and_models(manifest: Manifest) -> None:
    manifest.begin_run("2", "b.yaml", {"inputs": ["a"]}, [{"card": "x"}])
    manifest.end_run("finished")
    last = manifest.last_run()
    assert last is not None
    assert (last["version"], last["outcome"], last["job"]) == ("2", "finished", {"inputs": ["a"]})
    assert last["models"] == [{"card": "x"}]
    assert last["ended"] >= last["started"]


def test_a_statement_that_fails_takes_its_whole_transaction_back(manifest: Manifest) -> None:
    unit = manifest.start(photo(manifest.output_dir, "a.png"), "source")
    broken: Any = replace(staged(unit, faces=1), width=object())
    with pytest.raises(sqlite3.Error):
        manifest.commit(unit, broken)
    assert item(manifest).state == "pending"
    manifest.commit(unit, staged(unit))
    assert manifest.state_of(unit) == "done"


# -- a model of it all ----------------------------------------------------------------------------
def alter(path: Path, *, keep_time: bool) -> None:
    """Change bytes and not the size; with ``keep_time`` as a failing disk does, else as a program.

    The time is set by hand: a file system may give two writes within a few ms the same one.
    """
    stat = path.stat()
    data = path.read_bytes()
    path.write_bytes(bytes(255 - b for b in data[:10]) + data[10:])
    later = stat.st_mtime_ns + (0 if keep_time else 1_000_000)
    os.utime(path, ns=(stat.st_atime_ns, later))


def cut_before_rename(manifest: Manifest, unit: Any, monkeypatch: Any, faces: int = 0) -> None:
    """A commit that ends after its first step."""

    def cut(*_: Path) -> None:
        raise InterruptedError

    monkeypatch.setattr(local, "put", cut)
    with pytest.raises(InterruptedError):
        manifest.commit(unit, staged(unit, faces))
    monkeypatch.undo()


OUTPUTS = ("a.png", "sub/ü.png", "sub/x\udcff.png")
names = st.sampled_from(OUTPUTS)
keys = st.sampled_from(("one", "two"))


class Ledger(RuleBasedStateMachine):
    """Does to a manifest and its folder whatever runs, people and disks do, and keeps in plain
    dictionaries what must be true."""

    @initialize()
    def begin(self) -> None:
        self.temporary = tempfile.TemporaryDirectory(dir=scratch_folder())
        self.folder = Path(self.temporary.name)
        self.manifest = Manifest.open(self.folder)
        self.current: dict[str, tuple[str, str, str, int]] = {}  # base, face, state, faces
        self.result: dict[str, bytes] = {}  # what the ledger promises
        self.time_ns: dict[str, int] = {}  # of the file when it was promised
        self.foreign: set[str] = set()  # put there by others before any result

    def teardown(self) -> None:
        if hasattr(self, "manifest"):
            self.manifest.close()
            self.temporary.cleanup()

    @rule(output=names, base=keys, face=keys, faces=st.integers(0, 2))
    def finish(self, output: str, base: str, face: str, faces: int) -> None:
        unit = self.manifest.start(photo(self.folder, output, base, face), "source")
        if output in self.foreign:
            with pytest.raises(RestoreBatchError):
                self.manifest.commit(unit, staged(unit, faces))
            self.current[output] = (base, face, "pending", 0)
            return
        self.manifest.commit(unit, staged(unit, faces))
        self.done(output, base, face, faces)

    def done(self, output: str, base: str, face: str, faces: int) -> None:
        self.current[output] = (base, face, "done", faces)
        self.result[output] = content(photo(self.folder, output, base, face))
        self.time_ns[output] = (self.folder / output).stat().st_mtime_ns

    @rule(output=names, base=keys, face=keys)
    def fail(self, output: str, base: str, face: str) -> None:
        do_fail(self.manifest, photo(self.folder, output, base, face))
        self.current[output] = (base, face, "failed", 0)

    @rule(output=names, base=keys, face=keys)
    def begin_only(self, output: str, base: str, face: str) -> None:
        self.manifest.start(photo(self.folder, output, base, face), "source")
        self.current[output] = (base, face, "pending", 0)

    @rule(
        output=names, base=keys, face=keys, faces=st.integers(0, 2),
        damage=st.sampled_from(("none", "missing", "altered", "renamed")),
    )  # fmt: skip
    def die_in_a_commit(self, output: str, base: str, face: str, faces: int, damage: str) -> None:
        """Between its first and its last step; ``renamed`` after the second."""
        if output in self.foreign:
            return
        unit = self.manifest.start(photo(self.folder, output, base, face), "source")
        with pytest.MonkeyPatch.context() as patch:
            cut_before_rename(self.manifest, unit, patch, faces)
        if damage == "missing":
            unit.staged_path.unlink()
        elif damage == "altered":
            alter(unit.staged_path, keep_time=True)
        elif damage == "renamed":
            final = self.folder / output
            final.parent.mkdir(exist_ok=True)
            unit.staged_path.replace(final)
        self.reopen()
        final = self.folder / output
        # The same result may lie there from before.
        if final.exists() and final.read_bytes() == content(unit):
            self.done(output, base, face, faces)
        else:
            assert damage in ("missing", "altered")
            self.current[output] = (base, face, "pending", 0)

    @rule()
    def reopen(self) -> None:
        self.manifest.close()
        (self.folder / FOLDER / "tmp" / "left over").write_bytes(b"x")
        self.manifest = Manifest.open(self.folder)
        self.manifest.recover()
        assert list(self.manifest.staging_dir.iterdir()) == []

    @rule()
    def retry(self) -> None:
        failed = [o for o, (_, _, state, _) in self.current.items() if state == "failed"]
        assert self.manifest.forget_failures() == len(failed)
        for output in failed:
            base, face, _, _ = self.current[output]
            self.current[output] = (base, face, "pending", 0)

    @rule(output=names, how=st.sampled_from(("delete", "append", "alter", "decay", "touch")))
    def happen_to_a_file(self, output: str, how: str) -> None:
        path = self.folder / output
        if not path.exists() or output in self.foreign:
            return
        if how == "delete":
            path.unlink()
        elif how == "append":
            path.write_bytes(path.read_bytes() + b"x")
        elif how == "touch":
            os.utime(path, ns=(1, path.stat().st_mtime_ns - 1_000_000))
        else:
            alter(path, keep_time=how == "decay")

    @precondition(lambda self: len(self.result) < len(OUTPUTS))
    @rule(output=names)
    def put_a_file_there(self, output: str) -> None:
        if output not in self.result:
            (self.folder / output).parent.mkdir(exist_ok=True)
            (self.folder / output).write_bytes(b"not ours")
            self.foreign.add(output)

    @invariant()
    def the_ledger_tells_the_truth(self) -> None:
        survey = self.manifest.survey(OUTPUTS)
        for output in OUTPUTS:
            for base in ("one", "two"):
                for face in ("one", "two"):
                    unit = photo(self.folder, output, base, face)
                    for verify in (False, True):
                        found = self.manifest.state_of(unit, verify=verify)
                        assert found == self.expected(output, base, face, verify)
                        assert found == survey.state_of(unit, verify=verify)

    def expected(self, output: str, base: str, face: str, verify: bool) -> str:
        if output not in self.current or self.current[output][0] != base:
            return "pending"
        _, known_face, state, faces = self.current[output]
        if state != "done":
            return state if known_face == face else "pending"
        if faces and known_face != face:
            return "pending"
        path = self.folder / output
        if not path.exists():
            return "pending"
        same = path.read_bytes() == self.result[output]
        looks_same = (path.stat().st_size, path.stat().st_mtime_ns) == (
            len(self.result[output]),
            self.time_ns[output],
        )
        return "done" if same or (looks_same and not verify) else "pending"

    @invariant()
    def files_of_others_are_untouched(self) -> None:
        for output in self.foreign:
            assert (self.folder / output).read_bytes() == b"not ours"
            assert not self.manifest.is_ours(output)

    @invariant()
    def every_item_has_one_line_with_its_state(self) -> None:
        found = {i.output: i for i in self.manifest.items()}
        assert found.keys() == self.current.keys()
        for output, (_, _, state, faces) in self.current.items():
            assert found[output].state == state
            if state == "done":
                assert found[output].faces == faces


def test_whatever_happens_the_ledger_tells_the_truth() -> None:
    run_state_machine_as_test(
        Ledger,
        settings=settings(
            max_examples=150,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_result_is_what_its_checksum_says(manifest: Manifest) -> None:
    unit = photo(manifest.output_dir, "a.png")
    do(manifest, unit)
    (row,) = manifest._db.execute("SELECT sha256, size_bytes FROM units").fetchall()
    data = (manifest.output_dir / "a.png").read_bytes()
    assert (row["sha256"], row["size_bytes"]) == (hashlib.sha256(data).hexdigest(), len(data))

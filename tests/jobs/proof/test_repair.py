"""However a manifest is damaged, it is refused in one line, and rebuilt without losing a result."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from restore_batch.errors import OutputLockedError, UsageError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.proof.faults import DamagedManifestError, ManifestError
from restore_batch.jobs.proof.journal import NAME as JOURNAL
from restore_batch.jobs.proof.repair import Repair, repair
from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.units import Photo, Segment, Unit
from restore_batch.jobs.written import keep_job

from support.damage import DAMAGES, PAGE, copied, settled
from support.ledger import content, do, do_fail, photo, scratch_folder, source_facts, staged

PHOTOS = 40
REDONE, NAMELESS, FAILED, STAND_IN = "redone.png", "sub/x\udcff ü.png", "failed.png", "failed.tif"


@pytest.fixture
def scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def killed_once() -> Iterator[Path]:
    """What a killed run leaves: results with and without faces, one of them redone with other
    options, a film's part, a failure with a copy of its original, and a log not taken in."""
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        alive = Path(name) / "alive"
        with Manifest.open(alive) as manifest:
            manifest.begin_run("1", "job.yaml", {"inputs": ["a"]}, [{"card": "x"}], PHOTOS)
            do(manifest, photo(alive, REDONE, base="earlier"), faces=1)
            for unit in photos(alive):
                manifest.note_source(unit.source, "7 x", "abc", {"width": 3}, "probe")
                do(manifest, unit, faces=3)
            do(manifest, part(alive))  # type: ignore[arg-type]
            do_fail(manifest, photo(alive, FAILED), STAND_IN)
            yield copied(alive, Path(name) / "killed")


@pytest.fixture
def killed(killed_once: Path, scratch: Path) -> Path:
    return copied(killed_once, scratch / "out")


def photos(folder: Path) -> list[Photo]:
    names = [f"{number:02d}.png" for number in range(PHOTOS)]
    return [photo(folder, name) for name in (*names, REDONE, NAMELESS)]


def part(folder: Path) -> Segment[None]:
    return Segment(**vars(photo(folder, f"{PARTS}/film/000000.nut")), work=None)


def files_of(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[:1] != (FOLDER,)
    }


def assert_as_before(folder: Path) -> None:
    """The manifest says of everything what it said before the damage."""
    with Manifest.open(folder) as manifest:
        manifest.recover()
        for unit in (*photos(folder), part(folder)):
            assert manifest.state_of(unit, verify=True) == "done", unit.output
            assert manifest.is_ours(unit.output)
        assert manifest.state_of(photo(folder, FAILED)) == "failed"
        assert manifest.is_ours(STAND_IN)
        (failed,) = manifest.items("failed")
        assert (failed.output, failed.stand_in) == (FAILED, STAND_IN)
        assert manifest.counts() == {"done": PHOTOS + 2, "failed": 1}
        result = manifest.result_at(REDONE)
        assert result is not None
        assert len(manifest.faces_in(result)) == result.face_count == 3
        assert source_facts(manifest, "/in/00.png", "7 x", "probe") == ("abc", {"width": 3})
        last = manifest.last_run()
        assert last is not None
        assert (last["job"], last["models"], last["total"]) == (
            {"inputs": ["a"]}, [{"card": "x"}], PHOTOS,
        )  # fmt: skip


def refusal(opening: Callable[[Path], object], folder: Path) -> str:
    with pytest.raises(DamagedManifestError) as refused:
        opening(folder)
    text = str(refused.value)
    assert "\n" not in text
    assert str(folder / FOLDER) in text
    assert f"`restore-batch repair-manifest {folder}`" in text
    return text


# -- damage ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_is_refused_by_name_and_left_alone(killed: Path, damage: str) -> None:
    DAMAGES[damage](killed / FOLDER)
    before = {p: p.read_bytes() for p in (killed / FOLDER).glob("manifest*") if p.is_file()}
    refusal(Manifest.open, killed)
    after = {p: p.read_bytes() for p in (killed / FOLDER).glob("manifest*") if p.is_file()}
    if damage != "without_its_log":  # an older state, which SQLite opens without a doubt
        assert {p: d for p, d in after.items() if p.suffix == ".sqlite"} == {
            p: d for p, d in before.items() if p.suffix == ".sqlite"
        }


@pytest.mark.parametrize("damage", DAMAGES)
def test_reading_a_damaged_manifest_gives_one_line_at_any_question(
    killed: Path, damage: str
) -> None:
    DAMAGES[damage](killed / FOLDER)
    try:
        reader = Manifest.read(killed)
        if reader is not None:
            with reader:
                ask_everything(reader)
    except ManifestError as error:
        assert "\n" not in str(error)


def ask_everything(manifest: Manifest) -> None:
    manifest.counts()
    manifest.at_work()
    manifest.not_begun()
    manifest.last_run()
    for item in manifest.items():
        result = manifest.result_at(item.output)
        if result is not None:
            manifest.faces_in(result)
        manifest.error_of(item.output)
        manifest.is_ours(item.output)
    for unit in (*photos(manifest.output_dir), part(manifest.output_dir)):
        manifest.state_of(unit, verify=True)
        source_facts(manifest, unit.source, "7 x", "probe")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repair_brings_back_everything(killed: Path, damage: str) -> None:
    DAMAGES[damage](killed / FOLDER)
    lost = killed / FOLDER / "manifest.sqlite"
    damaged = lost.read_bytes() if lost.is_file() else None
    before = files_of(killed)
    with pytest.raises(DamagedManifestError):
        Manifest.open(killed)
    done = repair(killed)
    assert (done.taken, done.again, done.unproven) == (PHOTOS + 2, (), ())
    assert done.aside is not None
    if damage == "replaced_by_a_folder":
        assert (done.aside / "manifest.sqlite" / "kept").exists()
    elif damaged is not None and damage != "without_its_log":
        assert (done.aside / "manifest.sqlite").read_bytes() == damaged
    assert_as_before(killed)
    assert files_of(killed) == before
    assert repair(killed) == Repair(), "there is nothing left to repair"


def test_a_sound_manifest_is_left_as_it_is(killed: Path) -> None:
    with Manifest.open(killed):
        pass
    before = {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()}
    assert repair(killed) == Repair()
    assert {p: p.read_bytes() for p in killed.rglob("*") if p.is_file()} == before


def test_where_nothing_was_run_there_is_nothing_to_repair(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a manifest nor its journal"):
        repair(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_repair_is_refused_while_a_run_holds_the_folder(killed: Path) -> None:
    with Manifest.open(killed), pytest.raises(OutputLockedError):
        repair(killed)
    assert_as_before(killed)


# -- what the results themselves say --------------------------------------------------------------
def test_a_result_that_is_altered_or_gone_is_made_again_and_no_other(killed: Path) -> None:
    DAMAGES["overwritten"](killed / FOLDER)
    altered, gone = killed / "01.png", killed / "02.png"
    stat = altered.stat()
    altered.write_bytes(b"x" + altered.read_bytes()[1:])
    os.utime(altered, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    gone.unlink()
    done = repair(killed)
    assert (done.taken, done.again) == (PHOTOS, ("01.png", "02.png"))
    with Manifest.open(killed) as manifest:
        manifest.recover()
        pending = [u for u in photos(killed) if manifest.state_of(u) != "done"]
        assert [unit.output for unit in pending] == ["01.png", "02.png"]
        for unit in pending:
            do(manifest, unit, faces=3)
    assert_as_before(killed)


def test_a_file_of_somebody_else_is_not_taken_for_a_result(killed: Path) -> None:
    (killed / "scan.png").write_bytes(b"a negative scanned by hand")
    kept = keep_job(job_from_mapping({"inputs": ["in"], "output": "out"}), killed)
    DAMAGES["removed"](killed / FOLDER)
    done = repair(killed)
    assert done.unproven == ("scan.png",)
    assert kept.is_file()
    with Manifest.open(killed) as manifest:
        assert not manifest.is_ours("scan.png")


def test_a_file_put_where_a_commit_was_cut_short_is_not_taken_for_its_result(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = cut_short(scratch, monkeypatch)
    unit.staged_path.unlink()
    (scratch / "a.png").write_bytes(b"put there since")
    DAMAGES["overwritten"](scratch / FOLDER)
    repair(scratch)
    with Manifest.open(scratch) as manifest:
        assert not manifest.is_ours("a.png")


def test_a_commit_that_was_cut_short_is_finished_after_the_repair(
    scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = cut_short(scratch, monkeypatch)
    DAMAGES["overwritten"](scratch / FOLDER)
    repair(scratch)
    with Manifest.open(scratch) as manifest:
        assert manifest.recover() == 1
        assert manifest.state_of(unit, verify=True) == "done"


def cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    def cut(*_: Path) -> None:
        raise InterruptedError

    with Manifest.open(folder) as manifest:
        unit = manifest.start(photo(folder, "a.png"), "source")
        with monkeypatch.context() as patch:
            patch.setattr("restore_batch.jobs.results.local.put", cut)
            with pytest.raises(InterruptedError):
                manifest.commit(unit, staged(unit))
    return unit


def test_options_that_were_changed_before_the_damage_still_redo_the_result(killed: Path) -> None:
    DAMAGES["without_a_table"](killed / FOLDER)
    repair(killed)
    with Manifest.open(killed) as manifest:
        assert manifest.state_of(photo(killed, REDONE, base="earlier")) == "pending"
        assert manifest.state_of(photo(killed, "00.png", base="other")) == "pending"


# -- journals that are damaged or missing ---------------------------------------------------------
def test_without_a_journal_what_can_be_read_is_taken_and_the_rest_left_alone(
    killed: Path,
) -> None:
    (killed / FOLDER / JOURNAL).unlink()
    path = settled(killed / FOLDER)
    leaf = page_with(path, b"sub/x")
    with path.open("r+b") as file:
        file.seek(leaf * PAGE)
        file.write(bytes(PAGE))
    before = files_of(killed)
    refusal(Manifest.open, killed)
    done = repair(killed)
    assert 0 < done.taken < PHOTOS + 2
    assert len(done.unproven) + done.taken >= PHOTOS + 2
    with Manifest.open(killed) as manifest:
        manifest.recover()
        states = {u.output: manifest.state_of(u, verify=True) for u in photos(killed)}
        assert list(states.values()).count("done") == done.taken
        for output in done.unproven:
            assert not manifest.is_ours(output)
    assert files_of(killed) == before


def page_with(path: Path, text: bytes) -> int:
    """The last page of the table that holds ``text``."""
    data = path.read_bytes()
    pages = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    return max(number for number, page in enumerate(pages) if text in page and page[0] == 0x0D)


def test_a_journal_that_is_damaged_too_is_helped_out_by_what_can_be_read(killed: Path) -> None:
    journal = killed / FOLDER / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = [line for number, line in enumerate(lines) if number % 3]
    journal.write_bytes(b"".join(kept) + lines[0][:40])
    DAMAGES["of_no_format"](killed / FOLDER)
    done = repair(killed)
    assert (done.taken, done.again, done.unproven) == (PHOTOS + 2, (), ())


@pytest.mark.parametrize("damage", ["missing", "cut", "altered", "a folder"])
def test_a_journal_alone_is_made_again_from_the_manifest(killed: Path, damage: str) -> None:
    journal = killed / FOLDER / JOURNAL
    data = journal.read_bytes()
    journal.unlink()
    if damage == "cut":
        journal.write_bytes(data[: len(data) // 2])
    elif damage == "altered":
        journal.write_bytes(data[:-30] + b"x" + data[-29:])
    elif damage == "a folder":
        journal.mkdir()
        with pytest.raises(ManifestError):
            Manifest.open(killed)
        journal.rmdir()
    assert_as_before(killed)
    DAMAGES["removed"](killed / FOLDER)
    assert repair(killed).taken == PHOTOS + 2
    assert_as_before(killed)


def test_a_manifest_of_an_earlier_version_gets_a_journal_and_can_then_be_repaired(
    killed: Path,
) -> None:
    path = settled(killed / FOLDER)
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE position")
        database.execute("PRAGMA user_version = 2")
    (killed / FOLDER / JOURNAL).unlink()
    assert_as_before(killed)
    DAMAGES["removed"](killed / FOLDER)
    assert repair(killed).taken == PHOTOS + 2
    assert_as_before(killed)


def test_an_older_copy_of_the_manifest_is_not_taken_for_the_newest(scratch: Path) -> None:
    with Manifest.open(scratch) as manifest:
        do(manifest, photo(scratch, "a.png"))
    path = scratch / FOLDER / "manifest.sqlite"
    older = path.read_bytes()
    with Manifest.open(scratch) as manifest:
        for name in ("b.png", "c.png"):
            do(manifest, photo(scratch, name))
    path.write_bytes(older)
    assert "2 changes that its journal has are lost" in refusal(Manifest.open, scratch)
    assert repair(scratch).taken == 3


def test_a_new_manifest_does_not_replace_the_journal_of_a_lost_one(killed: Path) -> None:
    """As when another program, or a copy of an empty folder, put one there."""
    with Manifest.open(killed.with_name("other")):
        pass
    settled(killed / FOLDER).unlink()
    shutil.copy(killed.with_name("other") / FOLDER / "manifest.sqlite", killed / FOLDER)
    refusal(Manifest.open, killed)
    assert repair(killed).taken == PHOTOS + 2
    assert_as_before(killed)


# -- flipped bytes --------------------------------------------------------------------------------
flips = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1,
                 max_size=30)  # fmt: skip


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(in_manifest=flips, in_log=st.booleans())
@example(in_manifest=[(0.0001, 255)], in_log=False)
def test_whatever_bytes_are_flipped_no_result_is_lost_or_overwritten(
    killed_once: Path, in_manifest: list[tuple[float, int]], in_log: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = copied(killed_once, Path(name) / "out")
        path = folder / FOLDER / ("manifest.sqlite-wal" if in_log else "manifest.sqlite")
        if not in_log:
            settled(folder / FOLDER)
        flip(path, in_manifest)
        before = files_of(folder)
        try:
            reader = Manifest.read(folder)
            if reader is not None:
                with reader:
                    ask_everything(reader)
        except ManifestError as error:
            assert "\n" not in str(error)
        try:
            with Manifest.open(folder) as manifest:
                manifest.recover()
                ask_everything(manifest)
        except DamagedManifestError:
            done = repair(folder)
            if done.aside is not None:
                assert (done.taken, done.again, done.unproven) == (PHOTOS + 2, (), ())
                assert_as_before(folder)
        with Manifest.open(folder) as manifest:
            manifest.recover()
            for unit in photos(folder):
                if manifest.state_of(unit, verify=True) == "done":
                    assert (folder / unit.output).read_bytes() == content(unit)
        after = files_of(folder)
        assert {p: d for p, (d, _) in after.items()} == {p: d for p, (d, _) in before.items()}


def flip(path: Path, bits: list[tuple[float, int]]) -> None:
    data = bytearray(path.read_bytes())
    for place, change in bits:
        data[int(place * len(data))] ^= change
    path.write_bytes(data)


@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(bits=flips)
def test_whatever_bytes_of_the_journal_are_flipped_it_vouches_for_nothing_wrong(
    killed_once: Path, bits: list[tuple[float, int]]
) -> None:
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = copied(killed_once, Path(name) / "out")
        flip(folder / FOLDER / JOURNAL, bits)
        DAMAGES["removed"](folder / FOLDER)
        done = repair(folder)
        with Manifest.open(folder) as manifest:
            found = [u for u in photos(folder) if manifest.state_of(u, verify=True) == "done"]
            assert len(found) == done.taken
            for unit in photos(folder):
                if unit not in found:
                    assert manifest.state_of(replace(unit, base_key="base")) == "pending"

"""A journal keeps step with its ledger and does not outgrow it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof import journal, kept
from restore_batch.jobs.proof.repair import repair

from support.ledger import Killer, do, do_fail, photo, scratch_folder, source_facts


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A ledger of few results, each of which was made many times, and its long journal."""
    monkeypatch.setattr(kept, "_LEAST_BYTES", 1 << 30)
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name) / "out"
        with Manifest.open(folder) as manifest:
            manifest.begin_run("0", "job.yaml", {}, [])
            for base in ("one", "two", "base"):
                for _ in range(12):
                    for output in ("a.png", "sub/ü.png"):
                        do(manifest, photo(folder, output, base=base), faces=40)
            do_fail(manifest, photo(folder, "failed.png"), "failed.tif")
            manifest.note_source("/in/a.png", "7 x", "abc", {"width": 3}, "probe")
            manifest.end_run("finished")
        monkeypatch.setattr(kept, "_LEAST_BYTES", 1)
        monkeypatch.setattr(kept, "_MOST_TIMES", 1)
        yield folder


def length(folder: Path) -> int:
    return (folder / FOLDER / journal.NAME).stat().st_size


def assert_all_is_there(folder: Path) -> None:
    with Manifest.open(folder) as manifest:
        assert manifest.counts() == {"done": 2, "failed": 1}
        assert source_facts(manifest, "/in/a.png", "7 x", "probe") == ("abc", {"width": 3})
        for output in ("a.png", "sub/ü.png"):
            unit = photo(folder, output)
            assert manifest.state_of(unit, verify=True) == "done"
            result = manifest.result_of(unit)
            assert result is not None
            assert len(manifest.faces_in(result)) == 40
        assert manifest.is_ours("failed.tif")


def test_a_journal_several_times_as_long_as_its_ledger_is_written_anew(folder: Path) -> None:
    before = length(folder)
    assert_all_is_there(folder)
    after = length(folder)
    assert after < before / 3
    assert_all_is_there(folder)
    assert length(folder) == after, "it is written anew once"
    (folder / FOLDER / "manifest.sqlite").unlink()
    assert repair(folder).taken == 2
    assert_all_is_there(folder)


def test_changes_go_on_in_a_journal_that_was_written_anew(folder: Path) -> None:
    Manifest.open(folder).close()
    with Manifest.open(folder) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        do(manifest, photo(folder, "new.png"))
    (folder / FOLDER / "manifest.sqlite").write_bytes(b"no manifest")
    assert repair(folder).taken == 3
    with Manifest.open(folder) as manifest:
        assert manifest.state_of(photo(folder, "new.png"), verify=True) == "done"


def test_a_journal_that_is_short_or_needed_is_left_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = length(folder)
    monkeypatch.setattr(kept, "_MOST_TIMES", 1000)
    Manifest.open(folder).close()
    monkeypatch.setattr(kept, "_MOST_TIMES", 1)
    monkeypatch.setattr(kept, "_LEAST_BYTES", before + 1)
    Manifest.open(folder).close()
    assert length(folder) == before


def open_and_die(folder: Path, step: int) -> None:
    """What a process does that is killed at a step of writing the journal anew."""
    killer = Killer(step)
    shorten = kept.KeptLedger._shorten

    def watched(self: kept.KeptLedger, opened: journal.Journal) -> None:
        killer.watch(self._db)
        shorten(self, opened)

    kept.KeptLedger._shorten = watched  # type: ignore[method-assign]
    Manifest.open(folder).close()
    os._exit(0)


def test_a_kill_while_the_journal_is_written_anew_loses_nothing(folder: Path) -> None:
    start = folder.parent / "start"
    folder.rename(start)
    kills = 0
    for step in range(1, 1000):
        shutil.copytree(start, folder)
        child = os.fork()
        if child == 0:
            open_and_die(folder, step)
        _, status = os.waitpid(child, 0)
        assert_all_is_there(folder)
        (folder / FOLDER / "manifest.sqlite").unlink()
        assert repair(folder).taken == 2, step
        assert_all_is_there(folder)
        shutil.rmtree(folder)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            break
        kills += 1
    assert kills > 5, "else this would prove nothing"


def test_many_changed_rows_are_lines_of_a_bounded_length(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry of very many failures, say; and a kill before it is committed is made good."""
    monkeypatch.setattr(kept, "_ROWS_A_LINE", 3)
    with Manifest.open(folder) as manifest:
        for number in range(8):
            do_fail(manifest, photo(folder, f"{number}.png"))
        path = folder / FOLDER / journal.NAME
        before = len(list(journal.read_lines(path)))
        assert manifest.forget_failures() == 9
        added = list(journal.read_lines(path))[before:]
    assert [len(line.tables["units"]) for line in added] == [3, 3, 3]
    assert [line.position.number for line in added] == list(
        range(added[0].position.number, added[0].position.number + 3)
    )
    with Manifest.open(folder) as manifest:
        assert manifest.counts() == {"done": 2, "pending": 9}

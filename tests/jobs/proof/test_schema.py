"""A manifest of any earlier format becomes one of this format, however often that is cut short."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from restore_batch.jobs import database
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.proof.kept import NAME
from restore_batch.jobs.proof.schema import SCHEMA_VERSION, bring_up_to_date
from restore_batch.jobs.units import Segment

from support.ledger import Killer, do, do_fail, photo, scratch_folder

FORMATS = range(1, SCHEMA_VERSION)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A run that was cut off: with results, failures, what it was at, and a part of a film."""
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name) / "out"
        with Manifest.open(folder) as manifest:
            manifest.begin_run("0", "job.yaml", {}, [])
            do(manifest, photo(folder, "a.png", base="old"))
            do(manifest, photo(folder, "a.png"), faces=2)
            do(manifest, photo(folder, "sub/x\udcff.png"))
            do_fail(manifest, photo(folder, "failed.png"), "failed.tif")
            part = f"{PARTS}/film/000000.part"
            do(manifest, Segment(**vars(photo(folder, part)), work=None))
            manifest.start(photo(folder, "b.png"), "source")
        yield folder


def downgrade(folder: Path, version: int) -> None:
    """What a program of format ``version`` would have written."""
    with closing(sqlite3.connect(folder / FOLDER / NAME, isolation_level=None)) as opened:
        opened.execute("ALTER TABLE units DROP COLUMN quality")
        if version < 5:
            for kind, name in opened.execute(
                "SELECT type, name FROM sqlite_master WHERE sql IS NOT NULL AND type != 'table'"
            ).fetchall():
                if name != "units_by_item":
                    opened.execute(f"DROP {kind} {name}")
            opened.execute("ALTER TABLE items DROP COLUMN unit_state")
        if version < 4:
            opened.execute("ALTER TABLE units DROP COLUMN sidecars")
        if version < 3:
            opened.execute("DROP TABLE position")
        if version < 2:
            opened.execute("ALTER TABLE runs DROP COLUMN total")
        opened.execute(f"PRAGMA user_version = {version}")


def standing(manifest: Manifest) -> Any:
    units = [photo(manifest.output_dir, o) for o in ("a.png", "sub/x\udcff.png", "failed.png")]
    units.append(photo(manifest.output_dir, "a.png", base="old"))
    return (
        manifest.counts(), list(manifest.items()), list(manifest.items("failed")),
        manifest.at_work(), [manifest.state_of(unit, verify=True) for unit in units],
        [manifest.is_ours(o) for o in ("a.png", "failed.tif", "b.png")],
    )  # fmt: skip


def parts(folder: Path) -> set[tuple[str, str]]:
    """Tables, indexes, triggers, and the columns of units."""
    with closing(sqlite3.connect(folder / FOLDER / NAME)) as opened:
        columns = opened.execute("SELECT 'column', name FROM pragma_table_info('units')")
        return {*opened.execute("SELECT type, name FROM sqlite_master"), *columns}


def of_earlier(folder: Path, version: int, aside: Path) -> None:
    downgrade(folder, version)
    if version < 3:
        (folder / FOLDER / "journal.jsonl").unlink()
    shutil.copytree(folder, aside)


@pytest.mark.parametrize("version", FORMATS)
def test_a_manifest_of_an_earlier_format_says_the_same(folder: Path, version: int) -> None:
    with Manifest.open(folder) as manifest:
        expected = standing(manifest)
    assert expected[0] == {"done": 2, "failed": 1, "pending": 1}
    present = parts(folder)
    downgrade(folder, version)
    reader = Manifest.read(folder)
    assert reader is not None
    with reader:
        assert standing(reader) == expected, "and is left as it is by who only reads"
    assert parts(folder) != present
    with Manifest.open(folder) as manifest:
        assert standing(manifest) == expected
        assert manifest.forget_failures() == 1
    assert parts(folder) == present


@pytest.mark.parametrize(
    "version",
    [1, *(pytest.param(each, marks=pytest.mark.slow) for each in FORMATS[1:-1]), FORMATS[-1]],
)
def test_an_upgrade_that_is_killed_at_any_step_is_made_by_the_next(
    folder: Path, version: int
) -> None:
    with Manifest.open(folder) as manifest:
        expected = standing(manifest)
    earlier = folder.parent / "earlier"
    of_earlier(folder, version, earlier)
    kills = 0
    for step in range(1, 1000):
        shutil.rmtree(folder)
        shutil.copytree(earlier, folder)
        child = os.fork()
        if child == 0:
            killer = Killer(step)

            def watched(opened: sqlite3.Connection, killer: Killer = killer) -> None:
                killer.watch(opened)
                bring_up_to_date(opened)

            database.bring_up_to_date = watched  # type: ignore[assignment]
            Manifest.open(folder).close()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        reader = Manifest.read(folder)
        assert reader is not None
        with reader:
            assert standing(reader) == expected, step
        with Manifest.open(folder) as manifest:
            assert standing(manifest) == expected, step
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0
            break
        kills += 1
    assert kills > 10, "else this would prove nothing"


def test_the_state_of_an_item_is_that_of_its_unit_whoever_writes(folder: Path) -> None:
    """Rows come and go in any order when a manifest is rebuilt."""
    with Manifest.open(folder) as manifest:
        rows = manifest._db.execute("SELECT * FROM units").fetchall()
        items = manifest._db.execute("SELECT * FROM items").fetchall()
        expected = manifest.counts()
        for first, second in ((items, rows), (rows, items)):
            manifest._db.execute("DELETE FROM units")
            assert manifest.counts() == {"pending": 4}
            manifest._db.execute("DELETE FROM items")
            assert manifest.counts() == {}
            for some in (first, second):
                for row in some:
                    table = "items" if some is items else "units"
                    manifest._db.put(table, {**dict(row), "unit_state": "staged"})
            assert manifest.counts() == expected

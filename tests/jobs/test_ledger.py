"""What is on record of repair and of figures, and none in manifests from before."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.units import Photo

from support.ledger import photo, staged

FIGURES = {"pictures": 1, "before": {"niqe": 7.5}, "after": {"niqe": 4.25}}


def commit(folder: Path, name: str, repaired: float | None) -> Photo:
    unit = photo(folder, name)
    with Manifest.open(folder) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        begun = manifest.start(unit, "source")
        manifest.commit(begun, replace(staged(begun), repaired=repaired, quality=FIGURES))
        manifest.end_run("finished")
    return unit


def shares(folder: Path) -> dict[str, float | None]:
    manifest = Manifest.read(folder)
    assert manifest is not None
    with manifest:
        return {item.output: item.repaired for item in manifest.items()}


def test_the_share_that_was_filled_is_kept_with_a_result(tmp_path: Path) -> None:
    unit = commit(tmp_path, "a.png", 0.0125)
    commit(tmp_path, "b.png", None)
    commit(tmp_path, "c.png", 0.0)
    assert shares(tmp_path) == {"a.png": 0.0125, "b.png": None, "c.png": 0.0}
    with Manifest.open(tmp_path) as manifest:
        result = manifest.result_of(unit)
        assert result is not None and result.repaired == 0.0125
        assert result.quality == FIGURES


def test_a_manifest_from_before_there_was_repair_is_read_and_taken_over(tmp_path: Path) -> None:
    unit = commit(tmp_path, "a.png", 0.5)
    with sqlite3.connect(tmp_path / FOLDER / "manifest.sqlite") as database:
        database.execute("ALTER TABLE units DROP COLUMN repaired")
        database.execute("PRAGMA user_version = 4")
    database.close()
    assert shares(tmp_path) == {"a.png": None}
    with Manifest.open(tmp_path) as manifest:
        assert manifest.state_of(unit) == "done"
    assert shares(tmp_path) == {"a.png": None}


def test_a_manifest_from_before_there_were_figures_is_read_and_taken_over(tmp_path: Path) -> None:
    unit = commit(tmp_path, "a.png", 0.5)
    with sqlite3.connect(tmp_path / FOLDER / "manifest.sqlite") as database:
        database.execute("ALTER TABLE units DROP COLUMN quality")
        database.execute("PRAGMA user_version = 5")
    database.close()
    assert shares(tmp_path) == {"a.png": 0.5}
    with Manifest.open(tmp_path) as manifest:
        assert manifest.state_of(unit) == "done"
        result = manifest.result_of(unit)
        assert result is not None and result.quality is None

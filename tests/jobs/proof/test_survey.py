"""Asked of all items at once or of one alone, the ledger gives the same answer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.units import Join, Photo

from support.ledger import do, do_fail, photo, scratch_folder

ITEMS = 600
"""More than a question or a thread takes at a time."""


@pytest.fixture(scope="module")
def manifest() -> Iterator[Manifest]:
    """Results of which every kind of thing has happened to some."""
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as name:
        folder = Path(name)
        with Manifest.open(folder) as opened:
            opened._db.execute("PRAGMA synchronous = OFF")
            opened.begin_run("0", "job.yaml", {}, [])
            for number, unit in enumerate(units(folder)):
                if number % 11 == 10:
                    do_fail(opened, unit)
                elif number % 11 == 9:
                    opened.start(unit, "source")
                elif number % 11 < 8:
                    do(opened, unit, faces=number % 2)
                    happen(folder / unit.output, number % 8)
            yield opened


def units(folder: Path) -> list[Photo]:
    return [photo(folder, f"{number % 7}/{number}.png") for number in range(ITEMS)]


def happen(path: Path, what: int) -> None:
    stat = path.stat()
    if what == 1:
        path.unlink()
    elif what == 2:
        path.write_bytes(path.read_bytes() + b"x")
    elif what == 3:
        os.utime(path, ns=(1, stat.st_mtime_ns - 1_000_000))
    elif what in (4, 5):
        path.write_bytes(b"y" + path.read_bytes()[1:])
        os.utime(path, ns=(1, stat.st_mtime_ns - (what == 5)))


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize(
    "other", [{}, {"face_key": "other"}, {"base_key": "other"}], ids=["same", "face", "base"]
)
def test_many_at_once_stand_as_each_alone(
    manifest: Manifest, verify: bool, other: dict[str, str]
) -> None:
    asked = [replace(unit, **other) for unit in units(manifest.output_dir)]
    survey = manifest.survey([unit.output for unit in asked])
    found = [survey.state_of(unit, verify=verify) for unit in asked]
    assert found == [manifest.state_of(unit, verify=verify) for unit in asked]
    if not other:
        assert {"done", "pending", "failed"} == set(found)
        assert found[4] == ("pending" if verify else "done")


def test_a_unit_of_another_kind_is_pending(manifest: Manifest) -> None:
    unit = units(manifest.output_dir)[0]
    assert manifest.survey([unit.output]).state_of(Join(**vars(unit))) == "pending"


def test_the_reason_of_a_failure_comes_with_its_state(manifest: Manifest) -> None:
    failed = units(manifest.output_dir)[10]
    survey = manifest.survey([failed.output])
    assert survey.reason_of(failed) == manifest.error_of(failed.output) != ""

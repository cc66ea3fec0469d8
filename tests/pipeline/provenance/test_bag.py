"""A finished output is handed over as a bag: whole, checked, and never over another."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import CRATE, PREMIS_EVENTS, PREMIS_OBJECTS
from restore_batch.pipeline.provenance.bag import make_bag
from restore_batch.pipeline.provenance.writing import write_records

from support.archive import checksums
from support.reports import Item, restored

bagit = pytest.importorskip("bagit")

NAMES = ["album/Großmutter 1931.jpg", "b.png"]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    items = [Item(NAMES[0]), Item(NAMES[1], mask=0.1), Item("words.png", error="no picture")]
    made = restored(tmp_path, items)
    write_records(made, with_premis=True)
    return made


def test_a_bag_holds_results_and_records_and_is_valid(output: Path, tmp_path: Path) -> None:
    (output / "notes of somebody.txt").write_text("not of this job")
    before = checksums(output, hidden=())
    made = make_bag(output, tmp_path / "deep" / "bag", {"Source-Organization": "City Archive"})
    bag = bagit.Bag(str(made.path))
    bag.validate()
    assert bag.info["Source-Organization"] == "City Archive"
    wanted = {*NAMES, f"{NAMES[1]}.mask.png", CRATE, PREMIS_OBJECTS, PREMIS_EVENTS}
    payload = checksums(made.path / "data", hidden=())
    assert payload == {name: before[name] for name in wanted}
    assert (made.files, made.failed) == (len(wanted), 1)
    assert made.size_bytes == sum((output / name).stat().st_size for name in wanted)
    assert checksums(output, hidden=()) == before
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["bag"]


def test_a_bag_that_was_altered_afterwards_is_found_out(output: Path, tmp_path: Path) -> None:
    make_bag(output, tmp_path / "bag")
    content = bytearray((tmp_path / "bag" / "data" / NAMES[1]).read_bytes())
    content[-1] ^= 1
    (tmp_path / "bag" / "data" / NAMES[1]).write_bytes(content)
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(tmp_path / "bag")).validate()


@pytest.mark.parametrize("there", ["file", "folder", "bag"])
def test_nothing_is_ever_overwritten(there: str, output: Path, tmp_path: Path) -> None:
    target = tmp_path / "bag"
    if there == "file":
        target.write_text("mine")
    elif there == "folder":
        target.mkdir()
    else:
        make_bag(output, target)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="something is there already"):
        make_bag(output, target)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bag_in_the_output_it_is_made_of_is_refused(output: Path) -> None:
    with pytest.raises(UsageError, match="cannot lie in the output"):
        make_bag(output, output / "album" / "bag")


def test_a_result_that_is_not_what_the_manifest_says_is_not_handed_over(
    output: Path, tmp_path: Path
) -> None:
    (output / NAMES[1]).write_bytes(b"something else")
    with pytest.raises(RestoreBatchError, match=r"b\.png: it is not what the manifest says"):
        make_bag(output, tmp_path / "bags" / "bag")
    assert not list((tmp_path / "bags").iterdir())


def test_an_output_that_is_not_finished_is_no_bag_yet(output: Path, tmp_path: Path) -> None:
    with Manifest.open(output) as manifest:
        manifest.begin_run("1.0", "toy.yaml", {}, [], 3)
    with pytest.raises(UsageError, match="a run is going on or was cut off"):
        make_bag(output, tmp_path / "bag")
    with Manifest.open(output) as manifest:
        manifest.begin_run("1.0", "toy.yaml", {}, [], 5)
        manifest.end_run("interrupted")
    with pytest.raises(UsageError, match="not finished, 2 items left"):
        make_bag(output, tmp_path / "bag")

"""Records of a job are read by the libraries of their standards, and say what the manifest says."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from restore_batch.errors import UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import CRATE, PREMIS_EVENTS, PREMIS_OBJECTS
from restore_batch.jobs.proof.repair import repair
from restore_batch.pipeline.provenance import premis
from restore_batch.pipeline.provenance.writing import write_records

from support.reports import Item, found_face, restored

NAMES = ["album/Großmutter 1931.jpg", "=1+1.png", "a&b c.png", "odd#name%.png"]
WORDS = "12 % are missing & so on"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    items = [Item(name, faces=(found_face(),), mask=0.1) for name in NAMES]
    items[0] = Item(NAMES[0], warnings=(WORDS,))
    return restored(tmp_path, [*items, Item("words.png", error="not a picture")])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_crate_is_parsed_by_its_library_with_each_result_and_its_original(
    output: Path, tmp_path: Path
) -> None:
    rocrate = pytest.importorskip("rocrate.rocrate")
    write_records(output, with_premis=True)
    crate = rocrate.ROCrate(str(output))
    assert crate.metadata["conformsTo"] == "https://w3id.org/ro/crate/1.1"
    by_name = {part["name"]: part for part in crate.root_dataset["hasPart"]}
    assert {PREMIS_OBJECTS, PREMIS_EVENTS} <= by_name.keys()
    for name in NAMES:
        found = by_name[name]
        assert found["sha256"] == sha256(output / name)
        assert found["contentSize"] == str((output / name).stat().st_size)
        original = found["isBasedOn"]
        assert original["sha256"] == sha256(tmp_path / "in" / name)
        assert original["alternateName"] == str(tmp_path / "in" / name)
    assert by_name[NAMES[0]]["description"] == WORDS
    assert by_name[f"{NAMES[1]}.mask.png"]["isBasedOn"] is not None
    actions = crate.get_by_type("CreateAction")
    (done,) = (action for action in actions if action.id == "#run-1")
    assert {part["name"] for part in done["result"]} == {
        *NAMES,
        *(f"{n}.mask.png" for n in NAMES[1:]),
    }
    assert [each["name"] for each in done["instrument"]] == ["restore-batch", "toy-1"]
    (failed,) = (action for action in actions if action.id != "#run-1")
    assert "not a picture" in failed["error"]


def test_every_identifier_of_the_crate_leads_somewhere(output: Path) -> None:
    write_records(output)
    graph = json.loads((output / CRATE).read_text())["@graph"]
    ids = [entity["@id"] for entity in graph]
    assert len(ids) == len(set(ids))

    def referred(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [value["@id"]]
        return (
            [each for part in value for each in referred(part)] if isinstance(value, list) else []
        )

    for entity in graph:
        for value in entity.values():
            for target in referred(value):
                assert target in ids or target.startswith("http"), target


def test_premis_is_valid_and_read_by_a_model_of_its_own(output: Path, tmp_path: Path) -> None:
    schema = pytest.importorskip("support.premis")
    model = pytest.importorskip("eark_models.premis.v3_0")
    write_records(output, with_premis=True)
    path = output / PREMIS_OBJECTS
    schema.validate(path)
    found = model.Premis.from_xml(str(path))
    assert len(found.objects) == 2 * len(NAMES) + 1
    assert len(found.events) == len(NAMES) + 1
    text = path.read_text(encoding="utf-8")
    for name in NAMES:
        assert sha256(output / name) in text
        assert sha256(tmp_path / "in" / name) in text


def test_a_schema_that_takes_anything_would_be_no_proof(output: Path) -> None:
    schema = pytest.importorskip("support.premis")
    write_records(output, with_premis=True)
    path = output / PREMIS_OBJECTS
    text = path.read_text(encoding="utf-8")
    for harmed in (
        text.replace("<eventType>modification</eventType>", "", 1),
        text.replace("<size>", "<size>x", 1),
        text.replace('version="3.0"', 'version="2.0"', 1),
    ):
        assert harmed != text
        path.write_text(harmed, encoding="utf-8")
        with pytest.raises(schema.xmlschema.XMLSchemaValidationError):
            schema.validate(path)


def test_events_are_a_table_in_which_no_name_is_a_formula(output: Path) -> None:
    write_records(output, with_premis=True)
    with (output / PREMIS_EVENTS).open(encoding="utf-8", newline="") as file:
        rows = {row["outcome_object"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {"", *NAMES[:1], "'=1+1.png", *NAMES[2:]}
    assert rows[NAMES[0]]["event_outcome"] == "success with warnings"
    assert rows[NAMES[0]]["event_outcome_note"] == WORDS
    assert rows[NAMES[2]]["outcome_sha256"] == sha256(output / NAMES[2])
    assert rows[""]["event_outcome"] == "failure"
    assert set(rows[""]) == set(premis.COLUMNS)


@pytest.mark.parametrize("name", [CRATE, PREMIS_OBJECTS, PREMIS_EVENTS])
def test_a_file_of_somebody_else_stays_where_a_record_would_go(name: str, output: Path) -> None:
    (output / name).write_text("mine")
    with pytest.raises(UsageError, match="did not write"):
        write_records(output, with_premis=True)
    assert (output / name).read_text() == "mine"


def test_records_are_replaced_by_newer_ones_and_are_no_strangers(output: Path) -> None:
    write_records(output, with_premis=True)
    first = [(output / name).read_bytes() for name in (CRATE, PREMIS_OBJECTS, PREMIS_EVENTS)]
    write_records(output, with_premis=True)
    assert first == [(output / n).read_bytes() for n in (CRATE, PREMIS_OBJECTS, PREMIS_EVENTS)]
    for path in (output / ".restore-batch").glob("manifest.*"):
        path.unlink()
    assert not set(repair(output).unproven) & {CRATE, PREMIS_OBJECTS, PREMIS_EVENTS}


def test_where_nothing_was_run_there_is_nothing_to_record(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing was run"):
        write_records(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_not_utf_8_is_told_legibly(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("caf\udce9.png")])
    write_records(output, with_premis=True)
    graph = json.loads((output / CRATE).read_text())["@graph"]
    assert "caf\\udce9.png" in [entity.get("name") for entity in graph]
    assert "caf\\udce9.png" in (output / PREMIS_OBJECTS).read_text(encoding="utf-8")
    with Manifest.open(output) as manifest:
        assert manifest.counts() == {"done": 1}

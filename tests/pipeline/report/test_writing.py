"""A report is written beside the results, and never mistaken for them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from PIL import Image

from restore_batch.errors import UsageError
from restore_batch.jobs.history import History
from restore_batch.jobs.inputs import discover
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import REPORT_MARK
from restore_batch.jobs.proof.repair import repair
from restore_batch.pipeline.report.writing import write_report

from support.archive import checksums, command
from support.command_line import call
from support.reports import Item, add, found_face, restored


def told(report: Path, kind: str) -> list[dict[str, Any]]:
    """What the report's data say of all items: ``lines`` or ``details``."""
    found: list[dict[str, Any]] = []
    files = sorted(report.glob(f"data/*/{kind}-*.js"), key=lambda p: int(p.stem.split("-")[1]))
    for path in files:
        text = path.read_text(encoding="ascii")
        found += json.loads(text[text.index("[") : text.rindex("]") + 1])
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = [
        Item("a.png", (found_face(0.9),)),
        Item(
            "album/b.jpg", (found_face(0.2, "odd"), found_face(0.8, left=50.0)), ("3 odd things",)
        ),
        Item("broken.png", error="cut off"),
        Item("masked.png", mask=0.25),
    ]
    output = restored(tmp_path_factory.mktemp("finished"), items)
    write_report(output)
    return output


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "out"))


def test_it_tells_of_every_item_what_the_manifest_says(finished: Path) -> None:
    lines = {line["output"]: line for line in told(finished / "report", "lines")}
    assert list(lines) == ["a.png", "album/b.jpg", "broken.png", "masked.png"]
    assert lines["album/b.jpg"]["identity"] == 0.2
    assert lines["album/b.jpg"]["notes"] == 1
    assert lines["album/b.jpg"]["pattern"] == "/album/b.jpg"
    assert lines["broken.png"]["state"] == "failed"
    details = told(finished / "report", "details")
    assert [len(each["faces"]) for each in details] == [1, 2, 0, 0]
    assert details[3]["previews"]["repaired"] == 0.25
    assert [each["repaired"] for each in details] == [0.0, 0.0, None, 0.25]
    by_attention = sorted(lines, key=lambda name: -lines[name]["attention"])
    assert by_attention[:2] == ["broken.png", "album/b.jpg"]


def test_its_page_has_no_address_outside_of_it(finished: Path) -> None:
    report = finished / "report"
    for path in [report / "index.html", *report.glob("assets/*")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text
        assert "https:" not in text
        assert "//cdn" not in text


def test_a_second_report_makes_no_preview_again(output: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in output.glob("report/previews/*/*")}
    written = write_report(output)
    assert written.made == written.left == written.failed == 0
    assert {p: p.stat().st_mtime_ns for p in output.glob("report/previews/*/*")} == before


def test_a_preview_that_is_damaged_or_gone_is_made_again(output: Path) -> None:
    first, second = sorted(output.glob("report/previews/*/*-after.jpg"))[:2]
    whole = first.read_bytes(), second.read_bytes()
    first.write_bytes(whole[0][:100])
    second.unlink()
    assert write_report(output).made == 2
    assert (first.read_bytes(), second.read_bytes()) == whole


def test_previews_of_results_that_were_replaced_are_removed(output: Path) -> None:
    old = set(output.glob("report/previews/*/*-after.jpg"))
    for path in output.glob("report/previews/*/*"):
        os.utime(path, (1, 1))
    with Manifest.open(output) as manifest:
        add(manifest, output.parent / "in", Item("a.png", size=(64, 96)))
    write_report(output)
    now = set(output.glob("report/previews/*/*-after.jpg"))
    assert (len(old - now), len(now - old)) == (1, 1)


def test_when_time_is_up_the_page_is_written_with_the_previews_that_are_there(
    output: Path,
) -> None:
    shutil.rmtree(output / "report")
    written = write_report(output, is_stopped=lambda: True)
    assert (written.made, written.left) == (0, 3)
    assert len(told(output / "report", "lines")) == 4
    assert write_report(output).made == 3


def test_a_result_that_is_gone_costs_its_own_preview_only(output: Path) -> None:
    shutil.rmtree(output / "report")
    (output / "a.png").unlink()
    written = write_report(output)
    assert (written.made, written.failed) == (2, 1)
    (details, *_) = told(output / "report", "details")
    assert "a.png" in details["no_previews"]


def test_no_other_picture_is_shown_as_the_original_of_a_result(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("a.png"), Item("b.png")])
    original = tmp_path / "in" / "a.png"
    whole = original.read_bytes()
    shutil.copy(tmp_path / "in" / "b.png", original)
    write_report(output)
    told_of_a, told_of_b = told(output / "report", "details")
    assert told_of_a["no_previews"].endswith("in/a.png: no longer the file that was restored")
    assert not told_of_b["no_previews"]
    assert len(list(output.glob("report/previews/*/*-before.jpg"))) == 1
    original.write_bytes(whole)
    assert write_report(output).made == 1
    assert len(list(output.glob("report/previews/*/*-before.jpg"))) == 2


def test_a_folder_of_somebody_else_is_never_written_to(output: Path) -> None:
    shutil.rmtree(output / "report")
    (output / "report").mkdir()
    (output / "report" / "index.html").write_text("mine", encoding="utf-8")
    before = checksums(output)
    with pytest.raises(UsageError, match="--to"):
        write_report(output)
    assert checksums(output) == before
    elsewhere = write_report(output, output.parent / "elsewhere")
    assert elsewhere.page == output.parent / "elsewhere" / "index.html"
    assert checksums(output) == before


def test_the_report_of_another_output_is_never_written_to(output: Path, finished: Path) -> None:
    shared = output.parent / "shared"
    write_report(output, shared)
    before = checksums(shared)
    with pytest.raises(UsageError, match="another output folder"):
        write_report(finished, shared)
    assert checksums(shared) == before


def test_results_are_not_touched(finished: Path, output: Path) -> None:
    write_report(output)
    results = {n: s for n, s in checksums(output).items() if not n.startswith("report/")}
    assert sorted(results) == ["a.png", "album/b.jpg", "masked.png", "masked.png.mask.png"]
    with History.read(output) as history:  # type: ignore[union-attr]
        recorded = {entry.output: entry.sha256 for entry in history.entries() if entry.sha256}
    assert {name: results[name] for name in recorded} == recorded


def test_previews_are_no_inputs_of_another_job(output: Path) -> None:
    found = discover([str(output)], {".png", ".jpg"}).files
    assert {file.relative for file in found} == {
        "a.png", "album/b.jpg", "masked.png", "masked.png.mask.png",
    }  # fmt: skip


def test_a_repair_counts_no_file_of_a_report_as_unproven(output: Path) -> None:
    for name in ("manifest.sqlite", "manifest.sqlite-wal"):
        (output / FOLDER / name).unlink(missing_ok=True)
    (output / "mine.txt").write_text("mine", encoding="utf-8")
    done = repair(output)
    assert done.taken == 3
    assert done.unproven == ("mine.txt",)


def test_a_report_of_a_run_that_goes_on_shows_how_far_it_is(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with Manifest.open(output) as manifest:
        manifest.begin_run("1.0", "job.yaml", {"inputs": [str(tmp_path / "in")]}, [], 3)
        add(manifest, tmp_path / "in", Item("a.png"))
        write_report(output)
        assert "a run is going on" in (output / "report/index.html").read_text(encoding="utf-8")
        add(manifest, tmp_path / "in", Item("b.png"))
        manifest.end_run("finished")
    assert write_report(output).made == 1
    assert len(told(output / "report", "lines")) == 2


def test_marks_outlive_a_report_that_is_written_anew(output: Path) -> None:
    before = json.loads((output / "report" / REPORT_MARK).read_bytes())["id"]
    write_report(output)
    assert json.loads((output / "report" / REPORT_MARK).read_bytes())["id"] == before


def test_names_are_kept_in_ascii_and_patterns_exactly(tmp_path: Path) -> None:
    names = ["caf\udce9.png", "\x1b[31mred.png", "<b>&\"'.png", "\u202egnp.png"]
    output = restored(tmp_path, [Item(name) for name in names])
    write_report(output)
    lines = told(output / "report", "lines")
    assert {line["pattern"] for line in lines} == {
        "/caf\udce9.png", "/\x1b[[]31mred.png", "/<b>&\"'.png", "/\u202egnp.png",
    }  # fmt: skip
    for details in told(output / "report", "details"):
        assert not {"\x1b", "\u202e", "\udce9"} & set(details["source"])
        for link in (details["source_link"], details["result_link"]):
            assert link.startswith("./../")
            assert not set("<>\"' ") & set(link)
            path = os.fsencode(output / "report") + b"/" + unquote_to_bytes(link)
            assert Path(os.fsdecode(path)).is_file()


def test_the_command_says_where_the_page_is(output: Path) -> None:
    called = call("report", output)
    assert called.exit_code == 0
    assert called.stdout.splitlines()[-1] == f"report: {(output / 'report/index.html').as_uri()}"
    plain = json.loads(call("report", output, "--json").stdout)
    assert plain["reports"][0]["items"] == 4


def test_where_nothing_was_run_the_command_is_one_line(tmp_path: Path) -> None:
    called = call("report", tmp_path)
    assert called.exit_code == 2
    assert "nothing was run there yet" in called.stderr
    assert len(called.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_one_line(output: Path) -> None:
    Image.new("RGB", (8, 8)).save(output / "file.png")
    called = call("report", output, "--to", output / "file.png" / "report")
    assert called.exit_code == 3
    assert "cannot be written" in called.stderr
    assert len(called.stderr.splitlines()) == 1


def test_each_restorer_of_a_comparison_has_its_page(finished: Path, tmp_path: Path) -> None:
    for name in ("gfpgan", "glean"):
        shutil.copytree(finished, tmp_path / "out" / name)
    called = call("report", tmp_path / "out")
    assert called.exit_code == 0
    assert called.stdout.splitlines() == [
        f"report: {(tmp_path / 'out' / name / 'report' / 'index.html').as_uri()}"
        for name in ("gfpgan", "glean")
    ]
    refused = call("report", tmp_path / "out", "--to", tmp_path / "one")
    assert refused.exit_code == 2
    assert not (tmp_path / "one").exists()


def test_ctrl_c_writes_the_page_with_the_previews_that_are_there(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item(f"{number:02}.jpg", size=(300, 150)) for number in range(40)])
    process = subprocess.Popen(
        command("report", output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not list(output.glob("report/previews/*/*-facts.json")):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, "")
    assert f"`restore-batch report {output}` makes them" in said
    lines = told(output / "report", "lines")
    assert len(lines) == 40
    assert 0 < sum("preview" in line for line in lines) < 40

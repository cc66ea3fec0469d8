"""A run ends with its report, and is none the worse for one that cannot be written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import restore_batch as rb
from restore_batch.pipeline.report.writing import write_report

from support.archive import cli, scene, write_job
from support.clips import clip
from support.data import folder
from support.reports import browser, opened, wait_until


def a_job(folder: Path) -> Path:
    (folder / "in").mkdir()
    scene(64, 48).save(folder / "in" / "photo.png")
    return write_job(
        folder / "job.yaml", inputs=["in"], output="out", engine={"kind": "local"},
        restore={"model": "none"}, background={"model": "none"}, report=True,
    )  # fmt: skip


def test_a_run_writes_its_report_and_says_so_last(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    first = cli("run", job)
    assert first.returncode == 0, first.stderr
    page = tmp_path / "out" / "report" / "index.html"
    assert first.stdout.splitlines()[-1] == f"report: {page.as_uri()}"
    assert list(page.parent.glob("previews/*/*-after.jpg"))
    # The report lies in the output and the output is no input: nothing is new.
    second = cli("run", job, "--json")
    said = json.loads(second.stdout)
    assert (said["unchanged"], said["total"], said["report"]) == (1, 1, str(page))


def test_a_report_that_cannot_be_written_costs_the_run_nothing(tmp_path: Path) -> None:
    job = a_job(tmp_path)
    (tmp_path / "out" / "report").mkdir(parents=True)
    (tmp_path / "out" / "report" / "mine.txt").write_text("mine", encoding="utf-8")
    done = cli("run", job)
    assert done.returncode == 0
    assert "no report: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in (tmp_path / "out" / "report").iterdir()] == ["mine.txt"]
    assert (tmp_path / "out" / "photo.png").is_file()


def drawn(folder: Path) -> set[str]:
    return {path.name.partition("-")[2] for path in folder.rglob("*-*")}


@pytest.mark.parametrize("repair", ["off", "auto"])
def test_a_report_needs_neither_original_nor_result_of_what_workers_have_drawn(
    repair: str, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    summary = rb.run(a_job(tmp_path), overrides={"repair.fading": repair})
    assert summary.done == 1
    waiting = output / ".restore-batch" / "previews"
    expected = {"before.jpg", "after.jpg", "thumb.jpg", "facts.json"}
    assert drawn(waiting) == expected
    shutil.rmtree(tmp_path / "in")
    (output / "photo.png").unlink()
    elsewhere = write_report(output, tmp_path / "elsewhere")
    assert drawn(waiting) == drawn(tmp_path / "elsewhere" / "previews") == expected
    own = write_report(output)
    assert [(r.made, r.left, r.failed) for r in (elsewhere, own)] == [(0, 0, 0)] * 2
    assert drawn(output / "report" / "previews") == expected
    assert drawn(waiting) == set()


def test_a_report_needs_neither_original_nor_result_of_a_film_that_workers_have_drawn(
    tmp_path: Path,
) -> None:
    job, output = a_job(tmp_path), tmp_path / "out"
    (tmp_path / "in" / "photo.png").unlink()
    clip(tmp_path / "in" / "film.mp4", frames=12, audio=["aac"])
    assert rb.run(job).done == 1
    expected = {"before.mp4", "after.mp4", "posters.jpg", "thumb.jpg", "facts.json"}
    assert drawn(output / ".restore-batch" / "previews") == expected
    there = {path.name: path.read_bytes() for path in output.rglob("previews/*/*")}
    elsewhere = write_report(output, tmp_path / "elsewhere")
    own = write_report(output)
    assert [(r.made, r.left, r.failed) for r in (elsewhere, own)] == [(0, 0, 0)] * 2
    # Of an output whose previews are gone, the report makes the same of the files.
    shutil.rmtree(output / "report")
    again = write_report(output)
    assert again.made == 1
    made = {path.name: path.read_bytes() for path in output.rglob("report/previews/*/*")}
    assert made == there


def test_where_no_report_is_wanted_nothing_is_drawn(tmp_path: Path) -> None:
    assert rb.run(a_job(tmp_path), overrides={"report": False}).done == 1
    assert not (tmp_path / "out" / ".restore-batch" / "previews").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["photos", "video"])
def test_the_report_of_real_archives_opens_without_an_error(kind: str, tmp_path: Path) -> None:
    inputs = folder(f"RESTORE_BATCH_{kind.upper()}", kind)
    job = write_job(
        tmp_path / "job.yaml", inputs=[str(inputs)], output="out", restore={"model": "none"},
        engine={"kind": "local"}, background={"model": "none", "scale": 1}, report=True,
    )  # fmt: skip
    done = cli("run", job, timeout_s=3000)
    assert done.returncode in (0, 1), done.stderr
    assert cli("report", job, timeout_s=3000).returncode == 0
    with browser() as chromium:
        index = tmp_path / "out" / "report" / "index.html"
        with opened(chromium, index) as watched:
            page = watched.page
            page.locator(".card").first.click()
            count = int(page.evaluate("report.items.length"))
            for place in range(count):
                wait_until(page, "document.querySelector('#facts section') !== null")
                assert page.locator("#viewer-place").text_content() == f"{place + 1} of {count}"
                page.keyboard.press("ArrowRight")

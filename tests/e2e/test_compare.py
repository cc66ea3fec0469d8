"""Restorers side by side, from the job file to the contact sheets; and each of them alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.errors import OutputLockedError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import FaceRow
from restore_batch.pipeline.compare import sheets
from restore_batch.pipeline.compare.comparison import ComparisonSummary
from restore_batch.pipeline.compare.film_moments import MOMENTS
from restore_batch.stages.previews.cells import CELL_PX

from support import data, small_systems
from support.archive import checksums, cli, face, scene, write_job
from support.clips import clip
from support.crashing_sheets import CrashOnOneSheet
from support.films_e2e import moving_face

PAIR = ["small-gfpgan", "small-srgan"]
FACES = {"album/a.png", "b.jpg"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """The folder of all small weights, and the environment of subprocesses."""
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("small")
    with small_systems.installed(folder / "plug-in") as env:
        small_systems.add_weights(folder / "files", folder / "weights")
        yield folder / "weights", env


@pytest.fixture
def weights_dir(installed: tuple[Path, dict[str, str]]) -> Path:
    return installed[0]


def sections(weights_dir: Path, **restore: Any) -> dict[str, Any]:
    return {
        "inputs": ["in"], "output": "out", "engine": {"kind": "local", "workers": 1, "threads": 1},
        "background": {"scale": 1}, "detect": {"model": "mtcnn"}, "paste": {"mask": "feather"},
        "weights": {"dir": str(weights_dir), "download": False},
        # What they draw are no people, so that likeness would take it away again.
        "restore": {"min_identity": None, **restore},
    }  # fmt: skip


def entry(name: str, **options: Any) -> Any:
    merged = {**small_systems.OPTIONS.get(name, {}), **options}
    return {"model": name, "options": merged} if merged else name


def archive(folder: Path) -> None:
    (folder / "in" / "album").mkdir(parents=True)
    face(160).save(folder / "in" / "album" / "a.png")
    face(128).convert("L").save(folder / "in" / "b.jpg", quality=95)
    scene(120, 90).save(folder / "in" / "none.jpg")


@pytest.fixture
def job(tmp_path: Path, weights_dir: Path) -> Path:
    archive(tmp_path)
    return write_job(tmp_path / "job.yaml", **sections(weights_dir, compare=PAIR))


def faces_in(output: Path, name: str) -> tuple[FaceRow, ...]:
    manifest = Manifest.read(output)
    assert manifest is not None
    with manifest:
        result = manifest.result_at(name)
        assert result is not None
        return manifest.faces_in(result)


def run(job: Path, **options: Any) -> ComparisonSummary:
    summary = rb.run(job, **options)
    assert isinstance(summary, ComparisonSummary)
    return summary


# --- each restorer alone -----------------------------------------------------------------------


@pytest.mark.parametrize("name", small_systems.NAMES)
def test_every_restorer_changes_the_faces_of_a_job_and_nothing_else(
    tmp_path: Path, weights_dir: Path, name: str
) -> None:
    archive(tmp_path)
    options = small_systems.OPTIONS.get(name, {})
    job = write_job(tmp_path / "job.yaml", **sections(weights_dir, model=name, options=options))
    summary = rb.run(job)
    assert (summary.done, summary.faces, summary.failed) == (3, 2, [])
    for path in FACES:
        before = np.asarray(Image.open(tmp_path / "in" / path), int)
        after = np.asarray(Image.open(tmp_path / "out" / path), int)
        assert after.shape == before.shape
        height, width = before.shape[:2]
        changed = np.abs(after - before).reshape(height, width, -1).max(axis=2)
        assert changed[height // 3 : height // 2, width // 3 : 2 * width // 3].mean() > 3
        assert changed[:4, :4].max() <= 3, "far from the face only JPEG's rounding shows"
    (record,) = faces_in(tmp_path / "out", "album/a.png")
    assert record.restored
    assert ("imagined" in record.note) == (name == "small-pulse")


def test_published_srgan_weights_restore_faces(tmp_path: Path) -> None:
    files = data.weights() / "srgan"
    pytest.importorskip("skimage")
    archive(tmp_path)
    added = cli("models", "add", files / "netG_epoch_2_100.pth", "--weights-dir", tmp_path / "w")
    assert added.returncode == 0, added.stderr
    job = write_job(tmp_path / "job.yaml", **sections(tmp_path / "w", model="srgan-generator-x2"))
    summary = rb.run(job)
    assert (summary.done, summary.faces) == (3, 2)
    before = np.asarray(Image.open(tmp_path / "in" / "album" / "a.png"), int)
    after = np.asarray(Image.open(tmp_path / "out" / "album" / "a.png"), int)
    assert 0.2 < np.abs(after - before)[40:100, 40:120].mean() < 12, "sharper, and the same person"


# --- side by side ------------------------------------------------------------------------------


def test_the_command_line_compares_all_and_goes_on_where_it_ended(
    tmp_path: Path, installed: tuple[Path, dict[str, str]]
) -> None:
    weights_dir, env = installed
    archive(tmp_path)
    compare = [entry(name) for name in small_systems.NAMES]
    job = write_job(tmp_path / "job.yaml", **sections(weights_dir, compare=compare))
    planned = cli("plan", job, env=env)
    assert planned.returncode == 0, planned.stderr
    assert all(name in planned.stdout for name in [*small_systems.NAMES, "contact sheets"])
    assert not (tmp_path / "out").exists()
    done = cli("run", job, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 restored (10 faces)" in done.stdout
    assert "2 contact sheets drawn" in done.stdout
    assert "none for 1 picture without faces" in done.stdout
    assert "imagined by small-pulse" in done.stdout
    expected = {f"{name}/{path}" for name in small_systems.NAMES for path in [*FACES, "none.jpg"]}
    made = checksums(tmp_path / "out")
    assert set(made) == expected | {"compare/album/a.jpg", "compare/b.jpg"}
    assert len({made[f"{name}/album/a.png"] for name in small_systems.NAMES}) == 5
    again = cli("run", job, "--json", env=env)
    plain = json.loads(again.stdout)
    assert (plain["done"], plain["unchanged"], plain["sheets_unchanged"]) == (0, 15, 2)
    assert checksums(tmp_path / "out") == made
    for target in (job, tmp_path / "out"):
        status = json.loads(cli("status", target, "--json", env=env).stdout)
        assert status["counts"] == {"done": 17}
        assert {item["output"] for item in status["items"]} == set(made)


def test_a_sheet_shows_the_original_and_each_result_in_order(job: Path) -> None:
    run(job)
    out = job.parent / "out"
    left, top, right, bottom = faces_in(out / PAIR[0], "album/a.png")[0].box_xyxy
    x, y, half = (left + right + 1) / 2, (top + bottom + 1) / 2, (right - left) / 3
    sheet = np.asarray(Image.open(out / "compare" / "album" / "a.jpg"), float)
    centres = [sheet.shape[1] // 2 + (CELL_PX + 8) * column for column in (-1, 0, 1)]
    # The same square around the middle of the face, from the files and from the cells.
    cell_half = round(half * CELL_PX / (1.7 * max(right - left, bottom - top)))
    cells = [
        sheet[222 - cell_half : 222 + cell_half, c - cell_half : c + cell_half] for c in centres
    ]
    for path, cell in zip([job.parent / "in", out / PAIR[0], out / PAIR[1]], cells, strict=True):
        picture = Image.open(path / "album" / "a.png")
        square = (x - half, y - half, x + half, y + half)
        size = (2 * cell_half, 2 * cell_half)
        expected = np.asarray(picture.resize(size, Image.Resampling.BILINEAR, square), float)
        apart = [np.abs(other - expected).mean() for other in cells]
        assert np.argmin(apart) == next(i for i, other in enumerate(cells) if other is cell)
        assert min(apart) < 4


def test_only_the_sheets_of_changed_results_are_drawn_again(job: Path, weights_dir: Path) -> None:
    first = run(job)
    assert (first.done, first.sheets, first.without_faces) == (6, 2, 1)
    out = job.parent / "out"
    before = checksums(out)
    (out / "compare" / "b.jpg").unlink()
    (out / PAIR[1] / "album" / "a.png").unlink()
    mended = run(job)
    assert (mended.done, mended.unchanged) == (1, 5)
    assert (mended.sheets, mended.sheets_unchanged) == (1, 1), "an equal result needs no new sheet"
    assert checksums(out) == before

    write_job(job, **sections(weights_dir, compare=[PAIR[0], entry("small-pulse")]))
    other = run(job)
    assert (other.done, other.unchanged) == (3, 3), "the first restorer's results still count"
    assert (other.sheets, other.sheets_unchanged) == (2, 0)

    face(128).save(job.parent / "in" / "b.jpg", quality=80)
    changed = run(job)
    assert (changed.done, changed.sheets, changed.sheets_unchanged) == (2, 1, 1)


def test_a_comparison_takes_up_the_results_of_a_plain_job(job: Path, weights_dir: Path) -> None:
    plain = sections(weights_dir, model=PAIR[0])
    rb.run(write_job(job.parent / "plain.yaml", **{**plain, "output": f"out/{PAIR[0]}"}))
    summary = run(job)
    assert (summary.done, summary.unchanged, summary.sheets) == (3, 3, 2)


def test_a_restorer_without_weights_is_one_line_before_anything_runs(
    job: Path, tmp_path: Path, installed: tuple[Path, dict[str, str]]
) -> None:
    weights_dir, env = installed
    some = tmp_path / "some"
    shutil.copytree(weights_dir / PAIR[0], some / PAIR[0])
    write_job(job, **sections(some, compare=[PAIR[0], "small-glean"]))
    done = cli("run", job.name, cwd=tmp_path, env=env)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("job.yaml:")
    assert "restore.compare.1.model: the weights of small-glean" in line
    assert not (tmp_path / "out").exists()


def test_a_bad_file_fails_for_every_restorer_and_costs_no_other_its_sheet(job: Path) -> None:
    bad = job.parent / "in" / "words.png"
    bad.write_text("no picture")
    summary = run(job)
    assert (summary.done, summary.sheets, summary.exit_code) == (6, 2, 1)
    reasons = [reason for source, _, reason in summary.failed if source == str(bad)]
    assert [reason.partition(":")[0] for reason in reasons] == PAIR
    assert summary.left == 0
    face(100).save(bad)
    mended = run(job, retry=True)
    assert (mended.exit_code, mended.done, mended.sheets) == (0, 2, 1)


def test_a_sheet_that_crashes_who_draws_it_costs_no_other_its_sheet(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheets, "DrawSheet", CrashOnOneSheet)
    summary = run(job)
    assert (summary.sheets, summary.sheets_failed) == (1, 1)
    ((source, stage, reason),) = summary.failed
    assert stage == "contact sheet"
    assert reason == f"{source}: drawing its contact sheet crashed (SIGSEGV)"


def test_a_restorer_that_failed_leaves_its_column_empty(job: Path) -> None:
    out = job.parent / "out"
    (out / PAIR[1]).mkdir(parents=True)
    (out / PAIR[1] / "b.jpg").write_text("mine")
    summary = run(job)
    assert (summary.done, summary.sheets, summary.exit_code) == (5, 2, 1)
    assert (out / PAIR[1] / "b.jpg").read_text() == "mine"
    sheet = np.asarray(Image.open(out / "compare" / "b.jpg"), float)
    assert sheet[80:150, -300:-20].min() > 200, "paper, no picture"
    (out / PAIR[1] / "b.jpg").unlink()
    again = run(job, retry=True)
    assert (again.done, again.sheets, again.sheets_unchanged) == (1, 1, 1)


def test_a_file_of_the_user_among_the_sheets_is_never_replaced(job: Path) -> None:
    mine = job.parent / "out" / "compare" / "b.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    summary = run(job)
    assert mine.read_text() == "mine"
    assert (summary.sheets, summary.sheets_failed, summary.left) == (1, 1, 0)
    assert summary.exit_code == 1
    assert "did not write" in summary.failed[0][2]
    assert run(job).exit_code == 1, "still there, still said"
    mine.unlink()
    assert run(job, retry=True).sheets == 1


@pytest.mark.parametrize("taken", [*PAIR, "compare"])
def test_a_second_run_is_refused_while_any_folder_is_taken(job: Path, taken: str) -> None:
    with Manifest.open(job.parent / "out" / taken), pytest.raises(OutputLockedError, match=taken):
        rb.run(job)
    assert run(job).exit_code == 0


@pytest.mark.slow
def test_films_are_compared_moment_by_moment(tmp_path: Path, weights_dir: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, picture in (("face.mp4", moving_face()), ("none.mkv", None)):
        clip(tmp_path / "in" / name, frames=20, size=(144, 108), picture=picture, audio=["aac"])
    job = write_job(tmp_path / "job.yaml", **sections(weights_dir, compare=PAIR))
    summary = run(job, overrides=["video.segment_s=0.4"])
    assert (summary.done, summary.exit_code, summary.sheets, summary.without_faces) == (4, 0, 2, 0)
    assert summary.segments == summary.segments_done == 8
    assert summary.faces >= 36
    out = tmp_path / "out"
    sheet = Image.open(out / "compare" / "face.jpg")
    assert 3 * CELL_PX < sheet.width < 3.2 * CELL_PX
    assert MOMENTS * CELL_PX < sheet.height < MOMENTS * 1.15 * CELL_PX
    again = run(job, overrides=["video.segment_s=0.4"])
    assert (again.done, again.unchanged, again.sheets, again.sheets_unchanged) == (0, 4, 0, 2)


def test_on_error_stop_ends_the_whole_comparison(job: Path) -> None:
    (job.parent / "in" / "album" / "a.png").write_text("no picture")
    summary = run(job, overrides=["on_error=stop"])
    assert summary.exit_code == 3
    assert not list((job.parent / "out" / PAIR[1]).glob("*.jpg"))
    assert summary.sheets == 0


def test_two_comparisons_of_equal_pictures_have_equal_bytes(job: Path) -> None:
    run(job)
    run(job, overrides={"output": str(job.parent / "twin")})
    assert checksums(job.parent / "out") == checksums(job.parent / "twin")

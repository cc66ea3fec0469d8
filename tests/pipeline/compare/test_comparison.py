"""A comparison before anything runs: its schema, its plans, its mistakes, and its sheets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.errors import JobFileError
from restore_batch.jobs.source import job_from_mapping, json_schema, load_job
from restore_batch.jobs.spec import System
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.compare.contact_sheet import Rows, draw
from restore_batch.pipeline.drive.summary import Summary
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.media import Frame
from restore_batch.stages.previews.cells import CELL_PX, face_cells

from support import small_systems
from support.clips import clip
from support.pixels import smooth_picture

PAIR = ["small-gfpgan", "small-srgan"]


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("small")
    with small_systems.installed(folder / "plug-in"):
        small_systems.add_weights(folder / "files", folder / "weights", (*PAIR, "small-pulse"))
        yield folder / "weights"


def write(folder: Path, restore: str, weights_dir: Path | str = "w") -> Path:
    (folder / "in").mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(folder / "in" / "a.png")
    path = folder / "job.yaml"
    path.write_text(
        f"inputs: [in]\noutput: out\nweights: {{dir: {weights_dir}, download: false}}\n"
        f"engine: {{kind: local}}\nbackground: {{scale: 1}}\ndetect: {{model: mtcnn}}\n"
        f"restore:\n{restore}"
    )
    return path


def mistakes(path: Path, call: Any = rb.run) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        call(path)
    return [str(p).removeprefix(f"{path}:") for p in caught.value.problems]


# --- the job file ------------------------------------------------------------------------------


def test_a_restorer_is_named_alone_or_with_its_options() -> None:
    job = job_from_mapping(
        {
            "inputs": ["a"], "output": "b",
            "restore": {"compare": ["gfpgan", {"model": "pulse", "options": {"seed": 7}}]},
        }
    )  # fmt: skip
    assert job.restore.compare == (
        System(model="gfpgan"),
        System(model="pulse", options={"seed": 7}),
    )
    schema = json_schema()["$defs"]["System"]
    assert [form["type"] for form in schema["anyOf"]] == ["string", "object"]


@pytest.mark.parametrize(
    ("restore", "expected"),
    [
        ("  compare: [gfpgan]\n", "8:12: restore.compare: expected at least two"),
        ("  compare: gfpgan\n", "8:12: restore.compare: expected a list, got 'gfpgan'"),
        ("  compare: [glean, gfpgan, GLEAN]\n", "8:12: restore.compare: 'glean' is listed twice"),
        ("  compare: [gfpgan, auto]\n", "8:21: restore.compare.1.model: a comparison needs"),
        ("  model: glean\n  compare: [gfpgan, glean]\n", "9:12: restore.compare: a comparison"),
        ("  options: {a: 1}\n  compare: [gfpgan, glean]\n", "9:12: restore.compare: options"),
    ],
)
def test_a_wrong_comparison_is_reported_where_it_stands(
    tmp_path: Path, restore: str, expected: str
) -> None:
    (problem,) = mistakes(write(tmp_path, restore), load_job)
    assert problem.startswith(expected)


def test_the_mistakes_of_all_restorers_are_found_at_once_and_nothing_is_made(
    tmp_path: Path, weights_dir: Path
) -> None:
    restore = (
        "  compare:\n"
        "    - small-gfpgna\n"
        "    - model: small-gfpgan\n"
        "      options:\n"
        "        batch_sise: 4\n"
        "    - small-hifacegan\n"
        "    - model: mtcnn\n"
    )
    found = mistakes(write(tmp_path, restore, weights_dir))
    assert found[0].startswith("9:7: restore.compare.0.model: no model is called 'small-gfpgna'")
    assert "did you mean small-gfpgan" in found[0]
    assert found[1].startswith("12:9: restore.compare.1.options.batch_sise: unknown")
    assert found[2].startswith("13:7: restore.compare.2.model: the weights of small-hifacegan")
    assert found[3].startswith("14:14: restore.compare.3.model: mtcnn is a face detector")
    assert len(found) == 4
    assert not (tmp_path / "out").exists()


def test_missing_inputs_are_reported_once_and_not_for_every_restorer(
    tmp_path: Path, weights_dir: Path
) -> None:
    path = write(tmp_path, "  compare: [small-gfpgan, small-srgan]\n", weights_dir)
    path.write_text(path.read_text().replace("inputs: [in]", "inputs: [gone]"))
    (problem,) = mistakes(path)
    assert "inputs.0" in problem


@pytest.mark.parametrize("compared", [True, False])
def test_a_restorer_that_invents_faces_needs_two_consents(
    tmp_path: Path, weights_dir: Path, compared: bool
) -> None:
    one = "{model: small-pulse, options: {steps: 2, accept_imagined_faces: false}}"
    restore = f"  compare: [small-gfpgan, {one}]\n"
    if not compared:
        restore = "  model: small-pulse\n  options: {steps: 2, accept_imagined_faces: false}\n"
    found = mistakes(write(tmp_path, restore, weights_dir))
    where = "restore.compare.1.options" if compared else "restore.options"
    line = "8" if compared else "9"
    assert all(problem.startswith(f"{line}:") for problem in found)
    assert f"{where}.accept_imagined_faces: small-pulse invents faces" in found[0]
    assert f"{where}.paste_back: small-pulse invents faces" in found[1]
    assert all("set this to true" in problem for problem in found)
    assert len(found) == 2


def test_one_picture_cannot_be_compared_in_process() -> None:
    with pytest.raises(JobFileError, match=r"restore\.compare"):
        rb.restore_image(np.zeros((20, 20, 3), np.uint8), restore={"compare": PAIR})


# --- the plan ----------------------------------------------------------------------------------


def test_each_restorer_has_its_own_plan_and_folder_on_the_same_items(
    tmp_path: Path, weights_dir: Path
) -> None:
    plan = rb.plan(write(tmp_path, f"  compare: {PAIR}\n", weights_dir))
    assert isinstance(plan, ComparisonPlan)
    assert list(plan.systems) == PAIR
    assert [p.output_dir for p in plan.systems.values()] == [tmp_path / "out" / n for n in PAIR]
    assert all(p.items == plan.items for p in plan.systems.values())
    assert plan.sheets == ("a.jpg",)
    assert len({p.keys.face for p in plan.systems.values()}) == 2
    assert len({p.keys.photo for p in plan.systems.values()}) == 1


def test_a_comparison_and_a_plain_job_agree_on_what_a_result_depends_on(
    tmp_path: Path, weights_dir: Path
) -> None:
    plan = rb.plan(write(tmp_path, f"  compare: {PAIR}\n", weights_dir))
    plain = rb.plan(write(tmp_path, f"  model: {PAIR[0]}\n", weights_dir))
    assert isinstance(plan, ComparisonPlan)
    assert isinstance(plain, Plan)
    assert plan.systems[PAIR[0]].keys.face == plain.keys.face


def test_films_are_planned_with_what_restores_them_and_alone_in_a_preview(
    tmp_path: Path, weights_dir: Path
) -> None:
    path = write(tmp_path, f"  compare: {PAIR}\n", weights_dir)
    clip(tmp_path / "in" / "b.mp4", frames=4)
    plan = rb.plan(path)
    assert isinstance(plan, ComparisonPlan)
    assert plan.sheets == ("a.jpg", "b.jpg")
    for one in plan.systems.values():
        assert {"index", "segment", "join"} <= {s.name for g in one.groups for s in g.stages}
    preview = rb.plan(path, overrides=["video.preview_s=1"])
    assert isinstance(preview, ComparisonPlan)
    assert preview.sheets == ("b.jpg",)
    assert [item.source.relative for item in preview.items] == ["b.mp4"]


def test_a_preview_of_photos_alone_is_refused(tmp_path: Path, weights_dir: Path) -> None:
    path = write(tmp_path, f"  model: {PAIR[0]}\n", weights_dir)
    with pytest.raises(JobFileError, match=r"video\.preview_s: a preview is of films"):
        rb.plan(path, overrides=["video.preview_s=1"])


def test_results_of_one_restorer_are_no_input_of_another(tmp_path: Path, weights_dir: Path) -> None:
    path = write(tmp_path, f"  compare: {PAIR}\n", weights_dir)
    path.write_text(path.read_text().replace("inputs: [in]", "inputs: [.]"))
    (tmp_path / "out" / PAIR[0]).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / PAIR[0] / "old.png")
    plan = rb.plan(path)
    assert [item.source.relative for item in plan.items] == ["in/a.png"]


def test_sheets_of_one_name_are_told_apart(tmp_path: Path, weights_dir: Path) -> None:
    path = write(tmp_path, f"  compare: {PAIR}\n", weights_dir)
    Image.new("L", (8, 8)).save(tmp_path / "in" / "a.tif")
    plan = rb.plan(path)
    assert isinstance(plan, ComparisonPlan)
    assert sorted(plan.sheets) == ["a.png.jpg", "a.tif.jpg"]


def test_a_summary_of_a_comparison_is_a_summary(tmp_path: Path, weights_dir: Path) -> None:
    summary = rb.run(write(tmp_path, f"  compare: {PAIR}\n", weights_dir))
    assert isinstance(summary, Summary)
    assert (summary.total, summary.done, summary.left, summary.exit_code) == (2, 2, 0, 0)
    assert summary.as_dict()["without_faces"] == 1


# --- the sheet ---------------------------------------------------------------------------------


def test_a_face_is_shown_at_the_same_place_whatever_the_size_of_the_result() -> None:
    small = np.zeros((120, 160, 3), np.uint8)
    small[50:60, 70:80] = 255
    large = small.repeat(4, axis=0).repeat(4, axis=1)
    box = (59.5, 39.5, 89.5, 69.5)
    (one,) = face_cells(Frame(small), [box], (160, 120))
    (other,) = face_cells(Frame(large), [box], (160, 120))
    assert one.shape == other.shape == (CELL_PX, CELL_PX, 3)
    for axis in (0, 1):
        centres = [np.average(np.arange(CELL_PX), weights=c.sum((axis, 2))) for c in (one, other)]
        assert abs(centres[0] - centres[1]) < 0.5
        assert abs(centres[0] - (CELL_PX - 1) / 2) < 1.5, "the box is in the middle"


def test_a_16_bit_face_at_the_edge_is_shown_in_8_bits() -> None:
    deep = smooth_picture(80, 60).astype(np.uint16) * 257
    (cell,) = face_cells(Frame(deep), [(-20.0, -20.0, 30.0, 30.0)], (80, 60))
    assert cell.dtype == np.uint8
    assert cell.std() > 0


def test_a_sheet_has_a_row_for_each_face_and_a_column_for_each_restorer() -> None:
    def cells(level: int) -> list[np.ndarray]:
        return [np.full((CELL_PX, CELL_PX, 3), level + i, np.uint8) for i in (0, 1)]

    columns = {"original": cells(40), "gfpgan": cells(140), "glean": None}
    sheet = draw("a.png", Rows(["face 1", "face 2"], columns))
    height, width, _ = sheet.shape
    assert 3 * CELL_PX < width < 3.2 * CELL_PX
    assert 2 * CELL_PX < height < 2.6 * CELL_PX
    for level, column in ((40, 0), (140, 1)):
        for row in (0, 1):
            there = (sheet == level + row).all(axis=2)
            rows, columns = np.nonzero(there)
            assert there.sum() >= CELL_PX**2
            assert column * CELL_PX <= np.median(columns) - CELL_PX / 2 < (column + 0.1) * CELL_PX
            assert row * CELL_PX < np.median(rows) - CELL_PX / 2 < (row + 0.5) * CELL_PX
    words = (sheet[:, 2 * width // 3 + 20 :] < 140).all(axis=2)
    assert words[CELL_PX // 2 : CELL_PX].any(), "a missing result is said, not left blank"


def test_names_that_no_font_holds_and_long_ones_are_drawn() -> None:
    cell = [np.zeros((CELL_PX, CELL_PX, 3), np.uint8)]
    for title in ("家族 写真\n.png", "x" * 500, "\udce9.jpg"):
        sheet = draw(title, Rows([title], {"original": cell, title: cell}))
        assert sheet.shape[1] < 2.2 * CELL_PX

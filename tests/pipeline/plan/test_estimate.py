"""Estimates: they grow with the work, know cheap networks from dear ones, and admit ignorance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.jobs.outputs import FOLDER, PREVIEWS
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models import registry, speed
from restore_batch.models.speed import Speed
from restore_batch.pipeline.drive.summary import Unwatched
from restore_batch.pipeline.plan import items
from restore_batch.pipeline.plan.estimate import estimate
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import RunOptions, plan_job, run_job

from support import toy_model
from support.archive import scene
from support.clips import clip
from support.command_line import call


@pytest.fixture(autouse=True)
def steady_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "core_flops", lambda: 1e11)


def planned(folder: Path, **sections: Any) -> Plan:
    plan = rb.plan(
        {
            "inputs": [str(folder)], "output": str(folder.parent / "out"),
            "engine": {"kind": "local", "workers": 1, "threads": 1},
            "background": {"model": "none", "scale": 1}, "detect": {"model": "mtcnn"},
            "weights": {"download": False, "dir": str(folder.parent / "weights")},
        }
        | sections
    )  # fmt: skip
    assert isinstance(plan, Plan)
    return plan


def seconds(plan: Plan) -> float:
    found = estimate(plan).seconds
    assert found is not None
    return found


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    clip(tmp_path / "in" / "a.mp4", frames=50)
    return tmp_path / "in"


def test_a_film_takes_time_by_its_frames(film: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").mkdir()
    clip(tmp_path / "longer" / "a.mp4", frames=100)
    start = 4.0
    short, long = seconds(planned(film)), seconds(planned(tmp_path / "longer"))
    assert long - start == pytest.approx(2 * (short - start), rel=0.05)


def test_dear_restorers_cost_more_than_cheap_ones(film: Path) -> None:
    plan = planned(film, restore={"model": "compact-1"})

    def taking(name: str) -> float:
        restore = replace(plan.choices["restore"], card=registry.card(name))
        return seconds(replace(plan, choices={**plan.choices, "restore": restore}))

    names = ["compact-1", "realesr-animevideov3", "gfpgan-1.4", "codeformer", "pulse"]
    costs = [taking(name) for name in names]
    assert costs == sorted(costs)
    # 50 faces of 0.27 TFLOP at 0.8 x 0.1 TFLOPS.
    assert taking("gfpgan-1.4") - taking("compact-1") == pytest.approx(164, rel=0.05)


def test_what_an_unknown_network_takes_is_not_guessed(film: Path) -> None:
    plan = planned(film)
    for role, name in (("restore", "compact-1"), ("background", "realesrgan-x4plus")):
        card = replace(registry.card(name), name="own", tflop=None)
        choice = replace(plan.choices[role], card=card)  # type: ignore[index]
        made = replace(plan, choices={**plan.choices, role: choice})  # type: ignore[dict-item]
        assert estimate(made).seconds is None


def test_the_detector_and_the_parser_cost_too(film: Path) -> None:
    plan = planned(film, restore={"model": "compact-1"}, paste={"mask": "feather"})
    plain = seconds(plan)
    # 50 frames of 3072 pixels, 1.2 of each seen, and 50 faces, at 0.8 x 0.1 TFLOPS.
    finding = 50 * 0.003072 * (1.2 * 0.216 / 0.08 - 0.08)
    for role, name, more in (
        ("detect", "retinaface-resnet50", finding),
        ("parse", "parsenet", 50 * 0.469 / 0.08),
    ):
        choice = replace(plan.choices[role], card=registry.card(name))  # type: ignore[index]
        made = replace(plan, choices={**plan.choices, role: choice})  # type: ignore[dict-item]
        assert seconds(made) - plain == pytest.approx(more, rel=0.01)


def test_a_restorer_of_another_package_is_estimated_by_its_card(film: Path, tmp_path: Path) -> None:
    (card,) = toy_model.BOX.cards
    family = replace(toy_model.BOX, cards=(replace(card, tflop=0.8, rank=1),))
    plan = planned(film, restore={"model": "none"})
    with toy_model.installed(tmp_path, family):
        # The licence is not accepted in this job, so that the choice is made by hand.
        restore = replace(plan.choices["restore"], card=registry.card("toybox-16"))
        detect = replace(plan.choices["detect"], card=registry.card("mtcnn"))
        made = replace(plan, choices={**plan.choices, "restore": restore, "detect": detect})
        # 50 faces of 0.8 TFLOP at 0.8 x 0.1 TFLOPS.
        assert seconds(made) - seconds(plan) == pytest.approx(500, rel=0.05)


def test_a_measured_speed_is_used_and_said(film: Path, tmp_path: Path) -> None:
    alone = {"model": "compact-1", "min_identity": None}
    plan = planned(film, restore=alone, paste={"mask": "feather"})
    counted = estimate(plan)
    assert counted.timing == {"compact-1": "counted", "mtcnn": "counted"}
    measured = Speed(2.0, "face", "cpu", 1, "float32", "2026-01-01")
    (tmp_path / "weights").mkdir()
    speed.record(tmp_path / "weights", registry.card("compact-1"), measured)
    found = estimate(plan)
    assert found.timing == {"compact-1": "measured", "mtcnn": "counted"}
    assert found.seconds is not None
    assert counted.seconds is not None
    assert found.seconds - counted.seconds == pytest.approx(50 * (2.0 - 0.0069 / 0.08), rel=0.01)


def test_plan_says_how_its_time_is_known(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "inputs: [in]\noutput: out\nengine: {kind: local}\n"
        "background: {scale: 1}\ndetect: {model: mtcnn}\n"
        "restore: {model: compact-1, min_identity: null}\n"
        "paste: {mask: feather}\nweights: {download: false, dir: weights}\n"
    )
    assert "(counted: compact-1, mtcnn)" in call("plan", path).stdout
    shown = json.loads(call("plan", path, "--json").stdout)
    assert shown["timing"] == {"compact-1": "counted", "mtcnn": "counted"}
    measured = call("plan", path, "--measure")
    assert "(measured: films)" in measured.stdout, measured.stderr


def test_workers_share_the_work(film: Path) -> None:
    plan = planned(film, restore={"model": "none"})
    twice = replace(plan, share=replace(plan.share, workers=2))
    assert seconds(plan) - 4 == pytest.approx(2 * (seconds(twice) - 4), rel=0.01)


def test_nothing_takes_no_time(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "in" / "a.png")
    plan = planned(tmp_path / "in")
    assert estimate(replace(plan, items=())).seconds == 0
    assert seconds(plan) > 0


def test_disk_grows_with_the_square_of_the_scale(film: Path) -> None:
    small, large = (
        estimate(planned(film, background={"model": "none", "scale": scale})) for scale in (1, 2)
    )
    assert 2 * small.disk_bytes < large.disk_bytes <= 4 * small.disk_bytes


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_a_report_takes_about_what_its_previews_do(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    if name.endswith("png"):
        scene(1200, 900, 3).save(tmp_path / "in" / name)
    else:
        clip(tmp_path / "in" / name, frames=60, size=(320, 240))
    plans = [
        planned(tmp_path / "in", detect={"model": "none"}, report=report)
        for report in (False, True)
    ]
    without, figures = (estimate(plan).disk_bytes for plan in plans)
    assert run_job(plans[1].loaded, Unwatched(), RunOptions()).done == 1
    drawn = (tmp_path / "out" / FOLDER / PREVIEWS).rglob("*")
    taken = sum(path.stat().st_size for path in drawn if path.is_file())
    assert taken / 4 < figures - without < 4 * taken


def test_previews_of_a_large_photo_take_no_more_than_those_of_a_small_one(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.new("RGB", (1600, 1200)).save(tmp_path / "in" / "a.png")

    def taken(scale: int) -> int:
        with_scale = {"background": {"model": "none", "scale": scale}}
        plans = (planned(tmp_path / "in", **with_scale, report=report) for report in (True, False))
        shown, plain = (estimate(plan).disk_bytes for plan in plans)
        return shown - plain

    assert taken(1) == taken(4) > 0


def test_photos_whose_headers_are_not_read_count_like_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        Image.new("RGB", (200, 100)).save(tmp_path / "in" / f"{number:02}.png")
    clip(tmp_path / "in" / "a.mp4", frames=5)
    job = job_from_mapping(
        {
            "inputs": [str(tmp_path / "in")], "output": str(tmp_path / "out"),
            "weights": {"download": False, "dir": str(tmp_path / "weights")},
        }
    )  # fmt: skip
    of_all = plan_job(LoadedJob(job))
    monkeypatch.setattr(items, "SAMPLED", 10)
    of_some = plan_job(LoadedJob(job), "some")
    assert isinstance(of_all, Plan) and isinstance(of_some, Plan)
    assert (of_all.photos_by_header, of_some.photos_by_header) == ((60, 60), (60, 10))
    all_figures, figures = estimate(of_all), estimate(of_some)
    assert figures.megapixels == pytest.approx(all_figures.megapixels)
    assert figures.seconds == pytest.approx(all_figures.seconds)
    assert figures.disk_bytes == all_figures.disk_bytes
    path = tmp_path / "job.json"
    path.write_text(job.model_dump_json(include={"inputs", "output", "weights"}))
    said = call("plan", path).stdout
    assert "of 60 photos the headers of 10 were read" in " ".join(said.split())
    assert len(json.loads(call("plan", path, "--json").stdout)["items"]) == 61

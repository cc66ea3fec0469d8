"""What is shown of a run while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

import restore_batch as rb
from restore_batch.jobs.units import FilmIndex, PhotoContent, Unit
from restore_batch.pipeline.cli.progress import LiveView, _closing
from restore_batch.pipeline.drive.summary import Summary
from restore_batch.pipeline.plan.plan import Plan

from support.archive import make_archive


def test_units_that_are_no_part_of_a_result_are_shown_only_as_long_as_they_are_at_work(
    tmp_path: Path,
) -> None:
    make_archive(tmp_path / "in", faces=0, scenes=1, side_px=48)
    plan = rb.plan(
        {
            "inputs": [str(tmp_path / "in")], "output": str(tmp_path / "out"),
            "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
            "detect": {"model": "none"}, "engine": {"kind": "local", "workers": 1},
        }
    )  # fmt: skip
    assert isinstance(plan, Plan)
    units: list[Unit] = [
        FilmIndex(id="1", source="a.mkv", output="a.mkv", label="a.mkv: index"),
        PhotoContent(id="2", source="b.jpg", output="b.jpg", label="b.jpg: content"),
    ]
    with LiveView() as view:
        view.begin(plan, Summary(tmp_path / "out", total=2))
        for unit in units:
            view.started(unit)
        assert all(unit.label in shown(view) for unit in units)
        for unit in units:
            view.ended(unit)
        assert not any(unit.label in shown(view) for unit in units)


def test_failures_that_come_at_once_promise_no_speed(tmp_path: Path) -> None:
    summary = Summary(tmp_path, total=20, failed=[(f"{n}.jpg", "decode", "no") for n in range(9)])
    with LiveView() as view:
        view._summary, view._task = summary, view._bar.add_task("restoring", total=20, detail="")
        assert "left" not in shown(view)
        assert "9 failed" in shown(view)
        summary.done = 1
        assert "/min" in shown(view)
        assert " left" in shown(view)


def test_an_interrupted_run_says_that_work_on_films_is_kept(tmp_path: Path) -> None:
    summary = Summary(tmp_path, total=3, interrupted=True, segments=4, segments_done=1)
    assert "0 restored, 3 left (1 segment of films done and kept);" in _closing(summary, "job.yaml")
    summary.segments_done = 0
    assert "kept" not in _closing(summary, "job.yaml")


def shown(view: LiveView) -> str:
    text = io.StringIO()
    Console(file=text, width=100).print(view.__rich__())
    return text.getvalue()

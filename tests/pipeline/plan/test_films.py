"""What a plan says of films is what a run does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import restore_batch as rb
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.plan import make_plan

from support.clips import clip


@pytest.mark.parametrize(
    ("wished", "said"),
    [
        ({"output": "frames"}, "only its pictures are written, without its sound"),
        ({"output": "frames", "audio": "drop"}, ""),
        ({}, ""),
    ],
    ids=["pictures", "pictures of a film whose sound is not wanted", "a film"],
)
def test_sound_that_stays_behind_is_said_before_and_after(
    wished: dict[str, Any], said: str, tmp_path: Path
) -> None:
    source = clip(tmp_path / "film.mp4", frames=5, audio=["aac"])
    job = {
        "inputs": [str(source)], "output": str(tmp_path / "out"), "engine": {"kind": "local"},
        "detect": {"model": "none"}, "restore": {"model": "none"}, "video": wished,
        "background": {"model": "none", "scale": 1},
    }  # fmt: skip
    plan = make_plan(LoadedJob(job_from_mapping(job)), Store(download=False), fetch=False)
    planned = [note for note in plan.notes_on(plan.items[0]) if "sound" in note]
    warned = [text for _, text in rb.run(job).warned if "sound" in text]
    assert planned == warned == ([said] if said else [])

"""How many workers a plan asks of a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.layout import Node
from restore_batch.pipeline.plan.plan import make_plan
from restore_batch.pipeline.plan.resources import Cluster

from support.archive import scene
from support.clips import clip

SMALL = Cluster((Node("a", "host-a", 4.0, 0.0, 8 << 30, 1 << 30),))


def asked_for(folder: Path, workers: int | None) -> int | None:
    job = job_from_mapping(
        {
            "inputs": [str(folder)], "output": str(folder.parent / "out"),
            "detect": {"model": "none"}, "restore": {"model": "none"},
            "background": {"model": "none", "scale": 1},
            "engine": {"address": "head:6379", "workers": workers},
        }
    )  # fmt: skip
    store = Store(folder.parent / "weights", download=False)
    layout = make_plan(LoadedJob(job), store, fetch=False, site=SMALL).engine.layout
    assert layout is not None
    return layout.most


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(3):
        scene(32, 32, number).save(tmp_path / "in" / f"{number}.png")
    return tmp_path / "in"


def test_a_cluster_is_asked_for_no_more_workers_than_there_are_photos(folder: Path) -> None:
    assert [asked_for(folder, workers) for workers in (2, 64, None)] == [2, 3, None]


def test_a_film_may_keep_all_workers_busy_that_a_job_names(folder: Path) -> None:
    clip(folder / "film.mkv", codec="ffv1", frames=2)
    assert asked_for(folder, 64) == 64

"""The job of the schedules: six tiny photos and a film of 24 frames in four parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.archive import scene
from support.clips import clip

PHOTOS = 6
UNITS = PHOTOS + 4 + 1
"""That are committed: photos, segments, the join."""


def make_inputs(folder: Path) -> Path:
    """The originals, in a new folder."""
    folder.mkdir(parents=True)
    for number in range(PHOTOS):
        suffix = ("png", "jpg", "tif")[number % 3]
        scene(40 + number, 32, number).save(folder / f"photo{number}.{suffix}")
    clip(folder / "film.mkv", codec="ffv1", frames=24, size=(64, 48), gop=1)
    return folder


def write_job(folder: Path, engine: str) -> Path:
    """``folder/job.yaml``, which restores ``folder/in`` to ``folder/out``."""
    job: dict[str, Any] = {
        "inputs": ["in"],
        "output": "out",
        "engine": {"kind": engine, "workers": 2, "threads": 1},
        "restore": {"model": "none"},
        "background": {"model": "none", "scale": 1.5},
        "video": {"codec": "ffv1", "container": "mkv", "segment_s": 0.24},
        "report": False,
    }
    path = folder / "job.yaml"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path

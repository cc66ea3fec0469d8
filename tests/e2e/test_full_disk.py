"""A disk that is full ends a run, not its files: with some space the same command goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.host import small_file_system

PHOTOS = 6
SIDE_PX = 700


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for two of the results."""
    with small_file_system(tmp_path / "disk", "4m") as folder:
        yield folder


def run(job: Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("restore-batch")), "run", str(job), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, said


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_a_full_disk_fails_no_file_and_the_run_goes_on_with_space(
    engine: str, small_disk: Path, tmp_path: Path
) -> None:
    chance = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(PHOTOS):
        noise = chance.integers(0, 256, (SIDE_PX, SIDE_PX, 3), np.uint8)
        Image.fromarray(noise).save(tmp_path / "in" / f"{number}.png")
    job = tmp_path / "job.yaml"
    job.write_text(
        json.dumps(
            {
                "inputs": ["in"], "output": str(small_disk / "out"),
                "engine": {"kind": engine, "workers": 1},
                "restore": {"model": "none"}, "background": {"scale": 1, "model": "none"},
                "report": False,
            }
        )
    )  # fmt: skip
    code, said = run(job)
    assert code == 3
    assert "no space left; free some and run again" in said["aborted"]
    assert said["failed"] == []
    assert 0 < said["done"] < PHOTOS
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    code, said_later = run(job)
    assert code == 0
    assert said_later["unchanged"] == said["done"]
    assert said_later["done"] == PHOTOS - said["done"]
    assert len(list((small_disk / "out").glob("*.png"))) == PHOTOS
    assert not list((small_disk / "out" / ".restore-batch" / "tmp").iterdir())

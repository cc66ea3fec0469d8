"""A restorer, a photo format and a stage are one file each: dropped into the tree, they work.

The files are the examples of CONTRIBUTING.md. The tree is a copy, and nothing else of it is
touched.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from support.clips import decoded
from support.data import ROOT
from support.films_e2e import frames_with_faces
from support.tree import examples, python, tree_with

FRAMES = 4


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package in a folder of its own, with three files more."""
    return tree_with(tmp_path_factory.mktemp("tree"), examples())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo in the new format and a short film, with a face each."""
    folder = tmp_path_factory.mktemp("inputs")
    bgr = cv2.imread(str(ROOT / "jobs" / "samples" / "portrait_grey.jpg"), cv2.IMREAD_COLOR)
    rgb = np.ascontiguousarray(cv2.resize(bgr, (256, 256), interpolation=cv2.INTER_AREA))
    (folder / "a.rows").write_bytes(rows(rgb))
    with av.open(str(folder / "b.mkv"), "w") as film:
        stream = film.add_stream("ffv1", rate=25)
        stream.width = stream.height = 256
        stream.pix_fmt = "bgr0"
        for _ in range(FRAMES):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        film.mux(stream.encode(None))
    return folder


def rows(rgb_hwc: np.ndarray) -> bytes:
    size = np.array(rgb_hwc.shape[1::-1], "<u4").tobytes()
    return b"ROWS" + size + rgb_hwc.tobytes()


def read_rows(path: Path) -> np.ndarray:
    data = path.read_bytes()
    width, height = np.frombuffer(data[4:12], "<u4").tolist()
    return np.frombuffer(data[12:], np.uint8).reshape(height, width, 3)


def command(tree: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of that tree."""
    code = "from restore_batch.pipeline.cli.main import main; main()"
    return python(tree, folder, code, *arguments)


def run(tree: Path, folder: Path, inputs: Path, **sections: Any) -> dict[str, Any]:
    """What ``run --json`` of that tree says about a job over the photo and the film."""
    torch.save({"negative.weight": -torch.eye(3)[..., None, None]}, folder / "negative.pt")
    job = {
        "inputs": [str(inputs)],
        "output": "out",
        "engine": {"kind": "local", "workers": 1},
        "detect": {"model": "mtcnn"},
        "restore": {"model": "negative.pt", "min_identity": None},
        "background": {"model": "none", "scale": 1},
        "paste": {"mask": "feather", "match_colour": False, "match_grain": "off"},
        "video": {"codec": "ffv1", "steady": False},
        "report": False,
        "weights": {"download": False},
        **sections,
    }
    (folder / "job.yaml").write_text(json.dumps(job))
    done = command(tree, folder, "run", "job.yaml", "--json")
    assert done.stdout, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_one_file_each_is_all_that_a_restorer_a_format_and_a_stage_take(
    tree: Path, inputs: Path, tmp_path: Path
) -> None:
    said = run(tree, tmp_path, inputs, stages={"dim": {"light": 0.5}})
    assert (said["done"], said["failed"]) == (2, [])
    assert said["faces"] == 1 + FRAMES
    before, after = read_rows(inputs / "a.rows"), read_rows(tmp_path / "out" / "a.rows")
    corner, face = np.s_[:16, :16], np.s_[110:140, 110:140]
    assert np.array_equal(after[corner], before[corner] // 2), "the stage worked"
    dimmed = (before[face] // 2).mean()
    assert after[face].mean() == pytest.approx(255 - dimmed, abs=12), "the restorer worked on that"
    assert len(frames_with_faces(tmp_path / "out", "b.mkv")) == FRAMES
    pictures = [rgb for _, rgb in decoded(tmp_path / "out" / "b.mkv")]
    assert len(pictures) == FRAMES
    differ = [np.abs(picture.astype(int) - after) for picture in pictures]
    assert differ[0].max() <= 2, "a frame is treated as a photo is"
    # The face is looked for in another way, so the edge of its square may lie elsewhere.
    for each in differ:
        assert max(each[corner].max(), each[face].max()) <= 2


def test_the_stage_comes_before_faces_are_looked_for(
    tree: Path, inputs: Path, tmp_path: Path
) -> None:
    said = run(tree, tmp_path, inputs, stages={"dim": {"light": 0.0}})
    assert (said["done"], said["faces"]) == (2, 0), "in the dark nobody is found"
    assert not read_rows(tmp_path / "out" / "a.rows").any()
    assert not any(rgb.any() for _, rgb in decoded(tmp_path / "out" / "b.mkv"))


def test_its_options_are_in_the_key_and_their_mistakes_at_their_place(
    tree: Path, inputs: Path, tmp_path: Path
) -> None:
    nobody = {"restore": {"model": "none"}}
    assert run(tree, tmp_path, inputs, **nobody)["done"] == 2
    assert run(tree, tmp_path, inputs, **nobody)["unchanged"] == 2
    assert run(tree, tmp_path, inputs, **nobody, stages={"dim": {"light": 0.9}})["done"] == 2
    done = command(tree, tmp_path, "plan", "job.yaml", "--set", "stages.dim.light=much")
    assert done.returncode == 2
    assert "--set stages.dim.light=much: stages.dim.light: expected a number" in done.stderr

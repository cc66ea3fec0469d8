"""From a recipe to pictures: weights that were trained here restore the faces of a job."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.errors import JobFileError
from restore_batch.models.train.trainer import Trainer
from restore_batch.models.weights.store import Store

from support import training
from support.archive import face, write_job

LICENCE = "CC BY 4.0"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    faces = training.draw_faces(folder / "faces", 2, 256)
    about = {"title": "Faces of our archive", "licence": LICENCE, "limits": "drawn faces only"}
    return _trained(training.recipe(folder / "out", faces, about=about))


def _trained(recipe: training.Recipe) -> Path:
    trainer = Trainer(recipe)
    assert trainer.run()
    return trainer.export()


def test_a_job_restores_faces_with_weights_trained_here(weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    portrait = face(200)
    portrait.save(tmp_path / "portrait.png")
    job = {
        "inputs": [str(tmp_path / "portrait.png")],
        "output": str(tmp_path / "out"),
        "engine": {"kind": "local"},
        "detect": {"model": "mtcnn"},
        "restore": {"model": str(weights)},
        "background": {"model": "none", "scale": 1},
        "paste": {"mask": "feather", "match_colour": False},
    }
    summary = rb.run(job)
    assert (summary.done, summary.faces) == (1, 1)
    before = np.asarray(portrait.convert("RGB")).astype(float)
    after = np.asarray(Image.open(tmp_path / "out" / "portrait.png")).astype(float)
    # Six steps change little, but not nothing, and only the face.
    changed = np.abs(after - before).max(axis=2)
    assert changed.max() > 1
    assert changed[:4].max() == 0
    assert cv2.PSNR(after, before) > 20


def test_what_the_recipe_says_of_its_weights_is_known_by_their_path(weights: Path) -> None:
    card = Store(None, download=False).ref_from_path(weights, "restore", {}).card
    assert (card.name, card.title) == ("tiny", "Faces of our archive")
    assert (card.licence.title, card.limits) == (LICENCE, "drawn faces only")
    assert card.architecture == {key: list(value) for key, value in training.TINY.items()}


@pytest.mark.parametrize("record", ["{", "[]", '{"about": 3}', '{"sha256": "0", "about": {}}'])
def test_a_record_of_other_weights_says_nothing(weights: Path, tmp_path: Path, record: str) -> None:
    copy = tmp_path / weights.name
    copy.write_bytes(weights.read_bytes())
    copy.with_suffix(".json").write_text(record)
    card = Store(None, download=False).ref_from_path(copy, "restore", {}).card
    assert (card.title, card.licence.title) == ("compact, from tiny.safetensors", "not known")


def test_a_file_that_is_no_restorer_is_refused_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "notes.safetensors").write_bytes(b"not a network")
    job = write_job(
        tmp_path / "job.yaml", inputs=["."], output="out", restore={"model": "notes.safetensors"}
    )
    with pytest.raises(JobFileError, match=r"job\.yaml.*restore\.model.*notes\.safetensors"):
        rb.plan(job)

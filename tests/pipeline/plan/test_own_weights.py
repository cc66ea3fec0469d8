"""From a recipe to pictures: weights that were trained here restore the faces of a job."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

import restore_batch as rb
from restore_batch.errors import JobFileError
from restore_batch.models import registry
from restore_batch.models.train.trainer import Trainer
from restore_batch.models.weights.store import Store, load_state
from restore_batch.pipeline.plan.plan import Plan

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


def _other_weights(folder: Path) -> Path:
    """Weights that are called as those of compact-1 are, and are others."""
    (here,) = Store(folder / "none", download=False).ensure(registry.card("compact-1")).paths
    state = load_state([here])
    first = next(iter(state))
    state[first] = state[first] * 1.5
    folder.mkdir(exist_ok=True)
    save_file(state, folder / here.name)
    return folder / here.name


def _job(folder: Path) -> Path:
    face(96).save(folder / "portrait.png")
    return write_job(
        folder / "job.yaml", inputs=["portrait.png"], output="out", detect={"model": "mtcnn"},
        restore={"model": "compact-1"}, weights={"dir": "weights", "download": False},
    )  # fmt: skip


def test_other_weights_under_a_published_name_are_refused_in_a_line(tmp_path: Path) -> None:
    path = _other_weights(tmp_path / "weights")
    expected = registry.card("compact-1").sources[0][0].sha256
    for ask in (rb.plan, rb.run):
        with pytest.raises(JobFileError) as caught:
            ask(_job(tmp_path))
        (problem,) = caught.value.problems
        assert str(path) in problem.message and f"expected {expected}" in problem.message
        assert "name it by its path" in problem.message
        assert "\n" not in problem.message


def test_other_weights_that_were_added_under_a_published_name_are_used_and_that_is_said(
    tmp_path: Path,
) -> None:
    added = Store(tmp_path / "weights").add(_other_weights(tmp_path / "given"), "compact-1")
    plan = rb.plan(_job(tmp_path))
    assert isinstance(plan, Plan)
    told = [note for note in plan.notes if str(added.path) in note]
    assert len(told) == 1 and "not what was published under that name" in told[0]


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

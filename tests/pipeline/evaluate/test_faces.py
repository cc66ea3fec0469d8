"""Faces are compared where the truth has them, found by a real detector."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from restore_batch.models.base import Face
from restore_batch.models.metrics.base import NotComputedError
from restore_batch.models.metrics.identity import open_dlib
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.evaluate.evaluation import Choices, detector_for
from restore_batch.pipeline.evaluate.faces import FOUND, LANDMARKS, face_scores
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.media import Frame

TRUE = np.ascontiguousarray(skimage.data.astronaut()[:256, 96:352])
Found = tuple[Detect, tuple[Face, ...]]


@pytest.fixture(scope="module")
def found() -> Found:
    find, why_not = detector_for(Choices(detector="mtcnn"))
    assert find is not None, why_not
    find.open(WorkerContext())
    return find, find.find([Frame(TRUE)])[0]


def scores(result: np.ndarray, found: Found) -> dict[str, float]:
    measures = {"identity_dlib": open_dlib(Store(download=False))}
    return face_scores(result, TRUE, found[1], found[0], measures)


def test_an_enlarged_picture_has_the_same_face_in_the_same_place(found: Found) -> None:
    large = cv2.resize(TRUE, (512, 512), interpolation=cv2.INTER_CUBIC)
    told = scores(large, found)
    assert told[FOUND.name] == 1
    assert told[LANDMARKS.name] < 0.04
    assert told["identity_dlib"] < 0.2


def test_a_shifted_face_is_off_by_the_shift(found: Found) -> None:
    eyes = np.linalg.norm(found[1][0].landmarks_xy[0] - found[1][0].landmarks_xy[1])
    moved = np.roll(TRUE, (0, 6), axis=(0, 1))
    assert scores(moved, found)[LANDMARKS.name] == pytest.approx(6 / eyes, rel=0.2)


def test_a_face_that_is_gone_is_not_found_again(found: Found) -> None:
    gone = np.full_like(TRUE, 127)
    told = scores(gone, found)
    assert told[FOUND.name] == 0
    assert LANDMARKS.name not in told
    assert told["identity_dlib"] > 0.6


def test_a_reference_without_faces_has_no_scores(found: Found) -> None:
    with pytest.raises(NotComputedError, match="no face"):
        face_scores(TRUE, TRUE, (), found[0], {})

"""Likeness is measured by one thread, and has one scale whatever network measures it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.models import registry
from restore_batch.models.base import SAME_PERSON, Embedder, ModelRef, Runtime
from restore_batch.models.families import dlib
from restore_batch.models.weights.store import Store
from restore_batch.stages.faces.identity import likenesses, settled_limit

from support import training


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    store = Store(None, download=False)
    if store.locate(dlib.CARD) is None:
        pytest.skip("the package face-recognition-models is not installed")
    built: Embedder = registry.build(store.ref(dlib.CARD, {}), Runtime())
    return built


def ref(name: str) -> ModelRef:
    return ModelRef(registry.card(name), (), "0" * 64)


@pytest.mark.parametrize(
    ("asked", "identity", "restorer", "limit"),
    [
        ("auto", "dlib-resnet", "compact-1", SAME_PERSON), ("auto", None, "compact-1", None),
        ("auto", "dlib-resnet", "pulse", 0.0), (0.5, "dlib-resnet", "pulse", 0.5),
        (None, "dlib-resnet", "compact-1", None),
    ],
)  # fmt: skip
def test_auto_is_the_limit_of_one_person_where_a_network_measures_and_none_invents(
    asked: Any, identity: str | None, restorer: str, limit: float | None
) -> None:
    given = {
        "min_identity": asked,
        "identity": identity and ref(identity),
        "restorer": ref(restorer),
    }
    assert settled_limit(given) == limit


def test_the_same_face_is_wholly_alike_and_noise_makes_it_less_so(embedder: Embedder) -> None:
    face = training.draw_face(5, 512)
    rng = np.random.default_rng(2)
    spoilt = np.clip(face + rng.normal(0, 60, face.shape), 0, 255).astype(np.uint8)
    same, less = likenesses(embedder, [face, face], [face, spoilt])
    assert same == pytest.approx(1, abs=1e-5)
    assert less is not None and -1 <= less < 0.95


def test_dlibs_limit_for_one_person_is_that_of_the_scale(embedder: Embedder) -> None:
    one = np.eye(128, dtype=np.float32)[:1]
    at_limit = dlib.SAME_PERSON_COSINE * one
    at_limit[0, 1] = np.sqrt(1 - dlib.SAME_PERSON_COSINE**2)
    assert embedder.likeness(one, at_limit) == pytest.approx([SAME_PERSON], abs=1e-5)
    assert embedder.likeness(one, -one) == -1


def test_likeness_does_not_depend_on_the_number_of_threads(embedder: Embedder) -> None:
    face, other = training.draw_face(5, 512), training.draw_face(6, 512)
    before = torch.get_num_threads()
    found = set()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.add(tuple(likenesses(embedder, [face], [other])))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def test_without_a_network_nothing_is_measured() -> None:
    crop = np.zeros((4, 4, 3), np.uint8)
    assert likenesses(None, [crop], [crop]) == [None]

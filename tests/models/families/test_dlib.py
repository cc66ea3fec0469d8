"""dlib's face recognition network, here in torch: the same numbers as dlib's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import dlib as dlib_face
from restore_batch.models.nets.judges.dlib_resnet import INPUT_PX
from restore_batch.models.nets.judges.face_chip import chip
from restore_batch.models.train.data.pairs import read_face
from restore_batch.models.train.losses.likeness import dlib_distance
from restore_batch.models.train.losses.objectives import FidelityObjective
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

from support import training
from support.data import folder


@pytest.fixture(scope="module")
def weights() -> Path:
    file = dlib_face.CARD.sources[0][0]
    assert file.package is not None
    assert file.package_path is not None
    path = package_file(file.package, file.package_path)
    if path is None:
        pytest.skip(f"the package {file.package} is not installed")
    return path


@pytest.fixture(scope="module")
def net(weights: Path) -> torch.nn.Module:
    return dlib_face.network(load_state([weights]))


def tensor(rgb_hwc: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb_hwc.copy()).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("seed", [0, 1])
def test_the_numbers_are_dlibs(weights: Path, net: torch.nn.Module, seed: int) -> None:
    dlib: Any = pytest.importorskip("dlib")
    theirs = dlib.face_recognition_model_v1(str(weights))
    for picture in (
        training.draw_face(seed, INPUT_PX),
        np.random.default_rng(seed).integers(0, 256, (INPUT_PX, INPUT_PX, 3), np.uint8),
    ):
        with torch.no_grad():
            ours = net(tensor(picture))[0].numpy()
        wanted = np.array(theirs.compute_face_descriptor(picture))
        assert np.abs(ours - wanted).max() < 1e-5
        assert np.linalg.norm(wanted) > 0.5


def test_a_chip_shows_what_dlib_cuts_out(weights: Path) -> None:
    dlib: Any = pytest.importorskip("dlib")
    predictor = dlib.shape_predictor(str(weights.with_name("shape_predictor_5_face_landmarks.dat")))
    some = sorted((folder("RESTORE_BATCH_FACES", "faces") / "eval").glob("*.jpg"))[::6]
    assert some
    alike = [_likeness_of_chips(dlib, predictor, read_face(path, 512)) for path in some]
    # The template stands for each face's own landmarks: some pixels beside, some degrees turned.
    assert np.mean(alike) > 0.8


def _likeness_of_chips(dlib: Any, predictor: Any, face: np.ndarray) -> float:
    shape = predictor(face, dlib.rectangle(126, 150, 386, 410))
    theirs = dlib.get_face_chip(face, shape, size=INPUT_PX, padding=0.25).astype(float)
    ours = chip(tensor(face), dlib_face.SCALE_512, dlib_face.SHIFT_PX, INPUT_PX)[0]
    return float(np.corrcoef(theirs.ravel(), ours.permute(1, 2, 0).numpy().ravel())[0, 1])


def test_degraded_faces_are_further_away_and_the_distance_pulls_them_back(
    net: torch.nn.Module,
) -> None:
    true = tensor(training.draw_face(3, 256)) / 127.5 - 1
    grain = torch.randn(true.shape, generator=torch.Generator().manual_seed(1))
    spoilt = (true + 0.3 * grain).requires_grad_()
    assert float(dlib_distance(true, true, net)) < 2e-3
    distance = dlib_distance(spoilt, true, net)
    distance.backward()
    assert spoilt.grad is not None
    with torch.no_grad():
        nearer = dlib_distance(spoilt - 20 * spoilt.grad, true, net)
    assert float(nearer) < float(distance.detach())


def test_an_embedder_gives_unit_vectors_of_one_person_at_any_size(weights: Path) -> None:
    ref = Store(None, download=False).ref_from_path(weights, "identity", {})
    embed = registry.build(ref, Runtime())
    vectors = embed(
        [training.draw_face(5, side) for side in (512, 256)] + [training.draw_face(6, 512)]
    )
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert embed([]).shape == (0, 128)


def test_fidelity_asks_for_the_network_only_where_its_term_counts() -> None:
    assert not FidelityObjective().needs_identity
    assert FidelityObjective(identity=0.1).needs_identity
    assert FidelityObjective.identity_net == "dlib"


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:5000],
        lambda data: data.replace(b"con_4", b"con_9", 1),
        lambda data: b"",
        lambda data: data[:22400000],
    ],
)
def test_another_file_is_refused_in_one_line(weights: Path, tmp_path: Path, change: Change) -> None:
    damaged = tmp_path / "other.dat"
    damaged.write_bytes(change(weights.read_bytes()))
    with pytest.raises(WeightsError, match=r"other\.dat") as raised:
        load_state([damaged])
    assert "\n" not in str(raised.value)

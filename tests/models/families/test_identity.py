"""ArcFace: the crop it sees, unit vectors, and what is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from restore_batch.errors import WeightsError
from restore_batch.models.base import NoOptions, Runtime
from restore_batch.models.families import identity
from restore_batch.models.families.identity import (
    ARCFACE_TEMPLATE_112,
    FAMILY,
    ArcFaceEmbedder,
    to_input,
)
from restore_batch.stages.geometry import TEMPLATE_512, template

from support import data


@pytest.fixture(scope="module")
def embedder() -> ArcFaceEmbedder:
    torch.manual_seed(0)
    state = FAMILY.network(None).state_dict()
    return FAMILY.build(state, FAMILY.cards[0], NoOptions(), Runtime())


def test_the_crop_is_the_least_squares_fit_between_the_two_templates() -> None:
    source = TEMPLATE_512 - TEMPLATE_512.mean(axis=0)
    target = ARCFACE_TEMPLATE_112 - ARCFACE_TEMPLATE_112.mean(axis=0)
    scale = (source * target).sum() / (source**2).sum()
    shift = ARCFACE_TEMPLATE_112.mean(axis=0) - scale * TEMPLATE_512.mean(axis=0)
    assert pytest.approx(scale, abs=1e-5) == identity.ARCFACE_SCALE
    assert np.allclose(identity.ARCFACE_SHIFT_PX, shift, atol=1e-3)


@pytest.mark.parametrize("face_px", [1024, 512, 256, 128])
def test_landmarks_land_where_arcface_expects_them(face_px: int) -> None:
    crop = np.zeros((face_px, face_px, 3), np.uint8)
    landmarks = template(face_px)
    for point in landmarks:
        centre = tuple(round(v * 16) for v in point)
        cv2.circle(crop, centre, face_px // 50 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    seen = to_input(crop)
    assert seen.shape == (112, 112, 3)
    wanted = TEMPLATE_512 * identity.ARCFACE_SCALE + identity.ARCFACE_SHIFT_PX
    for x, y in wanted:
        top, left = round(y) - 6, round(x) - 6
        patch = seen[top : top + 13, left : left + 13, 0].astype(float)
        ys, xs = np.mgrid[top : top + 13, left : left + 13]
        centre = np.array([(xs * patch).sum(), (ys * patch).sum()]) / patch.sum()
        assert np.abs(centre - (x, y)).max() < 0.25


def test_vectors_have_unit_length_and_do_not_depend_on_their_company(
    embedder: ArcFaceEmbedder,
) -> None:
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (512, 512, 3), dtype=np.uint8) for _ in range(3)]
    vectors = embedder(crops)
    assert vectors.shape == (3, 512)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.array_equal(vectors[1:2], embedder(crops[1:2]))


def test_no_crops_give_no_vectors(embedder: ArcFaceEmbedder) -> None:
    assert embedder([]).shape == (0, 512)


def test_a_crop_that_is_not_square_is_refused(embedder: ArcFaceEmbedder) -> None:
    with pytest.raises(ValueError, match="square"):
        embedder([np.zeros((112, 96, 3), np.uint8)])


@pytest.mark.parametrize("mode", ["ir", "ir_se"])
def test_depth_and_mode_are_read_from_the_keys(mode: str) -> None:
    from facexlib.recognition.arcface_arch import Backbone

    with torch.device("meta"):
        state = Backbone(50, 0.6, mode).state_dict()
    prefixed = {f"module.{key}": value for key, value in state.items()}
    for keys in (state, prefixed):
        assert FAMILY.recognise(keys) == {"num_layers": 50, "mode": mode}


def test_another_network_is_refused() -> None:
    assert FAMILY.recognise({"conv1.weight": torch.zeros(1)}) is None
    with pytest.raises(WeightsError, match="ArcFace"):
        FAMILY.network({"conv1.weight": torch.zeros(1)})


def test_the_face_of_an_aligned_crop_fills_the_input() -> None:
    from PIL import Image

    paths = sorted((data.faces() / "eval").glob("*.jpg"))
    with Image.open(paths[0]) as picture:
        crop = np.asarray(picture.convert("RGB"))
    seen = to_input(crop)
    # The same face seen through another size of crop is the same input.
    half = cv2.resize(crop, (256, 256), interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype(int) - to_input(half).astype(int)).mean() < 4

"""The template, the similarity that leads to it, the warp, and the stage that applies them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.models.base import Face
from restore_batch.stages.faces.align import Align
from restore_batch.stages.geometry import (
    TEMPLATE_512,
    DegenerateFaceError,
    estimate_similarity,
    invert,
    scale_of,
    template,
    to_uint8,
    transform,
    warp,
)
from restore_batch.stages.media import Chunk, Failure, Frame

from support.parity import Case, case
from support.toys import unit


def placed(angle: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    """The template turned by ``angle`` (radians), scaled and shifted: a face in a picture."""
    c, s = np.cos(angle), np.sin(angle)
    centred = TEMPLATE_512 - 256
    return centred @ np.array([[c, -s], [s, c]]).T * scale + np.array(shift)


def face(landmarks_xy: np.ndarray) -> Face:
    low, high = landmarks_xy.min(axis=0), landmarks_xy.max(axis=0)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return Face(box, landmarks_xy.astype(np.float32), 0.9)


def test_template_similarity_and_inverse_are_the_official_ones() -> None:
    gold = case("face_alignment").gold
    assert np.allclose(TEMPLATE_512, gold["template_512"], atol=1e-9)
    for i, landmarks in enumerate(gold["landmarks"]):
        matrix = estimate_similarity(landmarks, 512)
        assert np.abs(matrix - gold["affine"][i]).max() <= 1e-6
        assert np.abs(invert(matrix) * 2 - gold["inverse_affine_upscale2"][i]).max() <= 1e-6


def crop_differences(reference: Case, i: int, matrix: np.ndarray) -> tuple[float, float]:
    """Largest difference of the stored part, in grey levels, and of the block means."""
    gold = reference.gold
    rgb_hwc = np.ascontiguousarray(gold["image"][..., ::-1])
    crop = warp(rgb_hwc, matrix, 512, border="grey", antialias=False)[..., ::-1].astype(float)
    blocks = crop.reshape(64, 8, 64, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    return (
        float(np.abs(crop[208:304, 208:304] - gold[f"cropped{i}_crop"]).max()),
        float(np.abs(blocks - gold[f"cropped{i}_blocks"]).max()),
    )


@pytest.mark.parametrize("i", range(3))
def test_crops_with_a_grey_border_are_the_official_ones(i: int) -> None:
    reference = case("face_alignment")
    matrix = estimate_similarity(reference.gold["landmarks"][i], 512)
    grey_levels, blocks = crop_differences(reference, i, matrix)
    assert grey_levels <= 2
    assert blocks <= 0.5
    matrix[:, 2] += 1.0
    assert crop_differences(reference, i, matrix)[0] > 2


POSES = {
    "angle": st.floats(-np.pi, np.pi),
    "scale": st.floats(0.03, 20),
    "x": st.floats(-200, 12000),
    "y": st.floats(-200, 12000),
    "face_px": st.sampled_from([64, 128, 256, 512, 1024]),
}


@settings(max_examples=200, deadline=None)
@given(**POSES)
def test_landmarks_go_to_the_template_and_back_at_any_pose(
    angle: float, scale: float, x: float, y: float, face_px: int
) -> None:
    landmarks = placed(angle, scale, (x, y))
    matrix = estimate_similarity(landmarks, face_px)
    crop_px = face_px / 512
    assert np.abs(transform(matrix, landmarks) - template(face_px)).max() < 0.1 * crop_px
    back = transform(invert(matrix), template(face_px))
    assert np.abs(back - landmarks).max() < 0.1 * scale
    assert scale_of(matrix) * scale == pytest.approx(crop_px, rel=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 2, np.pi])
@pytest.mark.parametrize("scale", [0.15, 0.5, 1.0, 2.3])
def test_a_crop_shows_the_landmarks_at_the_template(angle: float, scale: float) -> None:
    landmarks = placed(angle, scale, (700, 650))
    picture = np.zeros((1300, 1400, 3), np.uint8)
    radius = max(round(9 * scale * 16), 24)
    for x, y in landmarks:
        centre = (round(x * 16), round(y * 16))
        cv2.circle(picture, centre, radius, (255, 255, 255), -1, cv2.LINE_AA, 4)
    crop = warp(picture, estimate_similarity(landmarks, 256), 256).astype(float)[..., 0]
    reach = 12
    for x, y in template(256):
        left, top = round(x) - reach, round(y) - reach
        patch = crop[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        found = np.array([(xs * patch).sum(), (ys * patch).sum()]) / patch.sum()
        assert np.abs(found + np.round((x, y)) - (x, y)).max() < 0.3


def test_a_large_face_is_reduced_without_aliasing() -> None:
    """A checkerboard finer than the crop's pixels must become grey, not a moiré."""
    board = (np.indices((1024, 1024)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(board[..., None], 3, axis=2)
    matrix = estimate_similarity(placed(0.3, 1.6, (512, 512)), 128)
    prefiltered = warp(picture, matrix, 128)[32:96, 32:96].astype(float)
    aliased = warp(picture, matrix, 128, antialias=False)[32:96, 32:96].astype(float)
    assert prefiltered.std() < 3
    assert aliased.std() > 20


@pytest.mark.parametrize("shift", [(0, 300), (600, 300), (300, 0), (300, 600), (300, -90)])
def test_the_mirrored_border_equals_that_of_the_whole_picture(shift: tuple[int, int]) -> None:
    """Only a part of the picture is warped; its own edges must never show."""
    picture = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    matrix = estimate_similarity(placed(0.2, 0.4, shift), 512)
    whole = cv2.warpAffine(
        picture, matrix, (512, 512), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    assert np.abs(warp(picture, matrix, 512).astype(int) - whole).max() <= 1


def test_every_16_bit_value_becomes_the_nearest_8_bit_one() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    assert np.array_equal(to_uint8(values), np.round(values / 257).astype(np.uint8))


LINE = np.stack([np.arange(5) * 10.0, np.arange(5) * 20.0], axis=1)
NO_FACES = {
    "nan": np.full((5, 2), np.nan),
    "infinite": np.where(np.eye(5, 2) > 0, np.inf, 1.0),
    "one point": np.full((5, 2), 7.0),
    "a line": LINE,
    "nearly a line": LINE + np.array([[0, 0.1], [0.1, 0], [0, 0], [0.1, 0.1], [0, 0.1]]),
    "two points": np.array([[0, 0], [0, 0], [0, 0], [50, 40], [50, 40]], float),
}


@pytest.mark.parametrize("landmarks", NO_FACES.values(), ids=NO_FACES.keys())
def test_landmarks_that_form_no_face_are_refused(landmarks: np.ndarray) -> None:
    with pytest.raises(DegenerateFaceError):
        estimate_similarity(landmarks, 512)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(width=32), min_size=10, max_size=10))
def test_any_ten_numbers_give_a_finite_similarity_or_are_refused(numbers: list[float]) -> None:
    try:
        matrix = estimate_similarity(np.array(numbers).reshape(5, 2), 512)
    except DegenerateFaceError:
        return
    assert np.isfinite(matrix).all()
    assert scale_of(matrix) > 0


def frame() -> Frame:
    rng = np.random.default_rng(1)
    return Frame(rng.integers(0, 256, (300, 400, 3), dtype=np.uint8))


def run(chunk: Chunk, face_px: int = 64) -> Chunk:
    (result,) = Align(face_px)([chunk])
    assert isinstance(result, Chunk)
    return result


def test_each_face_of_each_frame_gets_a_crop() -> None:
    two = (face(placed(0, 0.2, (100, 100))), face(placed(1, 0.3, (250, 150))))
    result = run(Chunk(unit("a"), frames=(frame(), frame(), frame()), faces=(two, (), two[:1])))
    assert [c.shape for c in result.crops] == [(2, 64, 64, 3), (0, 64, 64, 3), (1, 64, 64, 3)]
    assert all(c.dtype == np.uint8 for c in result.crops)
    assert [len(a) for a in result.alignments] == [2, 0, 1]
    assert np.array_equal(result.crops[0][0], result.crops[2][0])
    assert result.alignments[0][1].face_px == 64


def test_a_face_without_a_transform_is_left_out_with_a_warning() -> None:
    good = face(placed(0, 0.2, (100, 100)))
    bad = Face((5.0, 6.0, 50.0, 60.0), LINE.astype(np.float32), 0.9)
    chunk = Chunk(unit("a"), frames=(frame(),), faces=((bad, good),), warnings=("earlier",))
    result = run(chunk)
    assert result.faces == ((good,),)
    assert len(result.alignments[0]) == len(result.crops[0]) == 1
    assert result.warnings[0] == "earlier"
    assert "(5, 6)" in result.warnings[1]
    assert "line" in result.warnings[1]


def test_a_16_bit_frame_gives_the_crop_of_its_8_bit_form() -> None:
    plain = frame()
    deep = Frame(plain.rgb_hwc.astype(np.uint16) * 257)
    faces = ((face(placed(0.2, 0.3, (200, 150))),),)
    from_deep = run(Chunk(unit("a"), frames=(deep,), faces=faces))
    from_8_bit = run(Chunk(unit("a"), frames=(plain,), faces=faces))
    assert np.abs(from_deep.crops[0].astype(int) - from_8_bit.crops[0]).max() <= 1


def test_a_broken_chunk_fails_alone() -> None:
    faces = ((face(placed(0, 0.2, (100, 100))),),)
    good = Chunk(unit("good"), frames=(frame(),), faces=faces)
    broken = Chunk(unit("broken"), frames=(Frame(np.zeros((9, 9, 3), np.float64)),), faces=faces)
    first, failed, last = Align(64)([good, broken, good])
    assert isinstance(failed, Failure)
    assert failed.unit.id == "broken"
    assert isinstance(first, Chunk)
    assert isinstance(last, Chunk)
    assert np.array_equal(first.crops[0], last.crops[0])

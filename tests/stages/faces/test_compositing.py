"""The parts of pasting: where a crop lands, masks, shares, and parity with facexlib."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.faces import blend, masks
from restore_batch.stages.faces.compositing import crop_to_output, inside_source, paste_face
from restore_batch.stages.geometry import invert, warp

from support.parity import Case, case
from support.pixels import face_at, smooth_picture


def shift_px(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """By how much a picture moved to the right and down: least squares on its gradients."""
    down, right = np.gradient(before)
    slopes = np.stack([right.ravel(), down.ravel()], axis=1)
    x, y = np.linalg.lstsq(slopes, (before - after).ravel(), rcond=None)[0]
    return float(x), float(y)


@settings(deadline=None, max_examples=25)
@given(
    scale=st.floats(1.0, 4.0),
    degrees=st.floats(-180, 180),
    side_px=st.floats(110, 250),
    x=st.floats(130, 180),
    width=st.integers(301, 330),
    seed=st.integers(0, 99),
)
def test_an_unrestored_crop_returns_to_where_it_came_from(
    scale: float, degrees: float, side_px: float, x: float, width: int, seed: int
) -> None:
    source = smooth_picture(width, 310, seed, detail_px=9)
    size_wh = (round(width * scale), round(310 * scale))
    large = np.asarray(cv2.resize(source, size_wh, interpolation=cv2.INTER_CUBIC))
    _, alignment = face_at(x, 151.3, side_px, degrees)
    crop = warp(source, alignment.matrix, 512).astype(np.float32)
    canvas = np.zeros_like(large)
    place = crop_to_output(alignment.matrix, (width, 310), size_wh)
    paste_face(canvas, canvas.copy(), crop, np.ones((512, 512), np.float32), place)
    half = int(side_px * scale * 0.3)  # a square inside the crop, however it is turned
    centre_x = round((x + 0.5) * scale)
    centre_y = round(151.8 * scale)
    window = np.s_[centre_y - half : centre_y + half, centre_x - half : centre_x + half]
    before = large[window].mean(axis=2)
    after = canvas[window].mean(axis=2)
    assert np.hypot(*shift_px(before, after)) < 0.1
    assert np.abs(before - after).mean() < 6


def test_a_shift_of_half_a_pixel_would_be_seen() -> None:
    source = smooth_picture(300, 300, detail_px=9)
    moved = cv2.warpAffine(source, np.array([[1, 0, 0.5], [0, 1, 0]]), (300, 300))
    a, b = (image[50:250, 50:250].mean(axis=2) for image in (source, np.asarray(moved)))
    assert shift_px(a, b) == pytest.approx((0.5, 0), abs=0.1)


def test_a_crop_reduced_at_pasting_does_not_alias() -> None:
    checks = np.indices((512, 512)).sum(axis=0) % 2 * 255.0
    crop = np.repeat(checks[..., None], 3, axis=2).astype(np.float32)
    _, alignment = face_at(100, 100, 90)
    canvas = np.zeros((200, 200, 3), np.uint8)
    place = crop_to_output(alignment.matrix, (200, 200), (200, 200))
    paste_face(canvas, canvas.copy(), crop, np.ones((512, 512), np.float32), place)
    inside = canvas[70:130, 70:130].astype(float)
    assert abs(inside.mean() - 127.5) < 2
    assert inside.std() < 12


@pytest.mark.parametrize("face_px", [64, 128, 256, 512, 1024])
def test_the_square_mask_is_nil_at_the_border_full_inside_and_smooth(face_px: int) -> None:
    mask = masks.square_mask(face_px)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert (border == 0).all()
    inner = slice(round(face_px * 0.23), round(face_px * 0.77))
    np.testing.assert_allclose(mask[inner, inner], 1, atol=1e-5)
    assert np.abs(np.diff(mask, axis=1)).max() < 14 / face_px
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-6)
    np.testing.assert_allclose(mask, mask.T, atol=1e-6)


def test_the_inside_of_the_source_ends_where_its_pixels_end() -> None:
    inside = inside_source(np.array([[1.0, 0, 10], [0, 1, 0]]), 32, (8, 40))
    assert inside[0].tolist() == [0.0] * 10 + [1.0] * 8 + [0.0] * 14


def test_debanding_moves_no_value_beyond_its_rounding() -> None:
    face = smooth_picture(64, 64).astype(np.float32)
    moved = blend.deband(face) - face
    assert np.abs(moved).max() <= 0.5
    assert np.abs(moved).max() > 0.1


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(0.01, 1))
def test_lowering_never_raises_and_is_complete_at_no_likeness(
    strength: float, identity: float, least: float
) -> None:
    lowered = blend.lowered_blend(strength, identity, least)
    assert 0 <= lowered <= strength
    assert identity > 0 or lowered == 0
    assert identity < least or lowered == strength


@given(
    st.lists(
        st.tuples(st.floats(0, 60), st.floats(0, 60), st.floats(5, 60)), min_size=2, max_size=4
    )
)
def test_shares_of_neighbours_never_exceed_one(discs: list[tuple[float, float, float]]) -> None:
    axis = np.arange(0, 60, 4)
    total = np.zeros((axis.size, axis.size))
    for index, own in enumerate(discs):
        share = masks.ownership(axis, axis, own, discs[:index] + discs[index + 1 :])
        in_crop = np.hypot(axis - own[0], (axis - own[1])[:, None]) < 0.8 * own[2]
        total += in_crop * (1.0 if share is None else share)
    assert total.max() <= 1 + 1e-5


# --- parity with facexlib ------------------------------------------------------------------------


def _official_paste(fixture: Case, parsed: bool) -> np.ndarray:
    """The published composition, with this package's masks: (640, 640, 3) BGR uint8."""
    image = fixture.gold["image"]
    size_wh = (image.shape[1] * 2, image.shape[0] * 2)
    result = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LANCZOS4))
    classes = fixture.gold["parse_classes_16"].repeat(32, 0).repeat(32, 1)
    colours = np.array([0, *[255] * 13, 0, 255, 0, 0, 0], np.float32)
    for affine in fixture.gold["affine"]:
        crop = cv2.warpAffine(image, affine, (512, 512), borderValue=(135, 133, 132))
        back = invert(affine) * 2
        back[:, 2] += 1.0  # the published offset: half of the scale
        face = cv2.warpAffine(255 - np.asarray(crop), back, size_wh)
        if parsed:
            inside = masks.parsed_mask(colours[classes] / 255)
            mask = np.asarray(cv2.warpAffine(inside, back, size_wh))
        else:
            mask = masks.square_mask_at_output(back, size_wh, 512, 2)
        result = mask[..., None] * face + (1 - mask[..., None]) * result
    return result.astype(np.uint8)


@pytest.mark.parametrize(("kind", "parsed"), [("square", False), ("parse", True)])
def test_masks_and_composition_are_those_of_facexlib(kind: str, parsed: bool) -> None:
    fixture = case("face_alignment")
    result = _official_paste(fixture, parsed)
    crop = result[200:360, 40:200].astype(int)
    levels = fixture.spec["tolerance"]["uint8"]
    assert np.abs(crop - fixture.gold[f"pasted_{kind}_mask_crop"]).max() <= levels
    blocks = result.reshape(80, 8, 80, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(blocks - fixture.gold[f"pasted_{kind}_mask_blocks"]).max() <= 0.5

"""Masks, shares, colours and strengths of pasted faces, and parity with facexlib."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.faces import masks
from restore_batch.stages.geometry import invert

from support.parity import Case, case
from support.pixels import smooth_picture


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


def test_debanding_moves_no_value_beyond_its_rounding() -> None:
    face = smooth_picture(64, 64).astype(np.float32)
    moved = masks.deband(face) - face
    assert np.abs(moved).max() <= 0.5
    assert np.abs(moved).max() > 0.1


@given(st.floats(0, 1), st.floats(-1, 1), st.floats(0.01, 1))
def test_lowering_never_raises_and_is_complete_at_no_likeness(
    strength: float, identity: float, least: float
) -> None:
    lowered = masks.lowered_blend(strength, identity, least)
    assert 0 <= lowered <= strength
    assert identity > 0 or lowered == 0
    assert identity < least or lowered == strength


@given(st.floats(0, 1), st.floats(1, 600), st.floats(0, 50))
def test_a_face_of_more_pixels_is_blended_in_no_less(
    strength: float, native_px: float, more: float
) -> None:
    held = masks.held_by_size(strength, native_px)
    assert held <= masks.held_by_size(strength, native_px + more) <= strength
    assert (held == 0) == (native_px <= masks.TOO_FEW_PX or strength == 0)
    assert held == strength or native_px < masks.ENOUGH_PX


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


def _official_square_mask(
    inverse_matrix: np.ndarray, size_wh: tuple[int, int], face_px: int, scale: float
) -> np.ndarray:
    """facexlib's own square mask: made in output pixels rather than in the crop's.

    ``inverse_matrix``: (2, 3), crop to output pixels. Returns (H, W) float32.
    """
    ones = np.ones((face_px, face_px), np.float32)
    area = np.asarray(cv2.warpAffine(ones, inverse_matrix, size_wh))
    area = np.asarray(cv2.erode(area, np.ones((int(2 * scale), int(2 * scale)), np.uint8)))
    return masks.soft_edge(area, int(float(area.sum(dtype=np.float64)) ** 0.5) // 20)


def _official_parsed_mask(colours_hw: np.ndarray) -> np.ndarray:
    """facexlib's own parsed mask, (512, 512) float64 in [0, 1].

    It is warped with 64 bits, which OpenCV does to a 32nd of a pixel, and with 32 bits, as the
    package has it, exactly: see the test of that below.
    """
    mask = colours_hw.astype(np.float64)
    for _ in range(2):
        mask = np.asarray(cv2.GaussianBlur(mask, (101, 101), 11))
    mask[:10] = mask[-10:] = 0
    mask[:, :10] = mask[:, -10:] = 0
    return mask / 255


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
            inside = _official_parsed_mask(colours[classes])
            assert np.abs(masks.parsed_mask(colours[classes] / 255) - inside).max() < 1e-5
            mask = np.asarray(cv2.warpAffine(inside, back, size_wh))
        else:
            mask = _official_square_mask(back, size_wh, 512, 2)
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


def _bilinear(mask: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``mask`` between its pixels, at places inside it, in 64 bits."""
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = x - left, y - top
    above = mask[top, left] * (1 - right) + mask[top, left + 1] * right
    below = mask[top + 1, left] * (1 - right) + mask[top + 1, left + 1] * right
    return np.asarray(above * (1 - low) + below * low)


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_laid_more_exactly_than_by_facexlib(seed: int) -> None:
    """Why compositions differ by some levels along the edges of a mask, the more the finer it is
    drawn: facexlib's masks have 64 bits, and these OpenCV places to a 32nd of a pixel."""
    rng = np.random.default_rng(seed)
    inside = rng.integers(0, 2, (16, 16)).repeat(32, 0).repeat(32, 1)
    mask = masks.parsed_mask(inside)
    scale, turn = rng.uniform(0.4, 2.2), rng.uniform(-0.4, 0.4)
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    back = np.array([[cos, -sin, rng.uniform(-40, 40)], [sin, cos, rng.uniform(-40, 40)]])
    across, down = np.meshgrid(np.arange(640.0), np.arange(600.0))
    x, y = (row[0] * across + row[1] * down + row[2] for row in invert(back))
    within = (x > 0) & (x < 510) & (y > 0) & (y < 510)
    exact = _bilinear(mask.astype(np.float64), x[within], y[within])

    def levels_off(dtype: type) -> float:
        laid = np.asarray(cv2.warpAffine(mask.astype(dtype), back, (640, 600)))[within]
        return float(np.abs(laid - exact).max() * 255)

    steepest = max(np.abs(np.diff(mask, axis=axis)).max() for axis in (0, 1)) * 255
    assert levels_off(np.float32) < 0.1
    assert levels_off(np.float64) < 2 * steepest / 32 + 0.1

"""Real old pictures: restored faces keep their grain, and what is beside a head stays as it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.models.weights.store import Store
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.paste import MatchGrain, Paste
from restore_batch.stages.faces.restore import Restore, is_left_alone
from restore_batch.stages.media import Chunk, Frame

from support import data
from support.pixels import unit

WEIGHTS = (
    Path(__file__).resolve().parents[3] / "restore_batch" / "weights" / "compact-1.safetensors"
)

OLD = (
    "autochrome_girl_1910.png",
    "autochrome_portrait_1910.png",
    "children_walking_1900.jpg",
    "group_astronauts_1995.jpg",
    "group_solvay_1927.jpg",
    "scratched_couple_1916.png",
    "street_band_1910.jpg",
)
SOLVAY = "group_solvay_1927.jpg"
PART = (850, 480, 1500, 830)
"""Ten of its twenty-nine faces."""

CELL_PX = 8
FLAT = 2.5
"""Slope in levels a pixel, once the grain is blurred away; an edge has ten times as much."""
LEAST_CELLS = 20


@cache
def restored(name: str, part: tuple[int, int, int, int] | None = None) -> Chunk:
    """The faces of an old picture, or of a part of it, restored and not yet pasted."""
    (file,) = (data.weights() / "retinaface_mobilenet025").glob("*.pth")
    store = Store(None, download=False)
    image = Image.open(data.photos() / "old" / name)
    rgb = np.asarray((image.crop(part) if part else image).convert("RGB"))
    chunk = Chunk(unit(name), (Frame(rgb, grey=image.mode == "L"),))
    for stage in (
        Detect(store.ref_from_path(file, "detect", {})),
        Align(512),
        Restore(store.ref_from_path(WEIGHTS, "restore", {})),
    ):
        stage.open(WorkerContext())
        (reply,) = stage([chunk])
        stage.close()
        assert isinstance(reply, Chunk), reply
        chunk = reply
    return chunk


def pasted(chunk: Chunk, match_grain: MatchGrain = "auto") -> np.ndarray:
    (reply,) = Paste(1, match_grain=match_grain)([chunk])
    assert isinstance(reply, Chunk), reply
    return reply.pasted[0].rgb_hwc


def blurred(rgb_hwc: np.ndarray, sigma: float) -> np.ndarray:
    luma = rgb_hwc.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma)) if sigma else luma


def flat_skin(chunk: Chunk) -> list[list[tuple[int, int]]]:
    """For each face the flat cells of its forehead and cheeks, left and top of each.

    Forehead and cheeks are three ellipses of the template, away from brows, eyes, nose and mouth.
    """
    rgb = chunk.frames[0].rgb_hwc
    slope = np.hypot(*np.gradient(blurred(rgb, 2.5)))
    slope = np.asarray(cv2.blur(slope, (CELL_PX, CELL_PX), anchor=(0, 0)))
    skin = np.zeros((512, 512), np.float32)
    for x, y, across, down in ((256, 165, 85, 35), (170, 320, 38, 60), (342, 320, 38, 60)):
        cv2.ellipse(skin, (x, y), (across, down), 0, 0, 360, 1, -1)
    found = []
    for alignment in chunk.alignments[0]:
        back, size = cv2.invertAffineTransform(alignment.matrix), (rgb.shape[1], rgb.shape[0])
        there = np.asarray(cv2.warpAffine(skin, back, size, flags=cv2.INTER_NEAREST))
        share = np.asarray(cv2.blur(there, (CELL_PX, CELL_PX), anchor=(0, 0)))
        rows, columns = np.nonzero((share > 0.85) & (slope < FLAT))
        some = (rows % 2 == 0) & (columns % 2 == 0)
        found.append(list(zip(columns[some].tolist(), rows[some].tolist(), strict=True)))
    return found


def grain_in(rgb_hwc: np.ndarray, cells: list[tuple[int, int]]) -> float:
    """Standard deviation of a picture minus its Gaussian of 1.2 px, in the middling cell."""
    fine = blurred(rgb_hwc, 0) - blurred(rgb_hwc, 1.2)
    each = [fine[y : y + CELL_PX, x : x + CELL_PX].std() for x, y in cells]
    return float(np.median(each))


def grain_kept(chunk: Chunk, after: np.ndarray) -> list[float]:
    """Of each restored face with flat skin: its grain over that of the original."""
    before = chunk.frames[0].rgb_hwc
    return [
        grain_in(after, cells) / grain_in(before, cells)
        for cells, alignment in zip(flat_skin(chunk), chunk.alignments[0], strict=True)
        if len(cells) >= LEAST_CELLS and not is_left_alone(alignment)
    ]


def beside_heads(chunk: Chunk) -> np.ndarray:
    """Where no face can be, (H, W): further than 1.7 eye distances to the side of the middle of
    every head, or above or below it."""
    rgb = chunk.frames[0].rgb_hwc
    outside = np.ones(rgb.shape[:2], bool)
    head = np.zeros((512, 512), np.uint8)
    cv2.rectangle(head, (256 - 210, 80), (256 + 210, 500), 1, -1)
    for alignment in chunk.alignments[0]:
        back, size = cv2.invertAffineTransform(alignment.matrix), (rgb.shape[1], rgb.shape[0])
        outside &= np.asarray(cv2.warpAffine(head, back, size)) == 0
    return outside


def check(chunk: Chunk) -> tuple[list[float], list[float]]:
    """Grain kept with and without ``match_grain``; and that nothing beside a head has changed."""
    before, after, smooth = chunk.frames[0].rgb_hwc, pasted(chunk), pasted(chunk, "off")
    outside = beside_heads(chunk)
    np.testing.assert_array_equal(after[outside], before[outside])
    if chunk.frames[0].grey:
        assert (after == after[..., :1]).all()
    return grain_kept(chunk, after), grain_kept(chunk, smooth)


def test_faces_of_a_grainy_group_keep_its_grain_and_the_wall_beside_them_is_untouched() -> None:
    chunk = restored(SOLVAY, PART)
    assert len(chunk.faces[0]) >= 10
    with_grain, without = check(chunk)
    assert len(with_grain) >= 4
    assert np.median(without) < 0.5
    assert np.median(with_grain) == pytest.approx(1, abs=0.15)
    near = [abs(kept - 1) < 0.25 for kept in with_grain]
    assert sum(near) >= 0.8 * len(near)


def test_the_crop_around_a_head_is_no_patch_of_the_wall() -> None:
    """Of the whole crop, most is beside the face: all of it is the original, grain and all."""
    chunk = restored(SOLVAY, PART)
    before, after = chunk.frames[0].rgb_hwc, pasted(chunk)
    for alignment in chunk.alignments[0]:
        size = (before.shape[1], before.shape[0])
        back = cv2.invertAffineTransform(alignment.matrix)
        crop = np.asarray(cv2.warpAffine(np.ones((512, 512), np.uint8), back, size)) > 0
        changed = (after != before).any(axis=2) & crop
        assert 0.1 < changed.sum() / crop.sum() < 0.5


@pytest.mark.slow
def test_two_foreheads_of_the_group_keep_their_grain() -> None:
    chunk = restored(SOLVAY)
    before, after = chunk.frames[0].rgb_hwc, pasted(chunk)
    for part in (np.s_[554:568, 926:944], np.s_[655:664, 955:975]):
        there, kept = ((blurred(p, 0) - blurred(p, 1.2))[part].std() for p in (before, after))
        assert kept == pytest.approx(there, rel=0.25)


@pytest.mark.slow
def test_faces_of_all_old_photos_keep_their_grain() -> None:
    every: list[float] = []
    for name in OLD:
        with_grain, _ = check(restored(name))
        every += with_grain
    assert len(every) >= 20
    assert np.median(every) == pytest.approx(1, abs=0.12)
    assert sum(abs(kept - 1) < 0.25 for kept in every) >= 0.9 * len(every)

"""Pasting into a picture itself: the result of pasting into a copy, without the copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restore_batch.stages.faces.before import Before
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.media import Chunk, Frame

from support.cost import cost_of
from support.pixels import chunk_with_faces, face_at


def grainy(side: int, dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(5)
    levels = np.linspace(60, 180, side)[:, None, None] + 8 * rng.standard_normal((side, side, 3))
    return (np.clip(np.rint(levels), 0, 255) * (np.iinfo(dtype).max // 255)).astype(dtype)


def crowd(dtype: type = np.uint8) -> Chunk:
    """Five faces whose crops overlap, restored to something smooth, in an enlarged grainy frame."""
    faces = [face_at(x, y, 90) for x, y in ((200, 200), (280, 200), (200, 300), (300, 290))]
    chunk = chunk_with_faces(Frame(grainy(500, dtype)), [*faces, face_at(420, 420, 60)])
    smooth = np.broadcast_to(chunk.crops[0].mean((1, 2), keepdims=True), chunk.crops[0].shape)
    large = Frame(grainy(1000, dtype))
    return replace(chunk, restored=(smooth.astype(np.uint8),), upscaled=(large,))


def pasted(chunk: Chunk) -> np.ndarray:
    (done,) = Paste(2)([chunk])
    assert isinstance(done, Chunk), done
    return done.pasted[0].rgb_hwc


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_faces_that_overlap_are_pasted_in_place_as_into_a_copy(dtype: type) -> None:
    ours, theirs = crowd(dtype), crowd(dtype)
    theirs.upscaled[0].rgb_hwc.flags.writeable = False
    in_place, copied = pasted(ours), pasted(theirs)
    assert in_place is ours.upscaled[0].rgb_hwc
    assert copied is not theirs.upscaled[0].rgb_hwc
    np.testing.assert_array_equal(in_place, copied)
    assert (copied != theirs.upscaled[0].rgb_hwc).any()


@pytest.mark.parametrize("field", ["frames", "originals"])
def test_a_picture_that_is_another_of_its_chunk_too_is_not_changed(field: str) -> None:
    chunk = chunk_with_faces(Frame(grainy(300)), [face_at(150, 150, 120)])
    picture = Frame(chunk.frames[0].rgb_hwc.copy())
    chunk = replace(chunk, restored=(255 - chunk.crops[0],), upscaled=(picture,))
    before = picture.rgb_hwc.copy()
    (done,) = Paste(1)([replace(chunk, **{field: (picture,)})])
    assert isinstance(done, Chunk), done
    np.testing.assert_array_equal(picture.rgb_hwc, before)
    assert (done.pasted[0].rgb_hwc != before).any()


def test_what_was_kept_is_read_as_it_was_and_all_else_as_it_is() -> None:
    rng = np.random.default_rng(1)
    canvas = rng.integers(0, 256, (700, 900, 3), np.uint8)
    whole, before = canvas.copy(), Before(canvas)
    for _ in range(30):
        (top, bottom), (left, right) = (np.sort(rng.integers(0, n + 1, 2)) for n in (700, 900))
        before.keep(int(left), int(top), int(right), int(bottom))
        canvas[top:bottom, left:right] = rng.integers(0, 256)
        (top, bottom), (left, right) = (np.sort(rng.integers(0, n + 1, 2)) for n in (700, 900))
        part = slice(int(top), int(bottom)), slice(int(left), int(right))
        np.testing.assert_array_equal(before[part], whole[part])
    assert (canvas != whole).any()


def test_pasting_a_face_takes_no_memory_for_the_rest_of_a_large_picture(tmp_path: Path) -> None:
    chunk = chunk_with_faces(Frame(grainy(300)), [face_at(150, 150, 120)])
    large = Frame(np.full((4000, 4000, 3), 90, np.uint8))
    chunk = replace(
        chunk, frames=(Frame(large.rgb_hwc.copy()),), restored=(255 - chunk.crops[0],),
        upscaled=(large,),
    )  # fmt: skip
    cost = cost_of(lambda: str(Paste(1)([chunk])[0].unit), tmp_path / "said.txt")
    assert cost.peak_bytes < large.nbytes // 2

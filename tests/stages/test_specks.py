"""Few specks that a network took away are put back; many are dust, and scratches are no specks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.jobs.units import Segment
from restore_batch.models import registry
from restore_batch.models.base import ModelRef, Runtime
from restore_batch.models.weights.recognise import card_by_path
from restore_batch.models.weights.store import Store
from restore_batch.stages import specks
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.media import Chunk, Frame
from restore_batch.stages.specks import keep_rare_specks

from support.scenes import draw_scene
from support.toys import unit

PLACES = [(40, 30), (90, 100), (150, 60)]


def photo(rgb_hwc: np.ndarray) -> Chunk:
    return Chunk(unit("photo"), frames=(Frame(rgb_hwc),))


def stage_of(name: str) -> Upscale:
    ref = Store(download=False).ref(registry.card(name), {})
    stage = Upscale(ref, registry.card(name).scale)
    stage.upscaler = registry.build(ref, Runtime())
    return stage


def enlarged(stage: Upscale, rgb_hwc: np.ndarray) -> np.ndarray:
    (reply,) = stage([photo(rgb_hwc)])
    assert isinstance(reply, Chunk), reply
    return reply.upscaled[0].rgb_hwc


def ground(height: int = 140, width: int = 200) -> np.ndarray:
    rows = np.linspace(70, 150, height)[:, None, None]
    return np.broadcast_to(rows, (height, width, 3)).astype(np.uint8).copy()


def speckled(plain: np.ndarray, level: int, places: list[tuple[int, int]]) -> np.ndarray:
    picture = plain.copy()
    for place in places:
        cv2.circle(picture, place, 3, (level,) * 3, -1, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize("level", [250, 5])
@pytest.mark.parametrize("scale", [1, 1.5, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_few_specks_are_put_back_and_nothing_else_is_touched(
    level: int, scale: float, dtype: type
) -> None:
    plain, times = ground(), 257 if dtype is np.uint16 else 1
    before = speckled(plain, level, PLACES).astype(dtype) * dtype(times)
    size_wh = (round(200 * scale), round(140 * scale))
    without = cv2.resize(plain.astype(dtype) * dtype(times), size_wh)
    after = without.copy()
    assert keep_rare_specks(before, after) == 3
    assert after.dtype == dtype
    for x, y in PLACES:
        found = after[round((y + 0.5) * scale - 0.5), round((x + 0.5) * scale - 0.5)] / times
        assert np.abs(found - level).max() < 0.2 * abs(level - int(plain[y, x, 0]))
    touched = (after != without).any(axis=2)
    near = np.zeros(touched.shape, np.uint8)
    for x, y in PLACES:
        cv2.circle(near, (round(x * scale), round(y * scale)), round(12 * scale), 1, -1)
    assert not touched[near == 0].any()


def test_many_are_dust() -> None:
    plain = ground()
    places = [(x, y) for x in range(15, 190, 40) for y in range(15, 130, 40)]
    after = plain.copy()
    assert keep_rare_specks(speckled(plain, 250, places), after) == 0
    assert np.array_equal(after, plain)
    assert keep_rare_specks(speckled(plain, 250, places), after, most=len(places)) == len(places)


def test_scratches_and_patches_are_no_specks() -> None:
    plain = ground()
    before = plain.copy()
    cv2.line(before, (30, 10), (34, 120), (250,) * 3, 2)
    cv2.circle(before, (120, 70), 14, (250,) * 3, -1)
    after = plain.copy()
    assert keep_rare_specks(before, after) == 0
    assert np.array_equal(after, plain)


def test_what_stayed_is_left_as_it_is() -> None:
    before = speckled(ground(), 250, PLACES)
    after = cv2.GaussianBlur(before, (0, 0), 0.5)
    same = after.copy()
    assert keep_rare_specks(before, after) == 0
    assert np.array_equal(after, same)


@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 99))
def test_any_size_is_taken(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 256, (height, width, 3), np.uint8)
    after = rng.integers(0, 256, (2 * height, 2 * width, 3), np.uint8)
    assert keep_rare_specks(before, after, most=10_000) >= 0


def test_strips_of_a_picture_give_what_the_whole_does(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = ground()
    before, whole, strips = speckled(plain, 250, PLACES), plain.copy(), plain.copy()
    assert keep_rare_specks(before, whole) == 3
    monkeypatch.setattr(specks, "_STRIP_PIXELS", 1)
    monkeypatch.setattr(specks, "_LEAST_STRIP_PX", 31)
    assert keep_rare_specks(before, strips) == 3
    assert np.array_equal(whole, strips)


class Sweeps:
    """An upscaler that takes away all that is bright."""

    scale = 1

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        return rgb_nchw.clamp(max=0.7)

    def bytes_per_pixel(self) -> int:
        return 1


@pytest.mark.parametrize("of_film", [False, True])
@pytest.mark.parametrize("takes_specks", [False, True])
def test_only_of_photos_and_of_networks_that_take_specks_are_they_put_back(
    takes_specks: bool, of_film: bool
) -> None:
    card = replace(registry.card("photo-1"), takes_specks=takes_specks)
    stage = Upscale(ModelRef(card, (), ""), 1)
    stage.upscaler = Sweeps()
    before = Chunk(unit("photo"), frames=(Frame(speckled(ground(), 250, PLACES)),))
    if of_film:
        segment: Segment[None] = Segment(id="s", source="f", output="f.mp4", work=None)
        before = replace(before, unit=segment)
    (reply,) = stage([before])
    assert isinstance(reply, Chunk), reply
    assert (reply.upscaled[0].rgb_hwc.max() > 200) == (takes_specks and not of_film)


def test_weights_by_path_take_specks_as_those_of_their_family_do(tmp_path: Path) -> None:
    for family, takes in (("photo", True), ("realesrgan", False)):
        known = registry.family_of(registry.card(family))
        state = known.network(None, **(known.tiny or {})).state_dict()
        assert card_by_path(state, tmp_path / "own.pth", "upscale").takes_specks == takes


@pytest.mark.parametrize(("name", "scale"), [("photo-1", 1), ("photo-2", 2)])
def test_the_light_in_an_eye_stays_and_dust_goes(name: str, scale: int) -> None:
    scene = cv2.GaussianBlur(draw_scene(3, 240, 320), (0, 0), 1.0)
    cv2.circle(scene, (160, 120), 14, (25, 22, 20), -1, cv2.LINE_AA)
    eye = scene.copy()
    cv2.circle(eye, (164, 115), 2, (250, 250, 250), -1, cv2.LINE_AA)
    dusty = eye.copy()
    for x, y in np.random.default_rng(0).integers(10, 230, (60, 2)):
        cv2.circle(dusty, (int(x), int(y)), 2, (250, 250, 250), -1, cv2.LINE_AA)
    stage = stage_of(name)
    kept, cleaned = (
        enlarged(stage, picture)[115 * scale, 164 * scale].mean() for picture in (eye, dusty)
    )
    assert kept > 200
    assert cleaned < 170


@pytest.mark.parametrize("name", ["photo-1", "photo-2"])
def test_grey_in_a_file_with_colours_stays_grey(name: str) -> None:
    luma = cv2.cvtColor(draw_scene(1, 96, 128), cv2.COLOR_RGB2GRAY)
    noisy = luma + np.random.default_rng(0).normal(0, 12, luma.shape)
    grey = np.repeat(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    assert np.ptp(enlarged(stage_of(name), grey), axis=2).max() == 0


def test_a_picture_is_colourless_where_no_pixel_has_colour() -> None:
    grey = np.repeat(np.arange(300 * 200, dtype=np.uint16).reshape(300, 200, 1), 3, axis=2)
    assert Frame(grey).colourless
    tinted = grey.copy()
    tinted[131, 77, 2] += 1
    assert not Frame(tinted).colourless
    assert Frame(tinted, grey=True).colourless

"""The stage: what is damaged is filled and recorded, all else stays to the bit."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from restore_batch.jobs.units import FilmIndex, Photo, Segment, Unit
from restore_batch.stages.media import Chunk, Frame
from restore_batch.stages.repair import repair
from restore_batch.stages.repair.certain import BLINDLY, WHOLLY, Certainty
from restore_batch.stages.repair.repair import MASK_SUFFIX, Repair

from support.damage_finders import Brightness

PHOTO = Photo(id="one", source="one.png", output="one.png")


def stage(**options: Any) -> Repair:
    return Repair(finder=Brightness(), certainty=Certainty(0.5, -6.0, 0.0), **options)


def scratched(dtype: type = np.uint8, grey: bool = False) -> tuple[Frame, np.ndarray]:
    """A picture with a white scratch, and where it is."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(0.05, 0.7, (8, 10, 1 if grey else 3)).astype(np.float32)
    good = cv2.resize(coarse, (300, 240), interpolation=cv2.INTER_CUBIC).reshape(240, 300, -1)
    picture = np.rint(np.broadcast_to(np.clip(good, 0, 0.75), (240, 300, 3)) * np.iinfo(dtype).max)
    bad = picture.astype(dtype)
    scratch = np.zeros((240, 300), np.uint8)
    cv2.line(scratch, (0, 40), (299, 200), 1, 3)
    bad[scratch > 0] = np.iinfo(dtype).max
    return Frame(bad, grey=grey), scratch > 0


def repaired(made: Repair, frame: Frame) -> Chunk:
    (done,) = made([Chunk(PHOTO, frames=(frame,))])
    assert isinstance(done, Chunk), done
    return done


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_a_scratch_is_filled_and_nothing_else_is_touched(dtype: type, grey: bool) -> None:
    frame, scratch = scratched(dtype, grey)
    done = repaired(stage(mask=True), frame)
    after = done.frames[0]
    assert after.rgb_hwc.dtype == dtype and after.grey == grey
    (sidecar,) = done.sidecars
    far = np.asarray(Image.open(io.BytesIO(sidecar.content)))
    assert sidecar.suffix == MASK_SUFFIX and far.dtype == np.uint8
    mask = far > 0
    assert (far[scratch] == 255).all()
    np.testing.assert_array_equal(after.rgb_hwc[~mask], frame.rgb_hwc[~mask])
    assert after.rgb_hwc[scratch].max() < 0.85 * np.iinfo(dtype).max
    assert done.repairs[0].share == pytest.approx(mask.mean())
    if grey:
        assert (after.rgb_hwc == after.rgb_hwc[..., :1]).all()


def test_a_sound_picture_is_passed_on_uncopied() -> None:
    frame = Frame(np.full((80, 90, 3), 100, np.uint8))
    done = repaired(stage(mask=True), frame)
    assert done.frames[0] is frame
    assert done.repairs[0].share == 0 and not done.repairs[0].unfaded


@pytest.mark.parametrize(
    ("height", "width", "fills"), [(16, 90, True), (15, 90, False), (90, 15, False)]
)
def test_a_picture_that_no_pixel_of_can_be_judged_is_passed_on_untouched(
    height: int, width: int, fills: bool
) -> None:
    picture = np.full((height, width, 3), 100, np.uint8)
    picture[8, 5:12] = 255
    frame = Frame(picture)
    made = Repair(finder=Brightness(reach_px=8), certainty=Certainty(0.5, -6.0, 0.0), mask=True)
    done = repaired(made, frame)
    assert (done.repairs[0].share > 0) == fills
    assert (done.frames[0] is frame) != fills
    assert np.asarray(Image.open(io.BytesIO(done.sidecars[0].content))).any() == fills


def test_alpha_stays() -> None:
    frame, _ = scratched()
    alpha = np.random.default_rng(0).integers(0, 255, (240, 300), np.uint8)
    done = repaired(stage(), replace(frame, alpha_hw=alpha))
    assert done.frames[0].alpha_hw is alpha


def test_strength_blends_between_before_and_after() -> None:
    frame, scratch = scratched()
    whole, half = (repaired(stage(strength=s), frame).frames[0].rgb_hwc for s in (1.0, 0.5))
    between = (frame.rgb_hwc.astype(float) + whole) / 2
    assert np.abs(half - between).max() <= 1
    assert (half[scratch] != whole[scratch]).any()


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_what_is_less_certain_is_filled_in_part_after_what_is_certain(
    strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, scratch = scratched()
    faint = np.zeros(scratch.shape, bool)
    faint[60:190, 150:153] = faint[20:100, 200:280] = True  # a line, and what is too wide
    faint &= ~scratch

    def repaired_where(level: int) -> Chunk:
        damage = np.where(scratch, WHOLLY, np.where(faint, level, 0)).astype(np.uint8)
        monkeypatch.setattr(repair, "find_damage", lambda *_: damage)
        return repaired(stage(mask=True, strength=strength), frame)

    none, half, most = (repaired_where(level) for level in (0, 128, WHOLLY - 1))
    far = np.asarray(Image.open(io.BytesIO(half.sidecars[0].content)))
    assert set(np.unique(far)) == {0, 128, 255}
    assert half.repairs[0].share == pytest.approx((far > 0).mean())
    assert not half.warnings  # of damage that is too wide: it may be none
    before, certain, partly, nearly = (
        picture.astype(float)
        for picture in (frame.rgb_hwc, *(done.frames[0].rgb_hwc for done in (none, half, most)))
    )
    np.testing.assert_array_equal(partly[far != 128], certain[far != 128])
    line = far == 128
    assert line[130, 150:153].any() and not line[50:70, 230:250].any()
    between = before + 128 / (WHOLLY - 1) * (nearly - before)
    assert np.abs(partly - between)[line].max() <= 1.5
    assert np.abs(partly - before)[line].max() > 0


class KeepsWhatItSees:
    """A filler that finds nothing wrong with what it is shown."""

    reach_px = align_px = 64

    def __call__(self, rgb_hwc: np.ndarray, missing: np.ndarray) -> np.ndarray:
        return rgb_hwc


@pytest.mark.parametrize("grey", [False, True])
def test_of_what_is_certain_whatever_lies_there_a_filler_sees_nothing(
    grey: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, scratch = scratched(grey=grey)
    made = Repair(finder=Brightness(), filler=KeepsWhatItSees(), mask=True)
    left = scratch.copy()
    left[:, :150] = False
    damage = np.where(left, WHOLLY, np.where(scratch, BLINDLY, 0)).astype(np.uint8)
    monkeypatch.setattr(repair, "find_damage", lambda *_: damage)
    done = repaired(made, frame)
    rgb_hwc = done.frames[0].rgb_hwc
    blindly, shown = scratch & ~left, left.copy()
    shown[:, :160] = False  # where the two meet, what is blind reaches into the other
    assert rgb_hwc[blindly].max() < 0.85 * 255
    assert (rgb_hwc[shown] == 255).all()
    far = np.asarray(Image.open(io.BytesIO(done.sidecars[0].content)))
    assert set(np.unique(far)) == {0, 255}
    np.testing.assert_array_equal(rgb_hwc[far == 0], frame.rgb_hwc[far == 0])


def test_damage_too_wide_to_be_guessed_is_left_and_said() -> None:
    frame, _ = scratched()
    bad = frame.rgb_hwc.copy()
    bad[100:180, 50:130] = 255
    done = repaired(stage(), Frame(bad))
    assert (done.frames[0].rgb_hwc[105:175, 55:125] == 255).all()
    (warning,) = done.warnings
    assert "too wide" in warning and "%" in warning


def test_fading_alone_asks_for_no_finder() -> None:
    made = Repair(scratches="off", fading="auto")
    assert not made.is_idle
    rng = np.random.default_rng(0)
    faded = (80 + 110 * rng.random((100, 100, 1)) * np.ones(3)).astype(np.uint8)
    done = repaired(made, Frame(faded))
    assert done.repairs[0].unfaded
    assert np.ptp(done.frames[0].rgb_hwc) > 150


@pytest.mark.parametrize("options", [{"scratches": "off"}, {"strength": 0.0}])
def test_it_is_idle_where_nothing_is_asked_of_it(options: dict[str, Any]) -> None:
    assert stage(**options).is_idle
    assert not stage().is_idle


@pytest.mark.parametrize(
    "unit",
    [
        Segment(id="s", source="f.mp4", output="f.mp4", work=None),
        # Which stretch of a film is its preview is no matter of whether photos lie beside it.
        FilmIndex(id="i", source="f.mp4", output="f.mp4"),
    ],
    ids=lambda unit: unit.kind,
)
def test_frames_of_a_film_pass(unit: Unit) -> None:
    frame, _ = scratched()
    (done,) = stage()([Chunk(unit, frames=(frame,))])
    assert isinstance(done, Chunk) and done.frames[0] is frame and not done.repairs

"""Faces with more pixels than detail: which they are, and that only they are restored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from restore_batch.jobs.units import Photo, Segment
from restore_batch.models import registry
from restore_batch.models.weights.store import Store
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.faces.restore import is_left_alone
from restore_batch.stages.faces.softness import detail, is_soft, screen
from restore_batch.stages.media import Chunk, Frame

from support import data
from support.pixels import face_at, unit


def shapes(side: int = 512) -> np.ndarray:
    """Ellipses of many greys and sizes, with sharp edges: (side, side, 3) uint8."""
    rng = np.random.default_rng(3)
    picture = np.full((side, side), 120, np.uint8)
    for _ in range(160):
        centre = rng.integers(0, side, 2).tolist()
        axes = rng.integers(side // 80, side // 8, 2).tolist()
        cv2.ellipse(picture, centre, axes, float(rng.integers(180)), 0, 360,
                    int(rng.integers(30, 220)), -1, cv2.LINE_AA)  # fmt: skip
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))


def with_detail_of(picture: np.ndarray, detail_px: int, side: int) -> np.ndarray:
    """As large as ``side``, with what ``detail_px`` show."""
    small = cv2.resize(picture, (detail_px, detail_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))


def grainy(picture: np.ndarray, sigma: float, coarse_px: float = 0.7) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 1, picture.shape[:2]).astype(np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), coarse_px)
    noise *= sigma / noise.std()
    return np.clip(np.rint(picture + noise[..., None]), 0, 255).astype(np.uint8)


def whole(side: int, face_px: int = 512) -> np.ndarray:
    """The matrix of a face whose crop is the whole picture."""
    return face_at(side / 2, side / 2, side, face_px=face_px)[1].matrix


@pytest.mark.parametrize("side", [600, 1024, 3000])
@pytest.mark.parametrize("sigma", [0.0, 6.0])
def test_an_enlarged_picture_is_soft_and_one_with_its_detail_is_not(
    side: int, sigma: float
) -> None:
    soft = grainy(with_detail_of(shapes(1500), 200, side), sigma)
    sharp = grainy(with_detail_of(shapes(1500), min(side, 1500), side), sigma)
    assert is_soft(soft, whole(side), 512)
    assert not is_soft(sharp, whole(side), 512)


def grey(picture: np.ndarray) -> np.ndarray:
    return picture.mean(axis=2, dtype=np.float32)


@pytest.mark.parametrize("sigma", [3.0, 8.0])
def test_a_blurred_and_grainy_picture_is_soft(sigma: float) -> None:
    blurred = cv2.GaussianBlur(with_detail_of(shapes(), 512, 1024), (0, 0), sigma)
    assert is_soft(grainy(blurred, 3), whole(1024), 512)


def test_it_is_a_matter_of_the_face_and_not_of_how_it_lies() -> None:
    picture = grey(with_detail_of(shapes(), 200, 1000))
    upright = detail(picture, 1000 / 512)
    assert detail(np.ascontiguousarray(np.rot90(picture)), 1000 / 512) == pytest.approx(upright)
    rgb = with_detail_of(shapes(), 200, 1000)
    sixteen = rgb.astype(np.uint16) * 257
    for degrees in (0.0, 90.0, 180.0, 270.0):
        matrix = face_at(500, 500, 1000, degrees)[1].matrix
        assert is_soft(rgb, matrix, 512)
        assert is_soft(sixteen, matrix, 512)


def test_a_face_with_no_more_pixels_than_the_restorer_gives_is_no_matter() -> None:
    assert not is_soft(with_detail_of(shapes(), 100, 512), whole(512), 512)
    assert is_soft(with_detail_of(shapes(), 100, 512), whole(512, face_px=256), 256)


@pytest.mark.parametrize("degrees", [15, 45])
def test_a_picture_that_consists_of_dots_is_not_soft(degrees: int) -> None:
    side = 1500
    soft = with_detail_of(shapes(), 200, side)
    assert is_soft(soft, whole(side), 512)
    across, down = np.cos(np.deg2rad(degrees)) / 10, np.sin(np.deg2rad(degrees)) / 10
    y, x = np.mgrid[:side, :side]
    dots = np.cos(2 * np.pi * (across * x + down * y)) * np.cos(2 * np.pi * (down * x - across * y))
    printed = np.where(soft / 255 > 0.5 + 0.4 * dots[..., None], 200, 60)
    printed = cv2.GaussianBlur(printed.astype(np.float32), (0, 0), 2)
    assert not is_soft(grainy(printed, 4), whole(side), 512)


def test_neither_grain_nor_the_blocks_of_a_jpeg_are_a_screen() -> None:
    soft = grainy(with_detail_of(shapes(), 200, 1000), 8)
    _, packed = cv2.imencode(".jpg", soft, [cv2.IMWRITE_JPEG_QUALITY, 30])
    assert screen(grey(soft)) < 100
    assert screen(grey(cv2.imdecode(packed, cv2.IMREAD_COLOR))) < 100


def test_nothing_and_what_lies_outside_are_no_error() -> None:
    for picture in (np.zeros((700, 700, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)):
        assert is_soft(picture, whole(700), 512)
        assert is_soft(picture, face_at(-400, 1200, 900)[1].matrix, 512)


# -- in the stages --------------------------------------------------------------------------------
def aligned(picture: np.ndarray, film: bool = False) -> Chunk:
    height, width = picture.shape[:2]
    face, _ = face_at(width / 2, height / 2, 0.8 * width)
    of_photo = unit("a")
    assert isinstance(of_photo, Photo)
    of_film: Segment[None] = Segment(
        id="f", source="f", output="f.mp4", staging_dir="/nowhere", base_key="b", face_key="f",
        megapixels=1.0, work=None,
    )  # fmt: skip
    chunk = Chunk(of_film if film else of_photo, frames=(Frame(picture),), faces=((face,),))
    (done,) = Align(512)([chunk])
    assert isinstance(done, Chunk)
    return done


def test_of_a_photo_only_sharp_faces_are_left_alone_for_their_size() -> None:
    soft, sharp = with_detail_of(shapes(1200), 200, 1200), shapes(1200)
    assert not is_left_alone(aligned(soft).alignments[0][0])
    assert is_left_alone(aligned(sharp).alignments[0][0])
    assert is_left_alone(aligned(soft, film=True).alignments[0][0]), "it would come and go"


def pasted(chunk: Chunk, change: np.ndarray, scale: int = 1, **options: object) -> np.ndarray:
    """With restored crops that differ from the crops by ``change``."""
    crops = chunk.crops[0].astype(int)
    restored = (np.clip(crops + change, 0, 255).astype(np.uint8),)
    (frame,) = chunk.frames
    large = np.asarray(cv2.resize(frame.rgb_hwc, None, fx=scale, fy=scale))
    (done,) = Paste(scale, match_colour=False, **options)(  # type: ignore[arg-type]
        [replace(chunk, restored=restored, upscaled=(Frame(large),))]
    )
    assert isinstance(done, Chunk)
    assert done.records[0][0].restored == bool(np.abs(change).max())
    return done.pasted[0].rgb_hwc


@pytest.mark.parametrize("scale", [1, 2])
def test_what_is_finer_than_the_restored_face_stays_as_it_was(scale: int) -> None:
    """A face is made brighter: its grain is the same to a level."""
    soft = grainy(with_detail_of(shapes(1200), 200, 1200), 8)
    chunk = aligned(soft)
    brighter = np.zeros((1, 512, 512, 3), int)
    brighter[:] = 12
    done = pasted(chunk, brighter, scale, match_grain="off")
    middle = slice(560 * scale, 680 * scale)
    before = cv2.resize(soft, None, fx=scale, fy=scale)[middle, middle].astype(float)
    change = done[middle, middle] - before
    assert change.mean() == pytest.approx(12, abs=1)
    assert change.std() < 1.5, "the grain has changed"
    assert before.std() > 8


def test_grain_as_coarse_as_the_restored_face_is_given_back() -> None:
    """A restorer takes what it sees of the grain away; a fine grain it does not see."""
    soft = np.full((1200, 1200, 3), 128, np.uint8)
    cv2.circle(soft, (600, 600), 300, (150, 150, 150), -1)
    soft = np.asarray(cv2.GaussianBlur(soft, (0, 0), 20))
    chunk = aligned(grainy(soft, 6, coarse_px=2.5))
    clean = aligned(soft).crops[0].astype(int) - chunk.crops[0].astype(int)
    chunk = replace(chunk, alignments=((replace(chunk.alignments[0][0], soft=True),),))
    middle = slice(560, 640)

    def strength(match: str) -> float:
        done = pasted(chunk, clean, match_grain=match)[middle, middle, 0].astype(np.float32)
        return float((done - cv2.GaussianBlur(done, (0, 0), 12)).std())

    before = chunk.frames[0].rgb_hwc[middle, middle, 0].astype(np.float32)
    there = float((before - cv2.GaussianBlur(before, (0, 0), 12)).std())
    assert strength("off") < 0.6 * there
    assert strength("auto") == pytest.approx(there, rel=0.25)


def test_where_a_network_cleaned_the_picture_a_soft_face_is_given_nothing(tmp_path: Path) -> None:
    cleaner = Store(tmp_path, download=False).ref(registry.card("photo-1"), {})
    chunk = aligned(grainy(with_detail_of(shapes(1200), 200, 1200), 8, coarse_px=2))
    smooth = np.stack([cv2.GaussianBlur(crop, (0, 0), 2) for crop in chunk.crops[0]])
    change = smooth.astype(int) - chunk.crops[0]
    one, other = (
        pasted(chunk, change, match_grain=match, background=cleaner, mask="feather")
        for match in ("auto", "off")
    )
    assert (one == other).all()


def test_portraits_with_the_detail_of_fewer_pixels_are_known() -> None:
    files = sorted((data.faces() / "eval").glob("*.jpg"))[::4]
    assert files
    for file in files:
        portrait = cv2.imread(str(file))
        assert is_soft(with_detail_of(portrait, 200, 1100), whole(1100), 512), file.name
        assert not is_soft(portrait, whole(512, face_px=128), 128), file.name

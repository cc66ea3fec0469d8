"""Dirt is what is in one frame of a film alone; what belongs to the scene stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import pytest

from restore_batch.stages.film.repaired import REPAIR_FRAMES, repaired_frames
from restore_batch.stages.media import Frame
from restore_batch.stages.video.types import VideoFrame

SIZE = (180, 240)


def landscape(seed: int = 1) -> np.ndarray:
    """Structure of several sizes, rgb_hwc uint8, wider than a frame."""
    rng = np.random.default_rng(seed)
    total = np.zeros((260, 420, 3), np.float32)
    for cells, weight in ((9, 70), (30, 40), (90, 20)):
        coarse = rng.uniform(-1, 1, (cells * 260 // 420 + 2, cells, 3)).astype(np.float32)
        total += weight * cv2.resize(coarse, (420, 260), interpolation=cv2.INTER_CUBIC)
    return np.clip(125 + total, 20, 220).astype(np.uint8)


def pan(count: int, step: float = 2.4, seed: int = 1, grain: float = 4.0) -> list[np.ndarray]:
    """Frames of a camera that turns, with grain."""
    scene, rng = landscape(seed), np.random.default_rng(seed)
    frames = []
    for number in range(count):
        matrix = np.array([[1, 0, -10 - step * number], [0, 1, -12 - 0.7 * number]], np.float32)
        view = cv2.warpAffine(scene, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC)
        noisy = view + rng.normal(0, grain, (*SIZE, 1))
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return frames


def dot(frame: np.ndarray, x: float, y: float, radius: int = 3, light: int = 250) -> None:
    cv2.circle(frame, (round(x), round(y)), radius, (light,) * 3, -1, cv2.LINE_AA)


def repaired(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    video = [VideoFrame(Frame(frame), number, 1) for number, frame in enumerate(frames)]
    return [done.video.frame.rgb_hwc for done in repaired_frames(video, 1.0)]


def error(frames: Sequence[np.ndarray], good: Sequence[np.ndarray]) -> float:
    return sum(float(((a.astype(float) - b) ** 2).sum()) for a, b in zip(frames, good, strict=True))


def changed(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """Share of the pixels of all frames."""
    return float(np.mean([(a != b).any(axis=2).mean() for a, b in zip(before, after, strict=True)]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_specks_that_are_in_one_frame_are_filled_from_the_frames_around_it(dtype: type) -> None:
    good = pan(7)
    bad = [frame.copy() for frame in good]
    rng = np.random.default_rng(3)
    for frame in bad[1:-1]:
        for _ in range(5):
            x, y = rng.uniform(25, 215), rng.uniform(25, 155)
            dot(frame, x, y, int(rng.integers(2, 6)), int(rng.choice([5, 250])))
    scale = np.iinfo(dtype).max // 255
    done = repaired([frame.astype(dtype) * dtype(scale) for frame in bad])
    assert done[0].dtype == dtype
    assert error([frame / scale for frame in done], good) < 0.2 * error(bad, good)


def test_a_film_without_dirt_stays_nearly_whole() -> None:
    good = pan(6)
    assert changed(good, repaired(good)) < 0.001


def thing(path: Callable[[int], tuple[float, float]]) -> list[np.ndarray]:
    frames = pan(7)
    for number, frame in enumerate(frames):
        dot(frame, *path(number), 4)
    return frames


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(lambda n: (120.0, 80.0), id="a mark that stands still"),
        pytest.param(lambda n: (60 + 2.4 * n, 60 + 0.7 * n), id="a thing in the scene"),
        pytest.param(lambda n: (40 + 13.0 * n, 90 - 6.0 * n + 1.2 * n * n), id="a ball"),
        pytest.param(lambda n: (200 - 9.0 * n, 50 + 6 * (-1) ** n), id="a bird"),
        pytest.param(
            lambda n: (15 + 34.0 * n, 40 + 15.0 * n), id="a ball too fast to be found again"
        ),
    ],
)
def test_things_that_are_there_stay(path: Callable[[int], tuple[float, float]]) -> None:
    frames = thing(path)
    done = repaired(frames)
    for number, (before, after) in enumerate(zip(frames, done, strict=True)):
        x, y = (round(v) for v in path(number))
        assert (before[y - 3 : y + 4, x - 3 : x + 4] == after[y - 3 : y + 4, x - 3 : x + 4]).all()


def test_a_timecode_that_is_burnt_in_keeps_every_digit() -> None:
    frames = pan(25)
    for number, frame in enumerate(frames):
        text, font = f"10:00:01:{number:02d}", cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(frame, text, (70, 165), font, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(frame, text, (70, 165), font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    shown = slice(148, 170), slice(66, 190)
    for before, after in zip(frames, repaired(frames), strict=True):
        assert (before[shown] == after[shown]).all()


def test_specks_beside_what_is_shown_there_are_filled_all_the_same() -> None:
    frames = pan(15)
    for number, frame in enumerate(frames):
        cv2.putText(frame, str(number % 10), (200, 165), 0, 0.6, (255, 255, 255), 2, cv2.LINE_AA)
    good = [frame.copy() for frame in frames]
    for number in range(2, 13):
        dot(frames[number], 40 + 53 * number % 140, 30 + 29 * number % 90, 4)
    assert error(repaired(frames), good) < 0.2 * error(frames, good)


def test_rain_stays() -> None:
    frames = pan(6)
    rng = np.random.default_rng(8)
    for frame in frames:
        for _ in range(40):
            x, y = (int(v) for v in rng.uniform(0, 1, 2) * SIZE[::-1])
            cv2.line(frame, (x, y), (x + 4, y + 18), (235, 235, 235), 1, cv2.LINE_AA)
    assert changed(frames, repaired(frames)) < 0.002


def test_nothing_is_drawn_across_a_cut() -> None:
    frames = pan(3, seed=1) + pan(3, seed=9)
    for number in (2, 3):
        dot(frames[number], 100, 100, 4)
    done = repaired(frames)
    for number in (2, 3):
        np.testing.assert_array_equal(done[number], frames[number])


def test_a_flash_is_no_dirt() -> None:
    frames = pan(5)
    frames[2] = np.clip(frames[2].astype(int) + 90, 0, 255).astype(np.uint8)
    assert (repaired(frames)[2] == frames[2]).mean() > 0.99


def test_a_frame_is_the_same_in_whatever_stretch_it_is_read() -> None:
    frames = pan(9)
    rng = np.random.default_rng(4)
    for frame in frames:
        dot(frame, rng.uniform(30, 200), rng.uniform(30, 150), 4)
    whole, part = repaired(frames), repaired(frames[2:7])
    for number in (3, 4, 5):
        np.testing.assert_array_equal(whole[number], part[number - 2])


def test_a_scratch_that_stands_still_goes_where_the_picture_moves() -> None:
    good = pan(5)
    bad = [frame.copy() for frame in good]
    for frame in bad:
        frame[:, 100:102] = np.clip(frame[:, 100:102].astype(int) + 70, 0, 255)
    done = repaired(bad)
    assert error(done[1:-1], good[1:-1]) < 0.25 * error(bad[1:-1], good[1:-1])


def test_a_line_that_stands_still_in_a_still_picture_stays() -> None:
    frames = pan(5, step=0.0, grain=2.0)
    frames = [np.roll(frame, 0, axis=0) for frame in frames]
    for number, frame in enumerate(frames):
        frame[:] = frames[0] if number else frame
        frame[:, 100:102] = 240
    assert changed(frames, repaired(frames)) == 0


def shaken(count: int, grain: float = 4.0) -> tuple[list[np.ndarray], list[float]]:
    """Frames of a camera that is held by hand, and how far right each frame's picture is."""
    scene, rng = landscape(), np.random.default_rng(7)
    places = [2.6 * np.sin(0.7 * n) + 1.1 * np.sin(1.6 * n + 1) for n in range(count)]
    frames = []
    for place in places:
        matrix = np.array([[1, 0, -60 + place], [0, 1, -30]], np.float32)
        view = cv2.warpAffine(scene, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC)
        noisy = view + rng.normal(0, grain, (*SIZE, 1))
        frames.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return frames, [float(place) for place in places]


def with_line(frame: np.ndarray, x: float | Sequence[float], levels: float) -> np.ndarray:
    away = np.abs(np.arange(frame.shape[1])[:, None] - np.atleast_1d(x)).min(axis=1)
    line = levels * np.clip(1.2 - away, 0, 1)
    lighter = frame + line[None, :, None]
    return np.clip(np.rint(lighter), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("levels", [35.0, -35.0])
def test_a_scratch_that_wanders_goes_in_every_frame(levels: float) -> None:
    """It is filled in all frames in which it is: else it would flicker."""
    good, _ = shaken(24)
    rng = np.random.default_rng(2)
    at = 120 + np.cumsum(rng.normal(0, 0.5, len(good)))
    bad = [with_line(frame, x, levels) for frame, x in zip(good, at, strict=True)]
    done = repaired(bad)
    for n in range(2, len(good) - 2):
        before, after = (error([some[n]], [good[n]]) for some in (bad, done))
        assert after < 0.4 * before, n


def test_a_post_that_goes_with_the_picture_stays() -> None:
    frames, places = shaken(24)
    posts = [with_line(f, 120 + x, 60) for f, x in zip(frames, places, strict=True)]
    assert changed(posts, repaired(posts)) < 0.001


@pytest.mark.parametrize("share", [0.3, 0.6, 1.6])
def test_a_post_nearer_or_farther_than_the_picture_stays(share: float) -> None:
    frames = pan(14, step=3)
    posts = [with_line(f, 160 - share * 3 * n, -90) for n, f in enumerate(frames)]
    assert changed(posts, repaired(posts)) < 0.001


@pytest.mark.parametrize(("period", "step"), [(10, 10), (16, 5), (24, 25), (60, 20), (90, 9)])
def test_a_fence_that_the_camera_passes_stays(period: int, step: int) -> None:
    """A post comes to the place of another, and would seem to stand still."""
    frames = [
        with_line(frame, [x - step * number for x in range(0, 900, period)], 70)
        for number, frame in enumerate(pan(14, step=0.3 * step))
    ]
    plain = pan(14, step=0.3 * step)
    lines = [
        (a != b).all(axis=0).any(axis=1) for a, b in zip(frames, repaired(frames), strict=True)
    ]
    assert not np.any(lines), "a column was filled from top to bottom"
    assert changed(plain, repaired(plain)) < 0.02


def test_a_scratch_is_the_same_in_whatever_stretch_it_is_read() -> None:
    good, _ = shaken(24)
    bad = [with_line(frame, 120.0, 50) for frame in good]
    whole, part = repaired(bad), repaired(bad[3:21])
    for number in range(3 + REPAIR_FRAMES, 21 - REPAIR_FRAMES):
        np.testing.assert_array_equal(whole[number], part[number - 3])
    assert changed(bad[9:15], whole[9:15]) > 0.005


def test_a_scratch_does_not_go_on_behind_a_cut() -> None:
    good, _ = shaken(12)
    bad = [with_line(frame, 120.0, 60) for frame in good]
    other = pan(12, step=0.0, seed=9)
    done = repaired([*bad, *other])
    assert changed(bad[2:10], done[2:10]) > 0.005
    assert changed(other, done[12:]) < 0.001


def test_the_dark_edge_beside_a_picture_is_no_scratch() -> None:
    frames = pan(5)
    for frame in frames:
        frame[:, :9] = 8
        frame[:, 9:11] = 0
    assert changed(frames, repaired(frames)) < 0.001

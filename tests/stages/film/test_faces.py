"""The faces of a stretch of film: what is known of each besides where it is."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from restore_batch.models.base import Face
from restore_batch.stages.faces.grain import level_around
from restore_batch.stages.film.faces import FilmFaces, find_faces, with_grain
from restore_batch.stages.film.looks import Search
from restore_batch.stages.media import Frame
from restore_batch.stages.video.types import VideoFrame

from support.pixels import face_at

FRAMES = 30


def grainy(levels: Sequence[float]) -> list[Frame]:
    """Frames of a grey wall, each with grain of its own and of its own strength."""
    frames = []
    for seed, level in enumerate(levels):
        noise = np.random.default_rng(seed).normal(0, level, (240, 240, 1))
        frames.append(Frame(np.rint(128 + noise).clip(0, 255).astype(np.uint8).repeat(3, axis=2)))
    return frames


def found(
    frames: list[Frame], aspect: float = 1.0, *, grain: bool = True, steady: bool = True
) -> FilmFaces:
    face, _ = face_at(120 * aspect, 120, 120)

    def measure(face: Face, decoded: Frame) -> Face:
        return with_grain(face, decoded, aspect)

    def look(frame: Frame, expected: tuple[Face, ...] | None) -> tuple[Face, ...]:
        return (face,)

    how = measure if grain else None
    search = Search(lambda frame: frame, look, lambda frame: frame, steady, how)
    film = [VideoFrame(frame, pts=i, duration=1) for i, frame in enumerate(frames)]
    with ThreadPoolExecutor(1) as pool:
        return find_faces(film, 0, search, pool, pixel_aspect=aspect, steady=steady, ahead=2)


def levels_of(faces: FilmFaces) -> list[float]:
    levels = [some[0].grain for some in faces.faces]
    assert None not in levels
    return [level for level in levels if level is not None]


def test_the_strength_of_grain_is_measured_and_steady_along_a_track() -> None:
    jumps = [6.0 + 2.0 * (i % 2) for i in range(FRAMES)]
    frames = grainy(jumps)
    steady = levels_of(found(frames))
    ((face,), *_) = found(frames, grain=False).faces
    each = [level_around(frame.rgb_hwc, face) for frame in frames]
    assert np.std(np.diff(each)) > 1.5
    assert np.std(np.diff(steady)) < np.std(np.diff(each)) / 5
    assert np.mean(steady) == pytest.approx(np.mean(each), rel=0.05)


def test_grain_is_not_measured_where_nobody_asks() -> None:
    frames = grainy([6.0] * 5)
    assert all(some[0].grain is None for some in found(frames, grain=False).faces)


def test_grain_is_that_of_the_frame_itself_also_where_pixels_are_not_square() -> None:
    frames = grainy([6.0] * 8)
    square, oblong = (levels_of(found(frames, a)) for a in (1.0, 1.5))
    assert oblong == pytest.approx(square, rel=0.1)

"""The restorer's flicker goes, what happens in the film stays."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.units import Segment
from restore_batch.stages.faces.steady.deflicker import (
    DEFLICKER_FRAMES,
    Deflicker,
    RestoredCrop,
    deflickered,
)
from restore_batch.stages.media import Chunk

from support.moving_faces import face, similarity, texture

SIDE = 128
EYE = (slice(40, 58), slice(30, 62))


def source() -> np.ndarray:
    return np.asarray(cv2.GaussianBlur(texture(21, (SIDE, SIDE)), (0, 0), 2))


def sharp() -> np.ndarray:
    """What a restorer makes of it."""
    blurred = source().astype(np.float32)
    detail = texture(22, (SIDE, SIDE)).astype(np.float32) - 128
    return np.asarray(blurred * 0.9 + 12 + detail * 0.1)


def eight_bit(levels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))


def through(
    frames: Sequence[Sequence[RestoredCrop]], cuts: Sequence[int] = ()
) -> list[tuple[np.ndarray, ...]]:
    stream, out = Deflicker(), []
    for t, faces in enumerate(frames):
        ready = stream.push(faces, t in cuts)
        assert len(ready) == (t >= DEFLICKER_FRAMES)
        out += ready
    out += stream.finish()
    assert [len(faces) for faces in out] == [len(faces) for faces in frames]
    return out


def film(
    inputs: Sequence[np.ndarray], truths: Sequence[np.ndarray], flicker: float, seed: int = 0
) -> list[list[RestoredCrop]]:
    """One face whose restored crops are the truths with an error that differs every frame."""
    rng = np.random.default_rng(seed)
    frames = []
    for crop, truth in zip(inputs, truths, strict=True):
        error = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)), (0, 0), 2)
        restored = truth + flicker * error[..., None] / error.std()
        frames.append([RestoredCrop(0, eight_bit(crop), eight_bit(restored))])
    return frames


def rms(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(((one.astype(np.float64) - other.astype(np.float64)) ** 2).mean()))


@pytest.mark.parametrize("grain", [0.0, 6.0])
def test_flicker_falls_by_half_and_detail_stays(grain: float) -> None:
    rng = np.random.default_rng(1)
    inputs = [source() + rng.normal(0, grain, (SIDE, SIDE, 1)) for _ in range(12)]
    frames = film(inputs, [sharp()] * 12, 8.0)
    done = through(frames)
    inner = range(DEFLICKER_FRAMES, 12 - DEFLICKER_FRAMES)
    before = np.mean([rms(frames[t][0].restored, sharp()) for t in inner])
    after = np.mean([rms(done[t][0], sharp()) for t in inner])
    assert after < 0.55 * before


def test_still_crops_are_not_changed() -> None:
    frames = film([source()] * 6, [sharp()] * 6, 0.0)
    for faces, given_faces in zip(through(frames), frames, strict=True):
        assert np.array_equal(faces[0], given_faces[0].restored)


def test_a_blink_survives() -> None:
    inputs, truths = [], []
    for t in range(9):
        crop, truth = source().astype(np.float32), sharp()
        if t == 4:
            crop[EYE], truth[EYE] = crop[EYE] * 0.5 + 90, truth[EYE] * 0.5 + 95
        inputs.append(crop)
        truths.append(truth)
    done = through(film(inputs, truths, 5.0))
    opened = rms(truths[4][EYE], truths[0][EYE])
    assert opened > 25
    for t in range(9):
        inside = (slice(43, 55), slice(34, 58))  # without the rim, where the two meet
        assert rms(done[t][0][inside], truths[t][inside]) < 0.25 * opened
    calm = (slice(80, 120), slice(10, 120))
    assert rms(done[4][0][calm], truths[4][calm]) < 3.5


def test_a_flicker_of_the_light_is_followed() -> None:
    gains = [1.0, 0.9, 1.05, 0.85, 1.0, 0.95, 1.1, 0.9]
    inputs, truths = [source() * g for g in gains], [sharp() * g for g in gains]
    done = through(film(inputs, truths, 0.0))
    for faces, truth in zip(done, truths, strict=True):
        assert abs(faces[0].mean() - np.clip(truth, 0, 255).mean()) < 1.5


def test_nothing_crosses_a_cut() -> None:
    inputs = [source()] * 8
    truths = [sharp()] * 4 + [sharp() * 0.6] * 4
    frames = film(inputs, truths, 6.0)
    apart = through(frames[:4]) + through(frames[4:])
    for one, other in zip(through(frames, cuts=[4]), apart, strict=True):
        assert np.array_equal(one[0], other[0])
    mixed = through(frames)
    assert not np.array_equal(mixed[4][0], apart[4][0])


def test_nothing_crosses_a_frame_without_the_face() -> None:
    frames = film([source()] * 7, [sharp()] * 7, 6.0)
    frames[3] = []
    apart = [*through(frames[:3]), (), *through(frames[4:])]
    for one, other in zip(through(frames), apart, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_faces_are_filtered_apart_and_come_in_their_order() -> None:
    first = film([source()] * 6, [sharp()] * 6, 6.0, seed=1)
    second = film([source()[::-1]] * 6, [sharp()[::-1]] * 6, 6.0, seed=2)
    both = []
    for t, (a, b) in enumerate(zip(first, second, strict=True)):
        other = RestoredCrop(7, b[0].crop, b[0].restored)
        both.append([other, a[0]] if t % 2 else [a[0], other])
    done = through(both)
    for t, (a, b) in enumerate(zip(through(first), through(second), strict=True)):
        pair = (b[0], a[0]) if t % 2 else (a[0], b[0])
        assert all(np.array_equal(x, y) for x, y in zip(done[t], pair, strict=True))


def test_a_face_that_was_not_restored_stays_and_is_no_neighbour() -> None:
    frames = film([source()] * 5, [sharp()] * 5, 6.0)
    left = frames[2][0].crop
    frames[2] = [RestoredCrop(0, left, left.copy())]
    done = through(frames)
    assert np.array_equal(done[2][0], left)
    apart = [*through(frames[:2]), (left,), *through(frames[3:])]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(done, apart, strict=True))


def test_grey_stays_grey() -> None:
    def grey(levels: np.ndarray) -> np.ndarray:
        return np.repeat(levels[..., 1:2], 3, axis=2)

    frames = film([grey(source())] * 5, [grey(sharp())] * 5, 6.0)
    for faces in through(frames):
        assert (np.ptp(faces[0], axis=2) == 0).all()


@given(start=st.integers(0, 11), length=st.integers(1, 6), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_face_depends_on_its_nearest_frames_alone(start: int, length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [source() + rng.normal(0, 5, (SIDE, SIDE, 1)) for _ in range(12)]
    frames = film(inputs, [sharp()] * 12, 6.0, seed)
    cut = int(rng.integers(1, 12))
    whole = through(frames, [cut])
    stop = min(start + length, 12)
    first = max(start - DEFLICKER_FRAMES, 0)
    segment = through(frames[first : stop + DEFLICKER_FRAMES], [cut - first])
    for t in range(start, stop):
        assert np.array_equal(segment[t - first][0], whole[t][0])


def test_after_the_end_another_film_may_begin() -> None:
    frames = film([source()] * 4, [sharp()] * 4, 6.0)
    stream = Deflicker()
    for _ in range(2):
        done = [out for faces in frames for out in stream.push(faces)] + stream.finish()
        assert all(np.array_equal(a[0], b[0]) for a, b in zip(done, through(frames), strict=True))
    assert stream.finish() == []


def test_what_does_not_fit_is_refused() -> None:
    crop = np.zeros((SIDE, SIDE, 3), np.uint8)
    with pytest.raises(ValueError, match="same track"):
        Deflicker().push([RestoredCrop(1, crop, crop), RestoredCrop(1, crop, crop)])
    with pytest.raises(ValueError, match="one shape"):
        Deflicker().push([RestoredCrop(1, crop, crop[:64])])


def test_chunks_come_back_in_order_with_the_crops_of_their_tracks() -> None:
    frames = film([source()] * 6, [sharp()] * 6, 6.0)
    lost = 3  # its faces could not be restored
    detected = [(face(similarity()), face(similarity(), at=(180, 100))) for _ in frames]
    unit = Segment(id="u", source="film.mp4", output="film.mp4", work=None)
    chunks = [
        Chunk(unit)
        if t == lost
        # Aligning left the first face of every frame out.
        else Chunk(
            unit,
            faces=(detected[t][1:],),
            crops=(one.crop[None],),
            restored=(one.restored[None],),
        )
        for t, (one,) in enumerate(frames)
    ]
    done = list(deflickered(enumerate(chunks), detected, [(4, 9)] * 6, [False] * 6))
    expected = through([[] if t == lost else faces for t, faces in enumerate(frames)])
    assert [position for position, _ in done] == list(range(6))
    assert done[lost][1] is chunks[lost]
    for (_, chunk), crops in zip(done, expected, strict=True):
        assert all(np.array_equal(a[0], b) for a, b in zip(chunk.restored, crops, strict=True))
    assert not np.array_equal(done[1][1].restored[0], chunks[1].restored[0])

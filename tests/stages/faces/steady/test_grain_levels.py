"""The strength of grain along tracks: steady, without gaps, and the same however a film is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from restore_batch.models.base import Face
from restore_batch.stages.faces.steady.follow import STEADY_CONTEXT_FRAMES
from restore_batch.stages.faces.steady.grain_levels import GRAIN_FRAMES, steady_grain
from restore_batch.stages.faces.steady.track import GAP_FRAMES, TrackedFace, Tracks

FRAMES = 40


def film(*tracks: list[float | None]) -> Tracks:
    """One face a track and frame, with what was measured around it."""
    plain = Face((0.0, 0.0, 9.0, 9.0), np.zeros((5, 2), np.float32), 0.9)
    return tuple(
        tuple(TrackedFace(replace(plain, grain=levels[t]), i) for i, levels in enumerate(tracks))
        for t in range(len(tracks[0]))
    )


def levels(tracks: Tracks, number: int = 0) -> list[float | None]:
    return [faces[number].face.grain for faces in tracks]


def shaky(seed: int) -> list[float | None]:
    return list(np.random.default_rng(seed).uniform(2, 6, FRAMES))


def test_a_strength_that_jumps_is_steady_afterwards() -> None:
    before = shaky(0)
    after = levels(steady_grain(film(before)))
    assert np.std(np.diff(np.array(after))) < np.std(np.diff(np.array(before))) / 8
    assert np.mean(np.array(after)) == pytest.approx(np.mean(np.array(before)), rel=0.05)


def test_people_do_not_share_their_grain() -> None:
    both = steady_grain(film(shaky(1), [9.0] * FRAMES))
    assert levels(both, 0) == levels(steady_grain(film(shaky(1))))
    assert levels(both, 1) == pytest.approx([9.0] * FRAMES)


def test_a_frame_without_measurement_has_its_neighbours_strength_and_none_where_none_has() -> None:
    some = shaky(2)
    some[7] = some[8] = None
    after = levels(steady_grain(film(some)))
    assert all(level is not None and 2 < level < 6 for level in after)
    assert levels(steady_grain(film([None] * FRAMES))) == [None] * FRAMES


@pytest.mark.parametrize("own", [(0, 10), (12, 20), (25, 40)])
def test_the_strength_is_the_same_in_whatever_segment_a_frame_is(own: tuple[int, int]) -> None:
    some = shaky(3)
    whole = levels(steady_grain(film(some)))
    first, stop = max(0, own[0] - GRAIN_FRAMES), min(FRAMES, own[1] + GRAIN_FRAMES)
    part = levels(steady_grain(film(some[first:stop])))
    assert part[own[0] - first : own[1] - first] == whole[own[0] : own[1]]


def test_the_context_of_a_segment_covers_what_strengths_look_at() -> None:
    assert GRAIN_FRAMES + GAP_FRAMES <= STEADY_CONTEXT_FRAMES

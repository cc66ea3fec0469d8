"""Shot cuts: found where the film has them, and not where it flickers, shakes or is scratched."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.faces.steady.cuts import Signature, frame_signature, is_cut

from support import data
from support.moving_faces import shown, similarity, texture


def film(name: str) -> Path:
    path = data.folder("RESTORE_BATCH_VIDEO", "video") / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


def signatures(path: Path) -> list[Signature]:
    with av.open(str(path)) as container:
        frames = container.decode(video=0)
        return [frame_signature(frame.to_ndarray(format="rgb24")) for frame in frames]


def cuts(some: list[Signature]) -> list[int]:
    return [t for t in range(1, len(some)) if is_cut(some[t - 1], some[t])]


# Seen by eye: the first frame of each new shot.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("film_1950s.mp4", [44, 134, 299]),
        ("cuts_and_gaps.mp4", [25, 40, 70]),
        ("anamorphic.mp4", [44]),
        ("carphone_aac.mp4", []),
        ("vfr.mp4", []),
    ],
)
def test_a_film_is_cut_exactly_where_its_shots_change(name: str, expected: list[int]) -> None:
    assert cuts(signatures(film(name))) == expected


def damaged(rgb_hwc: np.ndarray, gain: float, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, grain, and scratches from top to bottom."""
    levels = rgb_hwc * gain + shift + rng.normal(0, 8, rgb_hwc.shape[:2])[..., None]
    for x in rng.integers(0, rgb_hwc.shape[1] - 2, 2):
        levels[:, x : x + 2] = rng.choice([0, 255])
    return np.clip(levels, 0, 255).astype(np.uint8)


@given(
    seed=st.integers(0, 19),
    x=st.floats(-18, 18),
    y=st.floats(-14, 14),
    zoom=st.floats(0.96, 1.04),
    turn=st.floats(-0.04, 0.04),
    gain=st.floats(0.6, 1.2),
    shift=st.floats(-20, 30),
)
@settings(max_examples=30, deadline=None)
def test_flicker_scratches_grain_and_a_shaking_camera_are_no_cut(
    seed: int, x: float, y: float, zoom: float, turn: float, gain: float, shift: float
) -> None:
    rng = np.random.default_rng(seed)
    still = texture(seed)
    moved = shown(still, similarity(x, y, zoom, turn))
    before = frame_signature(damaged(still, 1.0, 0.0, rng))
    assert not is_cut(before, frame_signature(damaged(moved, gain, shift, rng)))


@given(first=st.integers(0, 9), second=st.integers(10, 19))
@settings(max_examples=20, deadline=None)
def test_another_picture_is_a_cut_whichever_comes_first(first: int, second: int) -> None:
    one, other = frame_signature(texture(first)), frame_signature(texture(second))
    assert is_cut(one, other)
    assert is_cut(other, one)


def test_something_large_that_crosses_the_picture_is_no_cut() -> None:
    background, passing = texture(1), texture(2)
    before, after = background.copy(), background.copy()
    before[40:140, 20:90] = passing[:100, :70]
    after[40:140, 40:110] = passing[:100, :70]
    assert not is_cut(frame_signature(before), frame_signature(after))


def test_a_picture_after_black_is_a_cut_and_black_after_black_is_none() -> None:
    picture = frame_signature(texture(3))
    black = frame_signature(np.zeros((180, 240, 3), np.uint8))
    nearly_black = frame_signature(np.full((180, 240, 3), 3, np.uint8))
    white = frame_signature(np.full((180, 240, 3), 255, np.uint8))
    assert is_cut(black, picture)
    assert is_cut(picture, black)
    assert not is_cut(black, nearly_black)
    assert not is_cut(black, white)


@pytest.mark.parametrize("sides", [True, False])
def test_bars_around_the_picture_do_not_hide_a_cut(sides: bool) -> None:
    frames = [texture(4), texture(5)]
    for frame in frames:
        if sides:
            frame[:, :40] = frame[:, -40:] = 0
        else:
            frame[:35] = frame[-35:] = 0
    before, after = map(frame_signature, frames)
    assert is_cut(before, after)
    assert not is_cut(before, before)


def test_sixteen_bits_say_the_same_as_eight() -> None:
    rgb = texture(6)
    deep = frame_signature(rgb.astype(np.uint16) * 257)
    assert np.abs(deep.luma_hw - frame_signature(rgb).luma_hw).max() < 1.0
    assert not is_cut(frame_signature(rgb), deep)


def test_a_signature_is_small_and_refuses_other_pixels() -> None:
    assert frame_signature(texture(7, (1000, 700))).luma_hw.nbytes < 20_000
    with pytest.raises(ValueError, match="uint8 or uint16"):
        frame_signature(np.zeros((48, 64, 3), np.float32))

"""Scratches that run one way are found together; what could be cords, rules and bars is left."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.weights.store import Store
from restore_batch.stages.repair import lines
from restore_batch.stages.repair.certain import HINT, Certain, Certainty, levels_of
from restore_batch.stages.repair.find import find_damage
from restore_batch.stages.repair.lines import lines_one_way

SIDE = 320
SAMPLE = Path(__file__).parents[3] / "jobs" / "samples" / "scratched_negative.jpg"


def level(log_odds: float) -> int:
    seen = Certain(np.array([log_odds]), np.array([1]))
    return int(levels_of(seen, np.ones(1))[0])


def drawn(
    starts: list[tuple[int, int]],
    *,
    length: int = 200,
    lean: int = 0,
    thick: int = 3,
    log_odds: float = 0.0,
) -> np.ndarray:
    """Lines that begin at these (x, y) and lean to the right by so many pixels."""
    levels = np.zeros((SIDE, SIDE), np.uint8)
    for x, y in starts:
        cv2.line(levels, (x, y), (x + lean, y + length), level(log_odds), thick)
    return levels


STARTS = [(20, 10), (80, 60), (150, 30), (260, 100)]


@given(lean=st.integers(-12, 12), thick=st.integers(1, 5), log_odds=st.floats(0.0, 4.0))
def test_lines_that_run_down_or_across_are_found(lean: int, thick: int, log_odds: float) -> None:
    levels = drawn(STARTS, lean=lean, thick=thick, log_odds=log_odds)
    found = lines_one_way(levels)
    there = levels > 0
    assert not (found & ~there).any()
    assert found.sum() > 0.85 * there.sum()
    turned = lines_one_way(np.ascontiguousarray(levels.T))
    assert np.array_equal(turned, found.T)


@pytest.mark.parametrize(
    "levels",
    [
        drawn(STARTS[:3]),  # rules
        drawn(STARTS, log_odds=-2.4),  # so they look in sound photographs
        drawn(STARTS, length=60),
        drawn(STARTS, lean=60),  # roofs, and legs of tripods
        drawn(STARTS, thick=31),  # bars
        drawn(STARTS, log_odds=-3.0),
        np.full((SIDE, SIDE), level(2.0), np.uint8),
        np.zeros((1, 1), np.uint8),
        np.zeros((3, 900), np.uint8),
    ],
    ids=["few", "unlikely", "short", "leaning", "thick", "impossible", "all", "pixel", "strip"],
)
def test_whatever_else_there_is_is_left(levels: np.ndarray) -> None:
    assert not lines_one_way(levels).any()
    assert not lines_one_way(levels.T).any()


def test_hints_count_beside_scratches_alone_and_only_those_that_run_as_they_do() -> None:
    hints = np.zeros((SIDE, SIDE), np.uint8)
    cv2.line(hints, (200, 40), (206, 240), HINT, 3)
    across = hints.copy()
    cv2.line(across, (20, 312), (280, 312), HINT, 3)
    cv2.rectangle(across, (290, 40), (312, 200), HINT, -1)
    assert not lines_one_way(across).any()
    found = lines_one_way(np.maximum(across, drawn(STARTS)))
    assert found[hints > 0].mean() > 0.9
    assert not found[305:].any()
    assert not found[:, 290:].any()


@pytest.mark.parametrize("factor", [1, 3])
def test_a_gap_in_a_line_is_bridged_where_something_else_is_hinted_at(
    factor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = drawn(STARTS)
    cv2.line(levels, (200, 40), (204, 240), level(0.0), 3)
    levels[120:150, 180:225] = HINT  # a face, say, that is taken for damage, too
    levels[130:160, 70:95] = 0  # a gap in another line, in which nothing is seen
    levels = cv2.resize(levels, None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    if factor > 1:
        monkeypatch.setattr(lines, "_MOST_PIXELS", levels.size // 8)
    found = lines_one_way(levels)
    gap = found[120 * factor : 150 * factor]
    assert gap[:, 196 * factor : 209 * factor].any(axis=1).mean() > 0.95
    assert not gap[:, 180 * factor : 194 * factor].any()
    assert not gap[:, 211 * factor : 225 * factor].any()
    assert not found[133 * factor : 157 * factor, 70 * factor : 95 * factor].any()
    turned = lines_one_way(np.ascontiguousarray(levels.T))
    assert (turned == found.T).mean() > 0.999


def test_in_a_large_picture_the_same_is_found_in_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = cv2.resize(drawn(STARTS), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    whole = lines_one_way(levels)
    monkeypatch.setattr(lines, "_MOST_PIXELS", levels.size // 8)
    monkeypatch.setattr(lines, "_STRIP_PX", 100)
    reduced = lines_one_way(levels)
    assert whole.sum() > 0.9 * (levels > 0).sum()
    assert (whole & reduced).sum() > 0.95 * whole.sum()
    assert not (reduced & (levels == 0)).any()


def test_the_scratches_of_the_sample_are_found_and_the_tripod_is_not() -> None:
    finder = registry.build(Store(download=False).ref(registry.card("damage-1"), {}), Runtime())
    rgb = cv2.cvtColor(cv2.imread(str(SAMPLE)), cv2.COLOR_BGR2RGB)
    damage = find_damage(rgb, finder, Certainty()) > 0
    # Of the two that are clearest to the eye, left and right of the man.
    assert damage[185:280, 92:96].any(axis=1).mean() > 0.8
    assert damage[180:230, 236:242].any(axis=1).mean() > 0.8
    # The left leg, where no scratch crosses it.
    leg = [damage[y, round(135 - 0.27 * (y - 190)) - 2 :][:5].any() for y in range(200, 250)]
    assert np.mean(leg) < 0.3
    # The column between the legs is as straight as they are.
    assert not damage[205:250, 142:148].any()
    sure = find_damage(rgb, finder, Certainty(false_share=0.0)) > 0
    assert sure.sum() < 0.3 * damage.sum()

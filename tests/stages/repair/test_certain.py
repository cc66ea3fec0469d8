"""How certain is enough depends on how much of a picture is how certain."""

from __future__ import annotations

import numpy as np

from restore_batch.stages.repair.certain import (
    LEVELS,
    LOG_ODDS,
    WHOLLY,
    Certain,
    Certainty,
    certain,
    levels_of,
    taken,
)
from restore_batch.stages.repair.marks import STRATA

SPECK, ELSE = range(2)
SHARES = np.log(np.interp(LOG_ODDS, [-6.0, 0.0, 3.0, 9.0], [1e-2, 1e-3, 1e-5, 1e-6]))
SOUND = np.stack([SHARES - 5, SHARES])


def level_of(odds: float, stratum: int = ELSE) -> int:
    return int(levels_of(Certain(np.array([odds]), np.array([stratum])), np.ones(1))[0])


def counts_of(seen: dict[float, int], pixels: int, stratum: int = ELSE) -> np.ndarray:
    """So many pixels with each log odds, in a picture that is empty elsewhere."""
    counts = np.zeros(LEVELS, np.int64)
    for odds, count in seen.items():
        counts[level_of(odds, stratum)] += count
    counts[0] = pixels - counts.sum()
    return counts


def filled_at(
    odds: float, seen: dict[float, int], pixels: int, certainty: Certainty, stratum: int = ELSE
) -> int:
    """How far what is so certain is filled."""
    far = taken(counts_of(seen, pixels, stratum), certainty, SOUND)
    return int(far[level_of(odds, stratum)])


def is_taken(
    odds: float, seen: dict[float, int], pixels: int, certainty: Certainty, stratum: int = ELSE
) -> bool:
    return filled_at(odds, seen, pixels, certainty, stratum) == WHOLLY


def test_what_is_sure_is_damage_in_any_picture_and_what_is_less_is_not() -> None:
    seen, certainty = {4.0: 1, -1.0: 1, 9.5: 1}, Certainty(sure=9.0, false_share=0.2)
    assert [is_taken(odds, seen, 10**6, certainty) for odds in seen] == [False, False, True]


def test_where_much_is_certain_what_is_less_so_is_taken_too() -> None:
    certainty = Certainty(sure=9.0, false_share=0.2)
    assert is_taken(1.4, {8.0: 3000, 1.4: 40_000}, 10**6, certainty)
    # As much of a picture a hundred times as large is what chance gives.
    assert not is_taken(1.4, {8.0: 3000, 1.4: 40_000}, 10**8, certainty)
    # And where the less certain is not there in numbers, it is not taken for the other's sake.
    assert not is_taken(1.4, {8.0: 3000, 1.4: 20}, 10**8, certainty)


def test_where_much_speaks_strongly_for_damage_twice_as_much_may_be_false() -> None:
    certainty = Certainty(sure=9.0, false_share=0.2)
    assert not is_taken(0.0, {3.0: 20, 0.0: 3000}, 10**6, certainty)
    assert is_taken(0.0, {3.0: 300, 0.0: 2700}, 10**6, certainty)
    assert not is_taken(0.0, {3.0: 300, 0.0: 1700}, 10**6, certainty)


def test_where_a_picture_is_thickly_strewn_what_is_less_certain_is_filled_in_part() -> None:
    certainty, strewn = Certainty(sure=9.0, false_share=0.2), {3.0: 600}
    likely = [-4.0, -3.0, -2.0, -1.5, -1.0, 0.0]
    far = [filled_at(odds, strewn, 10**6, certainty) for odds in likely]
    assert far[:2] == [0, 0] and far == sorted(far) and 0 < far[2] < far[3] < far[-1] < WHOLLY
    assert abs(far[3] / WHOLLY - 0.5) < 0.03
    assert filled_at(-1.5, {3.0: 300}, 10**6, certainty) == 0
    # Where little is certain beside it, what is less so is something else.
    assert filled_at(-1.5, strewn | {-1.5: 1150}, 10**6, certainty) > 0
    assert filled_at(-1.5, strewn | {-1.5: 1250}, 10**6, certainty) == 0
    # Of specks nothing speaks for damage there.
    assert filled_at(0.0, strewn, 10**6, certainty, SPECK) > 0
    assert taken(counts_of(strewn, 10**6), certainty, SOUND)[level_of(0.0, SPECK)] == 0


def test_specks_on_even_ground_are_weighed_by_what_sound_pictures_have_of_them() -> None:
    few, certainty = {1.4: 300}, Certainty(sure=9.0, false_share=0.2)
    assert is_taken(1.4, few, 10**6, certainty, SPECK)
    assert not is_taken(1.4, few, 10**6, certainty, ELSE)


def test_a_small_picture_needs_a_larger_share_than_those_by_which_shares_are_known() -> None:
    certainty = Certainty(sure=9.0, false_share=0.2)
    for pixels, enough in ((10**6, 5e-5), (4 * 10**6, 5e-5), (40_000, 1.66e-4)):
        for share, wanted in ((1.1 * enough, True), (0.9 * enough, False)):
            assert is_taken(3.0, {3.0: round(share * pixels)}, pixels, certainty) is wanted


def test_nothing_but_what_is_sure_is_taken_where_nothing_may_be_false() -> None:
    certainty = Certainty(sure=9.0, false_share=0.0)
    assert not is_taken(8.0, {8.0: 50_000}, 10**6, certainty)


def test_however_much_is_damaged_what_is_unlikely_is_not_taken() -> None:
    certainty, strewn = Certainty(sure=9.0, false_share=0.5), {4.0: 5000}
    assert is_taken(0.5, strewn | {0.5: 200_000}, 10**6, certainty)
    assert not is_taken(-1.0, strewn | {0.5: 200_000, -1.0: 400_000}, 10**6, certainty)


def test_where_nothing_speaks_strongly_for_damage_much_that_is_likely_is_left() -> None:
    certainty = Certainty(sure=9.0, false_share=0.5)
    cords = {1.5: 200_000}
    assert not is_taken(1.5, cords, 10**6, certainty)
    assert is_taken(1.5, cords, 10**6, certainty, SPECK)


def test_a_thin_line_is_as_certain_throughout_as_a_quarter_of_it_and_a_broad_mark_is_not() -> None:
    picture = np.full((120, 300, 3), 120, np.uint8)
    expected = np.full((120, 300), 0.02, np.float32)
    for top, bottom in ((20, 23), (60, 80)):
        picture[top:bottom, 40:280] = 250
        expected[top:bottom, 40:280] = np.linspace(0.4, 0.99, 240)
    odds = certain(picture, expected, 0.35).log_odds
    line, board = odds[21, 40:280], odds[70, 40:280]
    assert line.min() >= np.quantile(board - board.max() + line.max(), 0.7)
    assert np.ptp(line) < 0.7 * np.ptp(board)
    assert (odds[90] == -np.inf).all()


def test_what_is_no_mark_is_never_taken() -> None:
    assert not is_taken(-np.inf, {}, 10**6, Certainty(sure=-6.0, false_share=1.0))


def test_levels_tell_the_strata_apart() -> None:
    odds = np.array([-np.inf, -7.0, 0.0, 50.0])
    made = [
        levels_of(Certain(odds, np.full(4, stratum)), np.zeros(4)) for stratum in range(len(STRATA))
    ]
    assert all(levels.dtype == np.uint8 for levels in made)
    assert made[SPECK].tolist() == [0, 0, 49, 127]
    np.testing.assert_array_equal(made[ELSE], made[SPECK] + 128)

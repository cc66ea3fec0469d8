"""How certain it is that a place is damage, and how certain is enough.

A place is as certain as the damage network is of it and as its mark is as a whole (:mod:`.odds`).
What is enough depends on the picture: dust seldom comes alone. What is seen in sound photographs
covers little of them; where far more of a picture is as certain, most of it is damage, and less
certain places are taken too, as long as few of those taken would be found in a sound one, and more
of them where much speaks strongly for damage: there, what is less certain still is filled in part,
as far as it is likely to be damage. Specks on even ground are weighed apart from all else, since
sound photographs have few of them.

Sources: Benjamini and Hochberg 1995, "Controlling the False Discovery Rate", with the pixels of
sound photographs as what chance gives; Sun et al. 2006, "Stratified false discovery control for
large-scale hypothesis testing".
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.stages.repair.marks import STRATA, faint, marks, strata
from restore_batch.stages.repair.odds import JUDGE, Judge

_NO_DOUBT = 9.2
"""Log odds of a pixel, or of its opposite, beyond which the network is not told apart."""
_AGAINST = -4.0
"""Log odds of a mark below which it is as unlikely as it can be."""
_MOST_FAINT = 1.5
"""Log odds of a pixel and of its mark together where the mark is faint, at most."""
_SPEAKS = 2.5
"""Log odds that speak strongly for damage."""
_EVIDENT, _STREWN = (-6.0, _SPEAKS), (-6.0, -0.5)
"""Of each stratum the log odds below which nothing is taken: of any picture, for cords, rules and
belts look like damage too, and of one that is strewn with it. There the legs of a tripod and the
like are as likely as half of what is less certain."""
_EVIDENT_TIMES, _STREWN_TIMES = 3.0, 2.0
"""Where so many times less of what speaks strongly for damage is false than may be, a picture is
strewn with it, and so many times more may be false: most sound photographs have far less that looks
like damage than those by which it is reckoned."""
_POSSIBLE, _LIKELY_HALF, _LIKELY_STEP = -2.5, -1.5, 1.5
"""In a picture that is thickly strewn with damage, log odds from which on what is not taken is
filled in part: half at the second, rising by a logistic curve in steps of the third. How far the
filled place is to be blended in for the least squared error was measured for each level: 0.3 at
-2.25, 0.5 to 0.65 at -0.25; what is said here lets somewhat more of the damage go."""
_POSSIBLE_TIMES = 2.0
"""Where more than so many times what is certain is merely possible, it is something else."""
_THICKLY_TIMES = 8.0
"""Where so many times less of what speaks strongly for damage is false than may be, a picture is
thickly strewn with it. Of 188 sound photographs one is taken for that; the needles of a hemlock
come next."""
WHOLLY, BLINDLY = 254, 255
"""How far what is certain is filled; and what is certain whatever seems to lie there."""
_KNOWN_PIXELS = 768 * 576
"""Of the copies of sound photographs by which shares are known."""
_THIN_PX = 7
"""What a disc of so many pixels does not fit into is thin."""
_LEAST, _STEP = -6.0, 1 / 8
"""Of how certain places are, in levels."""
_LEVELS = 128
"""Of each stratum: the first stands for what never counts."""
LEVELS = _LEVELS * len(STRATA)
HINT = 1
"""The level, below those of any mark, of what is none but could be part of one."""
_HINTED = 0.05
"""From this certainty of the network on."""


LOG_ODDS = (-6.0, -4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 9.0)
SOUND = np.array(
    [
        [-8.83, -8.84, -9.5, -11.11, -11.75, -12.55, -12.89, -13.82, -13.82, -13.82, -13.82],
        [-3.69, -3.81, -4.69, -5.13, -5.72, -6.54, -7.94, -9.27, -11.84, -13.82, -13.82],
    ]
)
"""For each stratum the logarithm of the share of sound photographs that is of it and has at least
these log odds: what nine in ten stay below, or the mean of all where that is more.
``benchmarks/marks.py`` says it."""


@dataclass(frozen=True)
class Certainty:
    """``pixel``: from this certainty of the network on, in [0, 1], a pixel belongs to a mark.
    ``sure``: the log odds of a pixel and of its mark together from which it is damage in any
    picture. ``false_share``: of what is taken of a picture, the share that would be found in a
    sound one, at most; 0 takes what is sure only."""

    pixel: float = 0.2
    sure: float = 9.0
    false_share: float = 0.3


@dataclass(frozen=True, eq=False)
class Certain:
    """``log_odds``: of each pixel and of its mark together, (H, W) float64; -inf where no mark is.
    ``stratum``: what kind of mark it is of, (H, W) int, an index of
    :data:`~restore_batch.stages.repair.marks.STRATA`."""

    log_odds: np.ndarray
    stratum: np.ndarray


def certain(
    rgb_hwc: np.ndarray, expected: np.ndarray, pixel: float, judge: Judge = JUDGE
) -> Certain:
    """How certain damage is at each pixel.

    ``rgb_hwc``: (H, W, 3) uint8. ``expected``, ``pixel``: what the network says of it, and from
    which certainty on a pixel belongs to a mark."""
    found = marks(rgb_hwc, expected, pixel)
    if not len(found.features):  # as most tiles have
        return Certain(np.full(expected.shape, -np.inf), found.number_hw)
    odds = np.where(found.lonely, -np.inf, np.maximum(judge.odds(found.features), _AGAINST))
    least = 1 / (1 + np.exp(_NO_DOUBT))
    p = np.clip(expected, least, 1 - least)
    kinds = strata(found.features)
    most = np.where(faint(found.features) & (kinds > 0), _MOST_FAINT, np.inf)

    def of_pixels(outside: float, of_marks: np.ndarray) -> np.ndarray:
        return np.asarray(np.concatenate([[outside], of_marks])[found.number_hw])

    total = np.minimum(np.log(p / (1 - p)) + of_pixels(-np.inf, odds), of_pixels(np.inf, most))
    return Certain(_along(total), of_pixels(0, kinds).astype(np.intp))


def _along(log_odds: np.ndarray) -> np.ndarray:
    """The log odds, where marks are thin at least those that a quarter of the thin part has: a line
    is one thing, however faint it is here and there."""
    inside = (log_odds > -np.inf).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_THIN_PX, _THIN_PX))
    thin = cv2.morphologyEx(inside, cv2.MORPH_TOPHAT, disc)
    count, number = cv2.connectedComponents(thin, connectivity=8)
    if count < 2:
        return log_odds
    at = number > 0
    order = np.lexsort((log_odds[at], number[at]))
    owner, sorted_odds = number[at][order], log_odds[at][order]
    ends = np.searchsorted(owner, np.arange(1, count), side="right")
    begins = np.concatenate([[0], ends[:-1]])
    upper = sorted_odds[begins + (3 * (ends - 1 - begins)) // 4]
    along = log_odds.copy()
    along[at] = np.maximum(log_odds[at], upper[number[at] - 1])
    return along


def levels_of(seen: Certain, expected: np.ndarray) -> np.ndarray:
    """How certain it is, in steps that fit into uint8 and tell the strata apart; :data:`HINT` where
    the network, which expects damage with certainty ``expected``, merely hints at it."""
    steps = np.floor((seen.log_odds - _LEAST) / _STEP) + 1
    steps = np.where(steps < 1, 0, np.clip(steps, HINT + 1, _LEVELS - 1))
    levels = (steps + _LEVELS * seen.stratum).astype(np.uint8)
    levels[(seen.log_odds == -np.inf) & (expected >= _HINTED)] = HINT
    return levels


def log_odds_of(levels: np.ndarray) -> np.ndarray:
    """The log odds that such levels begin at, float64; where nothing is, less than any."""
    return np.asarray(_LEAST + _STEP * ((levels % _LEVELS).astype(np.float64) - 1))


def hinted(levels: np.ndarray) -> np.ndarray:
    """Where the network hints at damage, or more, bool."""
    return np.asarray(levels % _LEVELS >= HINT)


def possible(levels: np.ndarray) -> np.ndarray:
    """Where damage is possible at all, bool."""
    return np.asarray(levels % _LEVELS >= _level(_POSSIBLE))


def taken(counts: np.ndarray, certainty: Certainty, sound: np.ndarray = SOUND) -> np.ndarray:
    """Map each of 256 certainty levels to a fill strength, (256,) uint8, given the picture's
    histogram of levels: 0 not at all, :data:`WHOLLY` where it is certain enough.

    ``counts``: (256,) int, the histogram; hints count as nothing. ``sound``: for each stratum the
    logarithm of the share of sound photographs that is of it and has at least each of
    :data:`LOG_ODDS`.
    """
    own, pixels = counts.reshape(len(STRATA), _LEVELS).copy(), _reckoned(int(counts.sum()))
    own[:, HINT] = 0
    sure, false_share = _level(certainty.sure), certainty.false_share
    far = np.zeros(own.shape, np.uint8)
    for stratum, row in enumerate(zip(own, sound, strict=True)):
        strewn, thickly = (
            _enough(*row, pixels, false_share / times, _SPEAKS) is not None
            for times in (_EVIDENT_TIMES, _THICKLY_TIMES)
        )
        times, least = (_STREWN_TIMES, _STREWN) if strewn else (1.0, _EVIDENT)
        level = _enough(*row, pixels, times * false_share, least[stratum])
        enough = sure if level is None else min(level, sure)
        possible = own[stratum, :enough][_PARTLY[:enough] > 0].sum()
        if thickly and possible <= _POSSIBLE_TIMES * own[stratum, enough:].sum():
            far[stratum] = _PARTLY
        far[stratum, enough:] = WHOLLY
    far[:, HINT] = 0
    return far.ravel()


def _reckoned(pixels: int) -> float:
    """The size that a picture is reckoned as. What is false comes in marks, and the fewer pixels
    there are, the further one mark more moves their share: by the root of their number."""
    return max(pixels, (pixels * _KNOWN_PIXELS) ** 0.5)


def _enough(
    counts: np.ndarray, shares: np.ndarray, pixels: float, false_share: float, least: float
) -> int | None:
    """The lowest level, from log odds of ``least`` on, of which at most that share is false."""
    reached = counts[::-1].cumsum()[::-1][1:]
    share = np.exp(np.interp(_LEAST + _STEP * np.arange(len(reached)), LOG_ODDS, shares))
    first = _level(least)
    passed = (share * pixels <= false_share * reached)[first - 1 :].nonzero()[0]
    return first + int(passed[0]) if len(passed) else None


def _level(log_odds: float) -> int:
    return int(np.clip(np.floor((log_odds - _LEAST) / _STEP) + 1, 1, _LEVELS - 1))


def _filled_in_part() -> np.ndarray:
    """How far each level of a stratum is filled that is not certain enough, (128,) uint8."""
    log_odds = _LEAST + _STEP * (np.arange(_LEVELS) - 0.5)
    likely = 1 / (1 + np.exp((_LIKELY_HALF - log_odds) / _LIKELY_STEP))
    return np.where(log_odds > _POSSIBLE, np.rint(WHOLLY * likely), 0).astype(np.uint8)


_PARTLY = _filled_in_part()

"""Fits how marks are judged, and prints the numbers of ``stages/repair/odds.py``.

    python -m benchmarks.marks ../shared/scenes/train [--weights FILE] [--every N]

Crops of photographs, some hard, soft or grainy, are looked at as they are, strewn with damage, and
with a few strong scratches and specks. A mark is damage by the share of it that was drawn. The last
lines say how much of the sound crops is how certain, which ``certain.py`` holds as a table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from benchmarks.repair import asked_for
from restore_batch.models.base import DamageFinder
from restore_batch.models.train.data.damage import hard
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.grain import Grain
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.layer import sometimes
from restore_batch.models.train.data.old_scan.scanner import Lens
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.train.data.things import Things
from restore_batch.stages.repair.certain import LOG_ODDS, Certainty, certain
from restore_batch.stages.repair.marks import STRATA, Marks, marks
from restore_batch.stages.repair.odds import Judge, even, with_products

Kinds = Sequence[Scratches | Hairs | Dust]

_STREWN: Kinds = (
    Scratches(per_megapixel=(5, 120), depth=(0.4, 1.0)),
    Hairs(per_megapixel=(3, 60), depth=(0.4, 1.0)),
    Dust(per_megapixel=(20, 1500), depth=(0.4, 1.0)),
)
_FEW: Kinds = (
    Scratches(per_megapixel=(5, 40), length_px=(60, 900), width_px=(0.8, 5), depth=(0.75, 1.0)),
    Hairs(per_megapixel=(3, 25), depth=(0.75, 1.0)),
    Dust(per_megapixel=(15, 120), radius_px=(0.8, 7), depth=(0.75, 1.0)),
)
_ENLARGED = (1.0, 1.5, 1.5)
_CROP_HW = (384, 448)
_BLACK, _WHITE = (0.1, 0.7), (0.8, 1.0)
_SEEN = 12
"""Levels of 255 by which a pixel is changed that counts as damaged."""
_RIDGE = 5.0
_UNSEEN = 1e-6
"""A share that so few crops cannot show."""


@dataclass(frozen=True, eq=False)
class _Look:
    """A crop as the network saw it, and what is drawn on it: (H, W) bool."""

    rgb_hwc: np.ndarray
    expected: np.ndarray
    drawn: np.ndarray


def main() -> None:
    finder, pictures = asked_for(__doc__)
    looks: list[_Look] = []
    for number, (name, picture) in enumerate(pictures):
        rng = np.random.default_rng([17, number])
        good = _crop(picture, rng)
        scale = float(rng.choice(_ENLARGED))
        for kinds in ((), _STREWN, _FEW):
            bad = _damaged(good, kinds, rng)
            looks.append(_looked_at(bad, np.abs(bad.astype(int) - good).max(axis=2), scale, finder))
        print(f"{number + 1} {name}", flush=True)
    judge = _fitted_to(looks)
    for name in ("mean", "deviation", "weights"):
        print(f"    {name}=np.array(\n        [\n{_lines(getattr(judge, name))}\n        ]\n    ),")
    sound = [
        certain(look.rgb_hwc, look.expected.astype(np.float32), Certainty().pixel, judge)
        for look in looks
        if not look.drawn.any()
    ]
    for stratum, name in enumerate(STRATA):
        shares = np.array(
            [[((e.log_odds >= o) & (e.stratum == stratum)).mean() for o in LOG_ODDS] for e in sound]
        )
        least = np.maximum(
            np.maximum(np.quantile(shares, 0.9, axis=0), shares.mean(axis=0)), _UNSEEN
        )
        print(f"share of sound pictures, {name}: {np.round(np.log(least), 2).tolist()}")


def _fitted_to(looks: Sequence[_Look]) -> Judge:
    features, shares = [], []
    for look in looks:
        found = marks(look.rgb_hwc, look.expected.astype(np.float32), Certainty().pixel)
        features.append(found.features)
        shares.append(_shares(found, look.drawn))
    seen = np.concatenate(features)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    counts = np.exp(seen[:, 2]) ** 0.5
    weights = _fitted(with_products(even(seen, mean, deviation)), np.concatenate(shares), counts)
    return Judge(mean, deviation, weights)


def _crop(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of a picture at some size, some grey, hard, soft or grainy: rgb_hwc uint8."""
    zoom = float(rng.choice([0.6, 0.8, 1.0]))
    picture = cv2.resize(rgb_hwc, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    height, width = (min(a, b) for a, b in zip(picture.shape, _CROP_HW, strict=False))
    top = int(rng.integers(picture.shape[0] - height + 1))
    left = int(rng.integers(picture.shape[1] - width + 1))
    part = picture[top : top + height, left : left + width].astype(np.float32)
    if rng.random() < 0.3:
        part = np.repeat(part.mean(axis=2, keepdims=True), 3, axis=2)
    part = sometimes(0.3, Things(), part, rng)
    part = sometimes(0.2, partial(hard, black=_BLACK, white=_WHITE), part, rng)
    if rng.random() < 0.5:  # as scans are
        part = sometimes(0.8, Lens(sigma_px=(0.6, 2.2)), part, rng)
        part = sometimes(0.7, Grain(), part, rng)
    return np.asarray(np.clip(np.rint(part), 0, 255).astype(np.uint8))


def _damaged(good: np.ndarray, kinds: Kinds, rng: np.random.Generator) -> np.ndarray:
    picture = good.astype(np.float32)
    for kind in kinds:
        if rng.random() < 0.75:
            picture = kind(picture, rng).picture
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _looked_at(
    rgb_hwc: np.ndarray, change: np.ndarray, scale: float, finder: DamageFinder
) -> _Look:
    if scale != 1:
        rgb_hwc = np.asarray(
            cv2.resize(rgb_hwc, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        )
    seen = (change > _SEEN).astype(np.float32)
    drawn = cv2.resize(seen, (rgb_hwc.shape[1], rgb_hwc.shape[0])) > 0.5
    return _Look(rgb_hwc, finder(rgb_hwc).astype(np.float16), drawn)


def _shares(found: Marks, drawn: np.ndarray) -> np.ndarray:
    """The share of each mark that was drawn."""
    number, count = found.number_hw, len(found.features) + 1
    size = np.bincount(number.ravel(), minlength=count)
    return np.asarray((np.bincount(number[drawn], minlength=count) / np.maximum(size, 1))[1:])


def _fitted(columns: np.ndarray, shares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Weights of a logistic regression, by Newton's method; ``counts`` is how much a row counts."""
    counts = counts / counts.mean()
    ridge = _RIDGE * np.eye(columns.shape[1])
    ridge[0, 0] = 0
    weights = np.zeros(columns.shape[1])
    for _ in range(30):
        expected = 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope = columns.T @ (counts * (shares - expected)) - ridge @ weights
        bend = (columns * (counts * expected * (1 - expected))[:, None]).T @ columns + ridge
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def _lines(numbers: np.ndarray) -> str:
    text = ", ".join(f"{number:.3f}" for number in numbers) + ","
    return textwrap.fill(text, 98, initial_indent=" " * 8, subsequent_indent=" " * 8)


if __name__ == "__main__":
    main()

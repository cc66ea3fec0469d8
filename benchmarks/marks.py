"""Fits how marks are judged, and prints the numbers of ``stages/repair/odds.py``.

    python -m benchmarks.marks ../shared/scenes/train [--weights FILE] [--every N]

Crops of photographs, some hard, soft or grainy, are looked at as they are, strewn with damage, and
with a few strong scratches and specks. A mark is damage by the share of it that was drawn. The last
lines say how many marks nine in ten of the sound crops stay below, which ``find.py`` holds as a
formula.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
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
from restore_batch.stages.repair.find import Certainty
from restore_batch.stages.repair.marks import Marks, marks
from restore_batch.stages.repair.odds import even, with_products

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


def main() -> None:
    finder, pictures = asked_for(__doc__)
    sound, features, shares = [], [], []
    for number, (name, picture) in enumerate(pictures):
        rng = np.random.default_rng([17, number])
        good = _crop(picture, rng)
        scale = float(rng.choice(_ENLARGED))
        plain = _looked_at(good, scale, finder)
        sound.append((plain, plain.number_hw.size / 1e6))
        features.append(plain.features)
        shares.append(np.zeros(len(plain.features)))
        for kinds in (_STREWN, _FEW):
            bad = _damaged(good, kinds, rng)
            found = _looked_at(bad, scale, finder)
            features.append(found.features)
            shares.append(_shares(found, np.abs(bad.astype(int) - good).max(axis=2) > _SEEN))
        print(f"{number + 1} {name}", flush=True)
    seen = np.concatenate(features)
    mean, deviation = seen.mean(axis=0), seen.std(axis=0)
    area = np.exp(seen[:, 2])
    weights = _fitted(with_products(even(seen, mean, deviation)), np.concatenate(shares), area**0.5)
    for constant, numbers in (("_MEAN", mean), ("_DEVIATION", deviation), ("_WEIGHTS", weights)):
        print(f"{constant} = np.array(\n    [\n{_lines(numbers)}\n    ]\n)")
    for odds in np.arange(-3.0, 2.0, 0.5):
        counts = [
            (with_products(even(each.features, mean, deviation)) @ weights >= odds).sum()
            / megapixels
            for each, megapixels in sound
        ]
        print(f"odds {odds:4.1f}: {np.quantile(counts, 0.9):6.1f} a megapixel of sound pictures")


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
    part = sometimes(0.35, partial(hard, black=_BLACK, white=_WHITE), part, rng)
    part = sometimes(0.25, Lens(sigma_px=(0.4, 1.2)), part, rng)
    part = sometimes(0.3, Grain(), part, rng)
    return np.asarray(np.clip(np.rint(part), 0, 255).astype(np.uint8))


def _damaged(good: np.ndarray, kinds: Kinds, rng: np.random.Generator) -> np.ndarray:
    picture = good.astype(np.float32)
    for kind in kinds:
        if rng.random() < 0.75:
            picture = kind(picture, rng).picture
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _looked_at(rgb_hwc: np.ndarray, scale: float, finder: DamageFinder) -> Marks:
    if scale != 1:
        rgb_hwc = np.asarray(
            cv2.resize(rgb_hwc, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        )
    return marks(rgb_hwc, finder(rgb_hwc), Certainty().pixel)


def _shares(found: Marks, drawn: np.ndarray) -> np.ndarray:
    """The share of each mark that was drawn."""
    number = found.number_hw
    true = cv2.resize(drawn.astype(np.float32), number.shape[::-1]) > 0.5
    count = len(found.features) + 1
    size = np.bincount(number.ravel(), minlength=count)
    return np.asarray((np.bincount(number[true], minlength=count) / np.maximum(size, 1))[1:])


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

"""What a metric is, and what it says of itself: what it compares, by which convention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from restore_batch.models.weights.store import Store

Better = Literal["higher", "lower"]
Against = Literal["truth", "original", "nothing"]
"""What a result is compared with: the true picture, what it was made from, or nothing."""

Of = Literal["picture", "face"]
"""What is looked at: the whole picture, or each face, aligned."""

Measure = Callable[[np.ndarray, np.ndarray], float]
"""A result and what it is compared with (the result itself where that is nothing), each (H, W, 3)
RGB uint8 or uint16, to the score. Raises :class:`NotComputedError`."""


class NotComputedError(Exception):
    """Why there is no score, in a few words: of one picture, or of a metric at all."""


@dataclass(frozen=True)
class Metric:
    """One metric. ``convention``: channels, borders, range, all that scores of others may differ
    in. ``open``: loads what it needs; may raise :class:`NotComputedError`. ``lacks``: what is
    missing on this machine to compute it, "" where nothing is, told without loading anything.
    ``same_size``: the two pictures must be of one size. ``of``: what ``open``'s measure takes."""

    name: str
    title: str
    better: Better
    against: Against
    convention: str
    source: str
    open: Callable[[Store], Measure]
    lacks: Callable[[Store], str] = lambda store: ""
    same_size: bool = True
    of: Of = "picture"

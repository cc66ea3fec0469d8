"""Whether a restored face is still the person's: what is measured, and from where on it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from restore_batch.models.base import SAME_PERSON, Embedder
from restore_batch.models.running.threads import one_thread


def settled_limit(given: Mapping[str, Any]) -> float | None:
    """The ``min_identity`` that a stage is given, with its networks ``identity`` and ``restorer``:
    ``auto`` is the limit of one person, or nothing where no network measures likeness. Where a
    restorer invents faces, as the job has agreed to, none is held back."""
    asked: float | None = None
    if given["min_identity"] != "auto":
        asked = given["min_identity"]
    elif given["identity"] is not None:
        restorer = given["restorer"]
        asked = 0.0 if restorer is not None and restorer.card.imagines else SAME_PERSON
    return asked


def likenesses(
    embedder: Embedder | None, crops: Sequence[np.ndarray], restored: Sequence[np.ndarray]
) -> list[float | None]:
    """How alike each restored crop and its source are, in [-1, 1]; None without a network."""
    if embedder is None or not crops:
        return [None] * len(crops)
    # On the CPU by one thread: how much is blended in must not depend on how many there are.
    with one_thread():
        before, after = embedder(crops), embedder(restored)
    return [float(likeness) for likeness in embedder.likeness(before, after)]

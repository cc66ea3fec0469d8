"""Outlines of real damage, as a file of annotations holds them: what dust and hairs look like.

The file: a list of ``{scan, shapes: [{label, points: [[x, y], …]}]}`` in pixels of the scan, as
FilmDamageSimulator published it (Ivanova, Williamson and Henderson 2023, "Simulating analogue film
damage to analyse and improve artefact restoration on high-resolution scans", MIT licence).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from restore_batch.errors import UsageError
from restore_batch.models.train.data.old_scan.layer import turned

Kind = Literal["speck", "hair", "scratch"]

_KINDS: Mapping[str, Kind] = {
    "dust": "speck",
    "dirt": "speck",
    "hair": "hair",
    "scratch": "scratch",
}
_LARGEST_PX = 900.0


class Outlines:
    """Outlines by kind, each (N, 2) float32 about its own middle, in pixels of the scan."""

    def __init__(self, shapes: Mapping[Kind, Sequence[np.ndarray]]) -> None:
        self._shapes = shapes

    def one(self, kind: Kind, rng: np.random.Generator, scale: float) -> np.ndarray | None:
        """An outline, (N, 2), turned anyhow, mirrored or not, ``scale`` times its size on the
        scan; None where there is none of that kind."""
        shapes = self._shapes.get(kind, ())
        if not shapes:
            return None
        shape = shapes[int(rng.integers(len(shapes)))]
        turn = turned(rng.uniform(0, 2 * math.pi))
        mirror = np.array([scale, scale if rng.random() < 0.5 else -scale])
        return (shape * mirror) @ turn


@cache
def read_outlines(path: Path) -> Outlines:
    """The outlines of a file. Raises UsageError where it cannot be read as such a file."""
    try:
        scans = json.loads(path.read_text("utf-8"))
        shapes: dict[Kind, list[np.ndarray]] = {"speck": [], "hair": [], "scratch": []}
        for shape in (shape for scan in scans for shape in scan["shapes"]):
            _keep(shapes, shape)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{path}: no outlines of damage ({type(error).__name__}: {error}); expected a list of"
            " {scan, shapes: [{label, points}]}, or leave `outlines` out"
        ) from None
    return Outlines(shapes)


def _keep(shapes: dict[Kind, list[np.ndarray]], shape: Mapping[str, Any]) -> None:
    label = str(shape["label"]).lower()
    kind = next((kind for word, kind in _KINDS.items() if word in label), None)
    points = np.array(shape["points"], np.float32)
    if kind is None or points.ndim != 2 or len(points) < 3:
        return
    low, high = points.min(0), points.max(0)
    if (high - low).max() <= _LARGEST_PX:
        shapes[kind].append(points - (low + high) / 2)

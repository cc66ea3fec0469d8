"""Scores of one case, in a process of its own: a codec may crash, a picture may be too large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch.errors import MediaError, WeightsError
from restore_batch.models.base import Face
from restore_batch.models.metrics import sets
from restore_batch.models.metrics.base import Measure, Metric, NotComputedError
from restore_batch.models.metrics.sets import Features
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.evaluate import films
from restore_batch.pipeline.evaluate.cases import Case
from restore_batch.pipeline.evaluate.faces import face_scores
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.media import Frame
from restore_batch.stages.photo.read import read

ERROR = "error"


@dataclass
class MeasureCase:
    """Reads the pictures of a case and scores them.

    ``metrics``: names of those to be computed; ``detect``: finds faces, None: they are not looked
    for; ``where``: faces are looked for in the result, too. ``border_px``: cut off on all sides of
    what is compared with a truth. ``frames``: of a film, at most so many from its beginning.
    ``of_sets``: also what distances of sets of pictures are computed from.
    """

    metrics: tuple[str, ...]
    detect: Detect | None
    where: bool = True
    weights_dir: Path | None = None
    border_px: int = 0
    max_megapixels: float = 1000.0
    frames: int = 60
    of_sets: bool = False
    _features: Features | None = field(default=None, repr=False)
    _open: Mapping[str, tuple[Metric, Measure]] = field(default_factory=dict, repr=False)
    _known: tuple[str, tuple[Face, ...]] = ("", ())
    """The last reference, and its faces: those of all systems follow each other."""
    _true: tuple[str, np.ndarray | None] = field(default=("", None), repr=False)
    """The last truth, and its features."""

    def open(self) -> None:
        from restore_batch.models.metrics.catalogue import METRICS

        cv2.setNumThreads(1)
        store = Store(self.weights_dir, download=False)
        chosen = [metric for metric in METRICS if metric.name in self.metrics]
        self._open = {metric.name: (metric, metric.open(store)) for metric in chosen}
        if self.of_sets:
            self._features = sets.open_features(store)
        if self.detect is not None:
            self.detect.open(WorkerContext(weights_dir=self.weights_dir))

    def __call__(self, case: Case) -> dict[str, Any]:
        """``scores``, ``left_out`` for metrics without one, and ``features`` of result and truth
        where they are wanted; or why the case has none."""
        try:
            if case.is_film:
                return films.film_scores(case, self.detect, self.frames)
            return self._photo(case)
        except (MediaError, WeightsError, OSError) as error:
            return {ERROR: " ".join(str(error).split())}

    def _photo(self, case: Case) -> dict[str, Any]:
        result, truth, original = (
            self._picture(source) if source else None
            for source in (case.result, case.truth, case.original)
        )
        assert result is not None
        scores: dict[str, float] = {}
        left_out: dict[str, str] = {}
        reference = original if truth is None else truth
        if truth is not None and truth.shape != result.shape:
            why = f"it is {_size(result)}, but its truth {_size(truth)}"
            if case.result != case.original:
                return {ERROR: why}
            # What was enlarged says nothing of the truth, but of itself.
            left_out = {n: why for n, (m, _) in self._open.items() if m.against == "truth"}
            truth = reference = None
        against = {"truth": truth, "original": original, "nothing": result}
        for name, (metric, measure) in self._open.items():
            other = against[metric.against]
            if metric.of == "face" or other is None:
                continue
            one = result
            if metric.against == "truth" and self.border_px:
                one, other = self._inner(one), self._inner(other)
            try:
                scores[name] = measure(one, other)
            except NotComputedError as error:
                left_out[name] = str(error)
        if self.detect is not None and reference is not None:
            of_faces = {n: measure for n, (m, measure) in self._open.items() if m.of == "face"}
            try:
                faces = self._faces(self.detect, case.truth or case.original, reference)
                scores |= face_scores(result, reference, faces, self.detect, of_faces, self.where)
            except NotComputedError as error:
                left_out["faces"] = str(error)
        told: dict[str, Any] = {"scores": scores, "left_out": left_out}
        if self._features is not None and truth is not None:
            if self._true[0] != case.truth:
                self._true = case.truth, self._features(truth)
            told["features"] = self._features(result), self._true[1]
        return told

    def _faces(self, find: Detect, source: str, reference: np.ndarray) -> tuple[Face, ...]:
        if self._known[0] != source:
            self._known = (source, find.find([Frame(reference)])[0])
        return self._known[1]

    def _picture(self, source: str) -> np.ndarray:
        return in_rgb(read(source, self.max_megapixels)[0])

    def _inner(self, picture: np.ndarray) -> np.ndarray:
        border = self.border_px
        inner = picture[border : picture.shape[0] - border, border : picture.shape[1] - border]
        if not inner.size:
            raise MediaError(f"{_size(picture)}: nothing is left within a border of {border} px")
        return np.ascontiguousarray(inner)


def in_rgb(frame: Frame) -> np.ndarray:
    """(H, W, 3) of a frame; what is transparent counts by its colour."""
    return np.ascontiguousarray(frame.rgb_hwc)


def _size(picture: np.ndarray) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]} px"

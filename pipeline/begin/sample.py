"""A few photos that stand for all: chosen evenly by size, looked at, the most different picked.

Nothing is drawn by chance: the same photos give the same sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.models.base import Face
from restore_batch.models.metrics.blind import noise
from restore_batch.pipeline.plan.choose import model_refs
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.media import Frame
from restore_batch.stages.photo.read import read

LOOK_PX = 1024
"""Longer side at which faces are looked for: a run looks closer, and takes longer."""
_LEAST_FACE_PX = 20.0
_BOUNDS = Bounds(time_s=600.0)


@dataclass(frozen=True)
class Seen:
    """What a look at a photo showed. ``faces``: boxes in pixels of the photo, by falling size;
    ``noise``: standard deviation in levels of 8 bits."""

    item: Item
    faces: tuple[tuple[float, float, float, float], ...]
    noise: float


def photos_of(plan: Plan) -> list[Item]:
    """The photos of a plan that can be restored, of those whose headers are read."""
    return [item for item in plan.items if not (item.error or item.is_film or item.unread)]


def spread(photos: Sequence[Item], most: int) -> list[Item]:
    """At most so many of ``photos``, evenly from the smallest to the largest."""
    by_size = sorted(photos, key=lambda item: (item.megapixels, item.source.relative))
    if len(by_size) <= most:
        return by_size
    places = np.linspace(0, len(by_size) - 1, most).round().astype(int)
    return [by_size[place] for place in places]


def look(plan: Plan, photos: Sequence[Item]) -> list[Seen]:
    """Look for faces and noise in each of ``photos``, in a process of its own; those that cannot be
    read are left out."""
    ref = model_refs(plan.choices)["detect"]
    asked = plan.job.detect
    least_px = asked.min_face_px
    if least_px != "auto":
        least_px = max(least_px, _LEAST_FACE_PX)
    find = Detect(ref, least_px, asked.min_score)
    seen = []
    with Isolated(_Look(find, plan.job.limits.max_megapixels), _BOUNDS) as looking:
        answers = looking.answers(item.source.source for item in photos)
        for item, answer in zip(photos, answers, strict=True):
            if not isinstance(answer, Lost | str):
                boxes = tuple(tuple(box) for box in answer["faces"])
                seen.append(Seen(item, boxes, answer["noise"]))
    return seen


def most_different(seen: Sequence[Seen], number: int) -> list[Seen]:
    """``number`` of ``seen`` that differ most in size, faces and noise: the one in the middle
    first, then always the one that is farthest from all that are taken."""
    if not seen:
        return []
    traits = np.array(
        [
            [math.log2(each.item.megapixels + 1e-3), math.log2(1 + len(each.faces)),
             math.log2(0.5 + each.noise)]
            for each in seen
        ]
    )  # fmt: skip
    spans = np.ptp(traits, axis=0)
    traits = (traits - np.median(traits, axis=0)) / np.where(spans > 0, spans, 1.0)
    taken = [int(np.argmin(np.linalg.norm(traits, axis=1)))]
    while len(taken) < min(number, len(seen)):
        apart = np.linalg.norm(traits[:, None] - traits[taken][None], axis=2).min(axis=1)
        apart[taken] = -1.0
        taken.append(int(np.argmax(apart)))
    return [seen[place] for place in sorted(taken)]


@dataclass(frozen=True)
class _Look:
    find: Detect
    max_megapixels: float

    def open(self) -> None:
        self.find.open(WorkerContext())

    def __call__(self, source: str) -> Mapping[str, Any] | str:
        """The fields of what is Seen, or why nothing is."""
        try:
            frame, _, _ = read(source, self.max_megapixels)
        except MediaError as error:
            return str(error)
        scale = min(1.0, LOOK_PX / max(frame.width, frame.height))
        size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
        small = cv2.resize(frame.rgb_hwc, size, interpolation=cv2.INTER_AREA)
        faces: tuple[Face, ...] = ()
        if self.find.model is not None:
            (faces,) = self.find.find([Frame(small)])
        boxes = [[float(edge) / scale for edge in face.box_xyxy] for face in faces]
        return {"faces": boxes, "noise": noise(frame.rgb_hwc)}

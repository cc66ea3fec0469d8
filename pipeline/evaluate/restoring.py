"""Face restorers alone, on aligned faces: what they can, without what a job does around them.

A job looks for faces, leaves those alone that are larger than a restorer's, blends and pastes; what
it makes of a picture is evaluated by its output folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from restore_batch.errors import MediaError, UsageError
from restore_batch.files import whole
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.models import registry
from restore_batch.models.base import ModelRef, Restorer, Runtime
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.evaluate.cases import Case, LeftOut, Paired
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.photo.read import read

_BOUNDS = Bounds(time_s=3600.0)


def restorer_named(name: str, store: Store) -> ModelRef:
    """A restorer's weights, ready. Raises UsageError for another kind of model, WeightsError or
    LicenceError where the weights are not here."""
    card = registry.card(name)
    if card.task != "restore":
        raise UsageError(f"{card.name} is {registry.TASK_NOUNS[card.task]}, not a face restorer")
    given = {"accept_imagined_faces": True} if card.imagines else {}
    return store.ref(card, given)


def restore_faces(originals: Paired, ref: ModelRef, folder: Path) -> Paired:
    """The originals of ``originals``, aligned square faces, through a restorer, as PNG in
    ``folder``; those that could not be restored are left out."""
    cases: list[Case] = []
    left_out: list[LeftOut] = []
    with Isolated(_RestoreFace(ref, folder), _BOUNDS) as restoring:
        answers = restoring.answers(iter(originals.cases))
        for case, answer in zip(originals.cases, answers, strict=True):
            if isinstance(answer, Lost):
                left_out.append(LeftOut(case.name, f"restoring it {answer.reason}"))
            elif "error" in answer:
                left_out.append(LeftOut(case.name, answer["error"]))
            else:
                cases.append(Case(case.name, answer["result"], case.truth, case.original))
    return Paired(tuple(cases), (*originals.left_out, *left_out))


@dataclass
class _RestoreFace:
    ref: ModelRef
    folder: Path
    _restore: Restorer | None = None

    def open(self) -> None:
        cv2.setNumThreads(1)
        self._restore = registry.build(self.ref, Runtime())

    def __call__(self, case: Case) -> dict[str, str]:
        assert self._restore is not None
        try:
            rgb_hwc = to_uint8(read(case.original, 1000.0)[0].rgb_hwc)
            if rgb_hwc.shape[0] != rgb_hwc.shape[1]:
                return {"error": "expected a square picture of an aligned face"}
            side, side_px = len(rgb_hwc), self._restore.face_px
            (restored,) = self._restore([_resized(rgb_hwc, side_px)])
            path = self.folder / f"{case.key}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as staged:
                staged.write_bytes(_png(_resized(restored, side)))
        except (MediaError, OSError) as error:
            return {"error": " ".join(str(error).split())}
        return {"result": str(path)}


def _resized(rgb_hwc: np.ndarray, side_px: int) -> np.ndarray:
    if len(rgb_hwc) == side_px:
        return rgb_hwc
    how = cv2.INTER_AREA if side_px < len(rgb_hwc) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb_hwc, (side_px, side_px), interpolation=how))


def _png(rgb_hwc: np.ndarray) -> bytes:
    coded, data = cv2.imencode(".png", np.ascontiguousarray(rgb_hwc[..., ::-1]))
    if not coded:
        raise MediaError("it cannot be written as PNG")
    return data.tobytes()


def systems_of(
    originals: Paired, names: Sequence[str], folder: Path, store: Store
) -> dict[str, Paired]:
    """The originals through each of the restorers called ``names``, by name."""
    refs = {name: restorer_named(name, store) for name in names}
    return {name: restore_faces(originals, ref, folder / name) for name, ref in refs.items()}

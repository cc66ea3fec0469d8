"""The contact sheets of a comparison: which are to be drawn, drawing them, committing them.

A sheet is a unit like any other: its id covers the checksums of the results it shows, it is
staged, and it is renamed into place by the manifest of the sheets' folder.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from restore_batch.errors import MediaError, RestoreBatchError
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import StagedResult
from restore_batch.jobs.units import Photo, digest, unit_id
from restore_batch.pipeline.compare.contact_sheet import Rows, draw
from restore_batch.pipeline.compare.film_moments import FilmMoments
from restore_batch.pipeline.plan.choose import model_refs
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.media import Chunk, FaceRecord, Failure, Frame, PhotoMeta
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.provenance import Provenance, provenance_of
from restore_batch.stages.photo.read import read
from restore_batch.stages.previews.cells import FACES_SHOWN, face_cells

_VERSION = 2
"""Raised whenever the same results give another sheet."""
_QUALITY = 90
_BOUNDS = Bounds(time_s=3600.0)
"""Of one sheet: a long film is read from end to end, once for each restorer."""


@dataclass(frozen=True)
class Sheet:
    """One sheet to draw. ``results``: by column label, None where a restorer has none;
    ``faces``: those of the picture, in pixels of the source."""

    unit: Photo
    title: str
    results: Mapping[str, Path | None]
    faces: tuple[FaceRecord, ...]
    max_megapixels: float
    made_by: Provenance
    is_film: bool = False


@dataclass(frozen=True)
class SheetOutcome:
    """What became of one item's sheet; ``error`` says why it could not be drawn."""

    item: Item
    counted_as: Literal["sheets", "sheets_unchanged", "sheets_failed", "without_faces"]
    """The count of a comparison's summary that it belongs to."""
    error: str = ""


class Sheets:
    """All sheets of a comparison; ``manifest`` is that of their folder."""

    def __init__(
        self,
        items: Sequence[Item],
        outputs: Sequence[str],
        systems: Mapping[str, Plan],
        manifest: Manifest,
    ) -> None:
        self._items = list(zip(items, outputs, strict=True))
        self._systems = systems
        self._manifest = manifest
        self._plan = next(iter(systems.values()))  # they differ in their restorers alone
        self._moments = FilmMoments(self._plan)
        provenances = [_made_by(plan) for plan in systems.values()]
        self._made_by = Provenance(
            provenances[0].software,
            ", ".join(each.faces for each in provenances if each.faces),
            imagined_by=", ".join(each.imagined_by for each in provenances if each.imagined_by),
        )
        self._labels = {
            name: f"{name} (invents faces)" if each.imagined_by else name
            for name, each in zip(systems, provenances, strict=True)
        }

    def make(self, is_stopped: Callable[[], bool], *, verify: bool) -> Iterator[SheetOutcome]:
        """Draw what is missing or out of date. Items without any result are passed over.

        Sheets are drawn in processes of their own, as many as the job has workers, and committed
        by the caller.
        """
        workers = max(plan.share.workers for plan in self._systems.values())
        drawn: deque[tuple[Item, Sheet]] = deque()
        settled: list[SheetOutcome] = []
        with ExitStack() as opened:
            found = {
                name: opened.enter_context(manifest)
                for name, plan in self._systems.items()
                if (manifest := Manifest.read(plan.output_dir)) is not None
            }

            def missing() -> Iterator[Sheet]:
                for item, output in self._items:
                    if is_stopped():
                        return
                    sheet = self._sheet(item, output, found)
                    if sheet is None:
                        continue
                    if (outcome := self._settled(item, sheet, verify)) is not None:
                        settled.append(outcome)
                        continue
                    drawn.append((item, sheet))
                    yield sheet

            drawing = opened.enter_context(Isolated(DrawSheet(self._moments), _BOUNDS))
            for answer in drawing.answers(missing(), workers):
                yield self._commit(*drawn.popleft(), answer)
            yield from settled

    def _sheet(self, item: Item, output: str, found: Mapping[str, Manifest]) -> Sheet | None:
        results = {
            name: found[name].result_at(item.output) if name in found else None
            for name in self._systems
        }
        first = next((name for name, result in results.items() if result is not None), None)
        if first is None or (known := results[first]) is None:
            return None
        shas = {name: result and result.sha256 for name, result in results.items()}
        parts: dict[str, Any] = {"version": _VERSION, "results": shas, "labels": self._labels}
        if item.is_film:
            parts["shown"] = self._plan.keys.film
        key = digest(parts)
        unit = Photo(
            id=unit_id(known.source_sha256, output, key, ""),
            source=item.source.source,
            output=output,
            staging_dir=str(self._manifest.staging_dir),
            base_key=key,
            face_key="",
        )
        faces = tuple(
            FaceRecord(face.box_xyxy, face.landmarks_xy, face.score, face.restored)
            for face in found[first].faces_in(known)
        )
        paths = {
            self._labels[name]: self._systems[name].output_dir / item.output if result else None
            for name, result in results.items()
        }
        return Sheet(
            unit, item.source.relative, paths, faces, self._plan.job.limits.max_megapixels,
            self._made_by, item.is_film,
        )  # fmt: skip

    def _settled(self, item: Item, sheet: Sheet, verify: bool) -> SheetOutcome | None:
        """What is known of a sheet without drawing it; when it must be drawn, None, and it is
        registered."""
        if not (sheet.faces or sheet.is_film):
            return SheetOutcome(item, "without_faces")
        state = self._manifest.state_of(sheet.unit, verify=verify)
        if state == "done":
            return SheetOutcome(item, "sheets_unchanged")
        if state == "failed":
            return SheetOutcome(item, "sheets_failed", self._manifest.error_of(sheet.unit.output))
        return None

    def _commit(self, item: Item, sheet: Sheet, answer: Any) -> SheetOutcome:
        unit = self._manifest.start(sheet.unit, "")
        try:
            if isinstance(answer, Lost):
                raise MediaError(f"{unit.source}: drawing its contact sheet {answer.reason}")
            if _ERROR in answer:
                raise MediaError(answer[_ERROR])
            self._manifest.commit(unit, StagedResult(**answer))
        except (OSError, RestoreBatchError) as error:
            self._manifest.fail(unit, SHEET_STAGE, type(error).__name__, str(error))
            return SheetOutcome(item, "sheets_failed", str(error))
        return SheetOutcome(item, "sheets")


SHEET_STAGE = "contact sheet"
_ERROR = "error"


def _made_by(plan: Plan) -> Provenance:
    if not plan.job.provenance.metadata:
        return Provenance("")
    refs = model_refs(plan.choices)
    return provenance_of(refs["restore"], refs["background"])


@dataclass(frozen=True)
class DrawSheet:
    """Draws sheets where a codec may crash; ``moments``: of films."""

    moments: FilmMoments

    def open(self) -> None:
        """Nothing: the detector is loaded for the first film."""

    def __call__(self, sheet: Sheet) -> dict[str, Any]:
        """The fields of the StagedResult, or the ``error``."""
        try:
            return asdict(draw_sheet(sheet, self.moments))
        except MediaError as error:
            return {_ERROR: str(error)}


def draw_sheet(sheet: Sheet, moments: FilmMoments) -> StagedResult:
    """Read the original and the results one after another, draw, and write to the staging path.

    Raises MediaError, one line, when one of them cannot be read or the sheet not be written.
    """
    if sheet.is_film:
        title, rows = sheet.title, moments.rows(sheet.unit.source, sheet.results)
    else:
        title, rows = _faces_of(sheet)
    rgb_hwc = draw(title, rows)
    encode = Encode(_QUALITY, provenance=sheet.made_by)
    chunk = Chunk(
        sheet.unit, pasted=(Frame(rgb_hwc),), meta=PhotoMeta("jpeg"), records=(sheet.faces,)
    )
    (reply,) = encode([chunk])
    if isinstance(reply, Failure) or reply.artifact is None:
        raise MediaError(getattr(reply, "message", f"{sheet.unit.output}: no file was written"))
    made = reply.artifact
    return StagedResult(made.staged_path, made.size_bytes, made.sha256, made.width, made.height)


def _faces_of(sheet: Sheet) -> tuple[str, Rows]:
    by_size = sorted(sheet.faces, key=lambda face: -_side_px(face))
    shown = set(map(id, by_size[:FACES_SHOWN]))
    faces = [face for face in sheet.faces if id(face) in shown]
    title = sheet.title
    if len(faces) < len(sheet.faces):
        title += f" (the {len(faces)} largest of {len(sheet.faces)} faces)"
    boxes = [face.box_xyxy for face in faces]
    original, _, _ = read(sheet.unit.source, sheet.max_megapixels)
    source_wh = original.width, original.height
    columns: dict[str, Sequence[np.ndarray] | None] = {
        "original": face_cells(original, boxes, source_wh)
    }
    del original
    for label, path in sheet.results.items():
        columns[label] = None
        if path is not None:
            result, _, _ = read(str(path), math.inf)
            columns[label] = face_cells(result, boxes, source_wh)
    captions = [f"face {row}, {_side_px(face):.0f} px" for row, face in enumerate(faces, 1)]
    return title, Rows(captions, columns)


def _side_px(face: FaceRecord) -> float:
    left, top, right, bottom = face.box_xyxy
    return max(right - left, bottom - top)

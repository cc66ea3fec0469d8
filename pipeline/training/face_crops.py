"""Aligned crops of all faces in a collection: what a restorer is trained on."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch.errors import MediaError, UsageError
from restore_batch.files import whole
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.inputs import SourceFile, discover
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.jobs.units import Photo
from restore_batch.pipeline.plan.choose import choose_models
from restore_batch.pipeline.plan.films import is_film
from restore_batch.pipeline.plan.photos import media_suffixes
from restore_batch.pipeline.session import store_for
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.geometry import scale_of
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.read import read

INDEX = "faces.csv"
_SHARPNESS_PX = 256
_BOUNDS = Bounds(time_s=3600.0)
"""Of one photo, with hundreds of faces in it."""


@dataclass(frozen=True)
class FaceCrop:
    """One row of ``faces.csv``.

    ``x``, ``y``: upper left corner of the face's box in the upright picture; ``native_px``: side
    that the crop has in the picture, in its pixels. ``sharpness``: variance of the Laplacian of
    the crop at 256 px; grain counts as sharpness too.
    """

    file: str
    source: str
    x: int
    y: int
    native_px: int
    sharpness: float


@dataclass(frozen=True)
class Collected:
    """``kept``: crops that were there already. ``failed``: (source, reason)."""

    crops: tuple[FaceCrop, ...]
    kept: int
    failed: tuple[tuple[str, str], ...]


def collect_faces(
    inputs: Sequence[str],
    output: Path,
    *,
    side_px: int = 256,
    least_px: int = 128,
    detector: str = "auto",
    seen: Callable[[str], None] = lambda source: None,
) -> Collected:
    """Write a PNG of each face of the photos that ``inputs`` name, and ``faces.csv``, to
    ``output``.

    Crops are square, ``side_px`` wide, on the template of the face restorers, 8 bits sRGB. Faces
    whose crop is narrower than ``least_px`` in the picture are left out, films too. A crop that is
    there already is kept as it is. ``seen`` is called with each source. Photos are read in a
    process of its own. Raises UsageError for inputs that lead nowhere and where no detector is at
    hand.
    """
    job = job_from_mapping(
        {
            "inputs": list(inputs),
            "output": str(output),
            "detect": {"model": detector},
            # Not used, so their weights need not be looked at.
            "background": {"model": "none"},
            "paste": {"mask": "feather"},
        }
    )
    choice = choose_models(LoadedJob(job), store_for(job), fetch=True)["detect"]
    if choice.ref is None:
        raise UsageError(f"no face detector is at hand; {choice.note}")
    find, align = Detect(choice.ref, min_face_px=least_px / 3), Align(side_px)
    found = discover(job.inputs, media_suffixes(), output=output).files
    sources = [source for source in found if not is_film(source.source)]
    output.mkdir(parents=True, exist_ok=True)
    crops: list[FaceCrop] = []
    failed: list[tuple[str, str]] = []
    kept = 0

    def shown() -> Iterator[SourceFile]:
        for source in sources:
            seen(source.source)
            yield source

    cut = _CutFaces(find, align, output, job.limits.max_megapixels, least_px)
    with Isolated(cut, _BOUNDS) as cutting:
        for source, answer in zip(sources, cutting.answers(shown()), strict=True):
            if isinstance(answer, Lost):
                failed.append((source.source, f"looking for its faces {answer.reason}"))
            elif isinstance(answer, str):
                failed.append((source.source, answer))
            else:
                crops += [FaceCrop(**crop) for crop, _ in answer]
                kept += sum(not is_new for _, is_new in answer)
    _write_index(output / INDEX, crops)
    return Collected(tuple(crops), kept, tuple(failed))


@dataclass(frozen=True)
class _CutFaces:
    """Writes the faces of a photo to ``output``."""

    find: Detect
    align: Align
    output: Path
    max_megapixels: float
    least_px: int

    def open(self) -> None:
        self.find.open(WorkerContext())

    def __call__(self, source: SourceFile) -> list[tuple[dict[str, Any], bool]] | str:
        """The fields of each FaceCrop and whether its file is new; or why there are none."""
        try:
            return [
                (asdict(crop), _write(self.output / crop.file, rgb_hwc))
                for crop, rgb_hwc in _faces(
                    source, self.find, self.align, self.max_megapixels, self.least_px
                )
            ]
        except MediaError as error:
            return str(error)


def _faces(
    source: SourceFile, find: Detect, align: Align, max_megapixels: float, least_px: int
) -> Iterator[tuple[FaceCrop, np.ndarray]]:
    frame, _, _ = read(source.source, max_megapixels)
    chunk: Any = Chunk(Photo(id="face", source=source.source, output=""), frames=(frame,))
    for stage in (find, align):
        (chunk,) = stage([chunk])
        if isinstance(chunk, Failure):
            raise MediaError(f"{source.source}: {chunk.message}")
    number = 0
    for face, alignment, rgb_hwc in zip(
        chunk.faces[0], chunk.alignments[0], chunk.crops[0], strict=True
    ):
        native_px = round(align.face_px / scale_of(alignment.matrix))
        if native_px < least_px:
            continue
        stem = source.relative.replace("/", "__")
        left, top = (round(value) for value in face.box_xyxy[:2])
        yield (
            FaceCrop(
                f"{stem}.{number}.png", source.source, left, top, native_px, _sharpness(rgb_hwc)
            ),
            rgb_hwc,
        )
        number += 1


def _sharpness(rgb_hwc: np.ndarray) -> float:
    luma = cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY)
    size = (_SHARPNESS_PX, _SHARPNESS_PX)
    reduced = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    return round(float(cv2.Laplacian(reduced, cv2.CV_64F).var()), 1)


def _write(path: Path, rgb_hwc: np.ndarray) -> bool:
    """False where the file is there already."""
    if path.exists():
        return False
    coded = cv2.imencode(".png", np.ascontiguousarray(rgb_hwc[..., ::-1]))[1]
    with whole(path) as written:
        written.write_bytes(coded.tobytes())
    return True


def _write_index(path: Path, crops: Sequence[FaceCrop]) -> None:
    with (
        whole(path) as written,
        written.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        rows = csv.DictWriter(file, [field.name for field in fields(FaceCrop)])
        rows.writeheader()
        rows.writerows(asdict(crop) for crop in sorted(crops, key=lambda c: -c.sharpness))

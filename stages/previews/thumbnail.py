"""Previews of photos, drawn while original and result are at hand, kept once the result is written.

Two stages, so that the original is let go before the result is encoded. A photo whose previews
cannot be made is restored all the same: the report makes them, or says why it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from restore_batch.stages.base import Cost, Pool, Stage
from restore_batch.stages.media import MASK_SUFFIX, Chunk, DrawnPreviews, Failure
from restore_batch.stages.previews.pictures import (
    Drawn,
    draw_photo,
    folder_of_key,
    key_of,
    tags_of,
)

_COARSE = 75
"""Below this quality a result's own encoding would show: its previews are made of its file."""


class Thumbnail(Stage):
    """Draw the previews of a photo: 1600 pixels of original and result, both as a thumbnail, the
    surroundings of each face, what was repaired.

    In:  chunks with the frame that was decoded, the finished picture and the records of its faces.
    Out: ``previews``. Results are seen as they are before
    they are encoded; a job that asks for a ``quality`` below 75 has its previews made of the files,
    by the report. Nothing is drawn unless ``wanted``, and where units name no place for it.
    """

    name: ClassVar[str] = "thumbnail"
    after: ClassVar[str] = "reassess"
    reads: ClassVar[frozenset[str]] = frozenset(
        {"originals", "pasted", "meta", "records", "sidecars"}
    )
    writes: ClassVar[frozenset[str]] = frozenset({"previews"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "pictures"
    cost: ClassVar[Cost] = Cost(picture_s=0.02, megapixel_s=0.009)
    takes: ClassVar[Mapping[str, str]] = {"wanted": "report", "quality": "photos.quality"}
    of_results: ClassVar[bool] = False

    def __init__(self, wanted: bool = True, quality: int | None = None) -> None:
        self.wanted = wanted and (quality is None or quality >= _COARSE)

    @property
    def is_idle(self) -> bool:
        return not self.wanted

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._drawn)

    def _drawn(self, chunk: Chunk) -> Chunk:
        if not chunk.unit.previews_dir or len(chunk.originals) != 1 or len(chunk.pasted) != 1:
            return chunk
        (before,), (after,) = chunk.originals, chunk.pasted
        boxes = [record.box_xyxy for record in chunk.records[0]] if chunk.records else []
        drawn = Drawn()
        try:
            facts = draw_photo(drawn, before, after, boxes, _mask_of(chunk))
        except Exception:  # of pictures to look at, whatever it is: the result is not lost for it
            return chunk
        facts["text"] = tags_of(chunk.meta) if chunk.meta is not None else {}
        return replace(chunk, previews=DrawnPreviews(drawn.files, facts))


class Shelve(Stage):
    """Keep the previews of a photo under the key of its result, in the folder of its unit.

    In:  chunks with the artifact and ``previews``. Out: the same. What cannot be written is left
    out; nothing waits until it is on the disk.
    """

    name: ClassVar[str] = "shelve"
    after: ClassVar[str] = "encode"
    reads: ClassVar[frozenset[str]] = frozenset({"previews", "artifact"})
    of_frames: ClassVar[bool] = False
    pool: ClassVar[Pool] = "pictures"
    takes: ClassVar[Mapping[str, str]] = Thumbnail.takes
    of_results: ClassVar[bool] = False

    def __init__(self, wanted: bool = True, quality: int | None = None) -> None:
        self._drawer = Thumbnail(wanted, quality)

    @property
    def is_idle(self) -> bool:
        return self._drawer.is_idle

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._shelved)

    def _shelved(self, chunk: Chunk) -> Chunk:
        if chunk.previews is None or chunk.artifact is None or not chunk.source_sha256:
            return chunk
        has_mask = any(each.suffix == MASK_SUFFIX for each in chunk.artifact.sidecars)
        key = key_of(chunk.unit.id, chunk.source_sha256, chunk.artifact.sha256, has_mask)
        drawn = Drawn()
        drawn.files.update(chunk.previews.files)
        with suppress(OSError):
            folder = folder_of_key(Path(chunk.unit.previews_dir), key)
            drawn.kept(folder, key, chunk.previews.facts)
        return chunk


def _mask_of(chunk: Chunk) -> np.ndarray | None:
    """(H, W) uint8, white where the photo was repaired; None where nobody asked for that."""
    for sidecar in chunk.sidecars:
        if sidecar.suffix == MASK_SUFFIX:
            content = np.frombuffer(sidecar.content, np.uint8)
            return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))
    return None

"""Between restoring the faces of a film and pasting them: their flicker is taken out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from restore_batch.stages.faces.steady.deflicker import Deflicker, RestoredCrop
from restore_batch.stages.film.faces import FilmFaces
from restore_batch.stages.media import Chunk


def deflickered(
    restored: Iterable[tuple[int, Chunk]], found: FilmFaces
) -> Iterator[tuple[int, Chunk]]:
    """The same frames with their restored crops averaged along tracks.

    ``restored``: consecutive frames as (position in ``found``, chunk of that one frame); a chunk
    without crops is a frame whose faces could not be restored.
    """
    deflicker = Deflicker()
    waiting: deque[tuple[int, Chunk]] = deque()
    for position, chunk in restored:
        waiting.append((position, chunk))
        for faces in deflicker.push(_crops(chunk, position, found), found.cuts[position]):
            yield _with(*waiting.popleft(), faces)
    for faces in deflicker.finish():
        yield _with(*waiting.popleft(), faces)


def _crops(chunk: Chunk, position: int, found: FilmFaces) -> list[RestoredCrop]:
    if not chunk.restored:
        return []
    # Aligning leaves faces out whose landmarks determine nothing.
    track_of = {
        id(face): track
        for face, track in zip(found.faces[position], found.tracks[position], strict=True)
    }
    return [
        RestoredCrop(track_of[id(face)], crop, done)
        for face, crop, done in zip(chunk.faces[0], chunk.crops[0], chunk.restored[0], strict=True)
    ]


def _with(position: int, chunk: Chunk, faces: tuple[np.ndarray, ...]) -> tuple[int, Chunk]:
    return position, replace(chunk, restored=(np.stack(faces),)) if faces else chunk

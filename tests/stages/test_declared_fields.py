"""What stages say that they read and write is what they do: plans, cuts and what is dropped go by
it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_batch.files import version_of
from restore_batch.jobs.units import FilmIndex, Join, Photo, Segment
from restore_batch.models.base import DetectorTraits, Face, Runtime
from restore_batch.stages.base import COMMON_FIELDS, Stage, WorkerContext
from restore_batch.stages.catalogue import stage_classes
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.faces.restore import Restore
from restore_batch.stages.film.clips import Clips
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.film.join import JoinFilm
from restore_batch.stages.film.preview import Preview
from restore_batch.stages.film.segment import RestoreSegment
from restore_batch.stages.film.work import JoinWork, SegmentWork
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.checksum import Checksum
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.provenance import Provenance
from restore_batch.stages.previews.thumbnail import Shelve, Thumbnail
from restore_batch.stages.quality.assess import Assess, Reassess
from restore_batch.stages.repair.repair import Repair

from support.clips import clip
from support.damage_finders import Brightness
from support.pixels import Repeat, face_at, smooth_picture

FIELDS = frozenset(each.name for each in fields(Chunk))


class Watched(Chunk):
    """A chunk that notes which of its fields are looked at, but for those that ``replace`` hands
    on."""

    read: frozenset[str] = frozenset()

    def __getattribute__(self, name: str) -> Any:
        if name in FIELDS and sys._getframe(1).f_globals["__name__"] != "dataclasses":
            noted = object.__getattribute__(self, "read") | {name}
            object.__setattr__(self, "read", noted)
        return super().__getattribute__(name)


def checked(stage: Stage, chunk: Chunk) -> Chunk:
    """What a stage makes of a chunk, once it was seen to do what it declares and no more.

    What it does not say that it reads is there, and nothing that it could use.
    """
    told = stage.reads | stage.may_read | COMMON_FIELDS
    kept = {name: vars(chunk)[name] if name in told else object() for name in FIELDS}
    watched = Watched(**kept)
    (reply,) = stage([watched])
    used = object.__getattribute__(watched, "read") - COMMON_FIELDS
    assert used - told == set(), f"{stage.name} reads what it does not declare"
    assert not isinstance(reply, Failure), reply
    assert stage.reads | stage.may_read <= used | COMMON_FIELDS, f"{stage.name} declares too much"
    written = {name for name in FIELDS if vars(reply)[name] is not kept[name]}
    assert written - COMMON_FIELDS == stage.writes - COMMON_FIELDS, stage.name
    return replace(chunk, **{name: vars(reply)[name] for name in written})


class OneFace:
    smallest_px = 20.0
    traits = DetectorTraits()

    def __call__(self, images: Sequence[np.ndarray], min_score: float) -> list[list[Face]]:
        return [[face_at(100, 80, 120)[0]] for _ in images]


def photo_stages() -> dict[str, Stage]:
    restore, upscale = Restore(None), Upscale(None, 2)
    restore.run_faces = lambda crops, native_px: [255 - crop for crop in crops]
    upscale.upscaler = Repeat(2)
    stages = (
        Checksum(), Decode(100), Assess(), Repair(mask=True, finder=Brightness()),
        Detect(None, detector=OneFace()), Align(128), restore, upscale, Paste(2), Reassess(),
        Thumbnail(), Encode(provenance=Provenance("us")), Shelve(),
    )  # fmt: skip
    return {stage.name: stage for stage in stages}


def test_the_stages_of_a_photo_read_and_write_what_they_declare(tmp_path: Path) -> None:
    source = tmp_path / "in.png"
    Image.fromarray(smooth_picture(240, 200)).save(source)
    chunk = Chunk(
        Photo(
            id="u", source=str(source), output="out.png", staging_dir=str(tmp_path / "tmp"),
            previews_dir=str(tmp_path / "previews"),
        )
    )  # fmt: skip
    made = photo_stages()
    wanted = [stage.name for stage in stage_classes() if Photo in stage.kinds]
    assert sorted(made) == sorted(wanted), "a stage is left out here"
    for name in wanted:
        chunk = checked(made[name], chunk)
    assert chunk.artifact is not None
    assert [record.restored for record in chunk.records[0]] == [True]
    assert list((tmp_path / "previews").rglob("*-facts.json"))


def test_the_stages_of_a_film_read_and_write_what_they_declare(tmp_path: Path) -> None:
    path = clip(tmp_path / "film.mp4", frames=60, gop=10)
    common = {
        "source": str(path), "output": "film.mp4", "staging_dir": str(tmp_path / "tmp"),
        "previews_dir": str(tmp_path / "previews"),
    }  # fmt: skip
    indexed = checked(IndexFilm(10, preview_s=1.0), Chunk(FilmIndex(id="i", **common)))
    film = checked(Preview(1.0), indexed).index
    (frames,) = film.segments
    segment: Segment[SegmentWork] = Segment(
        id="s", work=SegmentWork(film.facts, frames, film.format), **common
    )
    frame_stages = (Detect(None), Align(), Restore(None), Upscale(None, 1), Paste(1))
    restores = RestoreSegment(1, repair="auto")
    restores.open(WorkerContext(Runtime(), frame_stages=frame_stages))
    try:
        done = checked(restores, Chunk(segment))
    finally:
        restores.close()
    assert done.artifact is not None
    assert len(done.repairs) == len(done.records) == frames.own_count
    assert done.quality
    work = JoinWork(
        film.facts, film.format, ((done.artifact.staged_path, frames),), source_sha256="5" * 64,
        source_state=version_of(path.stat()),
    )  # fmt: skip
    join: Join[JoinWork] = Join(id="j", work=work, **common)
    joined = checked(JoinFilm(preview_s=1.0), Chunk(join))
    checked(Clips(), joined)
    assert list((tmp_path / "previews").rglob("*-facts.json"))


def test_what_is_declared_are_fields_of_chunks() -> None:
    for stage in stage_classes():
        assert stage.reads | stage.may_read | stage.writes <= FIELDS, stage.name
        assert not stage.may_read & stage.reads, stage.name
        # Common ones need no word; who fills them says so all the same.
        assert not (stage.reads | stage.may_read) & COMMON_FIELDS, stage.name
    assert COMMON_FIELDS < FIELDS


class Sly(Stage):
    """Reads and writes what it does not say, or says what it does not do."""

    name = "sly"

    def __init__(self, reads: str = "", writes: str = "", declared: str = "") -> None:
        self.does_read, self.does_write = reads, writes
        self.reads = frozenset({declared} - {""})  # type: ignore[misc]

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._step)

    def _step(self, chunk: Chunk) -> Chunk:
        if self.does_read:
            getattr(chunk, self.does_read)
        return replace(chunk, **{self.does_write: ()}) if self.does_write else chunk


@pytest.mark.parametrize(
    "does", [{"reads": "faces"}, {"writes": "faces"}, {"declared": "faces"}], ids=str
)
def test_what_is_not_declared_is_noticed(does: dict[str, str]) -> None:
    chunk = Chunk(Photo(id="u", source="in.png", output="out.png"))
    checked(Sly(), chunk)
    with pytest.raises(AssertionError, match="sly"):
        checked(Sly(**does), chunk)

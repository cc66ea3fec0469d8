"""Previews that workers make: as the report would make them of the files, and never in the way."""

from __future__ import annotations

import io
import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_batch.jobs.units import Photo
from restore_batch.pipeline.report.previews import PreviewRequest, make_previews
from restore_batch.stages.media import (
    MASK_SUFFIX,
    Chunk,
    FaceRecord,
    Frame,
    PhotoMeta,
    Sidecar,
)
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.previews.pictures import folder_of_key, key_of
from restore_batch.stages.previews.thumbnail import Shelve, Thumbnail
from restore_batch.stages.repair.repair import Repair

from support.archive import scene

SOURCE = "5" * 64
BOXES = ((20.0, 20.0, 60.0, 70.0), (100.0, 30.0, 150.0, 90.0))
RECORDS = tuple(FaceRecord(box, (), 0.9) for box in BOXES)


def chunk(folder: Path, **fields: Any) -> Chunk:
    unit = Photo(
        id="u1", source=str(folder / "in.png"), output="out.png", staging_dir=str(folder / "tmp"),
        previews_dir=str(folder / "previews"),
    )  # fmt: skip
    before = np.asarray(scene(200, 120))
    after = np.asarray(scene(400, 240).point(lambda value: min(255, value + 30)))
    given = Chunk(
        unit, originals=(Frame(before),), meta=PhotoMeta("png"), pasted=(Frame(after),),
        records=(RECORDS,), source_sha256=SOURCE,
    )  # fmt: skip
    return replace(given, **fields)


def worked_on(given: Chunk, thumbnail: Thumbnail | None = None) -> Chunk:
    """What comes of a chunk behind the stages that change a picture."""
    for stage in (thumbnail or Thumbnail(), Encode(), Shelve()):
        (given,) = stage([given])  # type: ignore[assignment]
        assert isinstance(given, Chunk), given
    return given


def kept(done: Chunk, *, mask: bool = False) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Facts and pictures that were kept of it."""
    assert done.artifact is not None
    key = key_of("u1", SOURCE, done.artifact.sha256, mask)
    folder = folder_of_key(Path(done.unit.previews_dir), key)
    facts = json.loads((folder / f"{key}-facts.json").read_bytes())
    for ending, size in facts["files"].items():
        assert (folder / f"{key}-{ending}").stat().st_size == size
    return facts, {
        ending: np.asarray(Image.open(folder / f"{key}-{ending}")) for ending in facts["files"]
    }


def test_they_are_those_that_are_made_of_the_files(tmp_path: Path) -> None:
    done = worked_on(chunk(tmp_path))
    facts, pictures = kept(done)
    scene(200, 120).save(tmp_path / "in.png")
    assert done.artifact is not None
    asked = PreviewRequest(
        str(tmp_path / "made"), "key", str(tmp_path / "in.png"), done.artifact.staged_path,
        boxes=BOXES,
    )  # fmt: skip
    assert facts == make_previews(asked)
    assert set(pictures) == {"before.jpg", "after.jpg", "thumb.jpg", "faces.jpg"}
    for ending, picture in pictures.items():
        made = np.asarray(Image.open(tmp_path / "made" / f"key-{ending}"))
        assert np.array_equal(picture, made)


def test_before_is_the_original_and_not_what_was_repaired_of_it(tmp_path: Path) -> None:
    faded = Image.fromarray(100 + np.asarray(scene(200, 120)) // 8)
    faded.save(tmp_path / "in.png")
    unit = chunk(tmp_path).unit
    given = Chunk(unit, source_sha256=SOURCE)
    for stage in (Decode(math.inf), Repair(scratches="off", fading="auto")):
        (given,) = stage([given])  # type: ignore[assignment]
        assert isinstance(given, Chunk), given
    _, pictures = kept(worked_on(replace(given, pasted=given.frames)))
    before, after = (int(np.ptp(pictures[f"{half}.jpg"])) for half in ("before", "after"))
    assert before < 0.75 * after


def test_an_original_that_nothing_was_done_to_yet_travels_once(tmp_path: Path) -> None:
    scene(200, 120).save(tmp_path / "in.png")
    (decoded,) = Decode(math.inf)([Chunk(chunk(tmp_path).unit)])
    arrived = pickle.loads(pickle.dumps(decoded))
    assert arrived.originals[0] is arrived.frames[0]


def test_what_was_repaired_is_shown(tmp_path: Path) -> None:
    mask = np.zeros((120, 200), np.uint8)
    mask[:30] = 255
    content = io.BytesIO()
    Image.fromarray(mask).convert("1").save(content, "PNG")
    done = worked_on(chunk(tmp_path, sidecars=(Sidecar(MASK_SUFFIX, content.getvalue()),)))
    facts, pictures = kept(done, mask=True)
    assert facts["repaired"] == 0.25
    assert pictures["mask.png"][:50, :, 3].min() > 100


def test_a_photo_whose_previews_cannot_be_kept_or_drawn_is_restored_all_the_same(
    tmp_path: Path,
) -> None:
    (tmp_path / "previews").write_text("in the way", encoding="utf-8")
    done = worked_on(chunk(tmp_path))
    assert done.artifact is not None
    odd = Frame(np.zeros((0, 0, 3), np.uint8))
    assert worked_on(chunk(tmp_path, originals=(odd,))).artifact is not None


@pytest.mark.parametrize("places", [{"previews_dir": ""}, {}])
def test_nothing_is_drawn_where_it_would_not_be_kept(
    places: dict[str, str], tmp_path: Path
) -> None:
    given = chunk(tmp_path)
    (drawn,) = Thumbnail()([replace(given, unit=replace(given.unit, **places))])
    assert isinstance(drawn, Chunk)
    assert (drawn.previews is None) == bool(places)


def test_previews_are_left_to_the_report_where_nobody_wants_them_or_a_result_is_coarse() -> None:
    assert not Thumbnail().is_idle
    assert not Thumbnail(quality=75).is_idle
    assert Thumbnail(wanted=False).is_idle
    assert Thumbnail(quality=60).is_idle
    assert Shelve(quality=60).is_idle

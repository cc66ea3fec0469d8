"""What a job may ask of a photo format, by what the format says."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from restore_batch.errors import JobFileError
from restore_batch.jobs.source import LoadedJob, job_from_mapping, load_job
from restore_batch.pipeline.plan.items import find_items
from restore_batch.pipeline.plan.mistakes import check_photos
from restore_batch.pipeline.plan.photos import job_schema, media_suffixes
from restore_batch.stages.photo.formats import catalogue

WRITTEN = [format.name for format in catalogue.written()]
DEEP = [format.name for format in catalogue.written() if 16 in format.bit_depths]


def _job(**photos: object) -> LoadedJob:
    return LoadedJob(job_from_mapping({"inputs": ["a"], "output": "b", "photos": photos}))


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        (
            {"format": "jpg"},
            f"photos.format: expected one of keep, {', '.join(WRITTEN)}, got 'jpg', did you mean "
            "'jpeg'?",
        ),
        ({"format": "png", "quality": 90}, "photos.quality: png is lossless and takes no quality"),
        ({"format": "pnm", "quality": 90}, "photos.quality: pnm is lossless and takes no quality"),
        (
            {"format": "jpeg", "bit_depth": 16},
            f"photos.bit_depth: jpeg cannot hold 16 bits a channel: use {', '.join(DEEP[:-1])} or "
            f"{DEEP[-1]}",
        ),
    ],
)
def test_what_a_format_cannot_do_is_refused(photos: dict[str, object], expected: str) -> None:
    with pytest.raises(JobFileError) as caught:
        check_photos(_job(**photos))
    assert str(caught.value) == f"job: {expected}"


@pytest.mark.parametrize(
    "photos",
    [
        {"quality": 90, "bit_depth": 16},
        {"format": "jpeg", "quality": 90},
        {"format": "jpeg2000", "quality": 90, "bit_depth": 16},
        {"format": "tiff", "bit_depth": 16},
        {"format": "pnm", "bit_depth": 16},
    ],
)
def test_what_a_format_can_do_is_allowed(photos: dict[str, object]) -> None:
    check_photos(_job(**photos))


def test_both_mistakes_are_told_at_their_places_before_any_input_is_looked_at(
    tmp_path: Path,
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        "inputs: [nowhere]\noutput: out\nphotos:\n  format: bmp\n  quality: 3\n  bit_depth: 16\n"
    )
    with pytest.raises(JobFileError) as caught:
        find_items(load_job(path))
    places = [problem.where for problem in caught.value.problems]
    assert places == [f"{path}:5:12", f"{path}:6:14"]


def test_every_photo_and_every_film_is_taken_from_a_folder() -> None:
    assert {".jpg", ".heic", ".nef", ".pgm", ".mp4"} <= media_suffixes()
    assert ".xmp" not in media_suffixes()


def test_the_schema_knows_the_formats() -> None:
    schema = job_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    job = {"inputs": ["a"], "output": "b"}
    for format in catalogue.written():
        assert validator.is_valid({**job, "photos": {"format": format.name}})
    assert validator.is_valid({**job, "photos": {"format": "keep"}})
    assert not validator.is_valid({**job, "photos": {"format": "gif"}})

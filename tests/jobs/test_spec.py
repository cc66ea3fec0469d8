from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from restore_batch.jobs.spec import Job, is_url


def job(base: Path = Path("/archive"), **options: object) -> Job:
    data = {"inputs": ["scans"], "output": "restored", **options}
    return Job.model_validate(data, context={"base_dir": base})


def sections(model: type[BaseModel] = Job) -> list[type[BaseModel]]:
    below = [f.annotation for f in model.model_fields.values()]
    return [model, *(m for m in below if isinstance(m, type) and issubclass(m, BaseModel))]


def test_inputs_and_an_output_are_enough() -> None:
    assert job().background.scale == 2
    assert job().restore.strength == 1
    assert job().on_error == "skip"


@pytest.mark.parametrize("section", sections(), ids=lambda s: s.__name__)
def test_every_option_is_documented(section: type[BaseModel]) -> None:
    undocumented = [name for name, field in section.model_fields.items() if not field.description]
    assert not undocumented


def test_a_job_cannot_be_changed_and_travels_to_workers() -> None:
    made = job()
    with pytest.raises(ValidationError, match="frozen"):
        made.on_error = "stop"  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(made)) == made


def test_paths_are_relative_to_the_job_and_urls_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANS", "/mnt/scans")
    monkeypatch.setenv("HOME", "/home/ada")
    made = job(
        inputs=[
            "a",
            "../b/*.tif",
            "s3://bucket/$x",
            "$SCANS/1950",
            "${SCANS}",
            "~/c",
            "cost$$.jpg",
        ],
        output="../out",
        weights={"dir": "~/weights", "mirrors": ["https://mirror/$x", "mirror"]},
    )
    assert made.inputs == (
        "/archive/a",
        "/b/*.tif",
        "s3://bucket/$x",
        "/mnt/scans/1950",
        "/mnt/scans",
        "/home/ada/c",
        "/archive/cost$.jpg",
    )
    assert made.output == Path("/out")
    assert made.weights.dir == Path("/home/ada/weights")
    assert made.weights.mirrors == ("https://mirror/$x", "/archive/mirror")


def test_brackets_in_the_name_of_the_jobs_folder_are_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "box [7]"
    folder.mkdir()
    (folder / "a[1].jpg").touch()
    plain, pattern, exists = job(folder, inputs=["scans", "*.jpg", "a[1].jpg"]).inputs
    assert plain == str(folder / "scans")
    assert pattern == str(tmp_path / "box [[]7]" / "*.jpg")
    assert exists == str(folder / "a[1].jpg")


def test_a_model_is_a_name_unless_it_looks_like_a_file() -> None:
    chosen = [
        job(background={"model": name}).background.model
        for name in ("realesrgan-x4plus", "none", "nets/mine", "mine.pth", "/nets/Mine.SAFETENSORS")
    ]
    assert chosen == [
        "realesrgan-x4plus",
        "none",
        "/archive/nets/mine",
        "/archive/mine.pth",
        "/nets/Mine.SAFETENSORS",
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"engine": {"kind": "local", "address": "auto"}}, "local engine has no address"),
        ({"output": "ftp://host/out"}, "expected a local folder or s3://bucket/prefix"),
        ({"output": "s3://"}, "expected a local folder or s3://bucket/prefix"),
        ({"output": "zip://a::s3://b/c"}, "expected a local folder or s3://bucket/prefix"),
        ({"state": "state"}, "lies in a local output itself: remove state"),
        (
            {"output": "s3://bucket/out", "restore": {"compare": ["gfpgan", "glean"]}},
            "needs a local folder",
        ),
        ({"output": "s3://bucket/out", "video": {"output": "frames"}}, "needs a local folder"),
        ({"output": ""}, "expected a folder"),
        ({"inputs": ["$NOT_SET_ANYWHERE/a"]}, "'NOT_SET_ANYWHERE' is not set"),
        ({"inputs": ["~nobody_of_this_name/a"]}, "no home folder"),
        ({"inputs": ["a\0b"]}, "NUL"),
        ({"restore": {"strength": True}}, "valid number"),
        ({"restore": {"strength": "0.5"}}, "valid number"),
        ({"limits": {"max_megapixels": float("inf")}}, "finite number"),
        ({"inputs": []}, "at least 1"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        job(**options)


def test_an_empty_section_has_its_defaults() -> None:
    assert job(restore=None, background={"options": None}) == job()


@pytest.mark.parametrize("text", ["s3://b/k", "memory://", "zip://a::s3://b/c.zip", "gs+x://b"])
def test_urls_are_told_from_paths(text: str) -> None:
    assert is_url(text)
    assert not is_url("/" + text)
    assert not is_url("C:\\scans")

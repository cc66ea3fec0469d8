"""A job written as a file is the same job when it is read again, and is nobody else's file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from restore_batch.jobs.inputs import discover
from restore_batch.jobs.source import job_from_mapping, load_job
from restore_batch.jobs.written import KEPT_NAME, is_kept_job, job_text, keep_job

JOBS: list[dict[str, Any]] = [
    {},
    {"repair": {}, "exclude": ["*_thumb.*", "a: b # c"], "on_error": "stop"},
    {"restore": {"compare": ["gfpgan", {"model": "pulse", "options": {"seed": 7}}]}},
    {
        "restore": {"model": "./weights/$$mine.pth", "strength": 0.1},
        "limits": {"timeout_s": "none"},
    },
    {"weights": {"dir": "$$w", "mirrors": ["m$$", "https://host/a$b"], "accept_licences": ["x"]}},
    {"provenance": {"metadata": False, "sign": {"cert": "$$c.pem", "key": "keys/$$k"}}},
    {"provenance": "none"},
    {"stages": {"dim": {"light": 1e-7}}, "video": {"audio": "copy"}, "engine": {"threads": 3}},
]


@pytest.mark.parametrize("sections", JOBS, ids=lambda each: "-".join(each) or "plain")
def test_a_written_job_is_read_as_the_same_job(sections: dict[str, Any], tmp_path: Path) -> None:
    asked = {"inputs": ["in", "s3://b/$x", "[a]/*.tif"], "output": "out", **sections}
    job = job_from_mapping(asked, tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "job.yaml").write_text(job_text(job), encoding="utf-8")
    assert load_job(elsewhere / "job.yaml").job == job


@pytest.mark.parametrize(
    "name", [b"a$HOME", b"[1950]*", b"caf\xe9", b"two\nlines", "家族".encode(), b"- #: '\"{"]
)
def test_folders_of_any_name_are_found_again(name: bytes, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    (folder / "a.png").touch()
    job = job_from_mapping({"inputs": [str(folder).replace("$", "$$")], "output": "out"}, tmp_path)
    written = tmp_path / "job.yaml"
    written.write_text(job_text(job), encoding="utf-8")
    found = discover(load_job(written).job.inputs, {".png"}).files
    assert [file.source for file in found] == [str(folder / "a.png")]


def test_a_kept_job_is_replaced_by_the_next_and_nobody_elses_file_is(tmp_path: Path) -> None:
    first = job_from_mapping({"inputs": ["in"], "output": "out"}, tmp_path)
    second = job_from_mapping({"inputs": ["in"], "output": "out", "report": False}, tmp_path)
    path = keep_job(first, tmp_path)
    assert (path.name, is_kept_job(path)) == (KEPT_NAME, True)
    before = path.stat().st_ino
    assert keep_job(first, tmp_path) == path
    assert path.stat().st_ino == before
    assert keep_job(second, tmp_path) == path
    assert load_job(path).job == second
    path.write_text("inputs: [mine]\noutput: mine\n")
    assert keep_job(second, tmp_path).name == "job-2.yaml"
    assert path.read_text() == "inputs: [mine]\noutput: mine\n"
    assert [each.name for each in tmp_path.iterdir() if is_kept_job(each)] == ["job-2.yaml"]

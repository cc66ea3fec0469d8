"""Photos and folders are asked for as a job file is; what cannot be meant is said in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from restore_batch.errors import UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import FOLDER
from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.written import keep_job
from restore_batch.pipeline.cli.begin.asked import CommandInput
from restore_batch.pipeline.session import read_job

from support.archive import scene
from support.command_line import call


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    scene(32, 24).save(tmp_path / "photos" / "a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "restored" / FOLDER).mkdir(parents=True)
    (tmp_path / "again" / FOLDER).mkdir(parents=True)
    keep_job(job_from_mapping({"inputs": ["photos"], "output": "again"}), tmp_path / "again")
    (tmp_path / "job.yaml").write_text("inputs: [photos]\noutput: out\n")
    (tmp_path / "words.txt").write_text("inputs: [photos]\noutput: out\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "Missing argument 'JOB': name a job file, or photos and folders with -o FOLDER"),
        ("photos", "-o is missing: name a folder for the results, such as -o photos-restored"),
        (".", "-o ../test"),
        ("restored", "restored is the output of a job: name its job file instead"),
        ("again", "again is the output of a job: name its job file instead, again/job.yaml"),
        ("phtos -o out", "phtos: no such file or folder, did you mean 'photos'?"),
        ("phtos", "did you mean 'photos'?"),
        ("photos/b.png photos -o out", "photos/b.png: no such file or folder"),
        ("photos -o photos/out", "-o photos/out lies in photos, among the originals"),
        ("photos -o photos", "-o photos is photos, among the originals"),
        ("photos -o .", "photos lies in -o ., where results would replace originals"),
        ("photos -o words.txt", "-o words.txt is a file; expected a folder"),
        ("job.yaml photos -o out", "job.yaml is a job file, which goes alone"),
        ("photos job.yaml -o out", "job.yaml is a job file, which goes alone"),
        ("photos -o out --scale 99", "--scale: background.scale: expected a number from 1 to 8"),
        ("photos -o out --restorer gfpgna", "--restorer: restore.model: no model is called"),
        ("empty -o out", "empty: inputs.0: no picture in "),
        ("job.yaml --strength 2", "--strength: restore.strength: expected a number from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_one_line(arguments: str, expected: str, here: Path) -> None:
    before = sorted(here.rglob("*"))
    done = call("run", *arguments.split())
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert expected in line
    assert sorted(here.rglob("*")) == before


def test_of_an_output_whose_job_is_elsewhere_is_said_what_was_run(here: Path) -> None:
    with Manifest.open(here / "restored") as manifest:
        manifest.begin_run("0", "scans.yaml", {}, [], 1)
    with pytest.raises(UsageError, match=r"job file instead \(its last run was of scans\.yaml\)"):
        CommandInput(("restored",)).read()


def test_a_link_is_no_way_to_put_results_among_the_originals(here: Path) -> None:
    (here / "link").symlink_to(here / "photos", target_is_directory=True)
    with pytest.raises(UsageError, match="among the originals"):
        CommandInput(("photos",), "link/out").read()


def test_photos_are_the_job_that_a_file_with_the_same_options_is(here: Path) -> None:
    flags = (("--scale", "background.scale", 1.0), ("--repair", "repair.scratches", "auto"))
    asked = CommandInput(("photos", "photos/a.png"), "out", flags, ("photos.format=png",)).read()
    (here / "same.yaml").write_text(
        "inputs: [photos, photos/a.png]\noutput: out\nbackground: {scale: 1}\n"
        "repair: {scratches: auto}\nphotos: {format: png}\n"
    )
    assert asked.loaded.job == read_job(here / "same.yaml").job
    assert asked.loaded.name == "photos"
    (here / "out").mkdir()
    assert read_job(asked.keep()).job == asked.loaded.job


def test_options_change_a_job_file_too_and_its_own_name_stays(here: Path) -> None:
    (here / "jobs").mkdir()
    (here / "jobs" / "job.yaml").write_text("inputs: [../photos]\noutput: out\n")
    asked = CommandInput(
        ("jobs/job.yaml",), "there", (("--scale", "background.scale", 3.0),)
    ).read()
    assert asked.loaded.job.output == here / "there"
    assert asked.loaded.job.background.scale == 3.0
    assert asked.keep() == "jobs/job.yaml"
    assert not (here / "there").exists()


@pytest.mark.parametrize("name", ["a$HOME", "[1950]", "-dash", "~tilde", "a b", "caf\udce9"])
def test_a_name_is_taken_as_it_was_typed(name: str, here: Path) -> None:
    (here / "photos").rename(here / name)
    planned = json.loads(call("plan", "--json", "-o", "out", "--", name).stdout)
    assert [item["source"] for item in planned["items"]] == [str(here / name / "a.png")]


def test_a_pattern_that_the_shell_has_left_is_one(here: Path) -> None:
    scene(32, 24).save(here / "photos" / "b.jpg")
    planned = json.loads(call("plan", "photos/*.jpg", "-o", "out", "--json").stdout)
    assert [item["output"] for item in planned["items"]] == ["b.jpg"]

"""A job file is written from what is in a folder, and nothing that is there is replaced."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from restore_batch.jobs.source import load_job
from restore_batch.pipeline.begin.survey import Way, _advised_first
from restore_batch.pipeline.plan import items

from support.archive import scene
from support.clips import clip
from support.command_line import call


def collection(folder: Path) -> Path:
    (folder / "album").mkdir(parents=True)
    scene(96, 64).save(folder / "album" / "a.png")
    Image.new("L", (64, 64), 90).save(folder / "b.jpg")
    (folder / "words.png").write_text("no picture")
    (folder / "c.xmp").touch()
    clip(folder / "film.mp4", frames=12)
    return folder


def test_the_job_file_says_what_was_found_and_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    collection(tmp_path / "scans")
    done = call("init", "scans", "--faces", 0)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "job file: scans.yaml"
    text = (tmp_path / "scans.yaml").read_text(encoding="utf-8")
    assert "Found: 2 photos (1 JPEG, 1 PNG), 1 film (" in text
    assert "1 file passed over: 1 .xmp." in text
    assert "; 1 grey." in text
    assert "words.png" in text
    job = load_job(tmp_path / "scans.yaml").job
    assert job.inputs == (str(tmp_path / "scans"),)
    assert job.output == tmp_path / "scans-restored"
    planned = json.loads(call("plan", "scans.yaml", "--json").stdout)
    assert len(planned["items"]) == 4
    # What is switched off is an option, too.
    free = re.sub("^#(?=(  )?[a-z_]+:)", "", text, flags=re.MULTILINE)
    (tmp_path / "free.yaml").write_text(free, encoding="utf-8")
    switched_on = load_job(tmp_path / "free.yaml").job
    assert switched_on.exclude == ("*_thumb.*",)
    assert (switched_on.repair.scratches, switched_on.engine.workers is None) == ("auto", False)

    again = call("init", "scans")
    assert (again.exit_code, len(again.stderr.splitlines())) == (2, 1)
    assert "scans.yaml is there already" in again.stderr
    assert (tmp_path / "scans.yaml").read_text(encoding="utf-8") == text


def test_of_very_many_photos_a_sample_is_looked_at_and_the_job_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "SAMPLED", 4)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scans").mkdir()
    for number in range(12):
        scene(96, 64).save(tmp_path / "scans" / f"{number:02}.png")
    done = call("init", "scans", "--faces", 2)
    assert done.exit_code == 0, done.output
    text = (tmp_path / "scans.yaml").read_text(encoding="utf-8")
    found = " ".join(line.removeprefix("#").strip() for line in text.splitlines())
    said = "Found: 12 photos (what is said of them is of 4, evenly taken, whose headers were read:"
    assert f"{said} 4 PNG)." in found
    assert "of 2 photos that were looked at" in found


@pytest.mark.parametrize("name", ["a$HOME", "[1950] #1: 'x'", "two\nlines", "caf\udce9", "1950"])
def test_a_folder_of_any_name_can_be_looked_at_from_within(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    scene(32, 24).save(folder / "a.png")
    (folder / f"{name}.png").write_text("no picture")
    monkeypatch.chdir(folder)
    done = call("init", ".", "--to", "job.yaml", "--faces", 0)
    assert done.exit_code == 0, done.output
    job = load_job(folder / "job.yaml").job
    assert job.inputs == (str(folder),)
    assert str(job.output) == f"{folder}-restored"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("no", "no: no such folder"),
        ("empty", "no picture in "),
        ("scans --to nowhere/job.yaml", "its folder is not there"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    arguments: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "scans").mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = call("init", *arguments.split())
    assert done.exit_code == 2
    assert len(done.stderr.splitlines()) == 1
    assert expected in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_the_best_network_is_advised_only_where_it_is_done_soon() -> None:
    def ways(seconds: float | None) -> list[Way]:
        return [
            Way({"scale": 2, "model": "auto"}, "large", seconds, 1),
            Way({"scale": 2, "model": "small"}, "small", 9.0, 1),
            Way({"scale": 1, "model": "none"}, "", 1.0, 1),
        ]

    soon, late = ways(60.0), ways(1e6)
    assert _advised_first(soon, 1.0)[0] is soon[0]
    assert _advised_first(late, 1.0)[0] is late[1]
    assert _advised_first(soon, 20.0) == (soon[2], soon[0], soon[1])

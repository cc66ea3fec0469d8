"""A trial shows pieces of a few photos on one sheet; nothing of it is in the job's output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from support.archive import face, scene
from support.clips import clip
from support.command_line import call

PLAIN = ["--restorer", "none", "--upscaler", "none", "--set", "engine.kind=local"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for number in range(4):
        scene(200 + 90 * number, 150, number).save(tmp_path / "in" / f"{number}.png")
    return tmp_path


def test_a_sheet_of_a_few_photos_is_written_and_nothing_else(here: Path) -> None:
    clip(here / "in" / "film.mp4", frames=3)
    arguments = ["preview", "in", "-o", "out", "-n", "2", "--side", "128", *PLAIN]
    said = json.loads(call(*arguments, "--json").stdout)
    sheet = here / "in-preview.jpg"
    assert said["sheet"] == str(sheet)
    assert (len(said["photos"]), said["photos_in_all"], said["films_in_all"]) == (2, 4, 1)
    assert said["seconds_in_all"] > 0
    assert sorted(each.name for each in here.iterdir()) == ["in", "in-preview.jpg"]
    first = sheet.read_bytes()
    done = call(*arguments)
    assert done.stdout.splitlines()[-1] == f"preview: {sheet.as_uri()}"
    assert "all 4 photos would take about " in done.stdout
    assert sheet.read_bytes() == first
    with Image.open(sheet) as image:
        assert image.width > 900
        before, after = image.crop((100, 250, 300, 450)), image.crop((600, 250, 800, 450))
        assert len(set(before.getdata())) > 100
        assert len(set(after.getdata())) > 100


def test_a_file_that_is_no_preview_is_kept(here: Path) -> None:
    scene(30, 20).save(here / "in-preview.jpg")
    before = (here / "in-preview.jpg").read_bytes()
    done = call("preview", "in", "-o", "out", *PLAIN)
    assert done.exit_code == 2
    assert "in-preview.jpg is there and no preview; name another file with --to" in done.stderr
    assert (here / "in-preview.jpg").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("inputs=[film.mp4]", "a preview is of photos"),
        ("restore={compare: [gfpgan, compact-1]}", "a preview is of one restorer"),
    ],
)
def test_what_cannot_be_previewed_is_one_line(change: str, expected: str, here: Path) -> None:
    clip(here / "film.mp4", frames=3)
    done = call("preview", "in", "-o", "out", "--upscaler", "none", "--set", change)
    assert done.exit_code == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_faces_are_looked_for_and_shown(here: Path) -> None:
    pytest.importorskip("skimage")
    picture = Image.new("RGB", (1200, 900), (90, 100, 110))
    picture.paste(face(256), (800, 500))
    picture.save(here / "in" / "face.png")
    done = call("preview", "in", "-o", "out", "-n", "9", "--upscaler", "photo-2", "--json",
                "--set", "engine.kind=local")  # fmt: skip
    said = json.loads(done.stdout)
    assert str(here / "in" / "face.png") in said["photos"]
    assert said["failed"] == {}

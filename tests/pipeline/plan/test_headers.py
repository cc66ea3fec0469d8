"""A header from the manifest is used only where the same probe would read it from the same file."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.source import load_job
from restore_batch.pipeline.plan import headers
from restore_batch.pipeline.plan.headers import probe_key
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import plan_job

from support.archive import write_job
from support.clips import clip
from support.ledger import source_facts

OPTIONS: dict[str, Any] = {
    "output": "out", "engine": {"kind": "local", "workers": 1, "threads": 1},
    "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
}  # fmt: skip
PROMISED = 77
"""Frames, or pixels across, that no file here has: a header with it comes from the manifest."""


def draw(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((24, 32, 3), np.uint8)).save(path)
    return path


def planned(job: Path, **overrides: object) -> Item:
    plan = plan_job(load_job(job, {key.replace("__", "."): v for key, v in overrides.items()}))
    assert isinstance(plan, Plan)
    (item,) = plan.items
    return item


def note(job: Path, item: Item, header: dict[str, Any]) -> None:
    source = item.source
    stamp = f"{source.size_bytes} {source.version}"
    with Manifest.open(job.parent / "out") as manifest:
        key = probe_key(source.source, load_job(job).job)
        manifest.note_source(source.source, stamp, "abc", header, key)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A job of one photo, whose header is on record with another width."""
    draw(tmp_path / "in" / "a.png")
    job = write_job(tmp_path / "job.yaml", inputs=["in"], **OPTIONS)
    item = planned(job)
    note(job, item, {**item.facts, "width": PROMISED})
    return job


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A job of a folder of numbered pictures, whose header is on record with more frames."""
    for number in range(3):
        draw(tmp_path / "in" / f"scan_{number:04d}.png")
    job = write_job(tmp_path / "job.yaml", inputs=["in/scan_%04d.png"], **OPTIONS)
    item = planned(job)
    assert item.is_film
    note(job, item, {**item.facts, "frame_count": PROMISED})
    return job


def test_a_header_on_record_is_not_read_again(photo: Path) -> None:
    assert planned(photo).facts["width"] == PROMISED
    assert planned(photo, video__frame_rate=10.0).facts["width"] == PROMISED


def test_a_header_of_numbered_pictures_holds_for_one_frame_rate(numbered: Path) -> None:
    assert planned(numbered).frames == PROMISED
    other = planned(numbered, video__frame_rate=10.0)
    assert (other.frames, other.facts["mean_fps"]) == (3, 10.0)


def test_a_header_that_an_older_program_read_is_read_again(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "VERSION", headers.VERSION + 1)
    assert planned(photo).facts["width"] == 32


def test_a_header_with_other_fields_is_read_again(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "fields", lambda kind: ())
    assert planned(photo).facts["width"] == 32


def test_a_run_notes_the_header_that_a_manifest_of_the_first_format_cannot_give(
    tmp_path: Path,
) -> None:
    draw(tmp_path / "in" / "a.png")
    job = write_job(tmp_path / "job.yaml", inputs=["in"], **OPTIONS)
    assert rb.run(job).done == 1
    item = planned(job)
    doctored = json.dumps({**item.facts, "width": PROMISED})
    with sqlite3.connect(tmp_path / "out" / FOLDER / "manifest.sqlite") as database:
        database.execute("UPDATE sources SET probe = ?", (doctored,))
        database.execute("ALTER TABLE runs DROP COLUMN total")
        database.execute("PRAGMA user_version = 1")
    database.close()
    assert planned(job).facts["width"] == 32
    again = rb.run(job)
    assert (again.unchanged, again.done) == (1, 0)
    with Manifest.open(tmp_path / "out") as manifest:
        stamp = f"{item.source.size_bytes} {item.source.version}"
        key = probe_key(item.source.source, load_job(job).job)
        sha256, header = source_facts(manifest, item.source.source, stamp, key)
    assert sha256 is not None
    assert header is not None
    assert header["width"] == 32


def test_known_headers_cost_no_process(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert planned(photo).facts["width"] == PROMISED
    with pytest.raises(OSError, match="/nowhere/python"):
        planned(photo, output="elsewhere")


def test_headers_are_read_without_torch(tmp_path: Path) -> None:
    photo, film = str(draw(tmp_path / "in" / "a.png")), str(clip(tmp_path / "b.mp4", frames=5))
    code = (
        "import sys; from restore_batch.pipeline.plan.header_reader import ReadHeader\n"
        "read = ReadHeader(24.0, 100.0); read.open()\n"
        f"of_photo, of_film = read([({photo!r}, False), ({film!r}, True)])\n"
        "assert (of_photo['width'], of_film['frame_count']) == (32, 5)\n"
        "print([m for m in ('torch', 'ray', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_headers_come_in_the_order_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "_HEADERS_A_PROCESS", 100)  # so that several read them
    for number in range(500):
        (tmp_path / f"{number:04}.pgm").write_bytes(b"P5 %d 1 255 " % (number + 1))
    job = write_job(tmp_path / "job.yaml", inputs=["*.pgm"], **OPTIONS)
    plan = plan_job(load_job(job))
    assert isinstance(plan, Plan)
    assert [item.facts["width"] for item in plan.items] == list(range(1, 501))

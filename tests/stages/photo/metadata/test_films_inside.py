"""Films inside photos, where a job asks to keep them: carried as they were, or said."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.pipeline.plan.stages import make_stages
from restore_batch.stages.photo.decode import Decode
from tests.support import beside
from tests.support.beside import CONTAINER, FILM, GCAMERA, HDRGM, JPEG, SMALL, directory, packet

MOTION = (
    f'{GCAMERA} GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'
    f' GCamera:MicroVideoOffset="{len(FILM)}"'
)
GAIN_MAP = beside.with_xmp(SMALL, packet(f'{HDRGM} hdrgm:Version="1.0"'))


def job(folder: Path, extras: str, **photos: object) -> dict[str, object]:
    return {
        "inputs": [str(folder / "in")],
        "output": str(folder / "out"),
        "restore": {"model": "none"},
        "background": {"model": "none", "scale": 1},
        "photos": {"extras": extras, **photos},
        "engine": {"kind": "local"},
    }


def run(folder: Path, name: str, content: bytes, extras: str, **photos: object) -> list[str]:
    """The warnings of a job on one photo."""
    (folder / "in").mkdir()
    (folder / "in" / name).write_bytes(content)
    summary = rb.run(job(folder, extras, **photos))
    assert summary.failed == []
    return [text for _, text in summary.warned]


def plan(folder: Path, extras: str, **photos: object) -> Plan:
    loaded = LoadedJob(job_from_mapping(job(folder, extras, **photos), folder))
    return make_plan(loaded, Store(folder / "weights", download=False), fetch=False)


@pytest.mark.parametrize(
    "behind", [FILM, FILM + bytes(8), beside.samsung_trailer(MotionPhoto_Data=FILM, Other=b"x")]
)
def test_a_motion_photo_stays_one(behind: bytes, tmp_path: Path) -> None:
    xmp = packet(CONTAINER + MOTION, directory("MotionPhoto"))
    said = run(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + behind, "keep")
    result = (tmp_path / "out" / "a.jpg").read_bytes()
    assert result.endswith(b"\xff\xd9" + behind)
    assert beside.xmp_of(result) == xmp
    assert said == []


def test_a_film_is_left_out_and_said_unless_it_is_asked_for(tmp_path: Path) -> None:
    content = beside.with_xmp(JPEG, packet(CONTAINER + MOTION, directory("MotionPhoto"))) + FILM
    (said,) = run(tmp_path, "a.jpg", content, "drop")
    assert said == (
        f"not kept: short film inside (motion photo) ({len(FILM)} bytes): photos.extras is drop"
    )
    result = (tmp_path / "out" / "a.jpg").read_bytes()
    assert result.endswith(b"\xff\xd9")
    assert b"Motion" not in beside.xmp_of(result)


def test_the_directory_loses_the_gain_map_alone(tmp_path: Path) -> None:
    xmp = packet(CONTAINER + MOTION, directory("GainMap", "MotionPhoto"))
    (said,) = run(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + GAIN_MAP + FILM, "keep")
    assert "HDR gain map" in said
    assert "film" not in said
    result = (tmp_path / "out" / "a.jpg").read_bytes()
    assert result.endswith(b"\xff\xd9" + FILM)
    expected = packet(CONTAINER + MOTION, directory("MotionPhoto"))
    assert beside.xmp_of(result) == expected


def test_a_film_before_other_things_is_kept_beside_the_result(tmp_path: Path) -> None:
    xmp = packet(CONTAINER + MOTION, directory("MotionPhoto", "GainMap"))
    said = run(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + FILM + GAIN_MAP, "keep")
    assert not any("short film" in line for line in said)
    assert (tmp_path / "out" / "a.jpg.film.mp4").read_bytes() == FILM
    result = (tmp_path / "out" / "a.jpg").read_bytes()
    assert b"Motion" not in beside.xmp_of(result)


@pytest.mark.parametrize(
    "behind", [FILM, beside.samsung_trailer(MotionPhoto_Data=FILM, Other=b"x")]
)
def test_a_film_is_kept_beside_a_result_that_cannot_hold_it(behind: bytes, tmp_path: Path) -> None:
    content = beside.with_xmp(JPEG, packet(MOTION)) + behind
    said = run(tmp_path, "a.jpg", content, "keep", format="png")
    assert not any("short film" in line for line in said)
    out = tmp_path / "out"
    assert (out / "a.png.film.mp4").read_bytes() == FILM
    assert b"MotionPhoto" not in (out / "a.png").read_bytes()
    again = rb.run(job(tmp_path, "keep", format="png"))
    assert (again.unchanged, again.done) == (1, 0)


def test_heif_keeps_its_film(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    if not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("no HEVC encoder")
    content = io.BytesIO()
    pixels = np.zeros((64, 64, 3), np.uint8)
    heif = pillow_heif.from_pillow(Image.fromarray(pixels))
    heif.save(content, xmp=packet(MOTION))
    box = beside.box(b"mpvd", FILM)
    assert run(tmp_path, "a.heic", content.getvalue() + box, "keep") == []
    result = (tmp_path / "out" / "a.heic").read_bytes()
    assert result.endswith(box)
    assert b'GCamera:MotionPhoto="1"' in result


@pytest.mark.parametrize(
    ("extras", "format", "notes"), [("drop", "keep", 1), ("keep", "keep", 0), ("keep", "png", 0)]
)
def test_the_plan_says_what_the_run_will(
    extras: str, format: str, notes: int, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(beside.with_xmp(JPEG, packet(MOTION)) + FILM)
    made = plan(tmp_path, extras, format=format)
    lines = [line for line in made.notes_on(made.items[0]) if "short film" in line]
    assert len(lines) == notes


def test_results_of_jobs_that_leave_films_out_keep_their_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = job_from_mapping({"inputs": ["."], "output": "out"})
    keeping = job_from_mapping({"inputs": ["."], "output": "out", "photos": {"extras": "keep"}})
    (decode,) = (each for each in make_stages(plain, {}) if isinstance(each.stage, Decode))
    (other,) = (each for each in make_stages(keeping, {}) if isinstance(each.stage, Decode))
    assert "extras" not in decode.always
    assert other.always["extras"] == "keep"
    monkeypatch.setattr(Decode, "takes", {k: v for k, v in Decode.takes.items() if k != "extras"})
    (before,) = (each for each in make_stages(plain, {}) if isinstance(each.stage, Decode))
    assert before.always == decode.always

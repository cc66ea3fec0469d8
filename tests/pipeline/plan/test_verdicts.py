"""The plan refuses and notes by a photo's header what a run would refuse and warn of."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.jobs.units import Photo
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo import verdict
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.video.limits import size_refusal

from support.command_line import call
from support.photo_files import encoded, file, photo

NO_NETWORKS: dict[str, Any] = {
    "detect": {"model": "none"}, "restore": {"model": "none"}, "paste": {"mask": "feather"},
}  # fmt: skip


def _tiff(samples: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, **options)
    return buffer.getvalue()


def _pages(count: int) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as tiff:
        for _ in range(count):
            tiff.write(photo(), photometric="rgb", metadata=None)
    return buffer.getvalue()


def _jpeg2000(samples: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpeg2k_encode(samples, level=0, reversible=True))


def _animation(container: str) -> bytes:
    frames = [Image.fromarray(np.roll(photo(), 9 * i, axis=0)) for i in range(3)]
    return encoded(frames[0], container, save_all=True, append_images=frames[1:], duration=100)


def _planned(folder: Path, name: str, content: bytes, scale: float, **photos: Any) -> Plan:
    (folder / "in").mkdir()
    file(folder / "in", name, content)
    described = {
        "inputs": ["in"], "output": "out", "photos": photos, **NO_NETWORKS,
        "background": {"model": "none", "scale": scale},
    }  # fmt: skip
    job = job_from_mapping(described, folder)
    return make_plan(LoadedJob(job), Store(folder / "weights", download=False), fetch=False)


def _run(plan: Plan, item: Item, folder: Path) -> Failure | tuple[str, ...]:
    """What decoding and encoding say of the item, without the plan's verdict."""
    unit = Photo(
        id="u", source=item.source.source, output=item.output, staging_dir=str(folder / "staging")
    )
    job = plan.job
    decode = Decode(job.limits.max_megapixels, job.limits.damaged, job.background.scale)
    (chunk,) = decode([Chunk(unit)])
    if isinstance(chunk, Failure):
        return chunk
    encode = Encode(job.photos.quality, job.photos.bit_depth)
    (done,) = encode([Chunk(unit, meta=chunk.meta, pasted=chunk.frames, warnings=chunk.warnings)])
    return done if isinstance(done, Failure) else done.warnings


REFUSED = {
    "float.tif": (_tiff(np.zeros((8, 9), np.float32)), "floating-point"),
    "half.tif": (_tiff(np.zeros((8, 9), np.float16)), "floating-point"),
    "signed.tif": (_tiff(np.zeros((8, 9), np.int16)), "signed"),
    "deep.tif": (_tiff(np.zeros((8, 9), np.uint32)), "32-bit"),
    "pages.tif": (_pages(2), "2 pages"),
    "volume.tif": (
        _tiff(np.zeros((4, 32, 32), np.uint8), photometric="minisblack", volumetric=True,
              tile=(4, 16, 16)), "volume",
    ),
    "signed.jp2": (_jpeg2000(np.zeros((8, 9), np.int16)), "16-bit signed"),
    "deep.jp2": (_jpeg2000(np.full((8, 9), 1 << 25, np.uint32)), "26-bit samples"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_header_rules_out_fails_in_the_plan_as_in_the_run(name: str, tmp_path: Path) -> None:
    content, expected = REFUSED[name]
    plan = _planned(tmp_path, name, content, 1)
    (item,) = plan.items
    assert expected in item.error
    failed = _run(plan, item, tmp_path)
    assert isinstance(failed, Failure)
    assert failed.message == item.error


@pytest.mark.parametrize(
    ("format", "side", "most"),
    [("webp", 8200, 16383), ("jpeg", 33000, 65500), ("avif", 33000, 32768)],
)
def test_a_result_too_large_for_its_format_fails_in_the_plan_as_in_the_run(
    format: str, side: int, most: int, tmp_path: Path
) -> None:
    content = encoded(Image.new("RGB", (4, side), "grey"), "PNG")
    plan = _planned(tmp_path, "long.png", content, 2, format=format)
    (item,) = plan.items
    assert f"8x{2 * side}" in item.error
    assert f"at most {most} pixels" in item.error
    assert "photos.format" in item.error
    failed = _run(plan, item, tmp_path)
    assert isinstance(failed, Failure)
    assert failed.message == item.error
    assert failed.message.startswith(item.source.source)


def test_a_picture_that_keeps_its_size_is_not_too_large(tmp_path: Path) -> None:
    content = encoded(Image.new("RGB", (8200, 4), "grey"), "WEBP")
    (item,) = _planned(tmp_path, "wide.webp", content, 1).items
    assert item.error == ""


def test_a_picture_over_the_jobs_limit_fails_in_the_plan(tmp_path: Path) -> None:
    content = encoded(Image.new("L", (20_000, 13_000)), "PNG")
    (item,) = _planned(tmp_path, "large.png", content, 1).items
    assert "limits.max_megapixels" in item.error


NOTED: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "moving.gif": (_animation("GIF"), {}, "only the first of its 3 frames"),
    "moving.webp": (_animation("WEBP"), {}, "only the first of its 3 frames"),
    "moving.png": (_animation("PNG"), {}, "only the first of its 3 frames"),
    "deep.png": (
        _tiff(np.zeros((8, 9), np.uint16)), {"format": "jpeg"}, "written with 8 bits a channel",
    ),
    "matte.tif": (
        _tiff(np.zeros((8, 9, 5), np.uint8), photometric="rgb"), {},
        "a channel that is neither colour nor transparency",
    ),
    "clear.png": (
        encoded(Image.new("RGBA", (9, 8)), "PNG"), {"format": "jpeg"}, "flattened over white",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTED)
def test_what_a_header_shows_to_be_lost_is_noted_by_the_plan_in_the_words_of_the_run(
    name: str, tmp_path: Path
) -> None:
    content, photos, expected = NOTED[name]
    plan = _planned(tmp_path, name, content, 1, **photos)
    (item,) = plan.items
    assert item.error == ""
    (note,) = plan.notes_on(item)
    assert expected in note
    warnings = _run(plan, item, tmp_path)
    assert isinstance(warnings, tuple)
    assert note in warnings


def test_a_plain_picture_has_no_notes(tmp_path: Path) -> None:
    plan = _planned(tmp_path, "a.jpg", encoded(Image.fromarray(photo()), "JPEG"), 1)
    assert plan.notes_on(plan.items[0]) == ()


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of good and bad pictures, and of what is no picture."""
    monkeypatch.setenv("RESTORE_BATCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    folder = tmp_path / "in"
    folder.mkdir()
    good = encoded(Image.fromarray(photo()), "JPEG")
    for name in ("a.jpg", "b.jpg"):
        file(folder, name, good)
    file(folder, "float.tif", REFUSED["float.tif"][0])
    for number in range(5):
        file(folder, f"moving{number}.gif", NOTED["moving.gif"][0])
    for name in ("a.xmp", "b.XMP", "drawing.svg", "Thumbs.db", "README", ".hidden"):
        file(folder, name, b"<x/>")
    path = tmp_path / "job.yaml"
    path.write_text(
        "inputs: [in]\noutput: out\ndetect: {model: none}\nrestore: {model: none}\n"
        "background: {model: none, scale: 1}\npaste: {mask: feather}\nengine: {kind: local}\n"
    )
    return path


PASSED_OVER = "5 files passed over: 2 .xmp, 1 without a suffix, 1 .db, 1 .svg"


def test_the_plan_prints_what_will_fail_what_is_lost_and_what_is_passed_over(job: Path) -> None:
    shown = call("plan", str(job)).stdout.splitlines()
    (failing,) = [line for line in shown if line.startswith("will fail: ")]
    assert "float.tif" in failing
    (note,) = [line for line in shown if "only the first" in line]
    # Many files with the same note take one line.
    assert note.startswith("note: 5 files (moving0.gif, moving1.gif, moving2.gif …): animated")
    assert PASSED_OVER in shown


def test_the_plan_as_json_has_notes_and_what_is_passed_over(job: Path) -> None:
    plain = json.loads(call("plan", str(job), "--json").stdout)
    assert plain["passed_over"] == {".xmp": 2, ".svg": 1, ".db": 1, "": 1}
    by_name = {Path(item["source"]).name: item for item in plain["items"]}
    assert "floating-point" in by_name["float.tif"]["error"]
    assert by_name["a.jpg"]["notes"] == []
    assert "only the first" in by_name["moving0.gif"]["notes"][0]


def test_what_is_hardly_too_large_is_said_to_be_larger_than_its_limit() -> None:
    assert "is 250.04 megapixels, more than limits.max_megapixels (250)" in verdict.refusal(
        12502, 20000, 250
    )
    assert size_refusal(12502, 20000, 250).startswith("250.04 megapixels a frame")

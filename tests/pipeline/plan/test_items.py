"""The items of a job: named before their headers are read as they are named after."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.pipeline.plan import items
from restore_batch.pipeline.plan.headers import HeaderReaders
from restore_batch.pipeline.plan.items import Item, find_items, looked_at_item, read_item

from support.archive import scene
from support.clips import clip


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Files that are what they are called, that are not, that may meet, and that are nothing."""
    folder = tmp_path / "in"
    (folder / "album").mkdir(parents=True)
    for name in ("plain.jpg", "PLAIN2.JPG", "both.jpg", "both.png", "both.png.tif", "album/a.png"):
        scene(32, 24).save(folder / name)
    for name in ("is_jpeg.png", "album/is_jpeg.tif", "both.bmp", "is_jpeg_too.tga"):
        scene(32, 24).save(folder / name, "JPEG")
    scene(32, 24).save(folder / "scan.tga")
    (folder / "nothing.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    clip(folder / "film.mp4", frames=3)
    clip(folder / "plain3.mp4", frames=3)
    scene(32, 24).save(folder / "plain3.jpg")
    return folder


def loaded(archive: Path, format: str) -> LoadedJob:
    job = {"inputs": [str(archive)], "output": str(archive.parent / "out")}
    return LoadedJob(job_from_mapping({**job, "photos": {"format": format}}))


@pytest.mark.parametrize("format", ["keep", "png"])
def test_an_item_is_the_same_whether_its_header_is_read_at_once_or_later(
    archive: Path, format: str
) -> None:
    job = loaded(archive, format)
    at_once = find_items(job).items
    listed = find_items(job, headers="later").items
    later = [looked_at_item(item) if item.unread else item for item in listed]
    assert [item.source for item in later] == [item.source for item in at_once]
    unread = {Path(item.source.source).name for item in later if item.unread}
    assert unread >= {"plain.jpg", "is_jpeg.png", "is_jpeg.tif", "nothing.jpg", "text.png"}
    assert not unread & {"both.jpg", "both.png", "both.bmp", "both.png.tif", "film.mp4"}
    with HeaderReaders(job.job) as readers:
        headers = readers.read([item.source for item in later])
    read: list[Item] = [
        read_item(item, header, job.job) if item.unread else item
        for item, header in zip(later, headers, strict=True)
    ]
    assert tuple(read) == at_once
    assert len({item.output for item in read}) == len(read)


def test_of_many_photos_a_sample_of_headers_is_read_and_names_stay(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = loaded(archive, "keep")
    for number in range(100):
        scene(16, 12).save(archive / f"more{number:03}x.png")
    at_once = {item.source.source: item for item in find_items(job).items}
    assert find_items(job, headers="some").items == tuple(at_once.values()), "of few all are read"
    monkeypatch.setattr(items, "SAMPLED", 10)
    some = find_items(job, headers="some").items
    assert [item.source.source for item in some] == list(at_once)
    read = [item for item in some if not item.unread]
    assert all(item == at_once[item.source.source] for item in read)
    later = find_items(job, headers="later").items
    assert 5 <= len(read) - sum(not item.unread for item in later) <= 10
    assert sum("more" in item.source.relative for item in read) >= 5, "evenly taken"

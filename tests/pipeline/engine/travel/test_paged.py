"""Films read in parts from the node that has them: the same frames, and few other bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.pipeline.engine.travel import paged
from restore_batch.pipeline.engine.travel.home import HomeLostError
from restore_batch.pipeline.engine.travel.paged import Films
from restore_batch.stages.film.source import index_film, read_film
from restore_batch.stages.film.work import Reading
from restore_batch.stages.photo.source import open_source
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import FrameRange, VideoFrame

from support.clips import clip, numbered_picture
from support.there import There


@pytest.fixture
def there(tmp_path: Path) -> There:
    (tmp_path / "there" / "reel").mkdir(parents=True)
    return There(tmp_path / "there")


@pytest.fixture
def films(there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Films]:
    monkeypatch.setattr(paged, "_BLOCK_BYTES", 1 << 12)
    found = Films(there, tmp_path / "films")
    yield found
    found.close()
    assert list((tmp_path / "films").iterdir()) == []


def frames(source: str, index: VideoIndex, segment: FrameRange) -> list[VideoFrame]:
    return list(read_film(source, index.facts, segment, Reading()))


def assert_same(found: list[VideoFrame], expected: list[VideoFrame]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.pts, one.duration, one.fault) == (other.pts, other.duration, other.fault)
        assert one.captions == other.captions
        np.testing.assert_array_equal(one.frame.rgb_hwc, other.frame.rgb_hwc)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.mov", "prores_ks"), ("a.avi", "mpeg4"),
        ("a.ts", "mpeg2video"), ("a.mpg", "mpeg2video"), ("a.webm", "libvpx-vp9"),
        ("a.mjpeg", "mjpeg"),
    ],
)  # fmt: skip
def test_a_segment_has_the_same_frames_away_from_its_film(
    name: str, codec: str, there: There, films: Films
) -> None:
    reorders = codec in ("libx264", "libx265")
    path = clip(
        there.root / name, codec=codec, frames=48, gop=6, size=(160, 120),
        b_frames=2 if reorders else 0, picture=numbered_picture((160, 120)),
    )  # fmt: skip
    index = index_film(str(path), 24.0)
    segments = cut_segments(index, 0.25, 1 << 30, 2)
    assert len(segments) > 3
    for number in (len(segments) - 1, 0, 1):
        expected = frames(str(path), index, segments[number])
        with films.shown(f"/{name}") as source:
            there.bytes = 0
            assert_same(frames(source, index, segments[number]), expected)
            brought = there.bytes
            assert_same(frames(source, index, segments[number]), expected)
            assert there.bytes == brought, "a second pass finds what the first has brought"


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_segment_takes_few_bytes_of_its_film(name: str, there: There, films: Films) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (48, 144, 192, 3), np.uint8)
    path = clip(
        there.root / name, frames=48, gop=6, size=(192, 144), picture=lambda number: noise[number],
        options={"preset": "ultrafast", "qp": "1"},
    )  # fmt: skip
    index = index_film(str(path), 24.0)
    segments = cut_segments(index, 0.25, 1 << 30, 0)
    for segment in (segments[0], segments[5]):
        expected = frames(str(path), index, segment)
        films.close()
        there.bytes = 0
        with films.shown(f"/{name}") as source:
            assert_same(frames(source, index, segment), expected)
        assert there.bytes < path.stat().st_size / 2


def test_damaged_places_are_the_same_away_from_the_film(there: There, films: Films) -> None:
    path = clip(there.root / "a.mkv", frames=48, gop=6, picture=numbered_picture((64, 48)))
    whole = bytearray(path.read_bytes())
    for place in range(len(whole) // 3, len(whole), 997):
        whole[place] ^= 0xFF
    path.write_bytes(whole)
    index = index_film(str(path), 24.0)
    for segment in cut_segments(index, 0.5, 1 << 30, 2):
        expected = frames(str(path), index, segment)
        with films.shown("/a.mkv") as source:
            assert_same(frames(source, index, segment), expected)


def test_numbered_pictures_stand_in_for_others_as_where_they_are(
    there: There, films: Films
) -> None:
    for number in (1, 2, 3, 5, 6, 7, 8):
        pixels = np.full((24, 32, 3), 20 * number, np.uint8)
        Image.fromarray(pixels).save(there.root / f"reel/a [b] #{number:02}.png")
    (there.root / "reel/a [b] #06.png").write_bytes(b"no picture")
    (there.root / "reel/Thumbs.db").touch()
    path = f"{there.root}/reel/a [b] #%02d.png"
    index = index_film(path, 24.0)
    for segment in cut_segments(index, 0.1, 1 << 30, 0):
        expected = frames(path, index, segment)
        with films.shown("/reel/a [b] #%02d.png") as source:
            assert_same(frames(source, index, segment), expected)


def test_another_film_under_the_name_is_brought_anew(there: There, films: Films) -> None:
    def seen() -> bytes:
        with films.shown("/a.mkv") as source, open_source(source) as file:
            return file.read()

    (there.root / "a.mkv").write_bytes(b"a" * 10_000)
    assert seen() == b"a" * 10_000
    (there.root / "a.mkv").write_bytes(b"b" * 20_000)
    assert seen() == b"b" * 20_000


def test_films_that_are_shown_at_once_are_read_side_by_side(there: There, films: Films) -> None:
    for name in ("a.mkv", "b.mkv"):
        (there.root / name).write_bytes(name.encode() * 3000)
    with films.shown("/a.mkv") as first, open_source(first) as one:
        one.read(10)
        with films.shown("/b.mkv") as second, open_source(second) as other:
            other.read(10)
            (there.root / "a.mkv").write_bytes(b"another" * 3000)
            with films.shown("/a.mkv") as third, open_source(third) as anew:
                assert anew.read(7) == b"another"
            assert other.read() == (b"b.mkv" * 3000)[10:]
        assert one.read(90) == (b"a.mkv" * 3000)[10:100], "the block that was here"


def test_what_cannot_be_read_any_more_is_told_of(there: There, films: Films) -> None:
    path = clip(there.root / "a.mp4", frames=48, gop=6)
    index = index_film(str(path), 24.0)
    (segment,) = cut_segments(index, 60.0, 1 << 30, 0)
    with films.shown("/a.mp4") as source:
        path.unlink()
        with pytest.raises(MediaError, match=r"a\.mp4: cannot be read: No such file"):
            frames(source, index, segment)
    with pytest.raises(MediaError, match="cannot be opened"), films.shown("/a.mp4"):
        pass


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_home_that_falls_silent_never_looks_like_the_end_of_a_film(
    name: str, there: There, films: Films
) -> None:
    codec = "mpeg4" if name == "a.avi" else "libx264"
    picture = numbered_picture((160, 120))
    path = clip(there.root / name, codec=codec, frames=24, gop=6, size=(160, 120), picture=picture)
    index = index_film(str(path), 24.0)
    (segment,) = cut_segments(index, 60.0, 1 << 30, 0)
    expected = frames(str(path), index, segment)
    left = 0

    def answers() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise HomeLostError("no answer")

    there.when_read = answers
    lost = 0
    for calls in range(-(-path.stat().st_size // (1 << 12)) + 1):
        left = calls
        films.close()
        try:
            with films.shown(f"/{name}") as source:
                found = frames(source, index, segment)
        except HomeLostError:
            lost += 1
        else:
            assert_same(found, expected)
    assert lost > 1

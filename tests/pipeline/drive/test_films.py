"""What follows from the units of a film, on a real manifest."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby
from pathlib import Path

import pytest

from restore_batch.jobs.history import FrameFaces
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import FaceRow, StagedResult
from restore_batch.jobs.units import Join, Segment, Unit
from restore_batch.pipeline.drive.films import Films, shortened
from restore_batch.pipeline.report.films import summed_up
from restore_batch.stages.film.work import IndexedFilm, JoinWork
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.types import ColourTags, FrameRange, StreamFacts, VideoFacts

FACTS = VideoFacts(
    container="mp4", codec="h264", pix_fmt="yuv420p", width=64, height=48, rotation_deg=0,
    sample_aspect=Fraction(1), bits=8, field_order="progressive", colour=ColourTags(),
    time_base_s=Fraction(1, 25), frame_count=30, duration_s=1.2, mean_fps=25.0,
    streams=(StreamFacts(0, "video", "h264"),), video_stream=0,
)  # fmt: skip
FORMAT, _ = resolve_format(VideoWish(codec="h264"), FACTS, 1.0, "clip.mp4")
INDEX = IndexedFilm(
    FACTS,
    FORMAT,
    tuple(
        FrameRange(i, 10 * i, tuple(range(10 * i, 10 * i + 10)), (1,) * 10, 0, 0, None)
        for i in range(3)
    ),
)


@pytest.fixture
def manifest(tmp_path: Path):
    with Manifest.open(tmp_path / "out") as opened:
        yield opened


def the_join(manifest: Manifest) -> Join[JoinWork]:
    return Join(
        id="film", source="/in/clip.mp4", output="clip.mp4",
        staging_dir=str(manifest.staging_dir), base_key="base", face_key="face",
    )  # fmt: skip


def done(
    manifest: Manifest, unit: Unit, faces: int = 0, *warnings: str, seen: tuple[FaceRow, ...] = ()
) -> None:
    """Commit ``unit`` with the bytes of its name."""
    data = unit.output.encode()
    unit.staged_path.write_bytes(data)
    import hashlib

    sha256 = hashlib.sha256(data).hexdigest()
    manifest.commit(
        unit,
        StagedResult(str(unit.staged_path), len(data), sha256, 64, 48, seen, warnings, {}, faces),
    )


def test_the_join_comes_when_the_last_part_is_there_and_not_before(manifest: Manifest) -> None:
    work = Films(manifest)
    index = work.begin(the_join(manifest), "sha")
    parts = work.indexed(index, INDEX, ())
    assert [type(part) for part in parts] == [Segment] * 3
    assert [part.work.frames.number for part in parts] == [0, 1, 2]
    for part in parts[:2]:
        done(manifest, part, 4)
        assert work.part_done(part) == []
    done(manifest, parts[2], 5, "frame 21 at 0.84 s: cannot be decoded")
    (join,) = work.part_done(parts[2])
    assert isinstance(join, Join)
    assert join.work is not None
    assert [Path(path).read_bytes() for path, _ in join.work.parts] == [
        part.output.encode() for part in parts
    ]
    assert work.joined(join) == (13, ("frame 21 at 0.84 s: cannot be decoded",))


def face(frame: int, width: float, height: float) -> FaceRow:
    return FaceRow(frame, (5.0, 5.0, 5.0 + width, 5.0 + height), (), 0.9, True, None, 1.0, "")


def test_the_join_knows_what_was_read_and_where_the_largest_face_is(manifest: Manifest) -> None:
    work = Films(manifest)
    index = work.begin(the_join(manifest), "sha")
    parts = work.indexed(index, INDEX, (), "size and times")
    seen = [(), (face(11, 30, 10), face(14, 10, 40), face(15, 40, 10)), (face(21, 20, 20),)]
    for part, faces in zip(parts, seen, strict=True):
        done(manifest, part, seen=faces)
        following = work.part_done(part)
    (join,) = following
    assert join.work.moment == 14
    assert (join.work.source_sha256, join.work.source_state) == ("sha", "size and times")
    frames = [
        FrameFaces(f, tuple(each)) for f, each in groupby(seen[1] + seen[2], lambda x: x.frame)
    ]
    assert summed_up(frames).moment == 14, "the report would cut clips around the same frame"


def test_the_join_of_a_film_without_faces_knows_no_moment(manifest: Manifest) -> None:
    work = Films(manifest)
    for part in work.indexed(work.begin(the_join(manifest), "sha"), INDEX, ()):
        done(manifest, part)
        following = work.part_done(part)
    assert following[0].work.moment is None


def test_a_later_run_does_only_the_parts_that_are_missing(manifest: Manifest) -> None:
    first = Films(manifest)
    parts = first.indexed(first.begin(the_join(manifest), "sha"), INDEX, ())
    done(manifest, parts[1])
    again = Films(manifest)
    left = again.indexed(again.begin(the_join(manifest), "sha"), INDEX, ())
    assert [part.work.frames.number for part in left] == [0, 2]
    (manifest.output_dir / parts[1].output).unlink()
    third = Films(manifest)
    assert len(third.indexed(third.begin(the_join(manifest), "sha"), INDEX, ())) == 3


def test_faces_that_earlier_runs_have_restored_count_with_the_film(manifest: Manifest) -> None:
    first = Films(manifest)
    parts = first.indexed(first.begin(the_join(manifest), "sha"), INDEX, ())
    for part, faces in zip(parts[:2], (4, 5), strict=True):
        done(manifest, part, faces)
        first.part_done(part)  # type: ignore[arg-type]
    later = Films(manifest)
    (part,) = later.indexed(later.begin(the_join(manifest), "sha"), INDEX, ())
    done(manifest, part, 6)
    (join,) = later.part_done(part)  # type: ignore[arg-type]
    assert later.joined(join)[0] == 15  # type: ignore[arg-type]
    assert later.forget(join) == 9
    assert later.forget(join) == 0


def test_a_film_whose_parts_are_all_there_is_only_joined(manifest: Manifest) -> None:
    work = Films(manifest)
    for part in work.indexed(work.begin(the_join(manifest), "sha"), INDEX, ()):
        done(manifest, part)
    again = Films(manifest)
    (join,) = again.indexed(again.begin(the_join(manifest), "sha"), INDEX, ("odd",))
    assert isinstance(join, Join)
    assert again.joined(join) == (0, ("odd",))


def test_a_lost_part_is_made_plainly_once_and_then_fails_its_film(manifest: Manifest) -> None:
    work = Films(manifest)
    parts = work.indexed(work.begin(the_join(manifest), "sha"), INDEX, ())
    (plain,) = work.without_restoration(parts[1], "its worker was lost")
    assert isinstance(plain, Segment)
    assert plain.work.plain_because == "its worker was lost"
    assert plain.attempt == 2
    assert work.without_restoration(plain, "again") == []
    failed = work.given_up(plain)
    assert failed is not None
    assert failed.output == "clip.mp4"
    assert not work.wants(parts[2])
    assert work.given_up(parts[2]) is None, "a film fails once"
    assert work.part_done(parts[0]) == []
    assert work.unfinished == {"film"}


def test_a_film_that_cannot_be_indexed_fails_once(manifest: Manifest) -> None:
    work = Films(manifest)
    index = work.begin(the_join(manifest), "sha")
    assert not index.is_item
    assert work.given_up(index) is not None
    assert work.given_up(index) is None


def test_parts_are_no_items_of_their_own(manifest: Manifest) -> None:
    work = Films(manifest)
    parts = work.indexed(work.begin(the_join(manifest), "sha"), INDEX, ())
    for part in parts:
        done(manifest, part, 2)
    (join,) = work.part_done(parts[0]) or work.part_done(parts[1]) or work.part_done(parts[2])
    done(manifest, join, 6)
    (item,) = manifest.items()
    assert (item.output, item.faces, item.state) == ("clip.mp4", 6, "done")
    manifest.drop_parts(join.id)
    assert not list((manifest.output_dir / ".restore-batch" / "parts").glob("*/*"))


def test_only_parts_of_films_that_are_to_be_finished_are_kept(manifest: Manifest) -> None:
    work = Films(manifest)
    parts = work.indexed(work.begin(the_join(manifest), "sha"), INDEX, ())
    done(manifest, parts[0])
    stale = manifest.output_dir / ".restore-batch" / "parts" / "other" / "000000.part"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of other options")
    manifest.keep_parts_of(work.unfinished)
    assert not stale.exists()
    assert (manifest.output_dir / parts[0].output).exists()


def test_many_warnings_of_a_kind_are_counted_instead_of_told() -> None:
    told = [f"frame {i} at {i / 25:.2f} s: is damaged" for i in range(100)]
    short = shortened([*told, *["its transparency is not kept"] * 3])
    assert short[0] == told[0]
    assert short[-1] == "its transparency is not kept"
    assert "80 more" in short[-2]
    assert len(short) == 22

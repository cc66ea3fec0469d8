"""What the worker that joins a film draws of it: as the report would of the files, and never in the
way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restore_batch.files import version_of
from restore_batch.jobs.units import Join
from restore_batch.pipeline.report.previews import PreviewRequest, make_previews
from restore_batch.stages.film.clips import Clips
from restore_batch.stages.film.frames_out import INDEX_NAME
from restore_batch.stages.film.join import JoinFilm
from restore_batch.stages.film.source import read_film
from restore_batch.stages.film.work import JoinWork, Reading
from restore_batch.stages.media import Chunk
from restore_batch.stages.previews.pictures import folder_of_key, key_of
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.write import PartWriter

from support.clips import clip

SOURCE = "5" * 64
MOMENT = 17


def joined(
    folder: Path, source: Path, *, span: range | None = None, as_frames: bool = False
) -> Chunk:
    """A film whose frames, or some of them, were written as they are, in segments of 0.4 s."""
    index = index_video(str(source))
    wish = VideoWish(codec="ffv1", container="mkv") if as_frames else VideoWish(preset="veryfast")
    format_, _ = resolve_format(wish, index.facts, 1, str(source))
    parts = []
    for frames in cut_segments(index, 0.4, 1 << 30, 2, span=span):
        path = folder / f"{frames.number}.part"
        own = range(frames.before, frames.before + frames.own_count)
        with PartWriter(path, format_, index.facts.time_base_s) as writer:
            for place, seen in enumerate(read_film(str(source), index.facts, frames, Reading())):
                if place in own:
                    writer.write(seen.frame, seen.pts, seen.duration)
            writer.close()
        parts.append((str(path), frames))
    work = JoinWork(
        index.facts, format_, tuple(parts), str(folder / "out" / "film"), source_sha256=SOURCE,
        source_state=version_of(source.stat()), moment=MOMENT,
    )  # fmt: skip
    unit = Join(
        id="film", source=str(source), output=f"film/{INDEX_NAME}" if as_frames else source.name,
        staging_dir=str(folder / "tmp"), previews_dir=str(folder / "previews"), work=work,
    )  # fmt: skip
    stage = JoinFilm(output="frames" if as_frames else "file", preview_s=span and 1.0)
    (done,) = stage([Chunk(unit)])
    assert isinstance(done, Chunk), done
    return done


def drawn(chunk: Chunk, clips: Clips | None = None) -> Chunk:
    (done,) = (clips or Clips())([chunk])
    assert isinstance(done, Chunk), done
    assert done.artifact == chunk.artifact
    return done


def kept(chunk: Chunk) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """Facts and files that were kept of a film."""
    assert chunk.artifact is not None
    key = key_of("film", SOURCE, chunk.artifact.sha256, mask=False)
    folder = folder_of_key(Path(chunk.unit.previews_dir), key)
    facts = json.loads((folder / f"{key}-facts.json").read_bytes())
    return facts, {ending: (folder / f"{key}-{ending}").read_bytes() for ending in facts["files"]}


def made_by_report(folder: Path, chunk: Chunk) -> tuple[dict[str, Any], Mapping[str, bytes]]:
    """The same as the report makes them of original and result."""
    assert chunk.artifact is not None
    result = chunk.artifact.staged_path
    if chunk.unit.output.endswith(INDEX_NAME):
        result = str(folder / "out" / "film" / INDEX_NAME)
    facts = make_previews(
        PreviewRequest(
            str(folder / "made"), "key", chunk.unit.source, result, is_film=True, moment=MOMENT
        )
    )
    return facts, {end: (folder / "made" / f"key-{end}").read_bytes() for end in facts["files"]}


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("film.mp4", {"b_frames": 2, "gop": 40}),
        ("film.mkv", {"codec": "mpeg2video", "interlaced": True, "rotation_deg": 0}),
        ("film.avi", {"codec": "mpeg4", "b_frames": 2}),
    ],
)
def test_they_are_those_that_the_report_makes_of_the_files(
    name: str, encoded: dict[str, Any], tmp_path: Path
) -> None:
    source = clip(tmp_path / name, frames=60, **encoded)
    done = drawn(joined(tmp_path, source))
    facts, files = kept(done)
    assert (facts, files) == made_by_report(tmp_path, done)
    assert set(files) == {"thumb.jpg", "posters.jpg", "before.mp4", "after.mp4"}
    assert facts["before"] == facts["after"] == [64, 48]


def test_of_numbered_pictures_they_are_the_same_too(tmp_path: Path) -> None:
    done = drawn(joined(tmp_path, clip(tmp_path / "film.mp4", frames=12), as_frames=True))
    facts, files = kept(done)
    assert (facts, files) == made_by_report(tmp_path, done)
    assert "before.mp4" in files


def test_of_a_stretch_of_a_film_only_the_result_is_drawn(tmp_path: Path) -> None:
    source = clip(tmp_path / "film.mp4", frames=40)
    done = drawn(joined(tmp_path, source, span=range(10, 30)))
    facts, files = kept(done)
    assert facts["part"]
    assert (facts, files) == made_by_report(tmp_path, done)
    assert set(files) == {"thumb.jpg", "posters.jpg", "after.mp4"}


def test_an_original_that_was_replaced_meanwhile_is_left_to_the_report(tmp_path: Path) -> None:
    source = clip(tmp_path / "film.mp4", frames=12)
    done = joined(tmp_path, source)
    clip(source, frames=12, size=(96, 48))
    drawn(done)
    assert not (tmp_path / "previews").exists()


def test_a_film_whose_previews_cannot_be_kept_or_drawn_is_joined_all_the_same(
    tmp_path: Path,
) -> None:
    done = joined(tmp_path, clip(tmp_path / "film.mp4", frames=12))
    (tmp_path / "previews").write_text("in the way", encoding="utf-8")
    drawn(done)
    drawn(replace(done, unit=replace(done.unit, previews_dir="")))
    Path(done.unit.source).unlink()
    drawn(replace(done, unit=replace(done.unit, previews_dir=str(tmp_path / "others"))))
    assert not (tmp_path / "others").exists()


def test_nothing_is_drawn_where_no_report_is_wanted() -> None:
    assert Clips(wanted=False).is_idle
    assert not Clips().is_idle

"""The stretch of a film that a preview restores."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from restore_batch.jobs.units import FilmIndex
from restore_batch.stages.film.faces import FACE_CONTEXT_FRAMES
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.film.preview import Preview, densest
from restore_batch.stages.media import Chunk
from restore_batch.stages.video.index import VideoIndex, index_video

from support.clips import clip


def _whole(folder: Path) -> VideoIndex:
    return index_video(str(clip(folder / "film.mp4", frames=100, gop=10)))


def test_the_stretch_lies_around_the_place_with_the_most_faces(tmp_path: Path) -> None:
    whole = _whole(tmp_path)
    length = 1.0 / float(whole.facts.time_base_s)
    assert densest(whole, [10, 50, 90], [0, 3, 1], length) == range(38, 63)
    assert densest(whole, [10, 50, 90], [2, 2, 2], length) == range(38, 63)
    assert densest(whole, [0], [1], length) == range(25)


@given(st.integers(0, 99), st.floats(0.01, 10))
def test_there_is_always_a_frame_and_never_one_beyond_the_film(place: int, seconds: float) -> None:
    whole = _INDEX
    span = densest(whole, [place], [1], seconds / float(whole.facts.time_base_s))
    assert 0 <= span.start < span.stop <= whole.count
    shown = (whole.pts[span.stop - 1] - whole.pts[span.start]) * float(whole.facts.time_base_s)
    assert shown <= seconds or len(span) == 1


def test_a_preview_is_cut_from_the_index_of_the_whole_film(tmp_path: Path) -> None:
    source = str(clip(tmp_path / "film.mp4", frames=100, gop=10))
    unit = FilmIndex(id="u", source=source, output="film.mp4")
    (indexed,) = IndexFilm(max_megapixels=10, preview_s=1.0)([Chunk(unit)])
    assert isinstance(indexed, Chunk)
    assert indexed.index.segments == ()
    (preview,) = Preview(1.0)([indexed])
    assert isinstance(preview, Chunk)
    (segment,) = preview.index.segments
    assert segment.own_count == 25
    assert segment.before == segment.after == min(37, FACE_CONTEXT_FRAMES)
    assert preview.index.whole is None, "the whole index need not travel any further"


def _make_index() -> VideoIndex:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return _whole(Path(folder))


_INDEX = _make_index()

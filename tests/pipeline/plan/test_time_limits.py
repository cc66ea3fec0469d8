"""What hangs is ended; what is large, or dear to restore, has the time for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import restore_batch as rb
from restore_batch.jobs.units import (
    FilmContent,
    FilmIndex,
    Join,
    Photo,
    PhotoContent,
    Segment,
    Unit,
)
from restore_batch.models import speed
from restore_batch.pipeline.plan.estimate import estimate
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.plan.time_limits import LEAST_S, time_limits
from restore_batch.stages.film.index import IndexFilm
from restore_batch.stages.film.work import SegmentWork
from restore_batch.stages.media import Chunk

from support.archive import scene
from support.clips import clip


def planned(folder: Path, **sections: Any) -> Plan:
    plan = rb.plan(
        {
            "inputs": [str(folder)], "output": str(folder.parent / "out"),
            "engine": {"kind": "local", "workers": 1, "threads": 1},
            "background": {"model": "none", "scale": 1}, "detect": {"model": "mtcnn"},
            "restore": {"model": "none"},
            "weights": {"download": False, "dir": str(folder.parent / "weights")},
        }
        | sections
    )  # fmt: skip
    assert isinstance(plan, Plan)
    return plan


def limit_s(plan: Plan, unit: Unit) -> float:
    found = time_limits(plan)(unit)
    assert found is not None
    return found


def photo(megapixels: float, size_bytes: int = 0) -> Photo:
    return Photo(
        id="a", source="a.png", output="a.png", megapixels=megapixels, size_bytes=size_bytes
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    scene(1200, 1000).save(tmp_path / "in" / "a.png")
    return tmp_path / "in"


def test_a_photo_has_ten_minutes_and_more_where_it_is_large(photos: Path) -> None:
    plan = planned(photos)
    small, large = limit_s(plan, photo(0.1)), limit_s(plan, photo(100))
    assert LEAST_S == 600
    assert LEAST_S < small < large
    assert limit_s(plan, photo(0.1, size_bytes=10**9)) == pytest.approx(small + 1000)


def test_a_dear_network_has_more_time(photos: Path) -> None:
    cheap = limit_s(planned(photos), photo(10))
    dear = limit_s(planned(photos, background={"model": "realesrgan-x4plus"}), photo(10))
    assert dear > cheap + 3600


def test_work_as_long_as_estimated_for_a_slow_machine_stays_far_below_its_limit(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "core_flops", lambda: 4e10)
    for background in ("none", "realesrgan-x4plus"):
        plan = planned(photos, background={"model": background})
        (item,) = plan.items
        expected_s = estimate(plan).seconds
        assert expected_s is not None
        assert limit_s(plan, photo(item.megapixels)) > LEAST_S + 4 * (expected_s - 4)


def test_fewer_faces_at_most_take_less_time(photos: Path) -> None:
    restore = {"model": "gfpgan-1.4"}
    all_faces = planned(photos, restore=restore)
    one_face = planned(photos, restore=restore, detect={"model": "mtcnn", "max_faces": 1})
    assert limit_s(one_face, photo(50)) < limit_s(all_faces, photo(50)) - 600


def test_a_film_has_time_by_its_frames(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    clip(tmp_path / "in" / "a.mp4", frames=50)
    plan = planned(tmp_path / "in", video={"segment_s": 1.0})
    (item,) = plan.items
    common = {
        "source": item.source.source, "output": item.output, "megapixels": 2.0, "size_bytes": 10**9,
    }  # fmt: skip
    found = limit_s(plan, FilmIndex(id="i", **common))
    assert found == limit_s(plan, Join(id="j", **common)) == LEAST_S + 1000 + 5 * 2 * 50 * 2.0
    index = next(s for group in plan.groups for s in group.stages if isinstance(s, IndexFilm))
    (chunk,) = index([Chunk(FilmIndex(id="i", **common))])
    assert isinstance(chunk, Chunk)
    assert chunk.index is not None
    frames = chunk.index.segments[0]
    work = SegmentWork(chunk.index.facts, frames, chunk.index.format)
    segment = Segment(id="s", work=work, **common)
    assert limit_s(plan, segment) > LEAST_S + 1000 + 5 * 0.09 * frames.own_count


@pytest.mark.parametrize("kind", [PhotoContent, FilmContent])
def test_to_read_an_original_through_has_time_by_its_size(photos: Path, kind: type[Unit]) -> None:
    large = kind(id="c", source="a", output="a", megapixels=2.0, size_bytes=100 * 10**9)
    assert limit_s(planned(photos), large) == LEAST_S + 100_000


@pytest.mark.parametrize(("asked", "limit"), [(5.0, 5.0), (0, None), ("none", None)])
def test_what_a_job_says_holds_for_what_is_restored(
    photos: Path, asked: float | str, limit: float | None
) -> None:
    limit_of = time_limits(planned(photos, limits={"timeout_s": asked}))
    assert limit_of(photo(0.1)) == limit
    assert limit_of(photo(100)) == limit
    assert limit_of(Segment(id="s", source="a.mp4", output="a.mp4", work=None)) == limit


@pytest.mark.parametrize("kind", [PhotoContent, FilmContent, FilmIndex, Join])
def test_what_a_job_says_of_a_photo_is_no_limit_for_a_whole_film(
    photos: Path, kind: type[Unit]
) -> None:
    whole = kind(id="w", source="a", output="a", megapixels=2.0, size_bytes=100 * 10**9)
    by_size = limit_s(planned(photos), whole)
    assert by_size >= LEAST_S + 100_000
    assert limit_s(planned(photos, limits={"timeout_s": 5.0}), whole) == by_size
    assert time_limits(planned(photos, limits={"timeout_s": "none"}))(whole) is None

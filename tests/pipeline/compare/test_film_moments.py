"""Moments of films: the same frames of the original and of its results, whatever these are."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import restore_batch as rb
from restore_batch.errors import MediaError
from restore_batch.pipeline.compare.contact_sheet import Rows
from restore_batch.pipeline.compare.film_moments import MOMENTS, FilmMoments, clock
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.previews.cells import CELL_PX

from support.clips import clip
from support.films_e2e import moving_face

FRAMES, SIZE = 40, (64, 48)


def shade(number: int) -> np.ndarray:
    """A frame that is as bright as its number says."""
    return np.full((SIZE[1], SIZE[0], 3), 20 + 5 * number, np.uint8)


def restored(folder: Path, model: str = "none", **video: Any) -> tuple[Plan, Path]:
    """The plan of a job that enlarges the film of ``folder``, and its result."""
    job: Mapping[str, Any] = {
        "inputs": [str(folder / "in")],
        "output": str(folder / "out"),
        "engine": {"kind": "local", "workers": 1, "threads": 1},
        "detect": {"model": "mtcnn"},
        "restore": {"model": model},
        "paste": {"mask": "feather"},
        "background": {"model": "none", "scale": 2},
        "video": {"segment_s": 0.5, **video},
    }
    summary = rb.run(dict(job))
    assert (summary.done, summary.exit_code) == (1, 0)
    plan = rb.plan(dict(job))
    assert isinstance(plan, Plan)
    return plan, plan.output_dir / plan.items[0].output


def made(folder: Path, **options: Any) -> Path:
    (folder / "in").mkdir()
    film = folder / "in" / "film.mp4"
    return clip(film, frames=FRAMES, **{"size": SIZE, "picture": shade, **options})


def numbers(rows: Rows, column: str) -> list[int]:
    cells = rows.columns[column]
    assert cells is not None
    assert all(cell.shape == (CELL_PX, CELL_PX, 3) for cell in cells)
    return [round((float(cell.mean()) - 20) / 5) for cell in cells]


@pytest.mark.parametrize("video", [{}, {"output": "frames"}, {"codec": "ffv1"}], ids=str)
def test_every_column_shows_the_same_frames(tmp_path: Path, video: dict[str, Any]) -> None:
    film = made(tmp_path)
    plan, result = restored(tmp_path, **video)
    rows = FilmMoments(plan).rows(str(film), {"done": result, "lost": None})
    shown = numbers(rows, "original")
    assert len(shown) == len(rows.captions) == MOMENTS
    assert shown == sorted(set(shown))
    assert shown[0] < FRAMES / MOMENTS < FRAMES - FRAMES / MOMENTS < shown[-1] + 1
    assert numbers(rows, "done") == shown
    assert rows.columns["lost"] is None
    assert rows.captions == [clock(number / 25) for number in shown]


def test_of_a_preview_only_its_stretch_is_shown(tmp_path: Path) -> None:
    film = made(tmp_path)
    plan, result = restored(tmp_path, preview_s=0.4)
    rows = FilmMoments(plan).rows(str(film), {"done": result})
    shown = numbers(rows, "original")
    assert max(shown) - min(shown) < 10
    assert min(shown) > 5, "the middle, where no faces are"
    assert numbers(rows, "done") == shown


def test_the_largest_face_is_shown_with_its_size(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    film = made(tmp_path, size=(144, 108), picture=moving_face())
    plan, result = restored(tmp_path, "compact-1", segment_s=60.0)
    moments = FilmMoments(plan)
    rows = moments.rows(str(film), {"done": result})
    assert all("face" in caption for caption in rows.captions)
    cells = rows.columns["original"]
    assert cells is not None
    # The face sways, its surroundings stay in the middle of the cell.
    middle = slice(CELL_PX // 4, -CELL_PX // 4)
    apart = [np.abs(cell.astype(int) - cells[0])[middle, middle].mean() for cell in cells[1:]]
    assert max(apart) < 25


@pytest.mark.parametrize("video", [{}, {"output": "frames"}], ids=str)
def test_pixels_that_are_not_square_are_shown_as_players_show_them(
    tmp_path: Path, video: dict[str, Any]
) -> None:
    def disc(number: int) -> np.ndarray:
        y, x = np.mgrid[: SIZE[1], : SIZE[0]]
        inside = (2 * (x - 31.5)) ** 2 + (y - 23.5) ** 2 < 18**2
        return np.repeat(np.where(inside, 220, 30)[..., None], 3, axis=2).astype(np.uint8)

    film = made(tmp_path, picture=disc, sample_aspect=Fraction(2))
    plan, result = restored(tmp_path, **video)
    rows = FilmMoments(plan).rows(str(film), {"done": result})
    for cells in rows.columns.values():
        assert cells is not None
        bright = cells[0].mean(axis=2) > 125
        wide, high = bright.any(axis=0).sum(), bright.any(axis=1).sum()
        assert wide == pytest.approx(high, rel=0.06)
        assert high == pytest.approx(CELL_PX * 36 / 48, rel=0.06)


def test_a_film_of_one_frame_has_one_moment(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    film = clip(tmp_path / "in" / "film.mp4", frames=1, size=SIZE, picture=shade)
    plan, result = restored(tmp_path)
    rows = FilmMoments(plan).rows(str(film), {"done": result})
    assert numbers(rows, "done") == numbers(rows, "original") == [0]


def test_a_result_of_another_length_is_refused(tmp_path: Path) -> None:
    film = made(tmp_path)
    plan, result = restored(tmp_path)
    clip(result, frames=FRAMES - 1, size=SIZE, rate=Fraction(25))
    with pytest.raises(MediaError, match=r"film\.mp4: has 39 frames, expected 40"):
        FilmMoments(plan).rows(str(film), {"done": result})


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00.00"), (59.999, "1:00.00"), (3723.25, "1:02:03.25")]
)
def test_places_in_a_film_are_told_as_players_do(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown

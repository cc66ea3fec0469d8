"""What the recorded faces of a film tell over its time."""

from __future__ import annotations

import pytest

from restore_batch.jobs.history import FrameFaces
from restore_batch.jobs.records import FaceRow, frame_of_largest
from restore_batch.pipeline.report.films import BINS, summed_up


def at(frame: int, x: float, *, identity: float | None = None, note: str = "") -> FrameFaces:
    """A face of 100 px whose place is x."""
    box = (x - 50, 0.0, x + 50, 100.0)
    face = FaceRow(frame, box, ((x, 50.0),) * 5, 0.9, True, identity, 1.0, note)
    return FrameFaces(frame, (face,))


def test_of_frames_whose_largest_faces_are_of_one_size_the_first_stands_for_the_film() -> None:
    assert frame_of_largest([(7, 3.0), (5, 9.0), (2, 1.0), (4, 9.0)]) == 4
    assert frame_of_largest([]) is None
    assert summed_up([at(3, 100), at(4, 100)]).moment == 3
    assert summed_up([]).moment is None


def test_an_even_movement_does_not_shake() -> None:
    film = summed_up(at(frame, 200 + 3.0 * frame) for frame in range(20))
    assert [share for _, share in film.shake] == pytest.approx([0] * 18)


def test_a_face_that_jumps_to_and_fro_shakes_by_twice_its_jump() -> None:
    film = summed_up(at(frame, 200 + 2.0 * (frame % 2)) for frame in range(20))
    assert [share for _, share in film.shake] == pytest.approx([0.04] * 18)
    assert film.plain(20)["mean_shake"] == pytest.approx(0.04)


def test_gaps_and_other_faces_are_no_shaking() -> None:
    frames = [at(0, 100), at(1, 100), at(5, 130), at(6, 130), at(7, 900), at(8, 900)]
    assert summed_up(frames).shake == []


def test_the_graph_has_a_place_for_each_stretch_of_the_film() -> None:
    film = summed_up(at(frame, 200 + 2.0 * (frame % 2)) for frame in range(100, 120))
    graph = film.graph(10 * BINS)
    assert len(graph) == BINS
    assert [place for place, share in enumerate(graph) if share is not None] == [10, 11]


def test_the_lowest_likeness_and_every_note_are_kept() -> None:
    frames = [at(0, 1, identity=0.0), at(1, 1, identity=0.5, note="odd"), at(2, 1, note="odd")]
    film = summed_up(frames)
    assert (film.identity, film.notes, film.frames) == (0.0, {"odd": 2}, 3)


def test_notes_that_differ_in_their_numbers_alone_are_told_as_one() -> None:
    notes = [
        "its 54 px of 100 are few",
        "its 9 px of 100 are few",
        "odd",
        "its 54 px of 100 are few",
    ]
    film = summed_up(at(frame, 1, note=note) for frame, note in enumerate(notes))
    assert film.plain(4)["notes"] == {"its 9–54 px of 100 are few": 3, "odd": 1}

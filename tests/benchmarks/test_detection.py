"""What a comparison of two versions counts as found by both, and what of a film it sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detection import _frames, _in_film, _picture, missed

from restore_batch.models.base import Face
from restore_batch.stages.media import Frame

from support import data


def test_a_face_is_missed_where_no_other_box_overlaps_most_of_it() -> None:
    face, beside = [10.0, 10.0, 50.0, 50.0, 0.9], [60.0, 10.0, 100.0, 50.0, 0.8]
    moved = [14.0, 12.0, 54.0, 52.0, 0.7]
    assert missed([face, beside], [moved]) == [beside]
    assert missed([face], [[40.0, 40.0, 80.0, 80.0, 0.9]]) == [face]
    assert missed([], [face]) == []


@pytest.mark.parametrize("megapixels", [0.1, 1.0])
def test_a_picture_is_resized_to_so_many_megapixels_and_by_nought_not_at_all(
    megapixels: float,
) -> None:
    path = str(data.photos() / "old" / "group_astronauts_1995.jpg")
    height, width, _ = _picture(path, megapixels).shape
    assert height * width == pytest.approx(megapixels * 1e6, rel=0.01)
    assert width / height == pytest.approx(510 / 403, rel=0.01)
    assert _picture(path, 0).shape == (403, 510, 3)


def test_of_a_film_that_cannot_be_opened_there_are_no_frames(tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(1000))
    assert list(_frames(str(broken))) == []


class _OneFace:
    """Finds one face in each frame, and one that is expected a little lower."""

    def __init__(self) -> None:
        self.expected = 0

    def find(
        self, frames: list[Frame], expected: list[tuple[Face, ...]] | None = None
    ) -> tuple[tuple[Face, ...], ...]:
        top = 20.0 if expected else 10.0
        self.expected += bool(expected)
        landmarks = np.zeros((5, 2), np.float32)
        return ((Face((10.0, top, 50.0, top + 40), landmarks, 0.9),),) * len(frames)


def test_each_frame_of_a_film_is_looked_at_as_a_whole_and_where_faces_are_expected() -> None:
    detect = _OneFace()
    path = str(data.folder("RESTORE_BATCH_VIDEO", "video") / "cuts_and_gaps.mp4")
    frames = sum(1 for _ in _frames(path))
    boxes = list(_in_film(detect, path))
    assert frames > 50
    assert detect.expected == frames - 1
    assert len(boxes) == 2 * frames - 1
    assert missed(boxes[1:], boxes[:1]) == boxes[1:]
    assert len({left for left, *_ in boxes}) == len(boxes)

"""Faces as they are cut out to be compared."""

from __future__ import annotations

import numpy as np

from restore_batch.stages.media import Frame
from restore_batch.stages.previews.cells import CELL_PX, face_cells


def test_beyond_the_edge_of_a_picture_there_is_no_second_face() -> None:
    rgb = np.zeros((60, 80, 3), np.uint8)
    rgb[:, :10] = (250, 0, 0)
    (cell,) = face_cells(Frame(rgb), [(-15.0, 15.0, 15.0, 45.0)], (80, 60))
    outside, inside = cell[:, : CELL_PX // 2 - 8], cell[:, CELL_PX // 2 + 8 :]
    assert np.ptp(outside.reshape(-1, 3).astype(int), axis=0).max() == 0
    assert np.ptp(outside[0, 0].astype(int)) < 5
    assert inside[CELL_PX // 2, 0, 0] > 240

"""A piece has the photo's own pixels, depth and grey, and all of a face where one fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from restore_batch.jobs.inputs import SourceFile
from restore_batch.pipeline.begin.pieces import cut_pieces
from restore_batch.pipeline.begin.sample import Seen
from restore_batch.pipeline.plan.items import Item
from restore_batch.stages.photo.read import read


def photo(path: Path, samples: np.ndarray, *faces: tuple[float, float, float, float]) -> Seen:
    tifffile.imwrite(path, samples, photometric="rgb" if samples.ndim == 3 else "minisblack")
    height, width = samples.shape[:2]
    facts = {"width": width, "height": height}
    return Seen(Item(SourceFile(str(path), path.name, 1, ""), path.name, facts), faces, 0.0)


def test_pieces_are_the_pixels_of_the_photo(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    deep = rng.integers(0, 65536, (300, 500, 3), np.uint16)
    grey = rng.integers(0, 256, (90, 70), np.uint8)
    shown = [photo(tmp_path / "deep.tif", deep), photo(tmp_path / "grey.tif", grey)]
    lost = Seen(Item(SourceFile(str(tmp_path / "no.tif"), "no.tif", 1, ""), "no.tif",
                     {"width": 9, "height": 9}), (), 0.0)  # fmt: skip
    part, whole = cut_pieces([shown[0], lost, shown[1]], tmp_path, 100, 250.0)
    assert (part.box, part.is_whole) == ((200, 100, 300, 200), False)
    frame, _, _ = read(str(part.path), 1.0)
    assert np.array_equal(frame.rgb_hwc, deep[100:200, 200:300])
    assert (whole.box, whole.is_whole) == ((0, 0, 70, 90), True)
    frame, _, _ = read(str(whole.path), 1.0)
    assert frame.grey
    assert np.array_equal(frame.rgb_hwc[..., 0], grey)


@pytest.mark.parametrize("face", [(5.0, 5.0, 65.0, 75.0), (400.0, 200.0, 499.0, 299.0)])
def test_a_face_is_in_its_piece_as_a_whole(
    face: tuple[float, float, float, float], tmp_path: Path
) -> None:
    too_large = (0.0, 0.0, 480.0, 290.0)
    shown = photo(tmp_path / "a.tif", np.zeros((300, 500, 3), np.uint8), too_large, face)
    (piece,) = cut_pieces([shown], tmp_path, 100, 250.0)
    left, top, right, bottom = piece.box
    assert left <= face[0] <= face[2] <= right
    assert top <= face[1] <= face[3] <= bottom
    assert right - left < 250

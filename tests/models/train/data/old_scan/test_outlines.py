"""Outlines of real damage: which are read, and that they are drawn."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from restore_batch.errors import UsageError
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.outlines import read_outlines

_SQUARE = [[100, 100], [120, 100], [120, 120], [100, 120]]


def _file(folder: Path, shapes: list[dict[str, object]]) -> Path:
    path = folder / "outlines.json"
    path.write_text(json.dumps([{"scan": 1, "shapes": shapes}]))
    return path


def test_outlines_are_read_by_kind_about_their_middle(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        [
            {"label": "dust", "points": _SQUARE},
            {"label": "short hair", "points": [[0, 0], [40, 0], [40, 2], [0, 2]]},
            {"label": "date stamp", "points": _SQUARE},
            {"label": "scratch", "points": [[0, 0], [5, 5]]},
        ],
    )
    outlines = read_outlines(path)
    rng = np.random.default_rng(0)
    speck = outlines.one("speck", rng, 0.5)
    assert speck is not None
    assert np.abs(np.linalg.norm(speck, axis=1) - 0.5 * np.hypot(10, 10)).max() < 1e-4
    assert np.abs(speck.mean(0)).max() < 1e-4
    assert outlines.one("hair", rng, 1.0) is not None
    assert outlines.one("scratch", rng, 1.0) is None, "two points are no outline"


def test_hairs_have_the_outlines_that_are_given(tmp_path: Path) -> None:
    bar = [[0, 0], [60, 0], [60, 6], [0, 6]]
    outlines = read_outlines(_file(tmp_path, [{"label": "long hair", "points": bar}]))
    hairs = Hairs(
        per_megapixel=(60, 60), real_prob=1, light_prob=1, depth=(1, 1), softness_px=(0, 0)
    )
    black = np.zeros((300, 300, 3), np.float32)
    masks = [hairs(black, np.random.default_rng(s), outlines).alpha_hw > 0.5 for s in range(6)]
    drawn = [mask.sum() for mask in masks if mask.any()]
    assert drawn
    # 0.3 to 0.9 of the outline's 60 x 6 px, each several times, some cut off by the border.
    assert 20 < np.median(drawn) < 3000


def test_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('[{"scan": 1}]')
    with pytest.raises(UsageError, match=r"other\.json: no outlines of damage"):
        read_outlines(other)
    with pytest.raises(UsageError, match=r"nowhere\.json: no outlines"):
        read_outlines(tmp_path / "nowhere.json")

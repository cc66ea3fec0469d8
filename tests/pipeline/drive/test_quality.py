"""Figures of a film are the mean of the frames that were looked at, by the parts they are in."""

from __future__ import annotations

import pytest

from restore_batch.pipeline.drive.quality import mean_quality, quality_in
from restore_batch.stages.media import Figures, QualityRecord


def record(before: float | None, after: float | None, niqe: float | None = None) -> QualityRecord:
    return QualityRecord((9, 9), Figures(before, 1.0, niqe), Figures(after, 2.0, niqe))


def test_a_photo_has_its_own_figures() -> None:
    assert quality_in([record(0.4, 0.5, 7.0)]) == {
        "pictures": 1,
        "before": {"sharpness": 0.4, "noise": 1.0, "niqe": 7.0},
        "after": {"sharpness": 0.5, "noise": 2.0, "niqe": 7.0},
    }
    assert quality_in([]) is None
    assert quality_in([QualityRecord((9, 9), Figures(0.4))]) is None


def test_a_figure_is_the_mean_of_those_that_have_it_before_and_after() -> None:
    found = quality_in([record(0.4, None), record(0.6, 0.7)])
    assert found is not None
    assert found["pictures"] == 2
    assert (found["before"]["sharpness"], found["after"]["sharpness"]) == (0.6, 0.7)
    assert "niqe" not in found["before"]


def test_however_a_film_is_cut_its_figures_are_the_same() -> None:
    records = [record(0.1 * n, 0.05 * n, 3.0 + n) for n in range(1, 7)]
    whole = quality_in(records)
    for cut in (1, 2, 5):
        parts = [quality_in(records[:cut]), quality_in(records[cut:])]
        joined = mean_quality([part for part in parts if part])
        assert joined is not None and whole is not None
        assert joined["pictures"] == whole["pictures"]
        for when in ("before", "after"):
            assert joined[when] == pytest.approx(whole[when], abs=2e-3)

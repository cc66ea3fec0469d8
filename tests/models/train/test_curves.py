"""Curves as CSV."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from restore_batch.models.train.curves import Curve, read_curve


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "c.csv", after=0)
    curve.append(1, {"l1": 0.5})
    curve.append(2, {"l1": 0.25})
    assert (tmp_path / "c.csv").read_text() == "step,l1\n1,0.5\n2,0.25\n"
    assert read_curve(tmp_path / "c.csv") == [{"step": 1, "l1": 0.5}, {"step": 2, "l1": 0.25}]


def test_a_term_that_begins_later_gets_a_column(tmp_path: Path) -> None:
    curve = Curve(tmp_path / "c.csv", after=0)
    curve.append(1, {"l1": 1.0})
    curve.append(2, {"l1": 1.0, "r1": 3.0})
    curve.append(3, {"l1": 2.0})
    assert read_curve(tmp_path / "c.csv") == [
        {"step": 1, "l1": 1}, {"step": 2, "l1": 1, "r1": 3}, {"step": 3, "l1": 2},
    ]  # fmt: skip


def test_a_new_run_begins_a_new_curve(tmp_path: Path) -> None:
    Curve(tmp_path / "c.csv", after=0).append(1, {"l1": 1.0})
    Curve(tmp_path / "c.csv", after=0)
    assert not (tmp_path / "c.csv").exists()


@given(last=st.integers(1, 9), resumed=st.integers(0, 9))
def test_steps_that_come_again_are_not_listed_twice(
    tmp_path_factory: object, last: int, resumed: int
) -> None:
    path = Path(tmp_path_factory.mktemp("curve")) / "c.csv"  # type: ignore[attr-defined]
    first = Curve(path, after=0)
    for step in range(1, last + 1):
        first.append(step, {"l1": float(step)})
    second = Curve(path, after=min(resumed, last))
    for step in range(min(resumed, last) + 1, 11):
        second.append(step, {"l1": float(step)})
    assert [row["step"] for row in read_curve(path)] == list(range(1, 11))

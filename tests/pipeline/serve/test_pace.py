"""How fast a run goes is said from what it brought to an end lately."""

from __future__ import annotations

from restore_batch.jobs.history import Ended
from restore_batch.pipeline.serve.pace import Pace


def pace(*ended: Ended) -> Pace:
    made = Pace()
    made.of_run({"id": 2, "started": 1000.0})
    made.add(ended)
    return made


def test_nothing_is_said_before_anything_ended() -> None:
    assert pace().a_minute(1100.0) is None
    assert (
        pace(Ended("a", 1, 1050.0, "done"), Ended("", 2, 1050.0, "done")).said(
            1100.0, 3, films=False
        )
        == ""
    )


def test_items_of_this_run_within_five_minutes_count() -> None:
    found = pace(*(Ended("a", 2, 1000.0 + 10 * n, "done") for n in range(1, 13)))
    assert found.a_minute(1120.0) == 6.0
    assert found.said(1120.0, 3, films=False) == "6.0 a minute, about 30 s left"
    assert found.said(1120.0, 3, films=True).endswith("without the films that are at work")
    assert found.said(1120.0, 0, films=False) == "6.0 a minute"
    assert found.a_minute(1400.0) == 60 * 3 / 300
    assert found.a_minute(2000.0) is None

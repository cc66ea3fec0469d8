"""Work beside the commit loop, which waits for none of it."""

from __future__ import annotations

import threading

import pytest

from restore_batch.pipeline.drive.background import Beside


def test_what_is_asked_is_answered_in_whatever_order() -> None:
    beside: Beside[int, int] = Beside(lambda number: number * number, threads=3)
    for number in range(50):
        beside.ask(number)
    found: list[tuple[int, int | Exception]] = []
    while beside.waiting:
        found += beside.answers(10.0)
    assert sorted(found) == [(number, number * number) for number in range(50)]


def test_nothing_is_waited_for_unless_it_is_said() -> None:
    goes_on = threading.Event()
    beside: Beside[str, bool] = Beside(lambda _: goes_on.wait(60), threads=1)
    beside.ask("a")
    assert beside.answers() == []
    assert beside.waiting == 1
    goes_on.set()
    assert beside.answers(60.0) == [("a", True)]
    assert beside.answers() == []


def test_an_error_is_an_answer() -> None:
    def refuse(name: str) -> str:
        raise OSError(5, "input/output error", name)

    beside = Beside(refuse, threads=1)
    beside.ask("a")
    ((asked, error),) = beside.answers(60.0)
    assert asked == "a"
    with pytest.raises(OSError, match="input/output error"):
        raise error  # type: ignore[misc]


def test_a_thread_ends_with_its_last_step_when_nothing_more_is_asked() -> None:
    ended = threading.Event()
    beside = Beside(str, threads=1, at_end=ended.set)
    beside.ask(1)
    assert beside.answers(60.0) == [(1, "1")]
    assert not ended.is_set()
    beside.close()
    assert ended.wait(60)

"""Results in the order of the items, few items ahead, whatever the threads do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.parallel import ordered_map


@given(st.lists(st.integers(), max_size=30), st.integers(1, 5), st.integers(1, 7))
def test_results_come_in_the_order_of_their_items(
    items: list[int], threads: int, ahead: int
) -> None:
    with ThreadPoolExecutor(threads) as pool:
        assert list(ordered_map(pool, lambda n: n + 1, items, ahead)) == [n + 1 for n in items]


def test_no_more_items_are_read_than_may_be_ahead() -> None:
    read = 0

    def source() -> Iterator[int]:
        nonlocal read
        for number in range(50):
            read += 1
            yield number

    with ThreadPoolExecutor(2) as pool:
        for taken, _ in enumerate(ordered_map(pool, lambda n: n, source(), 4)):
            assert read <= taken + 4


def test_items_overtake_each_other_only_inside() -> None:
    second_ran = threading.Event()

    def step(number: int) -> int:
        if number == 0:
            assert second_ran.wait(10)
        else:
            second_ran.set()
        return number

    with ThreadPoolExecutor(2) as pool:
        assert list(ordered_map(pool, step, range(4), 3)) == [0, 1, 2, 3]


def test_an_error_arrives_at_the_place_of_its_item() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = ordered_map(pool, lambda n: 6 // n, [3, 2, 0, 1], 2)
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


def test_what_has_not_begun_is_dropped_when_the_caller_stops() -> None:
    begun: list[int] = []
    gate = threading.Event()

    def step(number: int) -> int:
        begun.append(number)
        if number > 0:
            assert gate.wait(10)
        return number

    with ThreadPoolExecutor(1) as pool:
        results = ordered_map(pool, step, range(9), 4)
        assert next(results) == 0
        results.close()  # type: ignore[attr-defined]
        gate.set()
    assert len(begun) <= 2


def test_looking_ahead_by_nothing_is_refused() -> None:
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="at least 1"):
        next(ordered_map(pool, lambda n: n, [1], 0))

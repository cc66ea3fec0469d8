"""What is in flight stays below a limit, and yet everything gets its turn."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.units import FilmContent
from restore_batch.pipeline.engine.budget import Budget, estimated_bytes

from support.toys import unit

MIB = 1 << 20


def test_a_picture_counts_with_three_channels_of_sixteen_bits() -> None:
    assert estimated_bytes(unit("a", megapixels=10)) == 60_000_000


def test_a_picture_of_unknown_size_counts_as_a_decoded_jpeg() -> None:
    unknown = replace(unit("a", megapixels=0.0), size_bytes=5 * MIB)
    assert estimated_bytes(unknown) == 150 * MIB


def test_what_is_only_read_through_takes_no_room_however_large_it_is() -> None:
    film = FilmContent(id="a", source="a", output="a", megapixels=8.3, size_bytes=100 << 30)
    assert estimated_bytes(film) == MIB


@settings(deadline=None)
@given(st.floats(0, 1e5), st.integers(0, 1 << 40))
def test_nothing_counts_as_nothing(megapixels: float, size_bytes: int) -> None:
    some = replace(unit("a", megapixels=megapixels), size_bytes=size_bytes)
    assert estimated_bytes(some) >= MIB


@settings(deadline=None)
@given(
    limit=st.integers(0, 100),
    sizes=st.lists(st.integers(0, 150), max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_live_bytes_stay_below_the_limit_but_for_a_lone_unit(
    limit: int, sizes: list[int], order: Random
) -> None:
    budget = Budget(limit)
    live: dict[str, int] = {}
    waiting = [(f"u{i}", size) for i, size in enumerate(sizes)]
    while waiting or live:
        if waiting and budget.admits(waiting[0][1]):
            name, size = waiting.pop(0)
            budget.take(name, size)
            live[name] = size
        else:
            assert live, "with nothing in flight anything is admitted"
            name = order.choice(sorted(live))
            budget.release(name)
            del live[name]
        assert budget.live_bytes == sum(live.values())
        assert budget.live_bytes <= limit or len(live) == 1


def test_releasing_twice_or_something_unknown_changes_nothing() -> None:
    budget = Budget(10)
    budget.take("a", 4)
    budget.take("b", 5)
    budget.release("a")
    budget.release("a")
    budget.release("never seen")
    assert budget.live_bytes == 5
    assert not budget.admits(6)
    assert budget.admits(5)


def test_a_budget_grows_with_the_workers_it_is_for_and_never_below_what_was_planned() -> None:
    budget = Budget(100, workers=2)
    limits = []
    for workers in (0, 2, 3, 6, 1):
        budget.serve(workers)
        limits.append(budget.limit_bytes)
    assert limits == [100, 100, 150, 300, 100]


def test_a_budget_that_a_job_states_is_kept() -> None:
    budget = Budget(100)
    budget.serve(50)
    assert budget.limit_bytes == 100

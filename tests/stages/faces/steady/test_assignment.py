"""The assignment is the best there is."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.faces.steady.assignment import assign

Costs = list[list[float | None]]


def tables() -> st.SearchStrategy[Costs]:
    entry = st.one_of(st.none(), st.integers(0, 12).map(lambda n: n / 4))
    sizes = st.tuples(st.integers(1, 5), st.integers(1, 5))
    return sizes.flatmap(
        lambda size: st.lists(
            st.lists(entry, min_size=size[1], max_size=size[1]),
            min_size=size[0],
            max_size=size[0],
        )
    )


def best(costs: Costs, row: int = 0, taken: frozenset[int] = frozenset()) -> tuple[int, float]:
    """(minus the number of pairs, cost) of the best assignment, by trying all."""
    if row == len(costs):
        return 0, 0.0
    results = [best(costs, row + 1, taken)]
    for column, cost in enumerate(costs[row]):
        if cost is not None and column not in taken:
            pairs, total = best(costs, row + 1, taken | {column})
            results.append((pairs - 1, total + cost))
    return min(results)


@given(costs=tables())
@settings(max_examples=200, deadline=None)
def test_no_other_assignment_has_more_pairs_or_as_many_for_less(costs: Costs) -> None:
    pairs = assign(costs)
    chosen = [costs[i][j] for i, j in pairs]
    assert None not in chosen
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert (-len(pairs), sum(c for c in chosen if c is not None)) == best(costs)


def test_nothing_to_assign_is_nothing() -> None:
    assert assign([]) == []
    assert assign([[], []]) == []
    assert assign([[None], [None]]) == []


def test_a_crowd_is_told_apart() -> None:
    count = 60
    costs: Costs = [[abs(i - (j * 7) % count) / 10 for j in range(count)] for i in range(count)]
    assert all((j * 7) % count == i for i, j in assign(costs))

"""Many at work, results in order, a bounded number in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Any, TypeAlias, TypeVar

In = TypeVar("In")
Out = TypeVar("Out")
Mapper: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""A ``map`` in order, for instance one that works on several items at once."""


def ordered_map(
    pool: Executor, step: Callable[[In], Out], items: Iterable[In], ahead: int
) -> Iterator[Out]:
    """``map`` on a pool: at most ``ahead`` items are read before their result was taken.

    Ends what has not begun when the caller stops early. Raises what ``step`` or ``items`` raise,
    at the place of the item.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, got {ahead}")
    waiting: deque[Future[Out]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(step, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()

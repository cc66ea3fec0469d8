"""What waits for the workers of one group: first in, first out, but on each node its own first.

Pictures lie where they were decoded. A worker is given those of its own node and what lies nowhere
yet, whichever came first; those of another node only where that one has more than its own workers
will take at once: pictures cross the network only to keep somebody from idling.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, TypeVar

from restore_batch.jobs.units import Unit

Waiting = TypeVar("Waiting")

NOWHERE = ""
"""The node of what still lies in its source; and that of all workers where there is one machine."""


@dataclass
class Task:
    """A unit on its way."""

    unit: Unit
    way: tuple[int, ...]
    """The groups that it comes to, by their numbers, and how far it has come on it."""
    payload: Any
    step: int = 0
    node: str = NOWHERE
    """Where its payload lies."""
    losses: int = 0
    vanished: int = 0
    alone: bool = False

    @property
    def group(self) -> int:
        """The one that it waits for, or is in."""
        return self.way[self.step]

    @property
    def is_last(self) -> bool:
        """Whether that is the last one."""
        return self.step == len(self.way) - 1


class Queue(Generic[Waiting]):
    """Of one group. ``workers_on``: how many of its workers are up on a node."""

    def __init__(self, workers_on: Callable[[str], int]) -> None:
        self._workers_on = workers_on
        self._by_node: dict[str, deque[tuple[int, Waiting]]] = {}
        self._numbers = count(1)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return self._length > 0

    def waiting_on(self, node: str) -> int:
        """How much of it lies on ``node``."""
        return len(self._by_node.get(node, ()))

    def append(self, task: Waiting, node: str) -> None:
        """Behind all others."""
        self._by_node.setdefault(node, deque()).append((next(self._numbers), task))
        self._length += 1

    def put_first(self, task: Waiting, node: str) -> None:
        """Before all others."""
        self._by_node.setdefault(node, deque()).appendleft((-next(self._numbers), task))
        self._length += 1

    def head_for(self, node: str, *, idle: bool) -> deque[tuple[int, Waiting]] | None:
        """What a worker on ``node`` takes from next, a pair of number and task at its left end;
        :meth:`pop` takes it. ``idle``: it has nothing to do."""
        own = [waits for name in {node, NOWHERE} if (waits := self._by_node.get(name))]
        if own:
            return min(own, key=lambda waits: waits[0][0])
        if not idle:
            return None
        others = [
            waits for name, waits in self._by_node.items() if len(waits) > self._workers_on(name)
        ]
        return max(others, key=len, default=None)

    def pop(self, waits: deque[tuple[int, Waiting]]) -> Waiting:
        """The next of ``waits``."""
        self._length -= 1
        return waits.popleft()[1]

"""The workers of a run: where there may be some, which of them start, work, or have not come up.

Each worker has a place. The backend says which places a group has now, more or fewer as nodes join
and leave a cluster; what became of the worker of each is kept here. Only groups that are wanted
have any: a run that does no more than compare originals loads no networks. Nothing here waits: a
worker that starts is heard of by ``Backend.wait``, beside the calls of those that work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from restore_batch.errors import ExecutorError
from restore_batch.pipeline.engine.backend import Backend, WorkerGone, WorkerUp
from restore_batch.pipeline.plan.groups import Group

_START_ATTEMPTS = 3
"""At once and one after the other; then a place rests before each further one."""
_REST_S, _LONGEST_REST_S = 30.0, 300.0
_OPENING_S = 600.0
"""What a worker may take to load its networks, once its process is there."""
_SOON_S = 60.0
"""A worker that was begun within this is about to come up."""
_NEWS_S = 1.0
"""When a machine is lost, its places are soon no more."""
_NONE: Sequence[str] = ()

Tasks = TypeVar("Tasks")


@dataclass(eq=False)
class Worker(Generic[Tasks]):
    """``calls``: what it has been given, oldest first."""

    group: int
    node: str
    handle: Any
    begun: float
    is_up: bool = False
    calls: dict[Any, Tasks] = field(default_factory=dict)
    busy_since: float = 0.0
    limit: tuple[Any, float | None] | None = None
    """Its oldest call, and the seconds that this may take."""


@dataclass(eq=False)
class _Place(Generic[Tasks]):
    group: int
    node: str
    worker: Worker[Tasks] | None = None
    failed: int = 0
    """Starts in a row that came to nothing."""
    again_at: float = 0.0
    gone: WorkerGone | None = None
    """How the last one did."""
    is_no_more: bool = False

    @property
    def is_given_up(self) -> bool:
        return self.worker is None and self.failed >= _START_ATTEMPTS


class Pools(Generic[Tasks]):
    """The places of all groups that are wanted, and their workers."""

    def __init__(self, groups: Sequence[Group], backend: Backend) -> None:
        self._groups, self._backend = groups, backend
        self._places: list[_Place[Tasks]] = []
        self._wanted: set[int] = set()
        self._of_group: list[Sequence[str]] = [_NONE for _ in groups]
        self._sizes: Counter[tuple[int, str]] = Counter()
        self._up_on: Counter[tuple[int, str]] = Counter()
        self._by_handle: dict[Any, _Place[Tasks]] = {}
        self._is_settled = True
        """Whether every place has its worker, so that there is nothing to tend."""
        self.up: list[Worker[Tasks]] = []
        """The workers that can be given calls."""

    # -- what there is ---
    @property
    def starting(self) -> list[Any]:
        """The handles of the workers that are not up yet."""
        return [] if self._is_settled else [worker.handle for worker in self._starting()]

    @property
    def total(self) -> int:
        """How many workers there may be."""
        return len(self._places)

    def size(self, group: int) -> int:
        """How many workers a group may have."""
        return len(self._of_group[group])

    def size_on(self, group: int, node: str) -> int:
        """How many of them on ``node``."""
        return self._sizes[group, node]

    def up_on(self, group: int, node: str) -> int:
        """How many of those can be given calls."""
        return self._up_on[group, node]

    def expects(self, group: int) -> bool:
        """Whether another worker of a group is about to come up."""
        if self._is_settled:
            return False
        soon = time.monotonic() - _SOON_S
        return any(w.group == group and w.begun > soon for w in self._starting())

    @property
    def is_complete(self) -> bool:
        """Whether each group that is wanted has places, and each place its worker."""
        return self._is_settled and all(self._of_group[number] for number in self._wanted)

    def _starting(self) -> Iterator[Worker[Tasks]]:
        workers = (place.worker for place in self._places)
        return (worker for worker in workers if worker is not None and not worker.is_up)

    # -- what is to be done ---
    def want(self, groups: Iterable[int]) -> None:
        """From now on there are workers of these groups, too."""
        self._wanted.update(groups)

    def tend(self) -> list[Worker[Tasks]]:
        """Begin to start the workers that are missing; returns those whose place is no more, which
        are :meth:`lost`.

        Raises ExecutorError, or what the stages themselves raise, where a group has no worker and
        starts at all its places have failed.
        """
        left = self._follow_places()
        if self._is_settled:
            return left
        now, self._is_settled = time.monotonic(), True
        for place in self._places:
            if place.worker is None and now >= place.again_at:
                self._start(place, now)
            if place.worker is not None and not place.worker.is_up:
                since = self._backend.opening_since(place.worker.handle)
                if since is not None and now - since > _OPENING_S:
                    reason = f"no answer within {_OPENING_S:g} s"
                    self.answered(place.worker.handle, WorkerGone(reason))
            if place.worker is None or not place.worker.is_up:
                self._is_settled = False
        self._check_hope()
        return left

    def answered(self, handle: Any, answer: WorkerUp | WorkerGone) -> None:
        """Take note of how a start ended."""
        place = self._by_handle[handle]
        assert place.worker is not None
        if isinstance(answer, WorkerUp):
            place.worker.is_up, place.failed, place.gone = True, 0, None
            self.up.append(place.worker)
            self._up_on[place.group, place.node] += 1
            return
        self._empty(place)
        place.gone, now = answer, time.monotonic()
        if answer.machine_lost:
            place.again_at = now + _NEWS_S
            return
        # What a stage itself says against it will not have changed a moment later.
        place.failed = max(place.failed + 1, _START_ATTEMPTS if answer.error is not None else 0)
        if place.is_given_up:
            rest_s = _REST_S * 2 ** min(10, place.failed - _START_ATTEMPTS)
            place.again_at = now + min(_LONGEST_REST_S, rest_s)

    def lost(self, worker: Worker[Tasks]) -> None:
        """End a worker that is gone, or is to go; where it still has a place, another begins."""
        place = self._by_handle.get(worker.handle)
        if place is not None:
            self._empty(place)
        else:
            self._end(worker)

    def stop(self) -> None:
        """End all workers, whatever they do."""
        for place in self._places:
            self._empty(place)
        self._places.clear()

    def why_nobody_works(self) -> str:
        """For the first group without a worker, in one line."""
        working = {worker.group for worker in self.up}
        for number in sorted(self._wanted - working):
            group = self._groups[number]
            for place in self._places:
                if place.group == number and place.gone is not None:
                    return f"no worker for {group.name} comes up: {place.gone.reason}"
            return f"no worker for {group.name} has come up: {self._backend.shortage(group)}"
        return "all workers are up and have nothing to do"

    def _follow_places(self) -> list[Worker[Tasks]]:
        """Take away the places that are no more, and add what is new."""
        of_group = [
            self._backend.places(group) if number in self._wanted else _NONE
            for number, group in enumerate(self._groups)
        ]
        if all(new is old for new, old in zip(of_group, self._of_group, strict=True)):
            return []
        self._of_group, self._is_settled = of_group, False
        self._sizes = Counter((i, node) for i, nodes in enumerate(of_group) for node in nodes)
        wanted, left = Counter(self._sizes), []
        for place in self._places:
            wanted[place.group, place.node] -= 1
            place.is_no_more = wanted[place.group, place.node] < 0
            if place.is_no_more and place.worker is not None:
                del self._by_handle[place.worker.handle]
                left.append(place.worker)
        self._places = [place for place in self._places if not place.is_no_more]
        self._places += [_Place(*where) for where in (+wanted).elements()]
        return left

    def _check_hope(self) -> None:
        for number, group in enumerate(self._groups):
            places = [place for place in self._places if place.group == number]
            if places and all(place.is_given_up for place in places):
                gone = places[-1].gone
                assert gone is not None
                if gone.error is not None:
                    raise gone.error
                raise ExecutorError(f"no worker for {group.name} comes up: {gone.reason}")

    def _start(self, place: _Place[Tasks], now: float) -> None:
        handle = self._backend.start_worker(self._groups[place.group], place.node)
        place.worker = Worker(place.group, place.node, handle, now)
        self._by_handle[handle] = place

    def _empty(self, place: _Place[Tasks]) -> None:
        worker, place.worker = place.worker, None
        if worker is not None:
            self._is_settled = False
            del self._by_handle[worker.handle]
            self._end(worker)

    def _end(self, worker: Worker[Tasks]) -> None:
        if worker.is_up:
            self.up.remove(worker)
            self._up_on[worker.group, worker.node] -= 1
        self._backend.stop_worker(worker.handle)

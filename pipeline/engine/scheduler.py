"""The scheduler: drives units through the groups of a plan on the workers of one backend.

It owns every decision: admission, dispatch, blame, retries, interruption. A unit takes its own way:
it comes only to the groups whose stages work on units of its kind.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from restore_batch.errors import ExecutorError
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.engine.backend import (
    Backend,
    Done,
    Failed,
    Outcome,
    Parcel,
    PayloadGone,
    WorkerGone,
)
from restore_batch.pipeline.engine.budget import Budget, estimated_bytes
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.media import Chunk, Failure

CALLS_PER_WORKER = 2
"""One running and one waiting, so that a worker never idles between calls."""
DRAIN_S = 5.0
"""What workers are at when a run is interrupted has so long to finish; then it is given up,
uncharged, and begun anew by the next run."""
ALONE_AFTER_LOSSES = 2
_START_ATTEMPTS = 3
_MOST_VANISHED = 10
"""Times the pictures of a unit may vanish between workers: machines that leave are no fault of
its own, but it must not go round for ever."""


@dataclass
class _Task:
    unit: Unit
    way: tuple[int, ...]
    """The groups that it comes to, by their numbers, and how far it has come on it."""
    payload: Any
    step: int = 0
    losses: int = 0
    vanished: int = 0
    alone: bool = False

    @property
    def group(self) -> int:
        return self.way[self.step]

    @property
    def is_last(self) -> bool:
        return self.step == len(self.way) - 1


@dataclass
class _Worker:
    group: int
    index: int
    handle: Any
    calls: dict[Any, list[_Task]] = field(default_factory=dict)
    busy_since: float = 0.0

    def room(self, task: _Task) -> bool:
        """Whether ``task`` may join: a suspect runs with nothing else in its worker."""
        suspects = any(t.alone for tasks in self.calls.values() for t in tasks)
        return not self.calls if task.alone or suspects else len(self.calls) < CALLS_PER_WORKER


@dataclass(frozen=True)
class Limits:
    """How long and how often a unit may be tried. ``batch``: parcels a call may carry.

    ``timeout_s``: of one parcel, by its unit where that is a function; None: no limit. A call of
    several may take as long as they all together.
    """

    max_attempts: int = 3
    timeout_s: Callable[[Unit], float | None] | float | None = None
    batch: int = 1

    def of(self, units: Iterable[Unit]) -> float | None:
        """Seconds that a call with ``units`` may take; None: no limit."""
        limits = [self.timeout_s(u) if callable(self.timeout_s) else self.timeout_s for u in units]
        return None if None in limits else sum(filter(None, limits))


class Scheduler:
    """Drives units through the groups of a plan on one backend."""

    def __init__(
        self,
        groups: Sequence[Group],
        backend: Backend,
        budget: Budget,
        limits: Limits = Limits(),
        on_start: Callable[[Unit], None] | None = None,
    ) -> None:
        self._groups = groups
        self._backend = backend
        self._budget = budget
        self._limits = limits
        self._on_start = on_start
        self._ready: list[deque[_Task]] = [deque() for _ in groups]
        self._follow_ups: list[deque[Unit]] = [deque() for _ in groups]
        """By the group that they begin in: one that is busy holds up none of another."""
        self._workers: list[_Worker] = []
        self._running: list[Any] = []  # every handle begun and not stopped, ready or not
        # A plain flag: it is set from signal handlers, where taking a lock can block for ever.
        self._draining = False
        self._drained_at = float("inf")
        # The last attempt is always alone, so that no unit fails for what another one did.
        self._alone_after = max(1, min(ALONE_AFTER_LOSSES, limits.max_attempts - 1))

    def drain(self, within_s: float | None = None) -> None:
        """Give workers nothing new; :meth:`run` ends when their calls are finished, or after
        ``within_s`` seconds: the units of the others have no outcome then."""
        if within_s is not None:
            self._drained_at = min(self._drained_at, time.monotonic() + within_s)
        self._draining = True

    def add(self, units: Iterable[Unit]) -> None:
        """Give units that follow from an outcome just yielded; they go before the others."""
        for unit in units:
            self._follow_ups[self._way(unit)[0]].append(unit)

    def keep(self, wanted: Callable[[Unit], bool]) -> None:
        """Drop the added units that were not begun and that nobody wants any more."""
        self._follow_ups = [deque(filter(wanted, units)) for units in self._follow_ups]

    def run(self, units: Iterable[Unit]) -> Generator[list[Outcome], None, None]:
        """Yield the outcome of every unit, in order of completion: whenever there are some, all
        that have come in by then."""
        source, waiting = iter(units), None
        try:
            self._start_workers()
            while True:
                waiting = self._admit(source, waiting)
                self._dispatch()
                if not any(w.calls for w in self._workers):
                    if self._draining or not (waiting or any(self._follow_ups) or any(self._ready)):
                        return
                    # Never seen; but waiting in silence for ever would be worse than saying so.
                    raise ExecutorError("units wait and no worker takes them; please report this")
                if time.monotonic() >= self._drained_at:
                    return
                yield from filter(None, self._collect())
        finally:
            self._workers.clear()
            for handle in list(self._running):
                self._stop(handle)

    # -- admission and dispatch ---
    def _admit(self, source: Iterator[Unit], waiting: Unit | None) -> Unit | None:
        """Let units in while bytes and the queues of their groups allow, those that follow from
        an outcome first; returns the unit of ``source`` that was refused."""
        for units in self._follow_ups:
            while units and not self._draining and self._admitted(units[0]):
                units.popleft()
        while not self._draining:
            unit_or_none = waiting or next(source, None)
            if unit_or_none is None:
                return None
            if not self._admitted(unit_or_none):
                return unit_or_none
            waiting = None
        return waiting

    def _admitted(self, unit: Unit) -> bool:
        way = self._way(unit)
        size = estimated_bytes(unit)
        if self._congested(way[0]) or not self._budget.admits(size):
            return False
        self._budget.take(unit.id, size)
        self._ready[way[0]].append(_Task(unit, way, Chunk(unit)))
        return True

    def _way(self, unit: Unit) -> tuple[int, ...]:
        way = tuple(i for i, group in enumerate(self._groups) if type(unit) in group.kinds)
        if not way:
            raise ExecutorError(f"no stage works on {unit.kind} {unit.label or unit.source}")
        return way

    def _dispatch(self) -> None:
        # Later groups first: finishing what is begun frees memory, starting more takes it.
        for worker in sorted(self._workers, key=lambda w: -w.group):
            self._fill(worker, 1)
        # A second call only now: waiting behind another makes no sense while a worker idles.
        for worker in sorted(self._workers, key=lambda w: -w.group):
            self._fill(worker, CALLS_PER_WORKER)

    def _fill(self, worker: _Worker, calls: int) -> None:
        """Give ``worker`` up to ``calls`` calls of what waits for its group."""
        ready = self._ready[worker.group]
        while ready and len(worker.calls) < calls and worker.room(ready[0]):
            first = ready[0]
            if self._draining or self._runs_ahead(first):
                return  # when draining, what a worker has not been given yet stays pending
            tasks = [ready.popleft()]
            while ready and len(tasks) < self._limits.batch and _may_share(first, ready[0]):
                tasks.append(ready.popleft())
            self._submit(worker, tasks)

    def _runs_ahead(self, task: _Task) -> bool:
        """Whether the group behind has enough waiting already."""
        return not task.is_last and self._congested(task.way[task.step + 1])

    def _congested(self, group: int) -> bool:
        return len(self._ready[group]) >= self._enough(group)

    def _enough(self, group: int) -> int:
        return 2 * self._groups[group].workers * self._limits.batch

    def _submit(self, worker: _Worker, tasks: list[_Task]) -> None:
        if not worker.calls:
            worker.busy_since = time.monotonic()
        if tasks[0].step == 0 and self._on_start is not None:
            for task in tasks:
                self._on_start(task.unit)
        parcels = [Parcel(task.unit, task.payload) for task in tasks]
        call = self._backend.submit(worker.handle, parcels, tasks[0].is_last)
        worker.calls[call] = tasks

    # -- results ---
    def _collect(self) -> Iterator[list[Outcome]]:
        owner = {call: worker for worker in self._workers for call in worker.calls}
        ended = self._backend.wait(list(owner), timeout_s=0.5)
        seen = time.monotonic()
        outcomes: list[Outcome] = []
        gone: list[tuple[Any, str]] = []
        for call, answer in ended:
            if isinstance(answer, WorkerGone):
                gone.append((call, answer.reason))
                continue
            worker = owner[call]
            tasks = worker.calls.pop(call)
            worker.busy_since = time.monotonic()
            if isinstance(answer, PayloadGone):
                outcomes += self._vanished(tasks)
                continue
            for task, result in zip(tasks, answer.results, strict=True):
                outcomes += self._advance(task, result)
        yield outcomes
        # Starting other workers takes its time: what has come in does not wait for it.
        outcomes = []
        for call, reason in gone:
            # Else it was handled with an earlier call of the same dead worker.
            if call in owner[call].calls:
                outcomes += self._lost(owner[call], reason)
        yield [*outcomes, *self._expire(seen)]

    def _advance(self, task: _Task, result: Failure | Parcel | Chunk) -> Iterator[Outcome]:
        if isinstance(result, Failure):
            self._budget.release(task.unit.id)
            yield Failed(task.unit, result)
        elif isinstance(result, Chunk):
            self._budget.release(task.unit.id)
            yield Done(task.unit, result)
        else:
            # Losses count per unit, over all groups: it may be what kills each of them.
            further = replace(task, step=task.step + 1, payload=result.payload)
            self._ready[further.group].append(further)

    def _again(self, tasks: Iterable[_Task]) -> None:
        for task in reversed(list(tasks)):
            self._ready[task.group].appendleft(task)

    # -- losses ---
    def _vanished(self, tasks: list[_Task]) -> Iterator[Outcome]:
        """Start again from the source: nobody is to blame when pictures vanish on their way."""
        for task in reversed(tasks):
            again = replace(task, step=0, payload=Chunk(task.unit), vanished=task.vanished + 1)
            if again.vanished > _MOST_VANISHED:
                text = f"its data vanished between workers {again.vanished} times"
                yield self._given_up(task, "PayloadLost", text)
            else:
                self._again([again])

    def _lost(self, worker: _Worker, reason: str) -> Iterator[Outcome]:
        """Blame the oldest call alone, requeue the rest uncharged, replace the worker."""
        calls = list(worker.calls.values())
        worker.calls.clear()
        self._workers.remove(worker)
        self._stop(worker.handle)
        self._again(task for tasks in calls[1:] for task in tasks)
        for task in reversed(calls[0]):
            task.losses += 1
            task.alone = task.losses >= self._alone_after
            # A loss in company convicts nobody: whoever was there has the last attempt alone.
            if task.losses >= self._limits.max_attempts and len(calls[0]) == 1:
                text = f"the worker was lost {task.losses} times on this file ({reason})"
                yield self._given_up(task, "WorkerLost", text)
            else:
                self._again([task])
        if not self._draining:
            self._start(worker.group, worker.index)

    def _given_up(self, task: _Task, kind: str, text: str) -> Failed:
        self._budget.release(task.unit.id)
        stage = self._groups[task.group].name
        return Failed(task.unit, Failure(task.unit, stage, kind, text))

    def _expire(self, now: float) -> Iterator[Outcome]:
        """End calls that were over their time at ``now``, when results were last asked for: what
        ended since then is a result, not a delay."""
        for worker in list(self._workers):
            oldest = next(iter(worker.calls.values()), [])
            limit = self._limits.of(task.unit for task in oldest)
            if oldest and limit is not None and now - worker.busy_since > limit:
                yield from self._lost(worker, f"no result within {limit:.6g} s (limits.timeout_s)")

    # -- workers ---
    def _start_workers(self) -> None:
        begun = [
            (number, index, self._begin(number, index))
            for number, group in enumerate(self._groups)
            for index in range(group.workers)
        ]
        for number, index, handle in begun:
            self._finish_start(number, index, handle)

    def _start(self, group: int, index: int) -> None:
        self._finish_start(group, index, self._begin(group, index))

    def _begin(self, group: int, index: int) -> Any:
        handle = self._backend.start_worker(self._groups[group], index)
        self._running.append(handle)
        return handle

    def _stop(self, handle: Any) -> None:
        self._running = [other for other in self._running if other is not handle]
        self._backend.stop_worker(handle)

    def _finish_start(self, group: int, index: int, handle: Any) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            reason = self._backend.await_ready(handle, 600, lambda: self._draining)
            if self._draining:
                return  # it gets nothing to do any more
            if reason is None:
                self._workers.append(_Worker(group, index, handle))
                return
            self._stop(handle)
            if attempt < _START_ATTEMPTS:
                handle = self._begin(group, index)
        raise ExecutorError(f"no worker for {self._groups[group].name} comes up: {reason}")


def _may_share(first: _Task, other: _Task) -> bool:
    """Whether two tasks of a group may go in one call."""
    if first.alone or other.alone:
        return False
    return (first.step == 0, first.is_last) == (other.step == 0, other.is_last)

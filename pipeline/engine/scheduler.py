"""The scheduler: drives units through the groups of a plan on the workers of one backend.

It owns every decision on units: admission, dispatch, blame, retries, interruption. A unit takes
its own way: it comes only to the groups whose stages work on units of its kind. Which workers
there are, ``pools`` knows: they appear and vanish while this goes on.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from restore_batch.errors import ExecutorError
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.engine.backend import (
    Backend,
    Done,
    Failed,
    Load,
    Outcome,
    Parcel,
    PayloadGone,
    WorkerGone,
)
from restore_batch.pipeline.engine.budget import Budget, estimated_bytes
from restore_batch.pipeline.engine.pools import Pools, Worker
from restore_batch.pipeline.engine.queues import NOWHERE, Queue, Task
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.media import Chunk, Failure
from restore_batch.text import duration, plural

CALLS_PER_WORKER = 2
"""One running and one waiting, so that a worker never idles between calls."""
DRAIN_S = 5.0
"""What workers are at when a run is interrupted has so long to finish; then it is given up,
uncharged, and begun anew by the next run."""
ALONE_AFTER_LOSSES = 2
_MOST_VANISHED = 10
"""Times that a unit may lose its machine, or its pictures between workers: machines that leave are
no fault of its own, but it must not go round for ever."""
_WAIT_S, _SOON_S = 0.5, 0.05
_LEFT = WorkerGone("its machine was lost", machine_lost=True)

_Worker = Worker[list[Task]]


def _has_room(worker: _Worker, task: Task) -> bool:
    """Whether ``task`` may join: a suspect runs with nothing else in its worker."""
    suspects = any(t.alone for tasks in worker.calls.values() for t in tasks)
    return not worker.calls if task.alone or suspects else len(worker.calls) < CALLS_PER_WORKER


@dataclass(frozen=True)
class Limits:
    """How long and how often a unit may be tried. ``batch``: parcels a call may carry.

    ``timeout_s``: of one parcel, by its unit where that is a function; None: no limit. A call of
    several may take as long as they all together. ``no_worker_s``: how long nothing may run while
    something could, for want of workers.
    """

    max_attempts: int = 3
    timeout_s: Callable[[Unit], float | None] | float | None = None
    batch: int = 1
    no_worker_s: float = 900.0

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
        on_admit: Callable[[Sequence[Unit]], Sequence[Unit]] = lambda units: units,
        on_start: Callable[[Unit, str], None] | None = None,
        on_loss: Callable[[Unit, str], None] | None = None,
    ) -> None:
        """``on_admit``: given the units of the source that are let in together, says by which they
        are worked on; ``on_start``: told of each unit that a worker is given from its source, and
        of the node; ``on_loss``: of each that a worker had been given and that is begun again or
        given up, and why."""
        self._groups = groups
        self._backend = backend
        self._budget = budget
        self._limits = limits
        self._on_admit, self._on_start, self._on_loss = on_admit, on_start, on_loss
        self._follow_ups: list[deque[Unit]] = [deque() for _ in groups]
        """By the group that they begin in: one that is busy holds up none of another."""
        self._pools: Pools[list[Task]] = Pools(groups, backend)
        self._owner: dict[Any, _Worker] = {}
        """Who has each call."""
        self._ready: list[Queue[Task]] = [
            Queue(partial(self._pools.up_on, number)) for number in range(len(groups))
        ]
        self._is_later = False
        """Whether the next unit is not known yet."""
        self._ran_at = 0.0
        """When something was last seen to run."""
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

    def load(self) -> Load:
        """How busy the workers are, also while :meth:`run` goes on in another thread."""
        waiting: Counter[str] = Counter()
        working: Counter[str] = Counter()
        workers: Counter[str] = Counter()
        for number, group in enumerate(self._groups):
            waiting[group.pool] += len(self._ready[number]) + len(self._follow_ups[number])
        for worker in list(self._pools.up):
            pool = self._groups[worker.group].pool
            workers[pool] += 1
            working[pool] += sum(map(len, list(worker.calls.values())))
        budget = self._budget
        return Load(waiting, working, workers, budget.live_bytes, budget.limit_bytes)

    def run(self, units: Iterable[Unit | None]) -> Generator[list[Outcome], None, None]:
        """Yield the outcome of every unit, in order of completion: whenever there are some, all
        that have come in by then. None among ``units``: the next one is not known yet, and is
        asked for again."""
        source, waiting = iter(units), None
        self._ran_at = time.monotonic()
        try:
            while True:
                waiting = self._admit(source, waiting)
                left = [] if self._draining else self._pools.tend()
                yield from filter(None, [[o for worker in left for o in self._lost(worker, _LEFT)]])
                self._budget.serve(self._pools.total)
                self._dispatch()
                if not self._owner:
                    waits = waiting or any(self._follow_ups) or any(self._ready)
                    if self._draining or not (waits or self._is_later):
                        return
                    if waits:
                        self._check_idleness()
                    else:
                        self._ran_at = time.monotonic()
                if time.monotonic() >= self._drained_at:
                    return
                yield from filter(None, [self._collect()])
        finally:
            self._pools.stop()

    def _check_idleness(self) -> None:
        """Nothing runs: raise ExecutorError where it has been so for too long."""
        if self._pools.is_complete:
            # Never seen; but waiting in silence would be worse than saying so.
            raise ExecutorError("units wait and no worker takes them; please report this")
        idle_s, longest_s = time.monotonic() - self._ran_at, self._limits.no_worker_s
        if idle_s >= longest_s:
            raise ExecutorError(
                f"nothing has run for {duration(idle_s)} (limits.no_worker_s is {longest_s:g}):"
                f" {self._pools.why_nobody_works()}; what is done is kept, run again to go on"
            )

    # -- admission and dispatch ---
    def _admit(self, source: Iterator[Unit | None], waiting: Unit | None) -> Unit | None:
        """Let units in while bytes and the queues of their groups allow, those that follow from
        an outcome first; returns the unit of ``source`` that was refused."""
        for units in self._follow_ups:
            while units and not self._draining and self._admitted(units[0]):
                units.popleft()
        self._is_later, admitted = False, []
        while not self._draining:
            if waiting is None:
                try:
                    waiting = next(source)
                except StopIteration:
                    break
                self._is_later = waiting is None
            task = None if waiting is None else self._admitted(waiting)
            if task is None:
                break
            admitted.append(task)
            waiting = None
        begun = self._on_admit([task.unit for task in admitted])
        for task, unit in zip(admitted, begun, strict=True):
            task.unit, task.payload = unit, Chunk(unit)
        return waiting

    def _admitted(self, unit: Unit) -> Task | None:
        """None: there is no room for it."""
        way = self._way(unit)
        size = estimated_bytes(unit)
        if self._congested(way[0]) or not self._budget.admits(size):
            return None
        self._budget.take(unit.id, size)
        self._pools.want(range(len(self._groups)) if unit.is_decoded else way)
        task = Task(unit, way, Chunk(unit))
        self._ready[way[0]].append(task, NOWHERE)
        return task

    def _way(self, unit: Unit) -> tuple[int, ...]:
        way = tuple(i for i, group in enumerate(self._groups) if type(unit) in group.kinds)
        if not way:
            raise ExecutorError(f"no stage works on {unit.kind} {unit.label or unit.source}")
        return way

    def _dispatch(self) -> None:
        # Later groups first: finishing what is begun frees memory, starting more takes it.
        have_room = (w for w in self._pools.up if len(w.calls) < CALLS_PER_WORKER)
        last_first = sorted(have_room, key=lambda w: -w.group)
        for worker in last_first:
            self._fill(worker, 1)
        # A second call only now: waiting behind another makes no sense while a worker idles, or
        # one is about to come up.
        for worker in last_first:
            if not self._pools.expects(worker.group):
                self._fill(worker, CALLS_PER_WORKER)

    def _fill(self, worker: _Worker, calls: int) -> None:
        """Give ``worker`` up to ``calls`` calls of what waits for its group."""
        ready = self._ready[worker.group]
        while len(worker.calls) < calls and not self._draining:
            waits = ready.head_for(worker.node, idle=not worker.calls)
            if not waits:
                return
            first = waits[0][1]
            if not _has_room(worker, first) or self._runs_ahead(first, worker.node):
                return
            tasks = [ready.pop(waits)]
            while waits and len(tasks) < self._limits.batch and _may_share(first, waits[0][1]):
                tasks.append(ready.pop(waits))
            self._submit(worker, tasks)

    def _runs_ahead(self, task: Task, node: str) -> bool:
        """Whether the group behind has enough waiting already: on ``node``, where its workers take
        it from there, else as much as keeps those of other nodes from idling."""
        if task.is_last:
            return False
        behind = task.way[task.step + 1]
        if on_node := self._pools.size_on(behind, node):
            return self._ready[behind].waiting_on(node) >= 2 * on_node * self._limits.batch
        return len(self._ready[behind]) >= self._pools.size(behind)

    def _congested(self, group: int) -> bool:
        return len(self._ready[group]) >= self._enough(group)

    def _enough(self, group: int) -> int:
        return 2 * max(1, self._pools.size(group)) * self._limits.batch

    def _submit(self, worker: _Worker, tasks: list[Task]) -> None:
        if not worker.calls:
            worker.busy_since = time.monotonic()
        if tasks[0].step == 0 and self._on_start is not None:
            for task in tasks:
                self._on_start(task.unit, worker.node)
        parcels = [Parcel(task.unit, task.payload) for task in tasks]
        call = self._backend.submit(worker.handle, parcels, tasks[0].is_last)
        worker.calls[call], self._owner[call] = tasks, worker

    # -- results ---
    def _collect(self) -> list[Outcome]:
        owner = dict(self._owner)
        wait_s = _SOON_S if self._is_later else _WAIT_S
        ended = self._backend.wait(list(owner), self._pools.starting, wait_s)
        seen = time.monotonic()
        if owner:
            self._ran_at = seen
        outcomes: list[Outcome] = []
        for call, answer in ended:
            worker = owner.get(call)
            if worker is None:
                self._pools.answered(call, answer)
            elif isinstance(answer, WorkerGone):
                # Else it was handled with an earlier call of the same dead worker.
                if call in worker.calls:
                    outcomes += self._lost(worker, answer)
            else:
                tasks = worker.calls.pop(call)
                del self._owner[call]
                worker.busy_since = time.monotonic()
                if isinstance(answer, PayloadGone):
                    outcomes += self._begun_again(tasks)
                    continue
                for task, result in zip(tasks, answer.results, strict=True):
                    outcomes += self._advance(task, result, worker.node)
        return [*outcomes, *self._expire(seen)]

    def _advance(
        self, task: Task, result: Failure | Parcel | Chunk, node: str
    ) -> Iterator[Outcome]:
        if isinstance(result, Failure):
            self._budget.release(task.unit.id)
            yield Failed(task.unit, result)
        elif isinstance(result, Chunk):
            self._budget.release(task.unit.id)
            yield Done(task.unit, result)
        else:
            # Losses count per unit, over all groups: it may be what kills each of them.
            further = replace(task, step=task.step + 1, payload=result.payload, node=node)
            self._ready[further.group].append(further, node)

    def _again(self, tasks: Iterable[Task]) -> None:
        for task in reversed(list(tasks)):
            self._ready[task.group].put_first(task, task.node)

    # -- losses ---
    def _begun_again(self, tasks: list[Task]) -> Iterator[Outcome]:
        """Start again from the source: nobody is to blame when pictures vanish on their way."""
        from_the_source = [
            replace(task, step=0, payload=Chunk(task.unit), node=NOWHERE) for task in tasks
        ]
        return self._uncharged(from_the_source, "PayloadLost", "its data vanished between workers")

    def _uncharged(self, tasks: list[Task], kind: str, what: str) -> Iterator[Outcome]:
        self._tell_lost(tasks, what)
        for task in reversed(tasks):
            task.vanished += 1
            if task.vanished > _MOST_VANISHED:
                yield self._given_up(task, kind, f"{what} {plural(task.vanished, 'time')}")
            else:
                self._again([task])

    def _lost(self, worker: _Worker, gone: WorkerGone) -> Iterator[Outcome]:
        """Blame the oldest call alone, and none for a lost machine; requeue the rest uncharged."""
        calls = list(worker.calls.values())
        for call in worker.calls:
            del self._owner[call]
        worker.calls.clear()
        self._pools.lost(worker)
        if gone.machine_lost:
            in_flight = [task for tasks in calls for task in tasks]
            yield from self._uncharged(in_flight, "MachineLost", "its machine was lost")
            return
        self._tell_lost((task for tasks in calls for task in tasks), gone.reason)
        self._again(task for tasks in calls[1:] for task in tasks)
        for task in reversed(calls[0]):
            task.losses += 1
            task.alone = task.losses >= self._alone_after
            # A loss in company convicts nobody: whoever was there has the last attempt alone.
            if task.losses >= self._limits.max_attempts and len(calls[0]) == 1:
                text = f"the worker was lost {plural(task.losses, 'time')} on it ({gone.reason})"
                yield self._given_up(task, "WorkerLost", text)
            else:
                self._again([task])

    def _tell_lost(self, tasks: Iterable[Task], reason: str) -> None:
        if self._on_loss is not None:
            for task in tasks:
                self._on_loss(task.unit, reason)

    def _given_up(self, task: Task, kind: str, text: str) -> Failed:
        self._budget.release(task.unit.id)
        stage = self._groups[task.group].name
        return Failed(task.unit, Failure(task.unit, stage, kind, text))

    def _expire(self, now: float) -> Iterator[Outcome]:
        """End calls that were over their time at ``now``, when results were last asked for: what
        ended since then is a result, not a delay."""
        for worker in list(self._pools.up):
            limit = self._limit_of(worker) if worker.calls else None
            if limit is not None and now - worker.busy_since > limit:
                reason = f"no result within {limit:.6g} s (limits.timeout_s)"
                yield from self._lost(worker, WorkerGone(reason))

    def _limit_of(self, worker: _Worker) -> float | None:
        """Seconds that the oldest call of ``worker`` may take, reckoned once for each."""
        oldest = next(iter(worker.calls))
        if worker.limit is None or worker.limit[0] != oldest:
            limit = self._limits.of(task.unit for task in worker.calls[oldest])
            worker.limit = oldest, limit
        return worker.limit[1]


def _may_share(first: Task, other: Task) -> bool:
    """Whether two tasks of a group may go in one call."""
    if first.alone or other.alone:
        return False
    return (first.step == 0, first.is_last) == (other.step == 0, other.is_last)

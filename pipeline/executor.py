"""What executors share: outcomes, the backend protocol, and the scheduler that drives one.

The scheduler owns every decision (admission, dispatch, blame, retries, interruption); a backend
only starts workers, passes them batches and says what came back. So both executors behave alike,
and one contract test holds them to it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from restore_batch.errors import ExecutorError
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.budget import Budget, estimated_bytes
from restore_batch.pipeline.graph import Group
from restore_batch.stages.media import Chunk, Failure

CALLS_PER_WORKER = 2
"""One running and one waiting, so that a worker never idles between calls."""
ALONE_AFTER_LOSSES = 2
_START_ATTEMPTS = 3


@dataclass(frozen=True)
class Done:
    """A unit whose file is staged; ``chunk`` carries artifact, face records and timings."""

    unit: Unit
    chunk: Chunk


@dataclass(frozen=True)
class Failed:
    """A unit that has no result, and why."""

    unit: Unit
    failure: Failure


Outcome: TypeAlias = Done | Failed


@dataclass(frozen=True)
class Parcel:
    """A chunk on its way, as the backend holds it (the chunk itself, or a reference to it)."""

    unit: Unit
    payload: Any


@dataclass(frozen=True)
class Returned:
    """A finished call: for each parcel its failure, its parcel, or the final chunk."""

    results: tuple[Failure | Parcel | Chunk, ...]


@dataclass(frozen=True)
class WorkerGone:
    """The worker died in this call (or before it); ``reason`` in one line."""

    reason: str


@dataclass(frozen=True)
class PayloadGone:
    """An input of the call vanished with the node that held it."""


def unexpected(parcels: Sequence[Parcel], group: Group, error: BaseException) -> Returned:
    """What a defect of ours in a call means: its parcels fail, the job goes on."""
    kind = type(error).__name__
    return Returned(tuple(Failure(p.unit, group.name, kind, f"{kind}: {error}") for p in parcels))


class Backend(Protocol):
    """Where workers live. Handles and call ids are opaque to the scheduler."""

    def start_worker(self, group: Group, index: int, last: bool) -> Any:
        """Begin starting a worker of ``group``; returns its handle at once."""
        ...

    def await_ready(self, worker: Any, timeout_s: float) -> str | None:
        """None when the worker is up; else why not. Raises ExecutorError if it never can be."""
        ...

    def submit(self, worker: Any, parcels: Sequence[Parcel]) -> Any:
        """Queue a batch on a worker; calls of one worker run in order."""
        ...

    def wait(self, calls: Sequence[Any], timeout_s: float) -> list[tuple[Any, Any]]:
        """(call, Returned | WorkerGone | PayloadGone) of the calls that ended."""
        ...

    def stop_worker(self, worker: Any) -> None:
        """End a worker now, whatever it does."""
        ...

    def close(self) -> None:
        """End everything this backend started."""
        ...


@dataclass
class _Task:
    unit: Unit
    group: int
    payload: Any
    losses: int = 0

    @property
    def alone(self) -> bool:
        return self.losses >= ALONE_AFTER_LOSSES


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
    """How long and how often a unit may be tried. ``batch``: parcels a call may carry."""

    max_attempts: int = 3
    timeout_s: float | None = None
    batch: int = 1


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
        self._workers: list[_Worker] = []
        self._draining = threading.Event()

    def drain(self) -> None:
        """Give workers nothing new; :meth:`run` ends when their calls are finished."""
        self._draining.set()

    def run(self, units: Iterable[Unit]) -> Iterator[Outcome]:
        """Yield the outcome of every unit, in order of completion."""
        source, waiting = iter(units), None
        try:
            self._start_workers()
            while True:
                waiting = self._admit(source, waiting)
                self._dispatch()
                if not any(w.calls for w in self._workers):
                    if self._draining.is_set() or (waiting is None and not any(self._ready)):
                        return
                    continue
                yield from self._collect()
        finally:
            for worker in self._workers:
                self._backend.stop_worker(worker.handle)
            self._workers.clear()

    # -- admission and dispatch ---
    def _admit(self, source: Iterator[Unit], waiting: Unit | None) -> Unit | None:
        """Let units in while bytes and the first group's queue allow; returns the one refused."""
        while not self._draining.is_set() and not self._congested(0):
            unit = waiting or next(source, None)
            if unit is None:
                return None
            size = estimated_bytes(unit)
            if not self._budget.admits(size):
                return unit
            waiting = None
            self._budget.take(unit.id, size)
            self._ready[0].append(_Task(unit, 0, Chunk(unit)))
        return waiting

    def _dispatch(self) -> None:
        if self._draining.is_set():
            return  # what a worker has not been given yet stays pending
        # Later groups first: finishing what is begun frees memory, starting more takes it.
        for worker in sorted(self._workers, key=lambda w: (-w.group, len(w.calls))):
            ready = self._ready[worker.group]
            while ready and worker.room(ready[0]) and not self._congested(worker.group + 1):
                tasks = [ready.popleft()]
                while ready and not tasks[0].alone and not ready[0].alone:
                    if len(tasks) >= self._limits.batch:
                        break
                    tasks.append(ready.popleft())
                self._submit(worker, tasks)

    def _congested(self, group: int) -> bool:
        """Whether ``group`` has enough waiting: an earlier one must not run ahead of it."""
        return group < len(self._groups) and len(self._ready[group]) >= self._enough(group)

    def _enough(self, group: int) -> int:
        return 2 * self._groups[group].workers * self._limits.batch

    def _submit(self, worker: _Worker, tasks: list[_Task]) -> None:
        if not worker.calls:
            worker.busy_since = time.monotonic()
        if worker.group == 0 and self._on_start is not None:
            for task in tasks:
                self._on_start(task.unit)
        call = self._backend.submit(worker.handle, [Parcel(t.unit, t.payload) for t in tasks])
        worker.calls[call] = tasks

    # -- results ---
    def _collect(self) -> Iterator[Outcome]:
        owner = {call: worker for worker in self._workers for call in worker.calls}
        ended = self._backend.wait(list(owner), timeout_s=0.5)
        for call, answer in ended:
            worker = owner[call]
            if call not in worker.calls:
                continue  # handled with an earlier call of the same dead worker
            if isinstance(answer, WorkerGone):
                yield from self._lost(worker, answer.reason)
                continue
            tasks = worker.calls.pop(call)
            worker.busy_since = time.monotonic()
            if isinstance(answer, PayloadGone):
                self._again([_Task(t.unit, 0, Chunk(t.unit), t.losses) for t in tasks])
                continue
            for task, result in zip(tasks, answer.results, strict=True):
                yield from self._advance(task, result)
        yield from self._expire()

    def _advance(self, task: _Task, result: Failure | Parcel | Chunk) -> Iterator[Outcome]:
        if isinstance(result, Failure):
            self._budget.release(task.unit.id)
            yield Failed(task.unit, result)
        elif isinstance(result, Chunk):
            self._budget.release(task.unit.id)
            yield Done(task.unit, result)
        else:
            # Losses count per unit, over all groups: it may be what kills each of them.
            self._ready[task.group + 1].append(
                _Task(task.unit, task.group + 1, result.payload, task.losses)
            )

    def _again(self, tasks: Iterable[_Task]) -> None:
        for task in reversed(list(tasks)):
            self._ready[task.group].appendleft(task)

    # -- losses ---
    def _lost(self, worker: _Worker, reason: str) -> Iterator[Outcome]:
        """Blame the oldest call alone, requeue the rest uncharged, replace the worker."""
        calls = list(worker.calls.values())
        worker.calls.clear()
        self._backend.stop_worker(worker.handle)
        self._workers.remove(worker)
        self._again(task for tasks in calls[1:] for task in tasks)
        for task in calls[0]:
            task.losses += 1
            if task.losses >= self._limits.max_attempts:
                self._budget.release(task.unit.id)
                stage = self._groups[task.group].name
                text = f"the worker was lost {task.losses} times on this file ({reason})"
                yield Failed(task.unit, Failure(task.unit, stage, "WorkerLost", text))
            else:
                self._again([task])
        self._start(worker.group, worker.index)

    def _expire(self) -> Iterator[Outcome]:
        limit = self._limits.timeout_s
        if limit is None:
            return
        for worker in list(self._workers):
            if worker.calls and time.monotonic() - worker.busy_since > limit:
                yield from self._lost(worker, f"no result within {limit:g} s (limits.timeout_s)")

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
        last = group == len(self._groups) - 1
        return self._backend.start_worker(self._groups[group], index, last)

    def _finish_start(self, group: int, index: int, handle: Any) -> None:
        for attempt in range(1, _START_ATTEMPTS + 1):
            reason = self._backend.await_ready(handle, timeout_s=600)
            if reason is None:
                self._workers.append(_Worker(group, index, handle))
                return
            self._backend.stop_worker(handle)
            if attempt < _START_ATTEMPTS:
                handle = self._begin(group, index)
        raise ExecutorError(f"no worker for {self._groups[group].name} comes up: {reason}")

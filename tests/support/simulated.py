"""A backend without workers: what happens to a call is decided by a source of chance.

It checks the scheduler's manners on the way: who is given what, when, and that nothing is given
to a worker that is gone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from restore_batch.pipeline.engine.backend import (
    Parcel,
    PayloadGone,
    Returned,
    WorkerGone,
    WorkerUp,
)
from restore_batch.pipeline.engine.scheduler import ALONE_AFTER_LOSSES, CALLS_PER_WORKER
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import Stage
from restore_batch.stages.media import Chunk, Failure


class Nothing(Stage):
    """A stage that is never called: simulated workers run nothing."""

    def __init__(self, name: str) -> None:
        self.name = name  # type: ignore[misc] # a class variable in real stages

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        raise AssertionError("the simulation calls no stage")


@dataclass
class Fate:
    """What goes wrong. ``poison`` and ``bad``: unit id → index of the group where it kills its
    worker, or fails. ``deaths``, ``lost_machines``, ``vanishings``, ``bad_starts``, ``delays``: how
    many workers die for no reason or with their machine, payloads get lost, workers do not come up,
    and polls bring nothing."""

    poison: dict[str, int] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    deaths: int = 0
    lost_machines: int = 0
    vanishings: int = 0
    bad_starts: int = 0
    delays: int = 0


@dataclass(eq=False)
class Worker:
    """Its calls, oldest first."""

    group: int
    ready: bool = False
    calls: list[Call] = field(default_factory=list)


@dataclass(eq=False)
class Call:
    """Opaque to the scheduler, and the same to it as any other of its worker."""

    worker: Worker
    parcels: Sequence[Parcel]
    is_last: bool

    @property
    def ids(self) -> list[str]:
        return [parcel.unit.id for parcel in self.parcels]


class Simulated:
    """Implements the backend protocol on plain lists."""

    def __init__(self, groups: Sequence[Group], batch: int, chance: Random, fate: Fate) -> None:
        self.groups, self.batch, self.chance, self.fate = groups, batch, chance, fate
        self._places = [("",) * group.workers for group in groups]
        self.alive: list[Worker] = []
        self.started = self.stopped = 0
        self.submissions: list[Call] = []
        self.lost: dict[str, list[int]] = {}
        """By unit id: for each death of a worker while the unit was in its oldest call, how many
        units were in that call."""
        self.ended: list[str] = []
        """Ids of the units whose last group or failure was reported."""
        self.place: dict[str, tuple[str, int]] = {}
        """Of each unit between two calls or in one: 'waits' or 'runs', and the group."""
        self.most_waiting = [0 for _ in groups]
        self.waits = 0

    # -- the protocol ---
    def places(self, group: Group) -> Sequence[str]:
        return self._places[self.groups.index(group)]

    def start_worker(self, group: Group, node: str) -> Worker:
        number = self.groups.index(group)
        worker = Worker(number)
        self.alive.append(worker)
        assert sum(other.group == number for other in self.alive) <= group.workers
        self.started += 1
        return worker

    def opening_since(self, worker: Worker) -> float | None:
        assert worker in self.alive
        return None

    def shortage(self, group: Group) -> str:
        raise AssertionError("there is room for all")

    def submit(self, worker: Worker, parcels: Sequence[Parcel], is_last: bool) -> Call:
        assert is_last == (worker.group == len(self.groups) - 1)
        assert worker in self.alive, "a worker that was stopped gets no work"
        assert worker.ready, "a worker that is not up gets no work"
        call = Call(worker, parcels, is_last)
        assert 1 <= len(parcels) <= self.batch
        assert len(set(call.ids)) == len(parcels)
        for parcel in parcels:
            expected = Chunk if worker.group == 0 else tuple
            assert isinstance(parcel.payload, expected), "the payload of another group"
            if worker.group:
                assert parcel.payload == (parcel.unit.id, worker.group)
            state, group = self.place.get(parcel.unit.id, ("waits", 0))
            assert (state, group) == ("waits", worker.group), "in one place at a time"
            self.place[parcel.unit.id] = ("runs", worker.group)
        worker.calls.append(call)
        assert len(worker.calls) <= CALLS_PER_WORKER
        running = [i for c in worker.calls for i in c.ids]
        if any(len(self.lost.get(i, [])) >= ALONE_AFTER_LOSSES for i in running):
            assert len(running) == 1, "a suspect runs with nothing else in its worker"
        self.submissions.append(call)
        return call

    def wait(
        self, calls: Sequence[Call], starting: Sequence[Worker], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        assert calls or starting, "there is something to wait for"
        assert set(calls) == {c for w in self.alive for c in w.calls}
        assert list(starting) == [w for w in starting if w in self.alive and not w.ready]
        self.waits += 1
        self._count_waiting()
        if self.fate.delays > 0 and self.chance.random() < 0.1:
            self.fate.delays -= 1
            return []
        answers: list[tuple[Any, Any]] = []
        for worker in starting:
            if not calls or self.chance.random() < 0.7:
                answers.append((worker, self._start(worker)))
        busy = [worker for worker in self.alive if worker.calls]
        self.chance.shuffle(busy)
        for worker in busy[: self.chance.randint(1, len(busy))] if busy else ():
            answers += self._work(worker)
        return answers

    def _start(self, worker: Worker) -> WorkerUp | WorkerGone:
        if self.fate.bad_starts > 0 and self.chance.random() < 0.3:
            self.fate.bad_starts -= 1
            return WorkerGone("it did not come up")
        worker.ready = True
        return WorkerUp()

    def stop_worker(self, worker: Worker) -> None:
        assert worker in self.alive, "stopped once"
        self.alive.remove(worker)
        self.stopped += 1
        for call in worker.calls:
            self._move(call.ids, worker.group)

    def close(self) -> None:
        raise AssertionError("who opened the backend closes it")

    # -- what happens ---
    def _work(self, worker: Worker) -> list[tuple[Any, Any]]:
        """Some of the worker's calls end, in order, or it dies."""
        answers: list[tuple[Any, Any]] = []
        if self.fate.lost_machines > 0 and self.chance.random() < 0.2:
            self.fate.lost_machines -= 1
            return [(call, WorkerGone("gone", machine_lost=True)) for call in worker.calls]
        for call in worker.calls[: self.chance.randint(1, len(worker.calls))]:
            if self._is_deadly(call):
                for unit_id in call.ids:
                    self.lost.setdefault(unit_id, []).append(len(call.ids))
                gone = worker.calls[: self.chance.randint(1, len(worker.calls))]
                answers += [(lost, WorkerGone("it was killed")) for lost in gone]
                break
            worker.calls.remove(call)
            answers.append((call, self._answer(call)))
        return answers

    def _is_deadly(self, call: Call) -> bool:
        if any(self.fate.poison.get(i) == call.worker.group for i in call.ids):
            return True
        if self.fate.deaths > 0 and self.chance.random() < 0.2:
            self.fate.deaths -= 1
            return True
        return False

    def _answer(self, call: Call) -> Returned | PayloadGone:
        group = call.worker.group
        if group > 0 and self.fate.vanishings > 0 and self.chance.random() < 0.2:
            self.fate.vanishings -= 1
            self._move(call.ids, 0)
            return PayloadGone()
        return Returned(tuple(self._result(parcel, call.worker) for parcel in call.parcels))

    def _result(self, parcel: Parcel, worker: Worker) -> Failure | Parcel | Chunk:
        unit = parcel.unit
        if self.fate.bad.get(unit.id) == worker.group:
            self.ended.append(unit.id)
            return Failure(unit, "stage", "MediaError", "bad")
        if worker.group == len(self.groups) - 1:
            self.ended.append(unit.id)
            return Chunk(unit, warnings=("restored",))
        self._move([unit.id], worker.group + 1)
        return Parcel(unit, (unit.id, worker.group + 1))

    def _move(self, ids: Collection[str], group: int) -> None:
        for unit_id in ids:
            self.place[unit_id] = ("waits", group)

    def _count_waiting(self) -> None:
        for number in range(len(self.groups)):
            waiting = sum(self.place[i] == ("waits", number) for i in self.place.keys() - self.done)
            self.most_waiting[number] = max(self.most_waiting[number], waiting)

    @property
    def done(self) -> set[str]:
        return set(self.ended)

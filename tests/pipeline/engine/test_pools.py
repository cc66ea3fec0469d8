"""Workers that appear and vanish while a run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from restore_batch.errors import ExecutorError, WeightsError
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.engine.backend import (
    Done,
    Outcome,
    Parcel,
    Returned,
    WorkerGone,
    WorkerUp,
)
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.media import Chunk

from support.simulated import Call, Nothing, Worker
from support.toys import groups as groups_of
from support.toys import unit

Start = WorkerUp | WorkerGone | None
DEFAULT = Limits()


class Cluster:
    """A backend of nodes that come and go. ``start`` says of the worker with a number on a node
    how its start ended, None: not yet. Time passes with each wait."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *nodes: str, start: Callable[[str, int], Start]
    ) -> None:
        self.nodes = tuple(nodes)
        self.start = start
        self.begun: list[tuple[str, Worker]] = []
        self.stopped: list[Worker] = []
        self.calls: list[tuple[str, list[str]]] = []
        self.on_wait: Callable[[int], None] = lambda waits: None
        self.waits = 0
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def places(self, group: Group) -> Sequence[str]:
        return self.nodes

    def start_worker(self, group: Group, node: str) -> Worker:
        worker = Worker(0)
        self.begun.append((node, worker))
        return worker

    def node_of(self, worker: Worker) -> str:
        return next(node for node, other in self.begun if other is worker)

    def opening_since(self, worker: Worker) -> float | None:
        return None

    def shortage(self, group: Group) -> str:
        return "all CPUs are taken"

    def submit(self, worker: Worker, parcels: Sequence[Parcel], is_last: bool) -> Call:
        self.calls.append((self.node_of(worker), [parcel.unit.id for parcel in parcels]))
        return Call(worker, parcels, is_last)

    def wait(
        self, calls: Sequence[Call], starting: Sequence[Worker], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        self.now += timeout_s
        self.waits += 1
        self.on_wait(self.waits)
        numbers = {id(worker): number for number, (_, worker) in enumerate(self.begun)}
        answers: list[tuple[Any, Any]] = []
        for worker in starting:
            start = self.start(self.node_of(worker), numbers[id(worker)])
            answers += [] if start is None else [(worker, start)]
        return [*answers, *((call, self.end(call)) for call in calls if self.ends(call))]

    def ends(self, call: Call) -> bool:
        return self.node_of(call.worker) in (*self.nodes, "dying")

    def end(self, call: Call) -> Returned | WorkerGone:
        if self.node_of(call.worker) == "dying":
            return WorkerGone("its machine was lost", machine_lost=True)
        return Returned(tuple(Chunk(parcel.unit) for parcel in call.parcels))

    def stop_worker(self, worker: Worker) -> None:
        assert worker not in self.stopped
        self.stopped.append(worker)

    def close(self) -> None:
        pass


def always_up(node: str, number: int) -> Start:
    return WorkerUp()


def run(cluster: Cluster, count: int, limits: Limits = DEFAULT) -> Iterator[Outcome]:
    groups = groups_of((Nothing("g"),))
    units: list[Unit] = [unit(f"u{i}") for i in range(count)]
    for together in Scheduler(groups, cluster, Budget(1 << 40), limits).run(units):
        yield from together
    assert {id(worker) for _, worker in cluster.begun} == set(map(id, cluster.stopped))


def test_results_come_in_while_another_worker_never_comes_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(node: str, number: int) -> Start:
        return WorkerUp() if node == "a" else None

    cluster = Cluster(monkeypatch, "a", "b", start=start)
    assert sum(isinstance(o, Done) for o in run(cluster, 20)) == 20
    assert {node for node, _ in cluster.calls} == {"a"}


def test_a_lost_worker_is_replaced_while_results_of_others_come_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(node: str, number: int) -> Start:
        return WorkerUp() if number < 2 else None

    cluster = Cluster(monkeypatch, "a", "dying", start=start)
    assert sum(isinstance(o, Done) for o in run(cluster, 20)) == 20
    assert len(cluster.begun) == 3


def test_a_node_that_joins_is_given_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", start=always_up)

    def join(waits: int) -> None:
        if waits == 4:
            cluster.nodes = ("a", "b")

    cluster.on_wait = join
    assert sum(isinstance(o, Done) for o in run(cluster, 30)) == 30
    assert {node for node, _ in cluster.calls} == {"a", "b"}


def test_a_node_that_leaves_costs_its_units_in_flight_no_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(monkeypatch, "a", "b", start=always_up)

    def leave(waits: int) -> None:
        if waits == 3:
            cluster.nodes = ("a",)

    cluster.on_wait = leave
    outcomes = list(run(cluster, 20, Limits(max_attempts=1)))
    assert sum(isinstance(o, Done) for o in outcomes) == 20
    ids = [i for _, call in cluster.calls for i in call]
    assert 20 < len(ids) <= 22, "those in flight were begun again"


def test_a_run_waits_for_its_first_node(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, start=always_up)

    def join(waits: int) -> None:
        if waits == 100:
            cluster.nodes = ("a",)

    cluster.on_wait = join
    assert sum(isinstance(o, Done) for o in run(cluster, 2)) == 2


@pytest.mark.parametrize("nodes", [(), ("a",)])
def test_a_run_is_given_up_with_the_reason_when_nothing_ran_for_long(
    monkeypatch: pytest.MonkeyPatch, nodes: tuple[str, ...]
) -> None:
    cluster = Cluster(monkeypatch, *nodes, start=lambda node, number: None)
    expected = r"nothing has run for 1 min 40 s .*no worker for g has come up: all CPUs are taken"
    with pytest.raises(ExecutorError, match=expected):
        list(run(cluster, 2, Limits(no_worker_s=100)))
    assert 1100 <= cluster.now < 1110


def test_time_in_which_something_runs_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", start=always_up)
    monkeypatch.setattr(cluster, "ends", lambda call: cluster.waits % 50 == 0)
    assert sum(isinstance(o, Done) for o in run(cluster, 10, Limits(no_worker_s=5))) == 10


def test_a_place_whose_starts_fail_ends_no_run_in_which_another_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(node: str, number: int) -> Start:
        if node == "a":
            return WorkerUp()
        return WorkerGone("no weights", error=WeightsError("no weights on this node"))

    cluster = Cluster(monkeypatch, "a", "b", start=start)
    assert sum(isinstance(o, Done) for o in run(cluster, 200)) == 200
    tried = sum(node == "b" for node, _ in cluster.begun)
    assert 2 <= tried < 6, "it is tried again, but seldom"


def test_starts_that_fail_at_all_places_end_the_run_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(
        monkeypatch, "a", "b", start=lambda node, number: WorkerGone("no driver for its GPU")
    )
    with pytest.raises(ExecutorError, match=r"no worker for g comes up: no driver for its GPU"):
        list(run(cluster, 2))
    assert len(cluster.begun) == 6


def test_a_start_that_its_machine_cut_off_is_no_failure_of_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(node: str, number: int) -> Start:
        return WorkerUp() if number == 9 else WorkerGone("gone", machine_lost=True)

    cluster = Cluster(monkeypatch, "a", start=start)
    assert sum(isinstance(o, Done) for o in run(cluster, 2)) == 2


def test_a_worker_that_opens_for_ever_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(
        monkeypatch, "a", start=lambda node, number: WorkerUp() if number == 1 else None
    )
    began = {0: 1000.0}
    monkeypatch.setattr(
        cluster,
        "opening_since",
        lambda worker: began.setdefault(len(cluster.begun) - 1, cluster.now),
    )
    assert sum(isinstance(o, Done) for o in run(cluster, 2)) == 2
    assert len(cluster.stopped) == 2
    assert cluster.now > 1600


def test_a_worker_that_waits_for_room_is_left_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, "a", start=always_up)
    monkeypatch.setattr(
        cluster, "start", lambda node, number: WorkerUp() if cluster.now > 3000 else None
    )
    assert sum(isinstance(o, Done) for o in run(cluster, 2, Limits(no_worker_s=5000))) == 2
    assert len(cluster.begun) == 1

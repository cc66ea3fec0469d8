"""The scheduler's promises, whatever workers and units do: see each test's name.

The backend is simulated, so that thousands of runs with deaths, losses and delays in every order
fit into seconds; ``test_backends`` holds the real backends to the same contract.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_batch.errors import ExecutorError, WeightsError
from restore_batch.jobs.units import Join, Photo, PhotoContent, Segment, Unit
from restore_batch.pipeline.engine import scheduler as module
from restore_batch.pipeline.engine.backend import (
    Done,
    Failed,
    Outcome,
    Parcel,
    PayloadGone,
    Returned,
    WorkerGone,
    WorkerUp,
)
from restore_batch.pipeline.engine.budget import Budget, estimated_bytes
from restore_batch.pipeline.engine.local import LocalBackend
from restore_batch.pipeline.engine.scheduler import CALLS_PER_WORKER, Limits, Scheduler
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.media import Chunk, Failure

from support.simulated import Call, Fate, Nothing, Simulated, Worker
from support.toys import Load, Work, unit
from support.toys import groups as groups_of

many = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
chances = st.randoms(use_true_random=False)


def pools(*workers: int) -> tuple[Group, ...]:
    """Groups of one stage each, with so many workers."""
    return groups_of(*((Nothing(f"g{i}"),) for i in range(len(workers))), workers=workers)


class Watched:
    """A run on a simulated backend that is checked from outside while it goes."""

    def __init__(
        self, groups: Sequence[Group], units: Sequence[Unit], limits: Limits, chance: Random,
        fate: Fate, budget_bytes: int = 1 << 40,
    ) -> None:  # fmt: skip
        self.units, self.limits = units, limits
        self.backend = Simulated(groups, limits.batch, chance, fate)
        self.budget = Budget(budget_bytes)
        self.started: list[str] = []
        self.scheduler = Scheduler(
            groups, self.backend, self.budget, limits, on_start=self.on_start
        )
        self.outcomes: dict[str, Outcome] = {}
        self.most_waits = 100 + 20 * len(units) * len(groups) * (limits.max_attempts + 2)

    def on_start(self, started: Unit, node: str) -> None:
        self.started.append(started.id)
        live = {i for i in self.started if i not in self.outcomes}
        size = sum(estimated_bytes(u) for u in self.units if u.id in live)
        assert size <= self.budget.limit_bytes or len(live) == 1

    def run(self, drain_after: int | None = None) -> dict[str, Outcome]:
        for outcome in chain.from_iterable(self.scheduler.run(iter(self.units))):
            assert outcome.unit.id not in self.outcomes, "one outcome for each unit"
            self.outcomes[outcome.unit.id] = outcome
            assert self.backend.waits <= self.most_waits, "it goes in circles"
            if len(self.outcomes) == drain_after:
                self.scheduler.drain()
        assert self.backend.alive == []
        assert self.backend.started == self.backend.stopped
        return self.outcomes

    def __repr__(self) -> str:
        workers = [g.workers for g in self.backend.groups]
        sizes = [u.megapixels for u in self.units]
        limit = self.budget.limit_bytes
        return f"{workers=} {sizes=} {limit=} {self.limits} {self.backend.fate}"

    def failed(self, kind: str) -> set[str]:
        return {
            i for i, o in self.outcomes.items() if isinstance(o, Failed) and o.failure.kind == kind
        }


@st.composite
def runs(draw: st.DrawFn, *, attempts: tuple[int, int] = (1, 5), budgets: bool = True) -> Watched:
    groups = pools(*draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    sizes = draw(st.lists(st.sampled_from([1.0, 3.0, 40.0]), max_size=14))
    units = [unit(f"u{i}", megapixels=size) for i, size in enumerate(sizes)]
    limits = Limits(draw(st.integers(*attempts)), None, draw(st.integers(1, 4)))
    places = st.none() | st.integers(0, len(groups) - 1)
    poison = {u.id: at for u in units if (at := draw(places)) is not None and draw(st.booleans())}
    bad = {u.id: at for u in units if u.id not in poison and (at := draw(places)) is not None}
    # Who runs alone cannot be told from one that kills, when its workers die for other reasons.
    alone_after = max(1, min(2, limits.max_attempts - 1))
    spare = limits.max_attempts - 1 - (alone_after if poison else 0)
    fate = Fate(
        poison=poison,
        bad={i: at for i, at in bad.items() if draw(st.booleans())},
        deaths=draw(st.integers(0, max(0, spare))),
        lost_machines=draw(st.integers(0, 3)),
        vanishings=draw(st.integers(0, 3)),
        bad_starts=draw(st.integers(0, 2)),
        delays=draw(st.integers(0, 5)),
    )
    limit = draw(st.sampled_from([1, 10**7, 10**8, 10**12])) if budgets else 10**12
    return Watched(groups, units, limits, draw(chances), fate, limit)


# -- the promises ---------------------------------------------------------------------------------
@many
@given(runs())
def test_every_unit_has_exactly_one_outcome_and_it_is_the_right_one(run: Watched) -> None:
    outcomes, fate = run.run(), run.backend.fate
    assert outcomes.keys() == {u.id for u in run.units}
    assert run.failed("WorkerLost") == fate.poison.keys(), "and no innocent"
    assert run.failed("MediaError") == fate.bad.keys()
    for outcome in outcomes.values():
        if isinstance(outcome, Done):
            assert outcome.chunk.warnings == ("restored",)
            assert outcome.chunk.unit is outcome.unit
    assert run.budget.live_bytes == 0


@many
@given(runs(attempts=(2, 5)))
def test_a_poisonous_unit_costs_exactly_as_many_workers_as_it_has_attempts(run: Watched) -> None:
    run.run()
    for unit_id in run.failed("WorkerLost"):
        assert len(run.backend.lost[unit_id]) == run.limits.max_attempts
        outcome = run.outcomes[unit_id]
        assert isinstance(outcome, Failed)
        text = f"the worker was lost {run.limits.max_attempts} times on it (it was killed)"
        assert outcome.failure.message == text


@many
@given(runs(attempts=(1, 1)))
def test_with_one_attempt_only_who_was_in_company_gets_a_second_one_alone(run: Watched) -> None:
    run.run()
    for unit_id in run.failed("WorkerLost"):
        *company, alone = run.backend.lost[unit_id]
        assert alone == 1
        assert company == [] or (len(company) == 1 and company[0] > 1)


@many
@given(runs(), st.integers(1, 6))
def test_draining_loses_no_result_and_starts_nothing_more(run: Watched, after: int) -> None:
    given_out: list[int] = []
    original = run.scheduler.drain

    def drain() -> None:
        original()
        given_out.append(len(run.backend.submissions))

    run.scheduler.drain = drain  # type: ignore[method-assign]
    outcomes = run.run(drain_after=after)
    assert set(run.backend.ended) <= outcomes.keys()
    if given_out:
        assert len(run.backend.submissions) == given_out[0]
    else:
        assert len(outcomes) == len(run.units)


@many
@given(runs(budgets=False))
def test_no_queue_between_groups_grows_with_the_archive(run: Watched) -> None:
    run.run()
    batch = run.limits.batch
    for number, group in enumerate(run.backend.groups):
        before = run.backend.groups[number - 1].workers if number else 0
        in_flight = CALLS_PER_WORKER * batch * (group.workers + before)
        vanished = 3 * batch
        most = 2 * batch * group.workers + in_flight + vanished
        assert run.backend.most_waiting[number] <= most


def test_a_slow_last_group_stops_the_first() -> None:
    run = Watched(pools(4, 1), [unit(f"u{i}") for i in range(300)], Limits(), Random(1), Fate())
    run.run()
    assert run.backend.most_waiting[1] <= 2 + CALLS_PER_WORKER * 4


def test_units_are_asked_for_only_as_they_can_be_begun() -> None:
    asked = 0

    def source() -> Iterator[Unit]:
        nonlocal asked
        for i in range(1000):
            asked += 1
            yield unit(f"u{i}")

    groups = pools(1)
    backend = Simulated(groups, 1, Random(1), Fate())
    finished = 0
    for together in Scheduler(groups, backend, Budget(1 << 40)).run(source()):
        finished += len(together)
        assert asked - finished <= 2 + CALLS_PER_WORKER + 1
    assert finished == 1000


class Patient(Simulated):
    """A backend that may have nothing to wait for."""

    def wait(
        self, calls: Sequence[Call], starting: Sequence[Worker], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        return super().wait(calls, starting, timeout_s) if calls or starting else []


@many
@given(chances)
def test_units_that_are_not_known_yet_are_asked_for_again_and_stop_nothing(chance: Random) -> None:
    expected = [f"u{i}" for i in range(chance.randrange(12))]

    def source() -> Iterator[Unit | None]:
        for name in [*expected, ""]:
            yield from [None] * chance.randrange(4)
            if name:
                yield unit(name)

    groups = pools(chance.randint(1, 3), 1)
    scheduler = Scheduler(groups, Patient(groups, 1, chance, Fate()), Budget(1 << 40))
    outcomes = list(chain.from_iterable(scheduler.run(source())))
    assert sorted(o.unit.id for o in outcomes) == sorted(expected)


def test_units_that_are_only_read_through_start_no_worker_of_another_group() -> None:
    groups = tuple(
        replace(group, kinds=group.kinds | more)
        for group, more in zip(pools(2, 3), ({PhotoContent}, frozenset()), strict=True)
    )
    contents = [PhotoContent(id=f"c{i}", source="c", output="c.png") for i in range(5)]
    for photos, begun in (([], {0: 2}), ([unit("u")], {0: 2, 1: 3})):
        backend = Scripted()
        units: list[Unit] = [*contents, *photos]
        outcomes = chain.from_iterable(Scheduler(groups, backend, Budget(1 << 40)).run(units))
        assert sum(isinstance(o, Done) for o in outcomes) == len(units)
        assert Counter(worker.group for worker in backend.workers) == begun


# -- who gets what --------------------------------------------------------------------------------
class Scripted:
    """A backend whose calls end when and how the test says: ``answers`` is asked at each poll."""

    def __init__(self, answers: Any = None) -> None:
        self.calls: list[Call] = []
        self.workers: list[Worker] = []
        self.stopped: list[Worker] = []
        self._places: dict[int, Sequence[str]] = {}
        self.answers = answers or self.finish_all

    def places(self, group: Group) -> Sequence[str]:
        return self._places.setdefault(group.workers, ("",) * group.workers)

    def start_worker(self, group: Group, node: str) -> Worker:
        self.workers.append(Worker(int(group.name[1:])))
        return self.workers[-1]

    def opening_since(self, worker: Worker) -> float | None:
        return None

    def shortage(self, group: Group) -> str:
        return "all is taken"

    def start(self, worker: Worker) -> WorkerUp | WorkerGone | None:
        return WorkerUp()

    def submit(self, worker: Worker, parcels: Sequence[Parcel], is_last: bool) -> Call:
        call = Call(worker, parcels, is_last)
        self.calls.append(call)
        return call

    def wait(
        self, calls: Sequence[Call], starting: Sequence[Worker], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        came = [(worker, answer) for worker in starting if (answer := self.start(worker))]
        return [*came, *(self.answers(calls) if calls else ())]

    def finish_all(self, calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        return [(call, self.finish(call)) for call in calls]

    def finish(self, call: Call) -> Returned:
        if call.is_last:
            return Returned(tuple(Chunk(p.unit) for p in call.parcels))
        return Returned(call.parcels)

    def stop_worker(self, worker: Worker) -> None:
        self.stopped.append(worker)

    def close(self) -> None:
        pass


def names(outcomes: Sequence[Outcome], kind: type[Done] | type[Failed]) -> list[str]:
    return sorted(o.unit.id for o in outcomes if isinstance(o, kind))


def test_no_worker_idles_while_a_unit_waits_behind_another() -> None:
    backend = Scripted()
    scheduler = Scheduler(pools(3), backend, Budget(1 << 40))
    list(scheduler.run([unit("a"), unit("b"), unit("c")]))
    assert len({id(call.worker) for call in backend.calls}) == 3


def test_a_batch_is_filled_before_the_next_worker_is_asked() -> None:
    backend = Scripted()
    scheduler = Scheduler(pools(1), backend, Budget(1 << 40), Limits(batch=3))
    list(scheduler.run([unit(f"u{i}") for i in range(5)]))
    assert [len(call.parcels) for call in backend.calls] == [3, 2]


def test_only_the_oldest_call_of_a_dead_worker_is_blamed() -> None:
    deaths = 0

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        nonlocal deaths
        culprit = next((c for c in calls if c.ids == ["a"]), None)
        if culprit is None:
            return backend.finish_all(calls)
        deaths += 1
        return [(c, WorkerGone("killed")) for c in calls]

    backend = Scripted(answers)
    outcomes = list(
        chain.from_iterable(
            Scheduler(pools(1), backend, Budget(1 << 40)).run([unit("a"), unit("b")])
        )
    )
    assert deaths == 3
    assert (names(outcomes, Failed), names(outcomes, Done)) == (["a"], ["b"])
    assert [c.ids for c in backend.calls if c.ids == ["b"]][-1] == ["b"]


@pytest.mark.parametrize("attempts", [3, 4, 6])
@pytest.mark.parametrize("batch", [2, 4, 8])
def test_innocents_that_share_every_batch_with_poison_are_done(attempts: int, batch: int) -> None:
    units = [unit(f"u{i}") for i in range(24)]
    poison = {f"u{i}": 0 for i in range(0, 24, 3)}
    run = Watched(pools(1), units, Limits(attempts, None, batch), Random(1), Fate(poison=poison))
    run.run()
    assert run.failed("WorkerLost") == poison.keys()
    assert len(run.outcomes) == 24


def test_losses_count_over_all_groups() -> None:
    """A unit may be what kills a worker of each of them."""
    where = iter([0, 1, 1])
    target = next(where)

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        nonlocal target
        (call,) = calls
        if call.worker.group == target:
            target = next(where, 9)
            return [(call, WorkerGone("killed"))]
        return [(call, backend.finish(call))]

    backend = Scripted(answers)
    ((outcome,),) = Scheduler(pools(1, 1), backend, Budget(1 << 40)).run([unit("a")])
    assert isinstance(outcome, Failed)
    assert (outcome.failure.kind, outcome.failure.stage) == ("WorkerLost", "g1")


def test_a_unit_whose_data_vanishes_starts_again_uncharged() -> None:
    vanished = 0

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        nonlocal vanished
        (call,) = calls
        if call.worker.group == 1 and vanished < 5:
            vanished += 1
            return [(call, PayloadGone())]
        return [(call, backend.finish(call))]

    backend = Scripted(answers)
    ((outcome,),) = Scheduler(pools(1, 1), backend, Budget(1 << 40)).run([unit("a")])
    assert isinstance(outcome, Done)
    assert [call.worker.group for call in backend.calls] == [0, 1] * 6


def test_a_unit_whose_data_always_vanishes_is_given_up_at_last() -> None:
    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        return [
            (c, PayloadGone() if c.worker.group and "a" in c.ids else backend.finish(c))
            for c in calls
        ]

    backend, budget = Scripted(answers), Budget(1 << 40)
    outcomes = list(
        chain.from_iterable(Scheduler(pools(1, 1), backend, budget).run([unit("a"), unit("b")]))
    )
    (failed,) = [o for o in outcomes if isinstance(o, Failed)]
    assert (failed.unit.id, failed.failure.kind) == ("a", "PayloadLost")
    assert names(outcomes, Done) == ["b"]
    assert budget.live_bytes == 0


# -- time limits ----------------------------------------------------------------------------------
class Clock:
    """Time that passes only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


def test_a_call_over_its_time_loses_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        clock.now += 1.0
        return [(c, backend.finish(c)) for c in calls if c.ids != ["hang"]]

    backend = Scripted(answers)
    scheduler = Scheduler(pools(1, 1), backend, Budget(1 << 40), Limits(2, timeout_s=5.0))
    outcomes = list(chain.from_iterable(scheduler.run([unit("a"), unit("hang"), unit("b")])))
    assert (names(outcomes, Failed), names(outcomes, Done)) == (["hang"], ["a", "b"])
    assert clock.now < 130
    (failed,) = (o for o in outcomes if isinstance(o, Failed))
    assert "no result within 5 s (limits.timeout_s)" in failed.failure.message
    assert sorted(map(id, backend.stopped)) == sorted(map(id, backend.workers))


def test_a_call_of_several_units_has_the_time_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = Clock(monkeypatch), 0

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        nonlocal asked
        asked += 1
        clock.now += 4.0
        return backend.finish_all(calls) if asked == 4 else []

    backend = Scripted(answers)
    limits = Limits(1, timeout_s=5.0, batch=4)
    units = [unit(f"u{i}") for i in range(4)]
    outcomes = list(
        chain.from_iterable(Scheduler(pools(1), backend, Budget(1 << 40), limits).run(units))
    )
    assert len(names(outcomes, Done)) == 4
    assert len(backend.workers) == 1


def test_a_slow_commit_does_not_expire_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        return [(calls[0], backend.finish(calls[0]))]

    backend = Scripted(answers)
    done = []
    scheduler = Scheduler(pools(2), backend, Budget(1 << 40), Limits(1, timeout_s=5.0))
    for (outcome,) in scheduler.run([unit("a"), unit("b")]):
        done.append(outcome)
        clock.now += 60.0
    assert len(names(done, Done)) == 2


def test_a_thread_that_cannot_be_ended_is_not_joined_by_another_on_the_same_file(
    tmp_path: Path,
) -> None:
    """Both would write the same staged file."""
    before = set(threading.enumerate())
    backend = LocalBackend(WorkerContext(threads=1))
    groups = groups_of((Load(), Work(str(tmp_path))))
    limits = Limits(3, timeout_s=0.3)
    scheduler = Scheduler(groups, backend, Budget(1 << 30), limits)
    outcomes = list(chain.from_iterable(scheduler.run([unit("slow"), unit("a"), unit("b")])))
    assert (names(outcomes, Failed), names(outcomes, Done)) == (["slow"], ["a", "b"])
    (failed,) = (o for o in outcomes if isinstance(o, Failed))
    assert "limits.timeout_s" in failed.failure.message
    wait_for_threads(before)
    assert (tmp_path / "ran-slow").read_text() == "x"
    assert (tmp_path / "ran-a").read_text() == "x", "what waited behind it is not done twice"


# -- starting and stopping ------------------------------------------------------------------------
class Refusing(Scripted):
    """Workers from the ``first`` on do not come up, or ``error`` is raised for them."""

    def __init__(self, first: int, error: WeightsError | None = None, times: int = 99) -> None:
        super().__init__()
        self.first, self.error, self.times = first, error, times

    def start(self, worker: Worker) -> WorkerUp | WorkerGone:
        if self.workers.index(worker) < self.first or self.times == 0:
            return WorkerUp()
        self.times -= 1
        return WorkerGone("it dies", error=self.error)


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_does_not_come_up_is_tried_again(times: int) -> None:
    backend = Refusing(1, times=times)
    outcomes = list(
        chain.from_iterable(Scheduler(pools(2), backend, Budget(1 << 40)).run([unit("a")]))
    )
    assert len(names(outcomes, Done)) == 1
    assert len(backend.workers) == 2 + times
    assert sorted(map(id, backend.stopped)) == sorted(map(id, backend.workers))


@pytest.mark.parametrize("error", [None, WeightsError("no weights here")])
def test_when_workers_cannot_start_the_run_ends_and_every_one_begun_is_stopped(
    error: WeightsError | None,
) -> None:
    backend = Refusing(3, error)
    expected = r"no worker for g1 comes up: it dies" if error is None else "no weights here"
    with pytest.raises(ExecutorError if error is None else WeightsError, match=expected):
        list(Scheduler(pools(3, 2), backend, Budget(1 << 40)).run([unit("a")]))
    assert len(backend.workers) == (9 if error is None else 5)
    assert sorted(map(id, backend.stopped)) == sorted(map(id, backend.workers))


def test_a_run_that_is_given_up_stops_its_workers() -> None:
    backend = Scripted()
    going = Scheduler(pools(2, 1), backend, Budget(1 << 40)).run(unit(f"u{i}") for i in range(50))
    next(going)
    going.close()  # type: ignore[attr-defined] # it is a generator
    assert sorted(map(id, backend.stopped)) == sorted(map(id, backend.workers))


def test_a_source_that_breaks_off_stops_the_workers() -> None:
    def source() -> Iterator[Unit]:
        yield from (unit("a"), unit("b"), unit("c"))
        raise OSError("the disk is gone")

    backend = Scripted()
    with pytest.raises(OSError, match="the disk is gone"):
        list(Scheduler(pools(2), backend, Budget(1 << 40)).run(source()))
    assert len(backend.stopped) == 2


def test_a_worker_lost_while_draining_is_not_replaced() -> None:
    def answers(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        scheduler.drain()
        return [(calls[0], WorkerGone("killed")), *backend.finish_all(calls[1:])]

    backend = Scripted(answers)
    scheduler = Scheduler(pools(2), backend, Budget(1 << 40))
    outcomes = list(chain.from_iterable(scheduler.run([unit("a"), unit("b")])))
    assert [o.unit.id for o in outcomes] == ["b"], "a stays pending for the next run"
    assert len(backend.workers) == len(backend.stopped) == 2


def test_draining_before_the_start_does_nothing() -> None:
    backend = Scripted()
    scheduler = Scheduler(pools(1), backend, Budget(1 << 40))
    scheduler.drain()
    assert list(scheduler.run([unit("a")])) == []
    assert backend.calls == []


def wait_for_threads(before: set[threading.Thread]) -> None:
    for _ in range(2000):
        if set(threading.enumerate()) <= before:
            return
        time.sleep(0.01)
    raise AssertionError("threads are left over")


def test_the_threads_of_a_local_run_end_with_it() -> None:
    before = set(threading.enumerate())
    groups = groups_of((Load(),), (Work(),), workers=(1, 3))
    backend = LocalBackend(WorkerContext(threads=1))
    outcomes = list(
        chain.from_iterable(Scheduler(groups, backend, Budget(1 << 30)).run([unit("a"), unit("b")]))
    )
    backend.close()
    assert len(names(outcomes, Done)) == 2
    wait_for_threads(before)


def test_a_failure_carries_what_the_stage_said() -> None:
    told = Failure(unit("a"), "decode", "MediaError", "a: not a picture")
    backend = Scripted(lambda calls: [(calls[0], Returned((told,)))])
    ((outcome,),) = Scheduler(pools(1, 1), backend, Budget(1 << 40)).run([unit("a")])
    assert isinstance(outcome, Failed)
    assert outcome.failure is told


# -- units of several kinds -----------------------------------------------------------------------
def film_pools() -> tuple[Group, ...]:
    """Photos come to all three groups, joins only to the first, segments only to the last."""
    kinds = ({Photo, Join}, {Photo}, {Photo, Segment})
    return tuple(
        Group((Nothing(f"g{i}"),), frozenset(some), workers=1)  # type: ignore[arg-type]
        for i, some in enumerate(kinds)
    )


def join(name: str) -> Join[None]:
    return Join(id=name, source=name, output=name, megapixels=0.01)


def segment(name: str) -> Segment[None]:
    return Segment(id=name, source=name, output=name, megapixels=0.01, work=None)


def test_a_unit_comes_only_to_the_groups_that_work_on_its_kind() -> None:
    backend = Scripted()
    scheduler = Scheduler(film_pools(), backend, Budget(1 << 40))
    outcomes = list(
        chain.from_iterable(scheduler.run([unit("photo"), join("join"), segment("segment")]))
    )
    assert names(outcomes, Done) == ["join", "photo", "segment"]
    came = {
        (p.unit.id, call.worker.group, call.is_last) for call in backend.calls for p in call.parcels
    }
    assert came == {
        ("photo", 0, False), ("photo", 1, False), ("photo", 2, True),
        ("join", 0, True), ("segment", 2, True),
    }  # fmt: skip


def test_units_that_end_and_units_that_go_on_share_no_call() -> None:
    backend = Scripted()
    scheduler = Scheduler(film_pools(), backend, Budget(1 << 40), Limits(batch=8))
    units = [unit("a"), join("b"), unit("c"), join("d")]
    assert len(names(list(chain.from_iterable(scheduler.run(units))), Done)) == 4
    for call in backend.calls:
        if call.worker.group == 0:
            assert len({type(parcel.unit) for parcel in call.parcels}) == 1


def test_a_busy_group_holds_up_no_unit_of_another() -> None:
    """Segments fill the last group; the join of another film, which comes later, is not kept."""
    first: list[str] = []

    def answer(calls: Sequence[Call]) -> list[tuple[Any, Any]]:
        quick = [call for call in calls if call.worker.group == 0] or list(calls)
        first.extend(parcel.unit.id for call in quick for parcel in call.parcels)
        return [(call, backend.finish(call)) for call in quick]

    backend = Scripted(answer)
    scheduler = Scheduler(film_pools(), backend, Budget(1 << 40))
    scheduler.add([*(segment(f"s{i:02d}") for i in range(20)), join("join")])
    assert len(list(chain.from_iterable(scheduler.run([])))) == 21
    assert first[0] == "join"


def test_a_kind_that_no_stage_works_on_is_refused_by_name() -> None:
    scheduler = Scheduler(pools(1), Scripted(), Budget(1 << 40))
    with pytest.raises(ExecutorError, match="no stage works on segment s"):
        list(scheduler.run([segment("s")]))

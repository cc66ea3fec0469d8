"""One contract for both executors: every unit has one outcome, whatever its neighbours do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

import psutil
import pytest

from restore_batch.errors import WeightsError
from restore_batch.pipeline.engine.backend import Backend, Done, Failed
from restore_batch.pipeline.engine.budget import Budget, estimated_bytes
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import Stage, WorkerContext

from support.toys import Broken, Load, Work, unit
from support.toys import groups as groups_of

FRAME_SUM = 400 * 300 * 3 * 7
WITHIN_S = 60.0


class Leaving(Work):
    """Leaves a mark when it is closed. ``ends``: how that goes on."""

    name = "leaving"

    def __init__(self, marks: str, ends: str = "") -> None:
        super().__init__(marks)
        self.ends = ends

    def close(self) -> None:
        (Path(self.marks) / f"closed-{os.getpid()}-{time.monotonic_ns()}").touch()
        if self.ends == "raises":
            raise OSError("cannot be closed")
        if self.ends == "hangs":
            time.sleep(3600)


def closed(marks: Path) -> int:
    """How often stages were closed."""
    return len(list(marks.glob("closed-*")))


@pytest.fixture(scope="module", params=["local", "ray"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    engine = Engine(kind=request.param, address=None, cpus=8, store_bytes=128 << 20)
    opened = open_backend(engine, WorkerContext(threads=1))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def ray_backend() -> Iterator[Backend]:
    opened = open_backend(Engine("ray", None, 8, 128 << 20), WorkerContext(threads=1))
    yield opened
    opened.close()


def run(
    backend: Backend,
    names: list[str],
    stages: tuple[Stage, ...],
    *,
    limits: Limits | None = None,
    cut: int = 1,
    workers: tuple[int, ...] = (),
    budget: int = 1 << 30,
) -> dict[str, Done | Failed]:
    pools = (stages[:cut], stages[cut:]) if cut else (stages,)
    groups = groups_of(*pools, workers=workers)
    scheduler = Scheduler(groups, backend, Budget(budget), limits or Limits())
    outcomes = list(chain.from_iterable(scheduler.run(unit(name) for name in names)))
    assert sorted(o.unit.id for o in outcomes) == sorted(names), "one outcome for each unit"
    return {o.unit.id: o for o in outcomes}


quick = pytest.mark.parametrize(
    "backend", ["local", pytest.param("ray", marks=pytest.mark.slow)], indirect=True
)
"""Of what the scheduler decides, whatever the backend: under Ray when there is time."""


def test_every_unit_passes_all_groups(backend: Backend) -> None:
    outcomes = run(backend, [f"u{i}" for i in range(20)], (Load(), Work()))
    for outcome in outcomes.values():
        assert isinstance(outcome, Done)
        assert outcome.chunk.artifact is not None
        assert outcome.chunk.artifact.size_bytes == FRAME_SUM
        assert outcome.chunk.frames == (), "the picture is not sent back to the driver"
        assert set(outcome.chunk.seconds) == {"load", "work"}


@quick
def test_one_fused_group_gives_the_same(backend: Backend) -> None:
    outcomes = run(backend, ["a", "b"], (Load(), Work()), cut=0)
    assert all(isinstance(o, Done) for o in outcomes.values())


def test_a_bad_input_fails_alone_and_names_its_stage(backend: Backend) -> None:
    outcomes = run(backend, ["a", "bad", "b"], (Load(), Work()), limits=Limits(batch=3))
    assert isinstance(outcomes["a"], Done)
    assert isinstance(outcomes["b"], Done)
    bad = outcomes["bad"]
    assert isinstance(bad, Failed)
    assert (bad.failure.stage, bad.failure.kind) == ("load", "ValueError")
    assert "not a picture" in bad.failure.message


def test_a_stage_that_raises_for_a_batch_costs_only_the_culprit(backend: Backend) -> None:
    outcomes = run(backend, ["a", "boom", "b", "c"], (Load(), Work()), limits=Limits(batch=4))
    failed = [name for name, o in outcomes.items() if isinstance(o, Failed)]
    assert failed == ["boom"]


def test_draining_finishes_what_is_in_flight_and_starts_nothing(backend: Backend) -> None:
    groups = groups_of((Load(),), (Work(nap_s=0.05),))
    scheduler = Scheduler(groups, backend, Budget(1 << 30))
    seen = []
    for outcome in chain.from_iterable(scheduler.run(unit(f"u{i}") for i in range(500))):
        seen.append(outcome)
        if len(seen) == 3:
            scheduler.drain()
    assert 3 <= len(seen) < 20
    assert all(isinstance(o, Done) for o in seen)


@quick
def test_draining_within_a_time_gives_up_what_hangs(backend: Backend) -> None:
    groups = groups_of((Load(),), (Work(),), workers=(1, 2))
    scheduler = Scheduler(groups, backend, Budget(1 << 30))
    names = [outcome.unit.id for outcome in _until_drained(scheduler, ["hang", "a", "b", "c"])]
    assert "hang" not in names
    assert set(names) <= {"a", "b", "c"}


def _until_drained(scheduler: Scheduler, names: list[str]) -> Iterator[Done | Failed]:
    for outcome in chain.from_iterable(scheduler.run(unit(name) for name in names)):
        yield outcome
        scheduler.drain(within_s=1.0)


@quick
def test_units_in_flight_stay_within_the_budget(backend: Backend) -> None:
    size = estimated_bytes(unit("x", megapixels=10))
    budget, peak = Budget(2 * size), 0
    groups = groups_of((Load(),), (Work(),))
    started: list[str] = []
    lock = threading.Lock()

    def note(u: object, node: str) -> None:
        nonlocal peak
        with lock:
            started.append(str(u))
            peak = max(peak, budget.live_bytes)

    scheduler = Scheduler(groups, backend, budget, on_start=note)
    outcomes = list(
        chain.from_iterable(scheduler.run(unit(f"u{i}", megapixels=10) for i in range(12)))
    )
    assert len(outcomes) == len(started) == 12
    assert size <= peak <= 2 * size
    assert budget.live_bytes == 0


@quick
def test_a_unit_larger_than_the_budget_still_runs(backend: Backend) -> None:
    outcomes = run(backend, ["a", "b"], (Load(), Work()), budget=1)
    assert all(isinstance(o, Done) for o in outcomes.values())


def test_weights_are_loaded_once_per_worker(backend: Backend, tmp_path: Path) -> None:
    run(backend, [f"u{i}" for i in range(9)], (Load(), Work(str(tmp_path))), workers=(1, 2))
    opened = len(list(tmp_path.glob("opened-*")))
    assert 1 <= opened <= 2, "the run may be over before the second worker is there"


def test_stages_are_closed_once_when_their_worker_ends(backend: Backend, tmp_path: Path) -> None:
    outcomes = run(backend, ["a", "b"], (Load(), Leaving(str(tmp_path))))
    assert all(isinstance(o, Done) for o in outcomes.values())
    until = time.monotonic() + WITHIN_S
    while not closed(tmp_path) and time.monotonic() < until:
        backend.wait([], [], 0.05)
    assert len(list(tmp_path.glob("opened-*"))) == closed(tmp_path) == 1


def test_a_stage_that_cannot_open_ends_the_run_with_its_own_error(backend: Backend) -> None:
    with pytest.raises(WeightsError, match="no weights here"):
        run(backend, ["a"], (Load(), Broken()))


@quick
def test_no_units_is_no_work(backend: Backend) -> None:
    assert run(backend, [], (Load(), Work())) == {}


def test_a_private_ray_starts_no_workers_in_advance(ray_backend: Backend) -> None:
    outcomes = run(ray_backend, ["a", "b"], (Load(), Work()), workers=(1, 1))
    assert all(isinstance(o, Done) for o in outcomes.values())
    titles = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # workers that have just been ended
            titles.append(" ".join(each.cmdline()))
    assert any("raylet" in title for title in titles)
    # It would start one for each core. One may wait whose actor was ended before it arrived.
    assert sum("ray::IDLE" in title for title in titles) < 8


def test_a_killed_worker_loses_no_unit(ray_backend: Backend, tmp_path: Path) -> None:
    names = [f"u{i}" for i in range(6)] + ["once1", "once2"] + [f"v{i}" for i in range(6)]
    outcomes = run(ray_backend, names, (Load(), Work(str(tmp_path))), workers=(1, 2))
    assert all(isinstance(o, Done) for o in outcomes.values())


def test_whatever_a_stage_does_when_it_is_closed_the_others_are_closed_and_the_run_ends(
    tmp_path: Path,
) -> None:
    groups = groups_of(
        (Load(), Leaving(str(tmp_path), "raises"), Leaving(str(tmp_path), "")),
        (Leaving(str(tmp_path), "hangs"),),
        (Leaving(str(tmp_path), ""),),
    )
    backend = open_backend(Engine("ray", None, 8, 128 << 20), WorkerContext(threads=1))
    try:
        scheduler = Scheduler(groups, backend, Budget(1 << 30))
        outcomes = list(chain.from_iterable(scheduler.run([unit("a")])))
    finally:
        backend.close()
    assert [type(outcome) for outcome in outcomes] == [Done]
    assert closed(tmp_path) == 4


def test_a_poisonous_unit_fails_after_three_losses_and_spares_its_neighbours(
    ray_backend: Backend, tmp_path: Path
) -> None:
    names = ["a", "kill", "b", "c", "d"]
    stages = (Load(), Work(str(tmp_path)))
    outcomes = run(ray_backend, names, stages, limits=Limits(batch=2))
    failed = {name: o for name, o in outcomes.items() if isinstance(o, Failed)}
    assert list(failed) == ["kill"]
    assert failed["kill"].failure.kind == "WorkerLost"
    assert "lost 3 times" in failed["kill"].failure.message
    assert (tmp_path / "ran-kill").read_text() == "xxx"


def test_a_unit_over_its_time_limit_is_ended(ray_backend: Backend) -> None:
    limits = Limits(max_attempts=1, timeout_s=2.0)
    outcomes = run(ray_backend, ["a", "hang", "b"], (Load(), Work()), limits=limits)
    hang = outcomes.pop("hang")
    assert isinstance(hang, Failed)
    assert "limits.timeout_s" in hang.failure.message
    assert all(isinstance(o, Done) for o in outcomes.values())


@quick
def test_units_that_follow_from_an_outcome_are_done_before_the_others(backend: Backend) -> None:
    groups = groups_of((Load(),), (Work(),))
    scheduler = Scheduler(groups, backend, Budget(1 << 30), Limits())
    order = []
    for outcome in chain.from_iterable(
        scheduler.run(unit(name) for name in ["film", *(f"u{i}" for i in range(30))])
    ):
        order.append(outcome.unit.id)
        if outcome.unit.id == "film":
            scheduler.add([unit("part 1"), unit("part 2")])
        if outcome.unit.id == "part 2":
            scheduler.add([unit("join")])
    assert len(order) == len(set(order)) == 34
    assert order.index("join") < order.index("u29")


@quick
def test_units_added_with_the_last_outcome_are_still_done(backend: Backend) -> None:
    groups = groups_of((Load(),), (Work(),))
    scheduler = Scheduler(groups, backend, Budget(1 << 30), Limits())
    seen = []
    for outcome in chain.from_iterable(scheduler.run([unit("film")])):
        seen.append(outcome.unit.id)
        if len(seen) < 4:
            scheduler.add([unit(f"then {len(seen)}")])
    assert seen == ["film", "then 1", "then 2", "then 3"]


@quick
def test_added_units_that_nobody_wants_any_more_are_not_begun(backend: Backend) -> None:
    groups = groups_of((Load(),), (Work(),))
    scheduler = Scheduler(groups, backend, Budget(1 << 30), Limits())
    seen = []
    for outcome in chain.from_iterable(scheduler.run([unit("film")])):
        seen.append(outcome.unit.id)
        if outcome.unit.id == "film":
            scheduler.add([*(unit(f"part {i}") for i in range(20)), unit("other")])
            scheduler.keep(lambda u: not u.id.startswith("part"))
    assert seen == ["film", "other"]

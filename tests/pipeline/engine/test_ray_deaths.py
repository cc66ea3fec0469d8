"""How a worker of a Ray of our own died is told from how its process ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from restore_batch.pipeline.engine.backend import Backend, Done, Failed
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import WorkerContext

from support.toys import Load, Work, groups, unit


@pytest.fixture(scope="module")
def own_ray() -> Iterator[Backend]:
    opened = open_backend(Engine("ray", None, 8, 128 << 20), WorkerContext(threads=1))
    yield opened
    opened.close()


def run(backend: Backend, names: list[str], limits: Limits) -> dict[str, Done | Failed]:
    scheduler = Scheduler(groups((Load(), Work())), backend, Budget(1 << 30), limits)
    outcomes = chain.from_iterable(scheduler.run(map(unit, names)))
    return {outcome.unit.id: outcome for outcome in outcomes}


def test_deaths_are_told_apart(own_ray: Backend) -> None:
    told = {
        "signal 9": "killed with SIGKILL, from outside",
        "signal 11": "crashed: segmentation fault (SIGSEGV), in a library",
        "signal 6": "crashed: aborted (SIGABRT), in a library",
        "status 7": "ended itself with status 7",
    }
    outcomes = run(own_ray, list(told), Limits(max_attempts=1))
    for name, text in told.items():
        outcome = outcomes[name]
        assert isinstance(outcome, Failed)
        assert text in outcome.failure.message


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A control group of 100 MB."""
    folder = Path(f"/sys/fs/cgroup/memory/restore-batch-{os.getpid()}")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("control groups cannot be made here")
    try:
        (folder / "memory.limit_in_bytes").write_text(str(100 << 20))
        yield folder
    finally:
        folder.rmdir()


@pytest.mark.slow
def test_the_kernel_ends_a_worker_for_want_of_memory(own_ray: Backend, small_memory: Path) -> None:
    name = f"fill {small_memory}"
    outcomes = run(own_ray, [name, "a"], Limits(max_attempts=1))
    filled = outcomes[name]
    assert isinstance(filled, Failed)
    assert "out of memory: the kernel killed it; try fewer" in filled.failure.message
    assert isinstance(outcomes["a"], Done)


@pytest.mark.slow
def test_a_worker_that_was_stopped_is_ended_too(own_ray: Backend) -> None:
    limits = Limits(max_attempts=1, timeout_s=10.0)
    outcomes = run(own_ray, ["a", f"signal {signal.SIGSTOP}"], limits)
    stopped = outcomes.pop(f"signal {signal.SIGSTOP}")
    assert isinstance(stopped, Failed)
    assert "limits.timeout_s" in stopped.failure.message
    assert isinstance(outcomes["a"], Done)

"""How many workers one driver keeps busy, and what very many items cost it.

    python -m benchmarks scale --folder /disk/with/room [--items 1000000] [--only workers]

Planner, driver, scheduler, manifest and journal are the real ones, on real files: hard links to a
tiny photo. Only the workers are simulated (:mod:`benchmarks.sleepers`): they sleep. First 1 to
1,024 of them are kept at work for some seconds each; then all items go through list, plan, run,
second run, status and retry, each in a process of its own, as commands are. A million items take
10 GB of disk. CPU: of the process that drives, without what workers would have done elsewhere;
core: the share of a core that it had. Where that is all it could get, on a busy machine, divide a
second by the CPU of a unit to know what it does on a core of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import multiprocessing
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from click import Command
from click.testing import CliRunner
from PIL import Image

from benchmarks.ledger import make_job, peak_bytes
from benchmarks.sleepers import Sleepers, Written, with_sleepers
from restore_batch.errors import UsageError
from restore_batch.jobs.inputs import discover
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import results_of
from restore_batch.pipeline.cli.plan import plan as plan_command
from restore_batch.pipeline.cli.status import status
from restore_batch.pipeline.drive import run as driving
from restore_batch.pipeline.drive import workers as driven
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.engine.backend import Outcome
from restore_batch.pipeline.plan.items import Headers
from restore_batch.pipeline.plan.plan import make_plan
from restore_batch.pipeline.session import read_job, store_for

_LINKS = 50_000
"""To one file; more than 65,000 are too many for ext4."""
_WORKERS = (1, 8, 64, 256, 1024)
_UNIT_S = (0.05, 1.0)
_FAIL_EVERY = 1000


class _First(Unwatched):
    """Notes when the first result was committed."""

    at: float | None = None

    def update(self, outcome: Outcome, summary: Summary) -> None:
        self.at = self.at or time.monotonic()


# --- what is worked on ---------------------------------------------------------------------------


def make_inputs(folder: Path, items: int) -> None:
    """A job and its photos: a thousand hard links in a folder."""
    make_job(folder)
    for number in range(items):
        if number % _LINKS == 0:
            photo = folder / f"photo{number // _LINKS}.png"
            Image.new("RGB", (8, 8)).save(photo)
        box = folder / "in" / f"box{number // 1000:04}"
        if number % 1000 == 0:
            box.mkdir()
        os.link(photo, box / f"scan{number:07}.png")


@contextmanager
def _run(
    folder: Path,
    workers: int,
    unit_s: float,
    fail_every: int = 0,
    *,
    retry: bool = False,
    seconds: float = math.inf,
    own_clock: bool = False,
) -> Iterator[tuple[driving.Run, _First, list[Sleepers]]]:
    """A run as ``session.open_run`` opens it, with workers that sleep; it is drained after so many
    ``seconds``. On a clock of its own all headers are read before it."""
    loaded = read_job(folder / "job.yaml")
    sha256 = hashlib.sha256((folder / "photo0.png").read_bytes()).hexdigest()
    headers: Headers = "all" if own_clock else "later"
    plan = make_plan(loaded, store_for(loaded.job), fetch=True, headers=headers)
    plan = with_sleepers(plan, workers, Written(sha256, unit_s, fail_every))
    opened: list[Sleepers] = []

    def open_backend(engine: object, context: object) -> Sleepers:
        opened.append(
            Sleepers(
                unit_s, own_clock=own_clock, for_s=seconds,
                end=lambda: going.drain(0.0),
            )
        )  # fmt: skip
        return opened[-1]

    driven.open_backend = open_backend  # type: ignore[assignment] # the only thing not real
    with Manifest.open(plan.output_dir, results_of(plan.job)) as manifest:
        manifest.recover()
        if retry:
            manifest.forget_failures()
        watcher = _First()
        going = driving.Run(plan, manifest, watcher, retry=retry)
        yield going, watcher, opened


# --- the workers ---------------------------------------------------------------------------------


def keep_busy(
    folder: Path, workers: int, unit_s: float, seconds: float, *, own_clock: bool = False
) -> str:
    """A line about a run that is drained after some seconds."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    going = _run(folder, workers, unit_s, seconds=seconds, own_clock=own_clock)
    with going as (run, _, opened):
        cpu = time.process_time()
        summary = run.execute()
        (backend,) = opened
        cpu = time.process_time() - cpu
    # Where all items were done before.
    backend.ended = min(backend.ended, backend.now())
    spent = backend.ended - backend.begun
    return (
        f"{workers:7,} {unit_s:6g} {spent:8.1f} {summary.done:8,} {summary.done / spent:9.1f}"
        f" {backend.busy_share():7.1%} {1000 * cpu / max(1, summary.done):14.2f}"
        f" {cpu / spent:6.0%}"
    )


# --- the items -----------------------------------------------------------------------------------


def list_(folder: Path) -> str:
    """The names of all files."""
    job = read_job(folder / "job.yaml").job
    return f"{len(discover(job.inputs, {'.png'}, look=False).files):,} files"


def plan(folder: Path) -> str:
    """``restore-batch plan``."""
    return _said(plan_command, folder / "job.yaml")


def run(folder: Path, workers: int, fail_every: int, *, retry: bool = False) -> str:
    """All that is left to do."""
    began = time.monotonic()
    with _run(folder, workers, 0.05, fail_every, retry=retry) as (driver, first, _):
        summary = driver.execute()
    committed = "" if first.at is None else f", the first after {first.at - began:.1f} s"
    return (
        f"{summary.done:,} done{committed}, {summary.unchanged:,} unchanged,"
        f" {len(summary.failed):,} failed"
    )


def show(folder: Path) -> str:
    """``restore-batch status``."""
    return _said(status, folder / "out")


def _said(command: Command, path: Path) -> str:
    """The last line that a command prints."""
    answer = CliRunner().invoke(command, [str(path)])
    assert answer.exception is None, answer.output
    return answer.output.splitlines()[-1]


def measured(step: Callable[[], str], items: int) -> str:
    """A line about ``step``, which is to run in a process of its own."""
    before, clock, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    what = step()
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = peak_bytes()
    return (
        f"{seconds:9.1f} {cpu:8.1f} {others.ru_utime + others.ru_stime:8.1f} {peak / 1e6:8.0f}"
        f" {(peak - before) / items:8.0f}  {what}"
    )


def _apart(step: Callable[..., str], *arguments: object) -> str:
    """In a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(step, *arguments).result()


def main(arguments: Sequence[str] = ()) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        prog="benchmarks scale", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each number of workers")
    parser.add_argument("--folder", type=Path, required=True, help="made, and removed at the end")
    parser.add_argument("--only", choices=("workers", "items"))
    parser.add_argument(
        "--own-clock", action="store_true",
        help="workers' time stands still while others have the processor: what the driver does on"
        " a core of its own",
    )  # fmt: skip
    given = parser.parse_args(list(arguments))
    folder, items = given.folder, given.items
    if folder.exists():
        raise UsageError(f"{folder}: there already; name a folder that is to be made")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    try:
        make_inputs(folder, items)
        if given.only != "items":
            print("workers  unit s  seconds    units  a second    busy  CPU ms a unit  core")
            for unit_s in _UNIT_S:
                for workers in _WORKERS:
                    step = partial(keep_busy, own_clock=given.own_clock)
                    line = _apart(step, folder, workers, unit_s, given.seconds)
                    print(f"{line}  load {os.getloadavg()[0]:.1f}", flush=True)
            shutil.rmtree(folder / "out", ignore_errors=True)
        if given.only != "workers":
            print(f"{items:,} items   seconds  CPU s  helpers' peak MB  bytes an item")
            steps: dict[str, Callable[[Path], str]] = {
                "list": list_,
                "plan": plan,
                "run": partial(run, workers=256, fail_every=_FAIL_EVERY),
                "second run": partial(run, workers=256, fail_every=_FAIL_EVERY),
                "status": show,
                "retry": partial(run, workers=256, fail_every=0, retry=True),
            }
            for name, step in steps.items():
                line = _apart(measured, partial(step, folder), items)
                print(f"{name:11} {line}  load {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])

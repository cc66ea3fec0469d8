"""What a whole job costs over a bare loop of its stages, and when its first photo is there.

    python -m benchmarks.overhead --photos FOLDER [--count 200] [--side 640] [--rounds 1]

The bare loop is one process that imports the stages of the job's plan, opens them once and takes
the photos through them one after another: no engine, no manifest, no report. Beside it, in turn and
on the same photos, ``restore-batch run`` with the local engine and with Ray, one worker of one
thread each. Seconds of the processor are those of all processes that were started, also of those
that Ray has left behind; on a busy machine they are what compares. The first photo counts from the
start of the command, with imports and weights, until it is committed.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from restore_batch.jobs.manifest import FOLDER
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.drive import events
from restore_batch.pipeline.session import plan_job, read_job
from restore_batch.stages.chain import OpenedStages
from restore_batch.stages.media import Chunk, Failure

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.1
"""What a process takes after it was seen last is not counted."""


@dataclass(frozen=True)
class Cost:
    """Of one run, in seconds: on the clock, of the processor, until the first photo was there."""

    wall_s: float
    cpu_s: float
    first_s: float


# --- what is worked on ---------------------------------------------------------------------------


def make_photos(originals: Path, folder: Path, count: int, side_px: int) -> None:
    """So many JPEGs, the originals in turn, no longer than ``side_px``."""
    sources = sorted(path for path in originals.rglob("*.jp*g") if path.is_file())
    if not sources:
        raise SystemExit(f"{originals}: expected JPEGs with faces")
    folder.mkdir(parents=True)
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as photo:
            photo.thumbnail((side_px, side_px))
            photo.save(folder / f"photo{number:04}.jpg", quality=90)


def make_job(folder: Path, engine: str, *, report: bool) -> Path:
    """A job on ``folder/in`` whose results go to ``folder/<engine>``."""
    path = folder / f"{engine}.yaml"
    job = {
        "inputs": ["in"], "output": engine, "report": report,
        "restore": {"model": "compact-1"}, "background": {"model": "none", "scale": 1},
        "engine": {"kind": engine, "workers": 1, "threads": 1},
    }  # fmt: skip
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


# --- the bare loop -------------------------------------------------------------------------------


def prepare_loop(folder: Path) -> Path:
    """All that the loop needs, ready to be loaded: stages, context, units."""
    plan = plan_job(read_job(folder / "local.yaml"))
    assert not isinstance(plan, ComparisonPlan)
    staging = folder / "bare"
    staging.mkdir()
    units = [replace(plan.unread_unit(item), staging_dir=str(staging)) for item in plan.items]
    stages = tuple(stage for group in plan.groups for stage in group.stages)
    path = folder / "loop.pickle"
    path.write_bytes(pickle.dumps((stages, plan.context, units)))
    return path


def loop(path: Path) -> None:
    """The bare loop; prints when its first photo was written."""
    stages, context, units = pickle.loads(path.read_bytes())
    opened = OpenedStages(stages, context, frozenset({"artifact"}))
    first = 0.0
    for unit in units:
        (result,) = opened.process([Chunk(unit)])
        if isinstance(result, Failure):
            raise SystemExit(result.message)
        first = first or time.time()
    print(first)


# --- measuring -----------------------------------------------------------------------------------


def cost_of_loop(folder: Path) -> Cost:
    """A process of its own."""
    command = [sys.executable, "-m", "benchmarks.overhead", "--loop", str(folder / "loop.pickle")]
    began, (wall_s, cpu_s, output) = time.time(), _measured(command)
    return Cost(wall_s, cpu_s, float(output) - began)


def cost_of_job(job: Path) -> Cost:
    """``restore-batch run``."""
    command = [sys.executable, "-m", "restore_batch", "run", str(job), "--quiet"]
    began, (wall_s, cpu_s, _) = time.time(), _measured(command)
    return Cost(wall_s, cpu_s, min(_done_at(job.with_suffix(""))) - began)


def _done_at(output: Path) -> Iterator[float]:
    from datetime import datetime

    for line in (output / FOLDER / events.NAME).read_text(encoding="ascii").splitlines():
        event = json.loads(line)
        if event["kind"] == "photo" and event["state"] == "done":
            yield datetime.fromisoformat(event["time"]).timestamp()


def _measured(command: Sequence[str]) -> tuple[float, float, str]:
    """Seconds on the clock and of the processor, and what was printed."""
    clock = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ended = threading.Event()
    spent: dict[tuple[int, int], float] = {}
    watch = threading.Thread(target=_watch, args=(ended, spent))
    watch.start()
    output, _ = process.communicate()
    wall_s = time.perf_counter() - clock
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    # What it has left behind is given to this process, and ends soon.
    with suppress(ChildProcessError):
        while True:
            os.wait()
    ended.set()
    watch.join()
    return wall_s, sum(spent.values()), output


def _watch(ended: threading.Event, spent: dict[tuple[int, int], float]) -> None:
    """Seconds of each process below this one, by its number and start. Nobody waits for those of
    Ray, so that the kernel adds them up nowhere."""
    while not ended.wait(_LOOK_S):
        parents: dict[int, int] = {}
        found: dict[int, tuple[int, float]] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                number = int(path.parent.name)
                parents[number] = int(fields[1])
                found[number] = int(fields[19]), (int(fields[11]) + int(fields[12])) / _TICKS
        for number, (start, seconds) in found.items():
            above = number
            while above in parents and above != os.getpid():
                above = parents[above]
            if above == os.getpid() != number:
                spent[number, start] = seconds


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="a folder with JPEGs of people")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--side", type=int, default=640, help="pixels of the longer side")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="with the report of the jobs")
    parser.add_argument("--engines", nargs="*", default=["local", "ray"])
    parser.add_argument("--loop", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.loop is not None:
        loop(given.loop)
        return
    if given.photos is None:
        parser.error("expected --photos FOLDER")
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print("              seconds    CPU s    over the loop   first photo s")
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_photos(given.photos, folder / "in", given.count, given.side)
            jobs = {kind: make_job(folder, kind, report=given.report) for kind in ("local", "ray")}
            prepare_loop(folder)
            bare = cost_of_loop(folder)
            _show("bare loop", bare, bare)
            for kind in given.engines:
                _show(kind, cost_of_job(jobs[kind]), bare)


def _show(what: str, cost: Cost, bare: Cost) -> None:
    over = cost.cpu_s - bare.cpu_s
    print(
        f"{what:12}{cost.wall_s:9.1f}{cost.cpu_s:9.1f}{over:9.1f} {over / bare.cpu_s:6.1%}"
        f"{cost.first_s:12.1f}   load {os.getloadavg()[0]:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])

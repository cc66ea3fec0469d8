"""Schedules on a cluster of two nodes: at seeded events of a run its driver, a node or a worker is
killed, another node joins, and the job is taken to its end.

    export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 PYTHONPATH=tests
    python -m support.schedules.nodes --first 0 --count 30

The variable makes Ray keep to the loopback interface. A line of JSON a schedule; ends with 1 where
something was lost. The moments are counted in lines of ``events.jsonl``, so that they can be any on
a slow machine too. All schedules share the cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import psutil

from support import films_e2e, ray_nodes
from support.archive import checksums, make_archive, write_job
from support.clips import clip
from support.ledger import scratch_folder
from support.schedules import checks
from support.schedules.director import Report
from support.schedules.forks import Fork, forked, load

Kind = Literal["driver", "node", "worker"]
_PHOTOS, _SEGMENTS = 6, 3
UNITS = _PHOTOS + _SEGMENTS + 1
"""That are committed: photos, segments, the join."""
_EVENTS = 2 * (UNITS + 1)
"""Of an undisturbed run, the index of the film included: each unit is begun and done."""
_MARK = "SCHEDULES_ON_NODES"
_LIMIT_S = 600.0
_GONE_WITHIN_S = 120.0
_LOOKS_S = 0.02


@dataclass(frozen=True)
class Kill:
    """``after``: so many events since the kill before, or the start. ``of``: which of them."""

    kind: Kind
    after: int
    of: int

    def __str__(self) -> str:
        return f"{self.kind} after {self.after} events"


def schedule(seed: int) -> list[Kill]:
    """One to three kills at moments of one run."""
    chance = random.Random(f"nodes {seed}")
    count = chance.choice((1, 2, 2, 3))
    moments = sorted(chance.sample(range(_EVENTS), count))
    return [
        Kill(chance.choice(("driver", "node", "worker")), moment - before, chance.randrange(1000))
        for before, moment in pairwise([0, *moments])
    ]


class Director:
    """Knows the undisturbed result, of the local engine, and compares."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="schedules-", dir=scratch_folder()))
        self._held = ExitStack()
        self._held.callback(shutil.rmtree, self._root, ignore_errors=True)
        self._weights_dir, env = self._held.enter_context(films_e2e.installed(self._root))
        self._mark = str(self._root)
        os.environ.update(env)
        self._make_inputs()
        whole = self._run_whole()
        self.expected = checksums(whole)
        self.on_record = checks.on_record(whole)
        # Names in place of what processes write over them, so that they can be told by the mark.
        self._cluster = self._held.enter_context(
            ray_nodes.nodes_apart(**env, **{_MARK: self._mark, "SPT_NOENV": "1"})
        )
        self._nodes = [self._cluster.add(cpus=1) for _ in range(2)]

    def close(self) -> None:
        """End the cluster, and remove all that was written. Raises AssertionError where a process
        of either is left."""
        mark = self._mark
        self._held.close()
        _await_none(lambda: list(_marked(mark)), "of the cluster")

    def follow(self, seed: int) -> Report:
        """Run the schedule of a seed to its end."""
        report = Report(seed, "nodes")
        kills = schedule(seed)
        report.steps = [str(kill) for kill in kills]
        report.kinds = [kill.kind for kill in kills]
        folder = self._root / f"nodes-{seed}"
        folder.mkdir()
        try:
            report.problems += self._follow(folder, deque(kills), report)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return report

    def _follow(self, folder: Path, kills: deque[Kill], report: Report) -> Iterator[str]:
        out = folder / "out"
        end = time.monotonic() + _LIMIT_S
        seen = 0
        run = self._begin(folder)
        while (code := run.poll()) is None:
            if time.monotonic() > end:
                run.send(signal.SIGKILL)
            elif kills and _events(out) - seen >= kills[0].after and self._kills(kills[0], run):
                report.struck += 1
                seen = _events(out)
                if kills.popleft().kind == "driver":
                    report.ends.append(run.wait())
                    yield from checks.whole_results(out, self.expected)
                    seen = _events(out)
                    run = self._begin(folder)
            time.sleep(_LOOKS_S)
        report.ends.append(code)
        if code != 0:
            yield f"the last run ended with {code}: {run.stderr()}"
            return
        yield from checks.at_the_end(0, "", out, self.expected, units=UNITS, again=False)
        if said := run.stderr():
            yield f"the last run said: {said}"
        yield from checks.differences(checks.on_record(out), self.on_record)
        yield from checks.begun_after_done(out)
        _await_none(lambda: [p for p in _marked(self._mark) if _is_worker(p)], "of a worker")
        _await_none(lambda: list(_marked(str(folder))), "of the run")

    def _begin(self, folder: Path) -> Fork:
        job = self._job(folder, {"address": self._cluster.address, "threads": 1})

        def mark() -> None:
            os.environ[_MARK] = str(folder)
            os.environ["RAY_AUTH_MODE"] = "disabled"

        return forked(["run", str(job), "--quiet"], folder / "run.stderr", mark)

    def _kills(self, kill: Kill, run: Fork) -> bool:
        """Whether there was somebody to be killed."""
        if kill.kind == "driver":
            run.send(signal.SIGKILL)
        elif kill.kind == "node":
            self._cluster.kill(self._nodes.pop(kill.of % len(self._nodes)))
            self._nodes.append(self._cluster.add(cpus=1))
        else:
            workers = sorted(filter(_is_worker, _marked(self._mark)), key=lambda each: each.pid)
            if not workers:
                return False
            workers[kill.of % len(workers)].kill()
        return True

    def _run_whole(self) -> Path:
        folder = self._root / "whole"
        folder.mkdir()
        job = self._job(folder, {"kind": "local", "threads": 1})
        run = forked(["run", str(job), "--quiet"], folder / "run.stderr", lambda: None)
        if (code := run.wait()) != 0:
            raise RuntimeError(f"the undisturbed run ended with {code}: {run.stderr()}")
        return folder / "out"

    def _make_inputs(self) -> None:
        child = os.fork()
        if child == 0:
            make_archive(self._root / "in", faces=2, scenes=_PHOTOS - 2, side_px=120)
            clip(
                self._root / "in" / "film.mp4", frames=12, size=(144, 108), rate=Fraction(5),
                gop=4, b_frames=2, picture=films_e2e.moving_face(),
            )  # fmt: skip
            os._exit(0)
        os.waitpid(child, 0)

    def _job(self, folder: Path, engine: dict[str, Any]) -> Path:
        # A unit may lose a worker at every kill, and is no culprit for it.
        others = {
            "limits": {"max_attempts": 10},
            "photos": {"format": "png"},
            "repair": {"mask": True},
        }
        film = {"codec": "ffv1", "container": "mkv", "segment_s": 0.8}
        return write_job(
            folder / "job.yaml",
            **films_e2e.sections(
                self._weights_dir, inputs=[str(self._root / "in")], output=str(folder / "out"),
                engine=engine, video=film, **others,
            ),
        )  # fmt: skip


def _events(output: Path) -> int:
    """How many changes of units are on record."""
    return sum(event["kind"] != "run" for event in checks.events(output))


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != "zombie":
                yield process
        except psutil.Error:
            continue


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "PoolWorker" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _await_none(found: Any, what: str) -> None:
    end = time.monotonic() + _GONE_WITHIN_S
    while left := found():
        assert time.monotonic() < end, f"processes {what} are left: {left}"
        time.sleep(0.2)


def main() -> int:
    parser = argparse.ArgumentParser(prog="support.schedules.nodes", description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=30, help="how many seeds from there on")
    asked = parser.parse_args()
    load()
    director = Director()
    lost = 0
    try:
        for seed in range(asked.first, asked.first + asked.count):
            report = director.follow(seed)
            lost += bool(report.problems)
            print(json.dumps(asdict(report)), flush=True)
    finally:
        director.close()
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())

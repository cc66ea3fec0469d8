"""Runs schedules: every run of the job is a process of its own, disturbed as a step says."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from support.archive import checksums
from support.ledger import scratch_folder
from support.schedules import checks
from support.schedules.below import NEVER, Count, Strike, arm
from support.schedules.forks import STOPPED, Fork, forked, forked_program
from support.schedules.job import make_inputs, write_job
from support.schedules.steps import Step, schedule


@dataclass
class Report:
    """What came of a schedule. ``ends``: exit codes, that of the last run included."""

    seed: int
    engine: str
    steps: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    ends: list[int | None] = field(default_factory=list)
    struck: int = 0
    problems: list[str] = field(default_factory=list)


class Director:
    """Knows the undisturbed result, and compares. ``library``: of :mod:`support.schedules.below`,
    preloaded into this process."""

    def __init__(self, engine: str, library: Path, root: Path | None = None) -> None:
        self._engine, self._library = engine, library
        self._root = Path(tempfile.mkdtemp(prefix="schedules-", dir=root or scratch_folder()))
        whole = self._root / "whole"
        whole.mkdir()
        child = os.fork()
        if child == 0:
            make_inputs(whole / "in")
            os._exit(0)
        os.waitpid(child, 0)
        count = Count(whole / "count")
        code, run = self._ended(whole, NEVER, count)
        if code != 0:
            raise RuntimeError(f"the undisturbed run ended with {code}: {run.stderr()}")
        self.expected = checksums(whole / "out")
        self.calls = count.value()

    def close(self) -> None:
        """Remove all that was written."""
        shutil.rmtree(self._root, ignore_errors=True)

    def follow(self, seed: int) -> Report:
        """Run the schedule of a seed to its end."""
        return self.run(seed, schedule(seed, self._engine, self.calls))

    def run(self, seed: int, steps: Sequence[Step]) -> Report:
        """Run the job with each of ``steps``, then to its end."""
        report = Report(seed, self._engine)
        folder = self._root / f"{self._engine}-{seed}"
        shutil.copytree(self._root / "whole" / "in", folder / "in")
        try:
            for step in steps:
                report.steps.append(str(step))
                report.kinds.append(step.kind)
                report.problems += self._disturbed(folder, step, report)
            # What failed because its original was gone waits to be asked for again.
            again = any(step.kind == "original removed" for step in steps)
            verb = "retry" if again else "run"
            code, last = self._ended(folder, NEVER, Count(folder / "count"), verb)
            report.ends.append(code)
            report.problems += checks.at_the_end(
                code, last.stderr(), folder / "out", self.expected, again=again
            )
        finally:
            _end_all(folder)
            shutil.rmtree(folder, ignore_errors=True)
        return report

    def _disturbed(self, folder: Path, step: Step, report: Report) -> Iterator[str]:
        count = Count(folder / "count")
        code, run = self._ended(folder, step.strike, count, meanwhile=step)
        if code == STOPPED:
            yield from self._while_stopped(folder, step)
            run.send(signal.SIGCONT)
            code = run.wait()
            _put_back(folder)
        report.ends.append(code)
        report.struck += step.kind == "kill a worker" or count.value() >= step.strike.nth
        yield from checks.after_disturbance(step, code, run.stderr(), folder / "out", self.expected)

    def _ended(
        self, folder: Path, strike: Strike, count: Count, verb: str = "run",
        meanwhile: Step | None = None,
    ) -> tuple[int | None, Fork]:  # fmt: skip
        """A run that has ended or is stopped. ``meanwhile``: in which a worker may be killed."""
        run = self._begin(folder, strike, count, verb)
        if meanwhile is not None and meanwhile.kind == "kill a worker":
            _kill_a_worker(run, meanwhile)
        return run.wait(), run

    def _while_stopped(self, folder: Path, step: Step) -> Iterator[str]:
        if step.kind == "second run":
            second = self._begin(folder, NEVER, Count(folder / "second"), name="second")
            yield from checks.of_second(step, second.wait(), second.stderr())
        elif step.kind == "original removed":
            originals = sorted((folder / "in").iterdir())
            gone = originals[step.of % len(originals)]
            gone.rename(folder / f"gone-{gone.name}")
        else:
            time.sleep(0.2)

    def _begin(
        self, folder: Path, strike: Strike, count: Count, verb: str = "run", name: str = "run"
    ) -> Fork:
        job = write_job(folder, self._engine)
        variables = strike.variables(folder / "out", count.path)
        arguments = [verb, str(job), "--quiet"]
        log = folder / f"{name}.stderr"
        if self._engine == "ray":
            return forked_program(arguments, log, variables)
        return forked(arguments, log, lambda: arm(self._library, variables))


def _kill_a_worker(run: Fork, step: Step) -> None:
    time.sleep(step.after_s)
    try:
        family = psutil.Process(run.process).children(recursive=True)
        workers = [each for each in family if "PoolWorker" in " ".join(each.cmdline())]
        if workers:
            workers[step.of % len(workers)].kill()
    except psutil.NoSuchProcess:
        pass  # it was done already


def _put_back(folder: Path) -> None:
    for gone in folder.glob("gone-*"):
        gone.rename(folder / "in" / gone.name.removeprefix("gone-"))


def _end_all(folder: Path) -> None:
    """Kill what a killed driver left of its Ray: processes that were armed for this folder."""
    mark = str(folder / "out")
    for process in psutil.process_iter():
        try:
            if process.environ().get("BELOW_FOLDER") == mark:
                process.kill()
        except psutil.Error:
            continue

"""Runs schedules: every run of the job is a process of its own, forked after the imports.

A run that imports torch takes two seconds before it does anything, and is killed within one.
Under Ray the child becomes the installed program instead, since Ray starts workers of its own.
"""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from restore_batch.models import registry
from restore_batch.stages import catalogue as stages
from restore_batch.stages.photo.formats import catalogue as formats

from support.archive import checksums, command
from support.ledger import scratch_folder
from support.schedules import checks
from support.schedules.below import NEVER, Count, Strike, arm
from support.schedules.job import make_inputs, write_job
from support.schedules.steps import Step, schedule

_LIMIT_S = 240
_NEEDED = ("cli.run", "cli.progress", "session", "drive.run", "engine.local")
_STOPPED = 1000
_STARTS = 6
_TOO_SLOW = "The current node timed out during startup"
"""Ray gives itself 30 seconds, which is too little on a machine with other things to do."""


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


def load() -> None:
    """Import all that a run needs, without starting a thread."""
    for name in ("av", "cv2", "torch", *(f"restore_batch.pipeline.{each}" for each in _NEEDED)):
        importlib.import_module(name)
    registry.families()
    stages.stage_classes()
    formats.formats()


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
        if code == _STOPPED:
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
    ) -> tuple[int | None, _Run]:  # fmt: skip
        """A run that has ended or is stopped. ``meanwhile``: in which a worker may be killed."""
        for _ in range(_STARTS):
            run = self._begin(folder, strike, count, verb)
            if meanwhile is not None and meanwhile.kind == "kill a worker":
                _kill_a_worker(run, meanwhile)
            code = run.wait()
            if code != 3 or _TOO_SLOW not in run.stderr():
                break
        return code, run

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
    ) -> _Run:
        job = write_job(folder, self._engine)
        variables = strike.variables(folder / "out", count.path)
        arguments = [verb, str(job), "--quiet"]
        log = folder / f"{name}.stderr"
        child = os.fork()
        if child == 0:
            try:
                _become(arguments, variables, log, self._library, self._engine)
            finally:
                os._exit(99)
        return _Run(child, log)


class _Run:
    def __init__(self, process: int, log: Path) -> None:
        self.process = process
        self._log = log

    def wait(self) -> int | None:
        """Its exit code, -N for a signal, ``_STOPPED`` where it is stopped, None where it hangs
        (and is killed)."""
        end = time.monotonic() + _LIMIT_S
        while time.monotonic() < end:
            done, status = os.waitpid(self.process, os.WNOHANG | os.WUNTRACED)
            if done:
                stopped = os.WIFSTOPPED(status)
                return _STOPPED if stopped else os.waitstatus_to_exitcode(status)
            time.sleep(0.005)
        self.send(signal.SIGKILL)
        os.waitpid(self.process, 0)
        return None

    def send(self, number: signal.Signals) -> None:
        os.kill(self.process, number)

    def stderr(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _become(
    arguments: list[str], variables: Mapping[str, str], log: Path, library: Path, engine: str
) -> None:
    """Be the program from here on."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for place, handle in enumerate((nothing, nothing, errors)):
        os.dup2(handle, place)
    if engine == "ray":
        os.environ.update(variables)
        program = command(*arguments)
        os.execv(program[0], program)
    from restore_batch.pipeline.cli.main import main

    arm(library, variables)
    try:
        main(arguments)
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stderr.flush()
        os._exit(1)


def _kill_a_worker(run: _Run, step: Step) -> None:
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

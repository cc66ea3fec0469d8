"""Follow schedules and say what came of them.

    PYTHONPATH=tests python -m support.schedules --engine local --first 0 --count 20

A line of JSON a schedule, then a table; ends with 1 where something was lost. The same number
is the same schedule again. With ``--each-write`` every write of a result fails once, in turn.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from support.schedules.below import library
from support.schedules.director import Director, Report
from support.schedules.forks import load
from support.schedules.steps import failing_write


def main() -> int:
    parser = argparse.ArgumentParser(prog="support.schedules", description=__doc__)
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=20, help="how many seeds from there on")
    parser.add_argument("--each-write", action="store_true", help="instead of seeds")
    asked = parser.parse_args()
    if "BELOW_LIBRARY" not in os.environ:
        with tempfile.TemporaryDirectory() as folder:
            return _again_with(library(Path(folder)))
    load()
    director = Director(asked.engine, Path(os.environ["BELOW_LIBRARY"]))
    reports: list[Report] = []
    try:
        for report in _reports(director, asked):
            reports.append(report)
            print(json.dumps(asdict(report)), flush=True)
    finally:
        director.close()
    print(_table(reports), file=sys.stderr)
    return int(any(report.problems for report in reports))


def _reports(director: Director, asked: argparse.Namespace) -> Iterator[Report]:
    if not asked.each_write:
        yield from map(director.follow, range(asked.first, asked.first + asked.count))
        return
    for number in itertools.count(1):
        report = director.run(number, [failing_write(number)])
        if not report.struck:
            return
        yield report


def _again_with(library: Path) -> int:
    """This program once more with the library below it."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    environment = {
        **os.environ, **threads, "LD_PRELOAD": str(library), "BELOW_LIBRARY": str(library),
    }  # fmt: skip
    arguments = [sys.executable, "-m", "support.schedules", *sys.argv[1:]]
    return os.waitstatus_to_exitcode(
        os.waitpid(os.spawnve(os.P_NOWAIT, sys.executable, arguments, environment), 0)[1]
    )


def _table(reports: list[Report]) -> str:
    runs = Counter(kind for report in reports for kind in report.kinds)
    lost = Counter(
        kind for report in reports if report.problems for kind in dict.fromkeys(report.kinds)
    )
    rows = [f"| {kind} | {number} | {lost[kind]} |" for kind, number in sorted(runs.items())]
    struck = sum(report.struck for report in reports)
    good = sum(not report.problems for report in reports)
    return "\n".join(
        (
            "| disturbance | runs | in schedules with a fault |", "| --- | --- | --- |", *rows,
            f"{len(reports)} schedules, {sum(runs.values())} disturbed runs, struck in {struck};"
            f" {good} as undisturbed",
        )
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""Whatever disturbs a job, it ends as one that nothing disturbed: 20 seeded schedules, 200 slow."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from support.schedules.below import compiler

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or compiler() is None,
    reason="faults are injected by a library that a C compiler makes (apt-get install gcc)",
)


def followed(engine: str, first: int, count: int) -> list[dict[str, Any]]:
    """The reports of some schedules."""
    reports = reported("--engine", engine, "--first", str(first), "--count", str(count))
    assert len(reports) == count
    return reports


def reported(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "support.schedules", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_as_undisturbed(reports: list[dict[str, Any]]) -> None:
    wrong = {
        f"{report['engine']} {report['seed']}": [report["steps"], report["problems"]]
        for report in reports
        if report["problems"]
    }
    assert wrong == {}
    # Else nothing was disturbed.
    assert sum(report["struck"] for report in reports) >= len(reports) // 2


def test_twenty_schedules_end_as_an_undisturbed_run() -> None:
    assert_as_undisturbed(followed("local", 0, 20))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_all_schedules_end_as_an_undisturbed_run() -> None:
    assert_as_undisturbed(followed("local", 20, 168))


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_schedules_under_ray_end_as_an_undisturbed_run() -> None:
    assert_as_undisturbed(followed("ray", 0, 12))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_disk_that_fails_at_any_write_of_a_result_fails_no_file() -> None:
    reports = reported("--each-write")
    assert len(reports) > 20
    assert_as_undisturbed(reports)

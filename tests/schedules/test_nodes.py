"""Whatever is killed on a cluster of two nodes, a job ends as one that nothing disturbed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_thirty_schedules_of_kills_on_two_nodes_end_as_an_undisturbed_run() -> None:
    pytest.importorskip("skimage")
    done = subprocess.run(
        [sys.executable, "-m", "support.schedules.nodes", "--first", "0", "--count", "30"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 30
    assert {r["seed"]: [r["steps"], r["problems"]] for r in reports if r["problems"]} == {}
    # Else nothing was disturbed.
    struck = Counter(kind for r in reports for kind in r["kinds"][: r["struck"]])
    assert all(struck[kind] >= 10 for kind in ("driver", "node", "worker")), struck

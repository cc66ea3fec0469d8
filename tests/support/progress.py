"""How far a run is that goes on in another process."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

WITHIN_S = 900.0


def results(output: Path) -> list[tuple[str, int]]:
    """State and number of the items of a manifest that may not be there yet."""
    ledger = output / ".restore-batch" / "manifest.sqlite"
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as opened:
            query = "SELECT state, COUNT(*) FROM units GROUP BY state ORDER BY state"
            return list(opened.execute(query))
    except sqlite3.Error:
        return []


def await_done(output: Path, count: int, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + WITHIN_S
    while dict(results(output)).get("done", 0) < count:
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < end, results(output)
        time.sleep(0.2)

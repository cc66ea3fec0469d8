"""Nothing is lost: whatever is killed whenever, a resumed job ends as an uninterrupted one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from support.archive import checksums, cli, command, make_archive, write_job

FAST = {"restore": {"model": "none"}, "background": {"model": "none", "scale": 1.5}}
PICTURES = 60


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage")
    return make_archive(tmp_path_factory.mktemp("in"), faces=10, scenes=PICTURES - 10, side_px=700)


@pytest.fixture(scope="module")
def expected(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("whole")
    job = write_job(folder / "job.yaml", inputs=[str(archive)], output=str(folder / "out"), **FAST)
    done = cli("run", job, "--quiet")
    assert done.returncode == 0, done.stderr
    return checksums(folder / "out")


def kill_once(process: subprocess.Popen[bytes], target: str, after_s: float) -> None:
    """Kill the driver, or one of its Ray workers, with SIGKILL ``after_s`` from now."""
    time.sleep(after_s)
    with contextlib.suppress(psutil.NoSuchProcess):
        if target == "driver":
            process.kill()
            return
        family = psutil.Process(process.pid).children(recursive=True)
        workers = [p for p in family if "PoolWorker" in " ".join(p.cmdline())]
        if workers:
            os.kill(random.choice(workers).pid, signal.SIGKILL)


def check_kills(
    archive: Path, expected: dict[str, str], folder: Path, kills: int, seed: int
) -> None:
    """Kill at random moments until ``kills`` shots have hit a running job, then compare."""
    rng = random.Random(seed)
    output = folder / "out"
    job = write_job(folder / "job.yaml", inputs=[str(archive)], output=str(output), **FAST)
    hits = 0
    while hits < kills:
        # A finished job would be a fixed target: take some results away for it to redo.
        for path in list(output.glob("*.jpg"))[: PICTURES // 3]:
            path.unlink()
        process = subprocess.Popen(
            [*command("run", job, "--quiet")], stderr=subprocess.DEVNULL, start_new_session=True
        )
        target = rng.choice(["driver", "worker"])
        kill_once(process, target, rng.uniform(0.5, 14.0))
        alive = process.poll() is None
        if target == "driver":
            hits += process.wait() == -signal.SIGKILL
        else:
            assert process.wait(timeout=300) in (0, None), "a lost worker is no failure"
            hits += alive
    done = cli("run", job, "--quiet")
    assert done.returncode == 0, done.stderr
    assert checksums(output) == expected
    leftovers = list((output / ".restore-batch" / "tmp").iterdir())
    assert leftovers == []
    with sqlite3.connect(output / ".restore-batch" / "manifest.sqlite") as ledger:
        states = ledger.execute(
            "SELECT state, COUNT(*) FROM units JOIN items ON items.unit = units.id GROUP BY state"
        ).fetchall()
    assert states == [("done", PICTURES)]


@pytest.mark.slow
def test_kills_of_driver_and_workers_lose_nothing(
    archive: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    check_kills(archive, expected, tmp_path, kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_twenty_kills_of_driver_and_workers_lose_nothing(
    archive: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    check_kills(archive, expected, tmp_path, kills=20, seed=2)

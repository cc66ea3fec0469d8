"""The Slurm script, run whole: its srun and scontrol are ours, Ray and the job are real."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from support.archive import checksums, make_archive, write_job
from support.data import ROOT

SCRIPT = ROOT / "deploy" / "slurm.sh"
PICTURES = 4
FAKES = {
    # Without the words that say where.
    "srun": 'while [[ ${1:-} == --* ]]; do shift; done; echo "$*" >> "$TRACE"; exec "$@"',
    "scontrol": 'echo "scontrol $*" >> "$TRACE"; [[ $1 != show ]] || printf "one\\ntwo\\n"',
    "hostname": "echo 127.0.0.1",
}


def free_job_id() -> int:
    """One whose ports are free."""
    for number in range(1, 10000):
        try:
            for port in (20000 + 2 * number, 20001 + 2 * number):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return number
    raise AssertionError("no port is free")


class Allocation:
    """What Slurm gives a batch script."""

    def __init__(self, folder: Path) -> None:
        (folder / "bin").mkdir()
        for name, body in FAKES.items():
            fake = folder / "bin" / name
            fake.write_text(f"#!/bin/bash\n{body}\n")
            fake.chmod(0o755)
        self.trace = folder / "trace"
        self.number = free_job_id()
        path = [folder / "bin", Path(sys.executable).parent, os.environ["PATH"]]
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_AUTH", "SLURM"))}
        self.env = {
            **kept, "PATH": os.pathsep.join(map(str, path)), "TRACE": str(self.trace),
            "SLURM_JOB_ID": str(self.number), "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_CPUS_PER_TASK": "1", "TMPDIR": "/tmp",
        }  # fmt: skip

    def begin(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", SCRIPT, *arguments], env={**self.env, **environment}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def left(self) -> list[str]:
        """Processes of its Ray that are still there."""
        mark = f"ray-{self.number}"
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(
                f"/tmp/{mark}" in word or f":{20000 + 2 * self.number}" in word for word in words
            ):
                found.append(" ".join(words)[:80])
        return found


def awaited_end(allocation: Allocation) -> list[str]:
    """What is left of its Ray when that has had time to end."""
    for _ in range(300):
        if not allocation.left():
            break
        time.sleep(0.1)
    return allocation.left()


def job_of(folder: Path, pictures: int, side_px: int = 64) -> Path:
    make_archive(folder / "in", faces=0, scenes=pictures, side_px=side_px)
    return write_job(
        folder / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
        background={"model": "none", "scale": 2}, detect={"model": "none"},
        engine={"threads": 1},
    )  # fmt: skip


@pytest.mark.slow
def test_the_script_runs_a_job_on_two_nodes_and_leaves_nothing_behind(tmp_path: Path) -> None:
    job = job_of(tmp_path, PICTURES)
    allocation = Allocation(tmp_path)
    running = allocation.begin(job)
    said, _ = running.communicate(timeout=500)
    assert running.returncode == 0, said
    assert len(checksums(tmp_path / "out")) == PICTURES
    assert awaited_end(allocation) == []
    trace = allocation.trace.read_text().splitlines()
    assert [line.split()[:3] for line in trace if line.startswith("ray")] == [
        ["ray", "start", "--head"],
        ["ray", "start", f"--address=127.0.0.1:{20000 + 2 * allocation.number}"],
    ]
    assert not Path(f"/tmp/ray-{allocation.number}").exists()


@pytest.mark.slow
def test_a_job_whose_time_is_up_ends_in_good_order_and_is_queued_again(tmp_path: Path) -> None:
    job = job_of(tmp_path, 400, side_px=256)
    allocation = Allocation(tmp_path)
    running = allocation.begin(job, REQUEUE="1")
    while not list((tmp_path / "out").rglob("scene*.jpg")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=500)
    assert running.returncode == 130, said
    assert f"scontrol requeue {allocation.number}" in allocation.trace.read_text().splitlines()
    assert awaited_end(allocation) == []


@pytest.mark.slow
def test_a_head_that_does_not_start_ends_the_script_with_a_line(tmp_path: Path) -> None:
    allocation = Allocation(tmp_path)
    (tmp_path / "bin" / "ray").write_text("#!/bin/bash\nexit 1\n")
    (tmp_path / "bin" / "ray").chmod(0o755)
    running = allocation.begin(tmp_path / "job.yaml")
    said, _ = running.communicate(timeout=500)
    assert (running.returncode, said) == (3, "slurm.sh: no head on one\n")

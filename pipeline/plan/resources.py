"""What this machine or cluster offers, and how a job's workers share it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from restore_batch.jobs.spec import Job
from restore_batch.models.base import Precision, Runtime

_CORES_PER_WORKER = 4
"""Convolutions scale well to about four cores; beyond that another picture is better."""
_WORKER_BYTES = int(2.5e9)
_SMALLEST_STORE = 256 << 20
_LARGEST_STORE = 8 << 30


@dataclass(frozen=True)
class Machine:
    """Cores and bytes this process may use, and its GPUs."""

    cores: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True)
class Share:
    """How the machine is shared out. ``workers`` compute, ``readers`` decode."""

    runtime: Runtime
    workers: int
    readers: int
    threads: int
    store_bytes: int
    budget_bytes: int


@dataclass(frozen=True)
class Engine:
    """Where the work runs. ``store_bytes``: size of a private Ray's object store."""

    kind: Literal["ray", "local"]
    address: str | None
    cpus: float
    store_bytes: int


def this_machine() -> Machine:
    """Look, without importing torch: affinity, cgroup and the driver's own device files."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = min(psutil.virtual_memory().total, _cgroup_bytes())
    return Machine(_cgroup_cores(cores or 1), memory, _count_gpus())


def share_out(job: Job, machine: Machine) -> Share:
    """Workers, threads and bytes of a job on one machine."""
    engine = job.engine
    device = "cuda" if engine.device == "auto" and machine.gpus else engine.device
    device = "cpu" if device == "auto" else device
    by_memory = max(1, machine.memory_bytes // _WORKER_BYTES)
    by_cores = max(1, machine.cores // _CORES_PER_WORKER)
    default = max(1, machine.gpus) if device == "cuda" else min(by_cores, by_memory)
    workers = engine.workers or default
    store = max(_SMALLEST_STORE, min(_LARGEST_STORE, machine.memory_bytes // 5, _shared_bytes()))
    return Share(
        runtime=Runtime(device, _precision(engine.precision, device)),
        workers=workers,
        readers=max(1, min(workers, machine.cores // _CORES_PER_WORKER)),
        threads=engine.threads or max(1, machine.cores // workers),
        store_bytes=store,
        budget_bytes=engine.memory_mb << 20 if engine.memory_mb else store // 2,
    )


def _precision(asked: str, device: str) -> Precision:
    if asked == "auto":
        return "float16" if device == "cuda" else "float32"
    return asked  # type: ignore[return-value] # the schema allows exactly these


def _count_gpus() -> int:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([part for part in visible.split(",") if part.strip() not in ("", "-1")])
    return len(list(Path("/proc/driver/nvidia/gpus").glob("*")))


def _shared_bytes() -> int:
    """Half of what shared memory can hold: Ray's store lives there on Linux."""
    if sys.platform != "linux" or not Path("/dev/shm").is_dir():
        return _LARGEST_STORE
    return shutil.disk_usage("/dev/shm").total // 2


def _cgroup_bytes() -> int:
    return _cgroup_number("memory.max") or sys.maxsize


def _cgroup_cores(cores: int) -> int:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores


def _cgroup_number(name: str) -> int | None:
    try:
        return int(Path("/sys/fs/cgroup", name).read_text())
    except (OSError, ValueError):
        return None

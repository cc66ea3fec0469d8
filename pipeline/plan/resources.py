"""What this machine or cluster offers, and how a job's workers share it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from restore_batch import cgroups
from restore_batch.jobs.spec import Job
from restore_batch.models.base import Precision, Runtime
from restore_batch.pipeline.plan.landmarks import Landmarks, Sees
from restore_batch.pipeline.plan.layout import WORKER_BYTES, Layout, Node

_CORES_PER_WORKER = 4
"""Convolutions scale well to about four cores; beyond that another picture is better."""
_SMALLEST_STORE = 256 << 20
_LARGEST_STORE = 8 << 30


@dataclass(frozen=True)
class Machine:
    """Cores and bytes this process may use, and its GPUs."""

    cores: int
    memory_bytes: int
    gpus: int


@dataclass(frozen=True)
class Cluster:
    """The nodes that a cluster has now. ``sees``: what those that were asked see of a job's files,
    by their ids."""

    nodes: tuple[Node, ...]
    sees: Mapping[str, Sees] = field(default_factory=dict)


Site = Machine | Cluster


@dataclass(frozen=True)
class Share:
    """How a machine or a cluster is shared out. ``workers`` compute, ``readers`` decode; as many as
    there is room for now, where nodes may join. ``most_on_node``: computing workers of a node.
    ``layout``: by which rule the nodes of a cluster get theirs; None on one machine."""

    runtime: Runtime
    workers: int
    readers: int
    threads: int
    store_bytes: int
    budget_bytes: int
    most_on_node: int
    gpus: int = 0
    layout: Layout | None = None


@dataclass(frozen=True)
class Engine:
    """Where the work runs. ``store_bytes``: size of a private Ray's object store. ``gpu_share``: of
    one GPU, what a worker takes that runs networks there. ``layout``: see :class:`Share`.
    ``metrics_port``: where a private Ray shows its metrics, or None. ``landmarks``: by which the
    nodes of a cluster tell what they see of the job's files; None: they all see everything."""

    kind: Literal["ray", "local"]
    address: str | None
    cpus: float
    store_bytes: int
    gpu_share: float = 1.0
    layout: Layout | None = None
    metrics_port: int | None = None
    landmarks: Landmarks | None = None

    @property
    def is_private_ray(self) -> bool:
        """Whether Ray is to be started for this run alone, on this machine."""
        return self.kind == "ray" and self.address is None


def this_machine() -> Machine:
    """Look, without importing torch: affinity, control groups and the driver's own device files."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores, memory = cores or 1, psutil.virtual_memory().total
    return Machine(
        max(1, min(cores, int(cgroups.cores() or cores))),
        min(memory, cgroups.memory_bytes() or memory),
        _count_gpus(),
    )


def share_out(job: Job, site: Site) -> Share:
    """Workers, threads and bytes of a job on one machine or on a cluster."""
    return _of_cluster(job, site.nodes) if isinstance(site, Cluster) else _of_machine(job, site)


def _of_machine(job: Job, machine: Machine) -> Share:
    engine = job.engine
    device = _device(engine.device, machine.gpus)
    by_memory = max(1, machine.memory_bytes // WORKER_BYTES)
    by_cores = max(1, machine.cores // _CORES_PER_WORKER)
    on_gpus = max(1, machine.gpus) * engine.workers_per_gpu
    workers = engine.workers or (on_gpus if device == "cuda" else min(by_cores, by_memory))
    store = max(_SMALLEST_STORE, min(_LARGEST_STORE, machine.memory_bytes // 5, _shared_bytes()))
    return Share(
        runtime=Runtime(device, _precision(engine.precision, device)),
        workers=workers,
        readers=max(1, min(workers, machine.cores // _CORES_PER_WORKER)),
        threads=engine.threads or max(1, machine.cores // workers),
        store_bytes=store,
        budget_bytes=engine.memory_mb << 20 if engine.memory_mb else store // 2,
        most_on_node=workers,
        gpus=machine.gpus,
    )


def _of_cluster(job: Job, nodes: Sequence[Node]) -> Share:
    engine = job.engine
    device = _device(engine.device, sum(int(node.gpus) for node in nodes))
    on_gpu = device == "cuda"
    # By the largest of those that restore: on a smaller one a worker has all cores.
    restoring = [node for node in nodes if node.gpus >= 1 or not on_gpu]
    cores = int(max((node.cores for node in restoring), default=0))
    gpus = int(max((node.gpus for node in restoring), default=1))
    here = gpus * engine.workers_per_gpu if on_gpu else max(1, cores // _CORES_PER_WORKER)
    if engine.workers is not None:
        here = min(max(1, -(-engine.workers // max(1, len(restoring)))), max(1, cores))
    threads = engine.threads or max(1, cores // here)
    layout = Layout(on_gpu, threads, engine.workers_per_gpu, engine.workers)
    computing = layout.computing(nodes)
    stores = sum(node.store_bytes for node in nodes if node.id in computing)
    return Share(
        runtime=Runtime(device, _precision(engine.precision, device)),
        workers=len(computing) or engine.workers or 1,
        readers=len(layout.reading(nodes, computing)) or 1,
        threads=threads,
        store_bytes=0,
        budget_bytes=engine.memory_mb << 20
        if engine.memory_mb
        else max(_SMALLEST_STORE, stores // 2),
        most_on_node=max((layout.room(node) for node in nodes), default=1),
        layout=layout,
    )


def _device(asked: str, gpus: int) -> Literal["cpu", "cuda"]:
    if asked == "auto":
        return "cuda" if gpus else "cpu"
    return asked  # type: ignore[return-value] # the schema allows exactly these


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

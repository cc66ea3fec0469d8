"""A Ray cluster of several raylets on this machine, on the loopback interface."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore_batch.pipeline.engine.ray_alone import without_idle_processes

_STORE_BYTES = 80 << 20


class Nodes:
    """``address``: where its head is found, which itself offers nothing."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._added: list[Any] = []
        self.address: str = cluster.address

    def add(self, *, cpus: int = 1, gpus: int = 0) -> str:
        """Another node; returns its id. GPUs are only claimed."""
        with without_idle_processes():
            node = self._cluster.add_node(
                num_cpus=cpus, num_gpus=gpus, object_store_memory=_STORE_BYTES,
                node_ip_address="127.0.0.1",
            )  # fmt: skip
        self._added.append(node)
        return str(node.node_id)

    def kill(self, node_id: str) -> None:
        """End a node as a power cut would: its raylet first, then all it started."""
        node = next(each for each in self._added if each.node_id == node_id)
        for _, processes in sorted(node.all_processes.items(), reverse=True):
            for info in processes:
                if info.process.poll() is None:
                    os.kill(info.process.pid, signal.SIGKILL)
                    info.process.wait()
        self._cluster.worker_nodes.discard(node)


@contextmanager
def nodes(folder: Path | None = None) -> Iterator[Nodes]:
    """A head without CPUs, and none else yet."""
    # ray reads these when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.cluster_utils import Cluster

    with without_idle_processes():
        cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0, "object_store_memory": _STORE_BYTES, "include_dashboard": False,
                "node_ip_address": "127.0.0.1",
            },
        )  # fmt: skip
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()

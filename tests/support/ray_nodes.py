"""A Ray cluster of several raylets on this machine, on the loopback interface.

As a program it prints its address and obeys lines on its standard input: ``add CPUS GPUS`` prints
the id of a new node, ``kill ID`` ends one; it ends with its input.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
        from restore_batch.pipeline.engine.ray_private import patience

        with patience(), without_idle_processes():
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
def nodes() -> Iterator[Nodes]:
    """A head without CPUs, and none else yet."""
    # ray reads these when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.cluster_utils import Cluster

    from restore_batch.pipeline.engine.ray_private import patience

    with patience(), without_idle_processes():
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


class NodesApart:
    """The same in a process of its own, with an environment of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._answer(r"[\d.]+:\d+")

    def add(self, *, cpus: int = 1, gpus: int = 0) -> str:
        """Another node; returns its id."""
        self._say(f"add {cpus} {gpus}")
        return self._answer(r"[0-9a-f]{20,}")

    def kill(self, node_id: str) -> None:
        """End a node as a power cut would."""
        self._say(f"kill {node_id}")
        self._answer("killed")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _answer(self, form: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if re.fullmatch(form, line.strip()):
                return line.strip()
        raise AssertionError("the cluster has ended")


@contextmanager
def nodes_apart(**environment: str) -> Iterator[NodesApart]:
    """Without tokens, but for what ``environment`` says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    process = subprocess.Popen(
        [sys.executable, "-m", "support.ray_nodes"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**env, "RAY_AUTH_MODE": "disabled", **environment},
    )  # fmt: skip
    try:
        yield NodesApart(process)
    finally:
        process.communicate()


def main() -> None:
    """See above."""
    with nodes() as found:
        print(found.address, flush=True)
        for line in sys.stdin:
            command, *words = line.split()
            if command == "add":
                print(found.add(cpus=int(words[0]), gpus=int(words[1])), flush=True)
            else:
                found.kill(words[0])
                print("killed", flush=True)


if __name__ == "__main__":
    main()

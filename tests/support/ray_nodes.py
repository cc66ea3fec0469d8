"""A Ray cluster of several raylets on this machine, on the loopback interface.

A node may have folders of its own, empty ones, where others see files: it is started in a mount
namespace, in which an empty file system lies on each. Or it may be at the other end of a link
(:mod:`support.link`); then its cluster is at the near one.

As a program it prints its address and obeys lines of JSON on its standard input: ``["add", {…}]``
prints the id of a new node, ``["kill", {…}]`` ends one; it ends with its input.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restore_batch.pipeline.engine.ray_alone import without_idle_processes

from support.link import Machine

_LOOPBACK = "127.0.0.1"
_STORE_BYTES = 80 << 20
_HIDE = 'for each in $1; do mount -t tmpfs own "$each" || exit 1; done; shift; exec "$@"'


def why_not_apart() -> str:
    """Why nodes cannot have folders of their own on this machine; "" where they can."""
    if shutil.which("unshare") is None:
        return "no program unshare"
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "own", "/mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return " ".join(tried.stderr.split()) if tried.returncode else ""


@contextmanager
def _wrapped(words: Sequence[str]) -> Iterator[None]:
    """The raylet that is started within, and all its workers, are started by way of ``words``."""
    from ray._private import services

    theirs = services.ConsolePopen

    class Own(theirs):  # type: ignore[misc, valid-type]
        def __init__(self, command: Sequence[str], **settings: Any) -> None:
            by_way_of = words if Path(command[0]).name == "raylet" else ()
            super().__init__([*by_way_of, *command], **settings)

    services.ConsolePopen = Own
    try:
        yield
    finally:
        services.ConsolePopen = theirs


def _apart(own: Sequence[str]) -> list[str]:
    """What hides folders from a program; its folder for temporary files and its cache of weights
    are in the first of them."""
    if not own:
        return []
    return [
        "unshare", "--mount", "sh", "-c", _HIDE, "sh", " ".join(own),
        "env", f"TMPDIR={own[0]}", f"RESTORE_BATCH_WEIGHTS_DIR={own[0]}/weights",
    ]  # fmt: skip


class Nodes:
    """``address``: where its head is found, which itself offers nothing."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._added: list[Any] = []
        self.address: str = cluster.address

    def add(
        self, *, cpus: int = 1, gpus: int = 0, own: Sequence[str] = (),
        inside: Sequence[str] = (), ip: str = "",
    ) -> str:  # fmt: skip
        """Another node; returns its id. GPUs are only claimed. ``own``: its own folders.
        ``inside``: what begins a command that is to run on another machine, whose address is
        ``ip``."""
        from restore_batch.pipeline.engine.ray_private import patience

        with patience(), without_idle_processes(), _wrapped([*inside, *_apart(own)]):
            node = self._cluster.add_node(
                num_cpus=cpus, num_gpus=gpus, object_store_memory=_STORE_BYTES,
                node_ip_address=ip or self.address.partition(":")[0],
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
def nodes(ip: str = _LOOPBACK) -> Iterator[Nodes]:
    """A head without CPUs at that address, and none else yet."""
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
                "node_ip_address": ip,
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

    def add(
        self, *, cpus: int = 1, gpus: int = 0, own: Sequence[Path] = (), on: Machine | None = None
    ) -> str:
        """Another node; returns its id. See :class:`Nodes`."""
        there = {} if on is None else {"inside": on.inside, "ip": on.ip}
        self._say("add", cpus=cpus, gpus=gpus, own=list(map(str, own)), **there)
        return self._answer(r"[0-9a-f]{20,}")

    def kill(self, node_id: str) -> None:
        """End a node as a power cut would."""
        self._say("kill", node_id=node_id)
        self._answer("killed")

    def _say(self, command: str, **words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, words]) + "\n")
        self._process.stdin.flush()

    def _answer(self, form: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if re.fullmatch(form, line.strip()):
                return line.strip()
        raise AssertionError("the cluster has ended")


@contextmanager
def nodes_apart(on: Machine | None = None, **environment: str) -> Iterator[NodesApart]:
    """Without tokens, but for what ``environment`` says."""
    inside, ip = ([], _LOOPBACK) if on is None else (on.inside, on.ip)
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    process = subprocess.Popen(
        [*inside, sys.executable, "-m", "support.ray_nodes", ip], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
        env={**env, "RAY_AUTH_MODE": "disabled", **environment},
    )  # fmt: skip
    try:
        yield NodesApart(process)
    finally:
        process.communicate()


def main() -> None:
    """See above."""
    with nodes(sys.argv[1]) as found:
        print(found.address, flush=True)
        for line in sys.stdin:
            command, words = json.loads(line)
            if command == "add":
                print(found.add(**words), flush=True)
            else:
                found.kill(**words)
                print("killed", flush=True)


if __name__ == "__main__":
    main()

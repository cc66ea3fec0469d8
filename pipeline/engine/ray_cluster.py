"""A Ray cluster that runs already: reached, and watched for nodes that join and leave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import ray
from ray import exceptions
from ray._private import services
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from restore_batch.errors import ExecutorError
from restore_batch.pipeline.engine.ray_home import Sight
from restore_batch.pipeline.engine.ray_private import handlers_kept, quiet, shut_down
from restore_batch.pipeline.engine.ray_tokens import agree_with
from restore_batch.pipeline.plan.landmarks import Landmarks
from restore_batch.pipeline.plan.layout import Layout, Node

_LOOKS_S = 1.0
_REACHED_WITHIN_S = 10.0
_LEAVES_WITHIN_S = 5.0
_NO_ANSWER = (exceptions.RayError, OSError)


def connect(address: str) -> Callable[[], None]:
    """Reach a cluster; returns what leaves it again. Raises ExecutorError."""
    if ray.is_initialized():
        return lambda: None  # whoever connected this process leaves, too
    try:
        with handlers_kept():
            ray.init(address=_ready(address), **quiet())
    except ExecutorError:
        raise
    except Exception as error:
        with suppress(Exception):
            shut_down()
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExecutorError(
            f"cannot reach the Ray cluster at {address} ({detail}); does it run, and is this"
            " machine on its network? --set engine.address=null runs on this machine"
        ) from error
    return shut_down


def _ready(address: str) -> str:
    """``address``, that of its head where it was to be found, once that answers and lets us in."""
    if address.startswith("ray://"):
        _check_reachable(address)  # its proxy has the cluster's mode, and says so
        return address
    found = services.canonicalize_bootstrap_address(address)
    if found is None:
        raise ExecutorError(
            f"engine.address is {address!r}, and no Ray cluster runs on this machine: expected"
            " host:port of its head"
        )
    _check_reachable(found)
    agree_with(found)
    # Not `auto`: then Ray takes the mode of what lies in the home folder, not of the cluster.
    return str(found)


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes before it says so."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACHED_WITHIN_S).close()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExecutorError(
            f"cannot reach the Ray cluster at {address} ({reason}): expected the host and port that"
            " `ray start --head` printed, port 6379 by default; see engine.address"
        ) from None


def nodes() -> tuple[Node, ...]:
    """The nodes that are alive, those that have been there longest first where Ray says so."""
    return tuple(_node(each) for each in ray.nodes() if each["Alive"])


def _node(described: dict[str, Any]) -> Node:
    has = described["Resources"]
    return Node(
        id=described["NodeID"],
        host=str(described["NodeManagerHostname"] or described["NodeManagerAddress"]),
        cores=has.get("CPU", 0.0),
        gpus=has.get("GPU", 0.0),
        memory_bytes=int(has.get("memory", 0)),
        store_bytes=int(has.get("object_store_memory", 0)),
    )


class Places:
    """The nodes on which each pool has a worker, as nodes join and leave.

    A thread asks Ray for its nodes, so that nobody waits for the answer. Where a job wants more
    workers than there is room for, a cluster that can grow is asked for them, again and again until
    it takes note; ``refusal`` says why it has not.

    ``landmarks``: each node is asked what it sees of them; None: all see everything. ``at_home``:
    the nodes of those workers that need to see all files; the driver's own where no other does.
    """

    def __init__(self, layout: Layout, landmarks: Landmarks | None = None) -> None:
        self._layout = layout
        self._sight = None if landmarks is None else Sight(landmarks)
        self._nodes: dict[str, Node] = {}
        self._hosts: dict[str, str] = {}
        self._is_asked = False
        self.refusal = ""
        self._fault: Exception | None = None
        self.computing: Sequence[str] = ()
        self.reading: Sequence[str] = ()
        self.at_home: Sequence[str] = ()
        self._ends = threading.Event()
        self._follow(nodes())
        self._thread = threading.Thread(target=self._watch, name="nodes", daemon=True)
        self._thread.start()

    def options_of(self, node_id: str, *, computes: bool) -> dict[str, Any]:
        """Where an actor is to run and what it takes there. A node that has left meanwhile makes
        its start fail."""
        options: dict[str, Any] = {
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False),
            "num_cpus": 0,
        }
        if computes and (node := self._nodes.get(node_id)):
            options["num_cpus"] = self._layout.cpus(node)
        return options

    def host_of(self, node_id: str) -> str:
        """The host name of a node that is there or was."""
        return self._hosts.get(node_id, node_id)

    def check(self) -> None:
        """Raises what has ended the watch, which is a defect of ours: nodes would join and leave
        unseen."""
        if self._fault is not None:
            raise self._fault

    def close(self) -> None:
        """Watch no longer, and ask for nothing more."""
        self._ends.set()
        self._thread.join(_LEAVES_WITHIN_S)
        # It may have heard what it gave no answer to.
        if self._is_asked or self.refusal:
            _ask_for([])

    def _watch(self) -> None:
        try:
            while not self._ends.wait(_LOOKS_S):
                # While Ray's head does not answer, what was known last holds.
                with suppress(*_NO_ANSWER):
                    self._follow(nodes())
        except Exception as error:
            self._fault = error

    def _follow(self, found: Sequence[Node]) -> None:
        # In the order in which they were first seen: who has work keeps it.
        here = {node.id: node for node in found}
        self._hosts.update((node.id, node.host) for node in found)
        self._nodes = {i: here.pop(i) for i in self._nodes if i in here} | here
        now = list(self._nodes.values())
        computing = self._layout.computing(now, self.computing)
        reading = self._layout.reading(now, computing)
        # The same object as long as nothing changed: that is how others notice.
        if computing != self.computing:
            self.computing = computing
        if reading != self.reading:
            self.reading = reading
        at_home = self.reading if self._sight is None else self._sight.of_files(self.reading)
        if at_home != self.at_home:
            self.at_home = at_home
        wanted = self._layout.most or 1
        if len(computing) < wanted and not self._is_asked:
            one = {"CPU": float(self._layout.threads)}
            if self._layout.on_gpu:
                one["GPU"] = self._layout.gpu_share
            self.refusal = _ask_for([one] * wanted)
            self._is_asked = not self.refusal


def _ask_for(bundles: list[dict[str, float]]) -> str:
    """Ask a cluster to grow; returns why it was not to be asked, or ""."""
    from ray.autoscaler.sdk import request_resources

    try:
        request_resources(bundles=bundles)
    except Exception as error:  # by a ray:// address it is an AssertionError
        return " ".join(str(error).split()) or type(error).__name__
    return ""

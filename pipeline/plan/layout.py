"""Which workers the nodes of a cluster have: as many as their GPUs, cores and memory allow.

The rule is fixed when a job is planned; the nodes are those that there are at the time, so that one
that joins has its workers by the same rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

WORKER_BYTES = int(2.5e9)


@dataclass(frozen=True)
class Node:
    """A machine of a cluster, and what it offers to all jobs together. ``id``: the cluster's name
    for it, ``host``: people's. ``store_bytes``: of its object store."""

    id: str
    host: str
    cores: float
    gpus: float
    memory_bytes: int
    store_bytes: int


@dataclass(frozen=True)
class Layout:
    """The rule of one job.

    ``on_gpu``: only nodes with a GPU restore. ``threads``: cores of a worker, fewer where a node
    has fewer. ``most``: workers of a pool on all nodes together, None: as many as find room.
    ``groups``: how many that compute share a node, each with workers of its own.
    """

    on_gpu: bool
    threads: int
    per_gpu: int = 1
    most: int | None = None
    groups: int = 1

    def room(self, node: Node) -> int:
        """Workers of each computing pool on ``node``."""
        if self.on_gpu:
            return int(node.gpus) * self.per_gpu
        if node.cores < 1:
            return 0
        by_memory = max(1, node.memory_bytes // WORKER_BYTES)
        return min(max(1, int(node.cores) // self.threads), by_memory)

    def computing(self, nodes: Sequence[Node], before: Sequence[str] = ()) -> tuple[str, ...]:
        """The nodes of the workers of a computing pool, spread evenly. Those that are ``before``
        keep their place where they can."""
        room = Counter({node.id: self.room(node) for node in nodes})
        kept = []
        for node_id in before:
            if room[node_id] > 0:
                kept.append(node_id)
                room[node_id] -= 1
        while (free := [node.id for node in nodes if room[node.id] > 0]) and self._wants(kept):
            for node_id in free:
                if self._wants(kept):
                    kept.append(node_id)
                    room[node_id] -= 1
        return tuple(kept)

    def reading(self, nodes: Sequence[Node], computing: Sequence[str]) -> tuple[str, ...]:
        """The nodes of the workers that read and join files: on those that compute as many as keep
        up with that, and one on every other that has a core."""
        count = Counter(computing)
        return tuple(
            node.id
            for node in nodes
            if node.cores >= 1 or count[node.id]
            for _ in range(max(1, min(count[node.id], int(node.cores) // 4)))
        )

    def cpus(self, node: Node) -> float:
        """Cores that a computing worker asks of ``node``, so that those of all groups fit."""
        share = node.cores / max(1, self.room(node) * self.groups)
        # Whole ones, or a part of one: Ray knows nothing between.
        return float(min(self.threads, int(share))) if share >= 1 else int(share * 1e4) / 1e4

    @property
    def gpu_share(self) -> float:
        """Of one GPU, for each computing worker."""
        return gpu_share(1, self.per_gpu * self.groups) if self.on_gpu else 0.0

    def _wants(self, kept: Sequence[str]) -> bool:
        return self.most is None or len(kept) < self.most


def gpu_share(gpus: int, workers: int) -> float:
    """Of one GPU for each of ``workers``, so that all find theirs."""
    return min(1.0, int(max(1, gpus) / max(1, workers) * 1e4) / 1e4)

"""The logical DAG of stages, and its cut into groups that run fused in one worker.

Edges follow from what stages read and write on a :class:`Chunk`; nothing is wired by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from restore_batch.stages.base import Resources, Stage
from restore_batch.stages.media import Chunk

ALWAYS_KEPT = frozenset(
    {"unit", "pixel_aspect", "index", "artifact", "records", "warnings", "seconds"}
)
_HEAVY = frozenset(
    {"frames", "meta", "faces", "alignments", "crops", "restored", "upscaled", "pasted"}
)


@dataclass(frozen=True)
class Graph:
    """Stages in an order in which each comes after what it reads."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"two stages have one name: {names}")
        written: set[str] = set()
        for stage in self.stages:
            missing = stage.reads - written
            if missing:
                raise ValueError(
                    f"{stage.name} reads {sorted(missing)}, which no earlier stage writes"
                )
            written |= stage.writes

    def edges(self) -> list[tuple[str, str]]:
        """(from, to) stage names: to each reader from the latest writer of each field it reads."""
        found: list[tuple[str, str]] = []
        writer: dict[str, str] = {}
        for stage in self.stages:
            found += sorted({(writer[name], stage.name) for name in stage.reads})
            writer |= dict.fromkeys(stage.writes, stage.name)
        return found

    def groups(self, starts: Sequence[str], workers: dict[str, int]) -> tuple[Group, ...]:
        """Cut before each stage named in ``starts``; the first stage always starts one.

        ``workers`` gives the number of workers by the name of a group's first stage.
        """
        cuts = [0] + [i for i, s in enumerate(self.stages) if i and s.name in starts]
        bounds = zip(cuts, [*cuts[1:], len(self.stages)], strict=True)
        return tuple(
            Group(
                stages=self.stages[first:end],
                keep=ALWAYS_KEPT | _needed(self.stages[end:]),
                workers=max(1, workers.get(self.stages[first].name, 1)),
            )
            for first, end in bounds
        )


def _needed(stages: Sequence[Stage]) -> frozenset[str]:
    """The fields that a chunk must bring along for ``stages``: read before they are written."""
    needed: frozenset[str] = frozenset()
    for stage in reversed(stages):
        needed = (needed - stage.writes) | stage.reads
    return needed


@dataclass(frozen=True)
class Group:
    """Neighbouring stages fused in one worker. ``keep``: the fields later groups still need."""

    stages: tuple[Stage, ...]
    keep: frozenset[str]
    workers: int = 1

    @property
    def name(self) -> str:
        """The stages' names, joined: what plans and error messages show."""
        return "+".join(stage.name for stage in self.stages)

    @property
    def needs(self) -> Resources:
        """Stages take turns in a worker: it needs the largest share of any, and all memory."""
        each = [stage.needs for stage in self.stages]
        return Resources(
            cpus=max(r.cpus for r in each),
            gpus=max(r.gpus for r in each),
            memory_mb=sum(r.memory_mb for r in each),
        )

    def strip(self, chunk: Chunk) -> Chunk:
        """Drop what no later group reads, so that it is neither copied nor kept alive."""
        dead: dict[str, Any] = dict.fromkeys(_HEAVY - self.keep, ())
        if "meta" in dead:
            dead["meta"] = None
        return replace(chunk, **dead)

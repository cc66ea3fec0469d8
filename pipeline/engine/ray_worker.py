"""One worker as a Ray actor.

Restarts and retries are ours: Ray's own would run an input that kills its process again and
again, and take innocent neighbours with it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

if TYPE_CHECKING:
    from restore_batch.pipeline.engine.ray_home import Travel
    from restore_batch.pipeline.engine.travel.away import Away
    from restore_batch.pipeline.plan.groups import Group
    from restore_batch.stages.base import WorkerContext
    from restore_batch.stages.media import Chunk

WORKER_DEATHS = (
    exceptions.RayActorError,
    exceptions.ActorUnschedulableError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
)
PAYLOAD_LOSSES = (exceptions.ObjectLostError, exceptions.ReferenceCountingAssertionError)


@ray.remote(max_restarts=0, max_task_retries=0)
class PoolWorker:
    """Runs the stages of one group on batches of chunks."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        """What :meth:`close` has to close."""

    def arrive(self, threads: int) -> int:
        """The id of its process; the first call on a new actor, which ends once that has found its
        room. Its libraries are to use so many ``threads``."""
        # torch and OpenCV read it when they are imported, which is what the next call does.
        os.environ["OMP_NUM_THREADS"] = str(threads)
        return os.getpid()

    def open(
        self, group: Group, context: WorkerContext, writer: str, travel: Travel | None
    ) -> None:
        """Load weights. ``writer``: see :class:`restore_batch.jobs.units.Unit`. ``travel``: None
        where every worker sees all files."""
        from restore_batch.pipeline.engine.worker import GroupWorker

        self._writer = writer
        self._away: Away | None = None
        with ExitStack() as opened:
            if travel is not None:
                from restore_batch.pipeline.engine.ray_home import RayHome
                from restore_batch.pipeline.engine.travel.away import Away, bring_weights

                sees, home = travel.landmarks.seen_here(), RayHome(travel.actor)
                bring_weights(group, travel.landmarks, home)
                if not sees.files:
                    self._away = Away(group, sees, home)
                    opened.callback(self._away.close)
            self._stages = GroupWorker(group, context)
            opened.callback(self._stages.close)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close the stages, and leave no file on this node; nothing else is asked of it then."""
        self._opened.close()

    def run(self, is_last: bool, *batch: Chunk) -> Any:
        """First a list with each chunk's failure (or None), then the chunks themselves.

        The chunks are returned beside the list, so that they stay in the object store and only
        the list travels to the driver. Chunks of a unit's last group are small: they are the list.
        """
        from restore_batch.stages.media import Failure

        ours = [replace(c, unit=replace(c.unit, writer=self._writer)) for c in batch]
        stages = self._stages.process
        replies = stages(ours) if self._away is None else self._away.process(ours, stages)
        if is_last:
            return list(replies)
        failures = [r if isinstance(r, Failure) else None for r in replies]
        return [failures, *(None if isinstance(r, Failure) else r for r in replies)]

"""One worker as a Ray actor, and what its ways of dying mean.

Restarts and retries are ours: Ray's own would run an input that kills its process again and
again, and take innocent neighbours with it.
"""

from __future__ import annotations

from typing import Any

import ray
from ray import exceptions

from restore_batch.pipeline.engine.worker import GroupWorker
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.media import Chunk, Failure

WORKER_DEATHS = (
    exceptions.RayActorError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
)
PAYLOAD_LOSSES = (exceptions.ObjectLostError, exceptions.ReferenceCountingAssertionError)


@ray.remote(max_restarts=0, max_task_retries=0)
class PoolWorker:
    """Runs the stages of one group on batches of chunks."""

    def open(self, group: Group, context: WorkerContext) -> None:
        """Load weights; the first call on a new actor."""
        self._stages = GroupWorker(group, context)

    def run(self, is_last: bool, *batch: Chunk) -> Any:
        """First a list with each chunk's failure (or None), then the chunks themselves.

        The chunks are returned beside the list, so that they stay in the object store and only
        the list travels to the driver. Chunks of a unit's last group are small: they are the list.
        """
        replies = self._stages.process(batch)
        if is_last:
            return list(replies)
        failures = [r if isinstance(r, Failure) else None for r in replies]
        return [failures, *(None if isinstance(r, Failure) else r for r in replies)]


def describe_death(error: Exception) -> str:
    """Why a worker died, in one line."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return "out of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return "its machine was lost"
    text = str(error)
    for sign, meaning in (
        ("SIGKILL", "killed"),
        ("SIGSEGV", "crashed: segmentation fault"),
        ("SIGABRT", "crashed: aborted"),
        ("SIGBUS", "crashed: bus error"),
        ("connection error code 2", "its process ended unexpectedly"),
    ):
        if sign in text:
            return meaning
    return "its process died"

"""What runs inside a worker, whether a Ray actor or a thread: the stages of one group."""

from __future__ import annotations

from collections.abc import Sequence

from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.chain import OpenedStages, Reply
from restore_batch.stages.media import Chunk


class GroupWorker:
    """The stages of one group, opened once, applied to batches."""

    def __init__(self, group: Group, context: WorkerContext) -> None:
        self._opened = OpenedStages(group.stages, context, group.keep)

    def process(self, batch: Sequence[Chunk]) -> list[Reply]:
        """Run all stages; the result of each chunk is at its place, failed or not."""
        return self._opened.process(batch)

    def close(self) -> None:
        """Close the stages."""
        self._opened.close()

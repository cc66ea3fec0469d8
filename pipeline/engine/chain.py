"""What runs inside a worker, whether a Ray actor or a thread: a chain of opened stages."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TypeAlias

from restore_batch.models.running.threads import limit_threads
from restore_batch.pipeline.plan.graph import Group
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.media import Chunk, Failure

Reply: TypeAlias = Chunk | Failure


class StageChain:
    """The stages of one group, opened once, applied to batches."""

    def __init__(self, group: Group, context: WorkerContext) -> None:
        self._group = group
        limit_threads(context.threads)
        with ExitStack() as opened:
            for stage in group.stages:
                stage.open(context)
                opened.callback(stage.close)
            self._opened = opened.pop_all()
        # Again: opening a stage may be what imported torch.
        limit_threads(context.threads)

    def process(self, batch: Sequence[Chunk]) -> list[Reply]:
        """Run all stages; the result of each chunk is at its place, failed or not."""
        results: list[Reply] = list(batch)
        seconds: dict[int, dict[str, float]] = defaultdict(dict)
        for stage in self._group.stages:
            concerned = [
                i for i, r in enumerate(results)
                if isinstance(r, Chunk) and r.unit.kind in stage.kinds
            ]  # fmt: skip
            if not concerned:
                continue
            started = time.perf_counter()
            replies = _call(stage, [results[i] for i in concerned])  # type: ignore[misc]
            share = (time.perf_counter() - started) / len(concerned)
            for i, reply in zip(concerned, replies, strict=True):
                # A stage made of stages says itself where its time went.
                told = sum(reply.seconds.values()) if isinstance(reply, Chunk) else 0.0
                known = sum(results[i].seconds.values())  # type: ignore[union-attr]
                seconds[i][stage.name] = max(0.0, share - (told - known))
                results[i] = reply
        return [
            self._group.strip(replace(r, seconds={**r.seconds, **seconds[i]}))
            if isinstance(r, Chunk)
            else r
            for i, r in enumerate(results)
        ]

    def close(self) -> None:
        """Close the stages in reverse order, each of them even when another one cannot."""
        self._opened.close()


def _call(stage: Stage, batch: list[Chunk]) -> list[Reply]:
    """One stage on one batch. A stage that raises is asked again chunk by chunk: whatever is
    wrong with one of them must not cost the others their result."""
    try:
        replies = stage(list(batch))
        if len(replies) != len(batch):
            raise RuntimeError(f"{stage.name} returned {len(replies)} results for {len(batch)}")
        # A picture under another one's name would be worse than none.
        for reply, chunk in zip(replies, batch, strict=True):
            if reply.unit.id != chunk.unit.id:
                raise RuntimeError(f"{stage.name} returned the result of {reply.unit.source}")
        return replies
    except Exception as error:
        if len(batch) == 1:
            return [stage.failure(batch[0], error)]
    return [reply for chunk in batch for reply in _call(stage, [chunk])]

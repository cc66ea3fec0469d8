"""Stages in a row: opened once, then applied to batches of chunks.

The one place where stages are called: for the units of a worker, and inside a segment for the
frames of a film. Whatever is wrong with one chunk or one stage, every other chunk gets its result.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import replace
from typing import TypeAlias

from restore_batch.models.running.threads import limit_threads
from restore_batch.stages import heap
from restore_batch.stages.base import Stage, WorkerContext, needed_by
from restore_batch.stages.media import Chunk, Failure

Reply: TypeAlias = Chunk | Failure


class OpenedStages:
    """Copies of stages, opened for one worker, that run on the units they are for.

    Copies, since workers may be threads that are given the same stages: each has networks of its
    own, and closing one worker leaves the others' open.

    ``keep``: the fields of a chunk that are wanted at the end, None for all. Any other is dropped
    after the last stage that reads it: of a large scan each is a whole picture.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        context: WorkerContext,
        keep: frozenset[str] | None = None,
    ) -> None:
        self.stages = tuple(copy(stage) for stage in stages)
        self._keep = keep
        limit_threads(context.threads)
        frame_stages: tuple[Stage, ...] = ()
        with ExitStack() as opened:
            for stage in self.stages:
                stage.open(context.beside(frame_stages))
                opened.callback(stage.close)
                if stage.of_frames:
                    frame_stages += (stage,)
            self._opened = opened.pop_all()
        # Again: opening a stage may be what imported torch.
        limit_threads(context.threads)

    def process(self, batch: Sequence[Chunk]) -> list[Reply]:
        """Run on each chunk the stages that work on its unit; its result is at its place."""
        results: list[Reply] = list(batch)
        for number, stage in enumerate(self.stages):
            concerned = [
                i for i, r in enumerate(results)
                if isinstance(r, Chunk) and type(r.unit) in stage.kinds
            ]  # fmt: skip
            weight = max((_heaviest(results[i]) for i in concerned), default=0)
            with heap.large_pieces_apart(weight >= heap.HUGE_BYTES):
                replies = run_stages([stage], [results[i] for i in concerned])  # type: ignore[misc]
            weight = max([weight, *map(_heaviest, replies)])
            # By no name that outlives the line: what a chunk drops must go before the next stage.
            kept = [self._kept(reply, self.stages[number + 1 :]) for reply in replies]
            del replies
            for i in reversed(concerned):
                results[i] = kept.pop()
            if weight >= heap.WORTH_BYTES:
                heap.give_back()
        return results

    def _kept(self, reply: Reply, later: Sequence[Stage]) -> Reply:
        if self._keep is None or isinstance(reply, Failure):
            return reply
        mine = [stage for stage in later if type(reply.unit) in stage.kinds]
        return reply.only(needed_by(mine, self._keep))

    def close(self) -> None:
        """Close the stages in reverse order, each of them even when another one cannot."""
        self._opened.close()


def run_stages(stages: Sequence[Stage], batch: Sequence[Chunk]) -> list[Reply]:
    """Opened stages on chunks, one after another; the result of each chunk is at its place, failed
    or not, with the seconds that each stage spent on it."""
    results: list[Reply] = list(batch)
    seconds: dict[int, dict[str, float]] = defaultdict(dict)
    for stage in stages:
        left = [i for i, r in enumerate(results) if isinstance(r, Chunk)]
        if not left:
            break
        started = time.perf_counter()
        replies = _call(stage, [results[i] for i in left])  # type: ignore[misc]
        share = (time.perf_counter() - started) / len(left)
        for i, reply in zip(left, replies, strict=True):
            # A stage made of stages says itself where its time went.
            told = sum(reply.seconds.values()) if isinstance(reply, Chunk) else 0.0
            known = sum(results[i].seconds.values())  # type: ignore[union-attr]
            seconds[i][stage.name] = max(0.0, share - (told - known))
            results[i] = reply
    return [
        replace(r, seconds={**r.seconds, **seconds[i]}) if isinstance(r, Chunk) else r
        for i, r in enumerate(results)
    ]


def _heaviest(reply: Reply) -> int:
    """What the largest of its pictures weighs, in bytes."""
    if isinstance(reply, Failure):
        return 0
    pictures = (*reply.frames, *reply.upscaled, *reply.pasted)
    return max((picture.nbytes for picture in pictures), default=0)


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

"""A stage: one step on chunks. It knows nothing of Ray, threads or the job file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.units import Kind
from restore_batch.models.base import Runtime
from restore_batch.stages.media import Chunk, Failure


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage takes: ``gpus`` is a share of one GPU where there is one."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory_mb: int = 500


@dataclass(frozen=True)
class WorkerContext:
    """What a stage finds where it runs."""

    runtime: Runtime = Runtime()  # noqa: RUF009 - frozen
    threads: int = 1
    weights_dir: Path | None = None


class Stage(ABC):
    """One step. ``reads`` and ``writes`` name the fields of :class:`Chunk` it uses and fills:
    the graph is built from them. Constructor arguments are picklable configuration; anything
    heavy (weights) is loaded in ``open``, once per worker.
    """

    name: ClassVar[str]
    needs: ClassVar[Resources] = Resources()
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()
    kinds: ClassVar[frozenset[Kind]] = frozenset({"photo"})
    """Kinds of units this stage works on; others pass it by."""
    version: ClassVar[int] = 1
    """Raised whenever the same input and options give another result; part of the unit id."""

    def open(self, worker: WorkerContext) -> None:  # noqa: B027 - most stages load nothing
        """Load what this worker needs; called once, in the worker."""

    @abstractmethod
    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        """Process chunks, maybe of several units: same length and order out as in."""

    def close(self) -> None:  # noqa: B027
        """Free what ``open`` took."""

    def each(self, batch: list[Chunk], step: Callable[[Chunk], Chunk]) -> list[Chunk | Failure]:
        """Apply ``step`` chunk by chunk; an exception becomes the failure of that chunk."""
        return [self.guard(chunk, step) for chunk in batch]

    def guard(self, chunk: Chunk, step: Callable[[Chunk], Chunk]) -> Chunk | Failure:
        """Run ``step`` on one chunk and turn an exception into a :class:`Failure`."""
        try:
            return step(chunk)
        except Exception as error:  # any fault of one chunk must not cost another its result
            return self.failure(chunk, error)

    def failure(self, chunk: Chunk, error: Exception) -> Failure:
        """The failure that ``error`` means for this chunk, in one line."""
        kind = type(error).__name__
        text = str(error) or kind
        if not isinstance(error, RestoreBatchError):
            text = f"{kind}: {text}"
        return Failure(chunk.unit, self.name, kind, " ".join(text.split()))

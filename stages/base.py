"""A stage: one step on chunks. It knows nothing of Ray, threads or the job file.

A stage says everything that others need to know of it: what it reads and writes, on which units
it works and in which pool, which options and networks it is given. Plans, keys, the choice of
models and the cut into workers are derived from that; ``catalogue`` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel

from restore_batch.errors import RestoreBatchError, trace_of
from restore_batch.files import storage_fault
from restore_batch.jobs.units import Photo, Segment, Unit
from restore_batch.models.base import Runtime
from restore_batch.stages.media import Chunk, Failure
from restore_batch.text import legible

Role = Literal["detect", "damage", "fill", "restore", "background", "parse", "identity"]
"""What a network does in a job."""

Pool = Literal["io", "faces", "pictures", "films"]
"""io: reads and writes files. faces, pictures: compute, apart where a job asks for that. films:
compute that needs all stages of a picture in one worker."""


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage takes: ``gpus`` is a share of one GPU where there is one."""

    cpus: float = 1.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What a stage takes, roughly, for estimates.

    Seconds of one core: ``picture_s`` for a picture, ``megapixel_s`` for a megapixel of it, and
    at least ``least_megapixel_s`` with its networks, where these are small. ``faces``,
    ``megapixels``: faces or megapixels that a network works on for each one of the picture, keyed
    by the constructor parameter that holds the network.
    """

    picture_s: float = 0.0
    megapixel_s: float = 0.0
    least_megapixel_s: float = 0.0
    faces: Mapping[str, float] = field(default_factory=dict)
    megapixels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkerContext:
    """What a stage finds where it runs. ``frame_stages``: the stages of this worker that work on
    pictures wherever they come from, opened, in their order."""

    runtime: Runtime = Runtime()  # noqa: RUF009 - frozen
    threads: int = 1
    weights_dir: Path | None = None
    frame_stages: tuple[Stage, ...] = ()

    def beside(self, stages: tuple[Stage, ...]) -> WorkerContext:
        """The same for a stage that is opened when ``stages`` are."""
        return replace(self, frame_stages=stages)


@dataclass(frozen=True)
class Raised:
    """Why the version of a stage was raised. ``change``: its number, from 1 on, among all changes
    of results in its package, of whatever stage, in the order in which they came; those that came
    together share one. ``why``:
    what the stage does now, as a clause. ``only_with``: the network, or what was ``added``, without
    which it does what it did before; ``only_where``: the fact of an original's header, as a probe
    names it, without which it does. ``defaults``: parameters whose default was another one before,
    with the one of now and that."""

    change: int
    why: str
    only_with: str = ""
    only_where: str = ""
    defaults: Mapping[str, tuple[object, object]] = field(default_factory=dict)


COMMON_FIELDS = frozenset(
    ("unit", "pixel_aspect", "warnings", "seconds", "source_sha256", "source_state")
)
"""The fields of a chunk that any stage may use, and add warnings and seconds to, without declaring
that: they are there from the beginning, some empty at first, and never dropped."""


class Stage(ABC):
    """One step. Constructor arguments are picklable configuration, taken from the job by
    ``takes`` and ``networks``; anything heavy (weights) is loaded in ``open``, once per worker.
    """

    name: ClassVar[str]
    after: ClassVar[str] = ""
    """The stage that it follows; '' for a stage that begins from a file."""
    reads: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()
    """The fields of :class:`Chunk` that it uses and fills, but for :data:`COMMON_FIELDS`."""
    may_read: ClassVar[frozenset[str]] = frozenset()
    """Fields that it uses where they are filled. No stage need fill them before it, as one does
    those that it ``reads``, and none but those of results are kept for it."""
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({Photo})
    """Kinds of units that it works on; others pass it by."""
    of_frames: ClassVar[bool] = True
    """Whether it works on pictures wherever they come from, hence on the frames of films too. A
    stage that reads or writes files does not."""
    of_faces: ClassVar[bool] = False
    """Whether it changes nothing in a picture in which no face is restored."""
    pool: ClassVar[Pool | None] = None
    """Where it works; None: with the stage that follows it."""
    needs: ClassVar[Resources] = Resources()
    cost: ClassVar[Cost] = Cost()
    takes: ClassVar[Mapping[str, str]] = {}
    """Maps each constructor parameter to the job option that supplies it: ``{"scale":
    "background.scale"}``."""
    added: ClassVar[Mapping[str, object]] = {}
    """Parameters in ``takes`` that an earlier version did not know, and the values with which its
    results are the same: these stay out of the key."""
    refuses: ClassVar[frozenset[str]] = frozenset()
    """Parameters in ``takes`` that can only refuse an input, never change a result; the key uses
    their defaults, so that a limit can be raised for one original."""
    networks: ClassVar[Mapping[str, Role]] = {}
    """Its constructor's parameters that are networks (ModelRef or None), by their role: those it
    runs, and those whose work it names in what it writes."""
    options: ClassVar[type[BaseModel] | None] = None
    """For a stage without a section in the job's schema: its constructor's other parameters. It
    runs where the job names it under ``stages``, with what is said there."""
    of_results: ClassVar[bool] = True
    """Whether results depend on it at all; it stays out of their keys otherwise."""
    reads_source: Literal["", "whole", "parts"] = ""
    """How much of the source of a unit it opens itself, as it is configured: nothing, all of it, or
    only parts of a large one."""
    version: ClassVar[int] = 1
    """Raised whenever the same input and options give another result; part of the unit id."""
    raised: ClassVar[Mapping[int, Raised]] = {}
    """Why, for each version but the first."""

    @classmethod
    def works_on(cls, kinds: frozenset[type[Unit]]) -> bool:
        """Whether units of ``kinds`` need it: their own work, or that on a segment's frames."""
        return bool(cls.kinds & kinds) or (cls.of_frames and Segment in kinds)

    @classmethod
    def settled(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its constructor's arguments as they are meant: what an option that says ``auto`` comes to
        with the networks that are given. The key holds that."""
        return given

    @property
    def is_idle(self) -> bool:
        """Whether it has nothing to do as it is configured, so that it can be left out."""
        return False

    def open(self, worker: WorkerContext) -> None:  # noqa: B027 - most stages load nothing
        """Load what this worker needs; called once, in the worker."""

    @abstractmethod
    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        """Process chunks, maybe of several units: same length and order out as in."""

    def close(self) -> None:  # noqa: B027
        """Free what ``open`` took. Nothing may depend on it: where a worker is ended at work, or
        its process is lost, it is not called."""

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
            text = f"{kind}: {' '.join(text.split())}"
        fault = storage_fault(error, Path(chunk.unit.staging_dir)) if chunk.unit.staging_dir else ""
        trace = trace_of(error)
        return Failure(
            chunk.unit, self.name, kind, legible(text), fault, chunk.source_sha256, trace
        )


def needed_by(stages: Iterable[Stage], at_the_end: frozenset[str] = frozenset()) -> frozenset[str]:
    """The fields that chunks must bring along to stages in a row: read, or wanted at the end,
    before they are written."""
    needed = at_the_end
    for stage in reversed(tuple(stages)):
        needed = (needed - stage.writes) | stage.reads
    return needed

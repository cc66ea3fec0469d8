"""What the scheduler asks of workers, wherever they live: the protocol of all backends.

A backend only starts workers, passes them batches and says what came back; every decision is the
scheduler's. So all backends behave alike, and one contract test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from restore_batch.errors import RestoreBatchError, trace_of
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.media import Chunk, Failure


@dataclass(frozen=True)
class Done:
    """A unit whose file is staged; ``chunk`` carries artifact, face records and timings."""

    unit: Unit
    chunk: Chunk


@dataclass(frozen=True)
class Failed:
    """A unit that has no result, and why."""

    unit: Unit
    failure: Failure


Outcome: TypeAlias = Done | Failed


@dataclass(frozen=True)
class Parcel:
    """A chunk on its way, as the backend holds it (the chunk itself, or a reference to it)."""

    unit: Unit
    payload: Any


@dataclass(frozen=True)
class Returned:
    """A finished call: for each parcel its failure, its parcel, or the final chunk."""

    results: tuple[Failure | Parcel | Chunk, ...]


@dataclass(frozen=True)
class WorkerUp:
    """A worker that was started can be given calls."""


@dataclass(frozen=True)
class WorkerGone:
    """The worker died in this call (or before it), or did not come up; ``reason`` in one line.

    ``machine_lost``: it went with its node, whatever it was at. ``error``: what one of its stages
    said when it was opened.
    """

    reason: str
    machine_lost: bool = False
    error: RestoreBatchError | None = None


@dataclass(frozen=True)
class PayloadGone:
    """An input of the call vanished with the node that held it."""


@dataclass(frozen=True)
class Change:
    """What became of a unit. ``begun``: a worker was given it; ``lost``: that worker is gone, and
    it is begun again unless ``failed`` follows; ``done``: its result is in its place.

    ``node``: where it was begun last, as people call it, "" before. ``attempts``: workers that this
    run has tried it with. ``seconds``: since it was begun last. ``stages``: seconds by stage, of
    what is done. ``faces``: found. ``stage``, ``reason``: where and why it failed or was lost.
    """

    state: Literal["begun", "lost", "done", "failed"]
    unit: Unit
    node: str = ""
    attempts: int = 0
    seconds: float = 0.0
    stages: Mapping[str, float] = field(default_factory=dict)
    faces: int = 0
    stage: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Load:
    """How busy the workers are. ``waiting``, ``working``: units by pool; ``workers``: those that
    are up, by pool. ``live_bytes``: estimated, of the units in flight, of ``limit_bytes``."""

    waiting: Mapping[str, int]
    working: Mapping[str, int]
    workers: Mapping[str, int]
    live_bytes: int
    limit_bytes: int


class Meter(Protocol):
    """Whoever counts what a run does, for others to look at while it goes on."""

    def changed(self, change: Change) -> None:
        """Count one change. Never fails."""
        ...

    def watch(self, load: Callable[[], Load], items: Callable[[], Mapping[str, int]]) -> None:
        """From now on ask every few seconds, from a thread of its own, how busy workers are and how
        many items are in each state."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


def unexpected(
    parcels: Sequence[Parcel], group: Group, error: BaseException, came_with: str = ""
) -> Returned:
    """What a defect of ours in a call means: its parcels fail, the job goes on. ``came_with``: the
    traceback of an error that came from another process, which has none of its own."""
    kind = type(error).__name__
    text, trace = f"{kind}: {error}", trace_of(error)
    if trace and came_with:
        trace = came_with
    return Returned(tuple(Failure(p.unit, group.name, kind, text, trace=trace) for p in parcels))


class Backend(Protocol):
    """Where workers live. Handles, call ids and nodes are opaque to the scheduler. None of this
    waits for a worker, but for :meth:`wait` within its time.

    ``meter``: where what the run does is to be counted, or None.
    """

    meter: Meter | None

    def places(self, group: Group) -> Sequence[str]:
        """The node of each worker that ``group`` may have now; the same object as long as nothing
        changed."""
        ...

    def host(self, node: str) -> str:
        """What people call ``node``, also after it has left."""
        ...

    def start_worker(self, group: Group, node: str) -> Any:
        """Begin to start a worker of ``group``; returns its handle at once."""
        ...

    def opening_since(self, worker: Any) -> float | None:
        """When a worker that starts had found its room, by ``time.monotonic``; None: it still
        waits for that."""
        ...

    def shortage(self, group: Group) -> str:
        """Why workers of ``group`` find no room, as far as is known, in one line."""
        ...

    def submit(self, worker: Any, parcels: Sequence[Parcel], is_last: bool) -> Any:
        """Queue a batch on a worker; calls of one worker run in order. ``is_last``: no other group
        comes behind this one, so the chunks themselves are wanted."""
        ...

    def wait(
        self, calls: Sequence[Any], starting: Sequence[Any], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        """What has happened, after at most ``timeout_s``: (call, Returned | WorkerGone |
        PayloadGone) of the calls that ended, (worker, WorkerUp | WorkerGone) of the workers whose
        start did. Calls of one worker come in their order. Raises ExecutorError where no worker can
        ever work again, and what a defect in the backend's own threads has raised there."""
        ...

    def stop_worker(self, worker: Any) -> None:
        """End a worker now, whatever it does. One that does nothing may close its stages first;
        nobody waits for that, but :meth:`close` a moment."""
        ...

    def close(self) -> None:
        """End everything this backend started."""
        ...

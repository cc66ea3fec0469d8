"""What the scheduler asks of workers, wherever they live: the protocol of all backends.

A backend only starts workers, passes them batches and says what came back; every decision is the
scheduler's. So all backends behave alike, and one contract test holds them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from restore_batch.jobs.units import Unit
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.media import Chunk, Failure

LOOKS_S = 0.5
"""Between two looks at whether a wait is still wanted."""


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
class WorkerGone:
    """The worker died in this call (or before it); ``reason`` in one line."""

    reason: str


@dataclass(frozen=True)
class PayloadGone:
    """An input of the call vanished with the node that held it."""


def unexpected(parcels: Sequence[Parcel], group: Group, error: BaseException) -> Returned:
    """What a defect of ours in a call means: its parcels fail, the job goes on."""
    kind = type(error).__name__
    return Returned(tuple(Failure(p.unit, group.name, kind, f"{kind}: {error}") for p in parcels))


class Backend(Protocol):
    """Where workers live. Handles and call ids are opaque to the scheduler."""

    def start_worker(self, group: Group, index: int) -> Any:
        """Begin starting a worker of ``group``; returns its handle at once."""
        ...

    def await_ready(
        self, worker: Any, timeout_s: float, unwanted: Callable[[], bool] = lambda: False
    ) -> str | None:
        """None when the worker is up; else why not, also as soon as it is ``unwanted``. Raises
        ExecutorError if it never can be."""
        ...

    def submit(self, worker: Any, parcels: Sequence[Parcel], is_last: bool) -> Any:
        """Queue a batch on a worker; calls of one worker run in order. ``is_last``: no other group
        comes behind this one, so the chunks themselves are wanted."""
        ...

    def wait(self, calls: Sequence[Any], timeout_s: float) -> list[tuple[Any, Any]]:
        """(call, Returned | WorkerGone | PayloadGone) of the calls that ended."""
        ...

    def stop_worker(self, worker: Any) -> None:
        """End a worker now, whatever it does."""
        ...

    def close(self) -> None:
        """End everything this backend started."""
        ...

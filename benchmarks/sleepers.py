"""A backend whose workers sleep: a thousand of them are timers, not threads.

All else is the pipeline's own. What a worker leaves behind, a small file in the staging folder, is
written by another process while the worker sleeps, as it would be elsewhere; the process that
drives says for it what there is.

The timers go by a clock on the wall, or by one of the driver's own: that stands still while others
have the processor, or a disk keeps it waiting, and is put forward where it has nothing to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import math
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from multiprocessing.connection import Connection
from typing import Any

from restore_batch.errors import MediaError
from restore_batch.pipeline.engine.backend import Meter, Parcel, Returned, WorkerUp
from restore_batch.pipeline.plan.groups import Group
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.base import Stage
from restore_batch.stages.media import Artifact, Chunk, Failure


class Written(Stage):
    """What is left of all stages of a photo: a file of a few bytes, not forced to the disk.

    ``unit_s``: what each says it took. ``fail_every``: one photo in so many fails, by its name;
    0: none.
    """

    name = "sleep"
    of_frames = False
    pool = "pictures"

    def __init__(self, source_sha256: str, unit_s: float, fail_every: int = 0) -> None:
        self._source_sha256, self._fail_every = source_sha256, fail_every
        self._seconds = {self.name: unit_s}

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._said)

    def _said(self, chunk: Chunk) -> Chunk:
        path, data = written(chunk)
        sha256 = hashlib.sha256(data).hexdigest()
        if self._fail_every and int(sha256[:8], 16) % self._fail_every == 0:
            raise MediaError(f"{chunk.unit.source}: made to fail")
        artifact = Artifact(path, len(data), sha256, 8, 8)
        return replace(
            chunk, artifact=artifact, source_sha256=self._source_sha256, seconds=self._seconds
        )


def written(chunk: Chunk) -> tuple[str, bytes]:
    """The file that a worker writes, and what it writes to it."""
    return str(chunk.unit.staged_path), chunk.unit.output.encode()


@dataclass(eq=False)
class Sleeper:
    """A worker. ``slept``: when each of its calls began and ended."""

    free_at: float = 0.0
    is_stopped: bool = False
    slept: list[tuple[float, float]] = field(default_factory=list)


class Sleepers:
    """The backend: a call ends ``unit_s`` after its worker is free for it.

    ``own_clock``: see above. ``for_s``: how long after the first call, by that clock, ``end`` is
    called.
    """

    def __init__(
        self,
        unit_s: float,
        *,
        own_clock: bool = False,
        for_s: float = math.inf,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._unit_s, self._own_clock, self._for_s, self._end = unit_s, own_clock, for_s, end
        self._put_forward_s = 0.0
        self.begun = self.ended = math.inf
        """When the first call was, and when ``end`` was called."""
        self.meter: Meter | None = None
        self._places: dict[int, Sequence[str]] = {}
        self._stage: Stage | None = None
        self._elsewhere = _Elsewhere()
        self._numbers = count()
        self._due: list[tuple[float, int, Sleeper, list[Chunk]]] = []
        self.workers: list[Sleeper] = []

    def now(self) -> float:
        """In seconds, from whenever."""
        if not self._own_clock:
            return time.monotonic()
        return time.process_time() + self._put_forward_s

    def places(self, group: Group) -> Sequence[str]:
        return self._places.setdefault(group.workers, ("",) * group.workers)

    def host(self, node: str) -> str:
        return platform.node()

    def start_worker(self, group: Group, node: str) -> Sleeper:
        (self._stage,) = group.stages
        self.workers.append(Sleeper())
        return self.workers[-1]

    def opening_since(self, worker: Sleeper) -> float | None:
        return None

    def shortage(self, group: Group) -> str:
        return "there is room for all"

    def submit(self, worker: Sleeper, parcels: Sequence[Parcel], is_last: bool) -> int:
        begun = max(self.now(), worker.free_at)
        self.begun = min(self.begun, begun)
        worker.free_at = begun + self._unit_s * len(parcels)
        worker.slept.append((begun, worker.free_at))
        number = next(self._numbers)
        chunks = [parcel.payload for parcel in parcels]
        heapq.heappush(self._due, (worker.free_at, number, worker, chunks))
        self._elsewhere.write(written(chunk) for chunk in chunks)
        return number

    def wait(
        self, calls: Sequence[int], starting: Sequence[Sleeper], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        if starting:
            return [(worker, WorkerUp()) for worker in starting]
        self._elsewhere.begin()
        until = self.now() + timeout_s
        if self._due:
            until = min(until, self._due[0][0])
        left_s = max(0.0, until - self.now())
        if self._own_clock:
            self._put_forward_s += left_s
        else:
            time.sleep(left_s)
        now = self.now()
        if now - self.begun >= self._for_s and self.ended == math.inf:
            self.ended = now
            self._end()
        ended: list[tuple[Any, Any]] = []
        while self._due and self._due[0][0] <= now:
            _, number, worker, chunks = heapq.heappop(self._due)
            if not worker.is_stopped:
                assert self._stage is not None
                self._elsewhere.wait_for(number)
                ended.append((number, Returned(tuple(self._stage(chunks)))))
        return ended

    def stop_worker(self, worker: Sleeper) -> None:
        worker.is_stopped = True

    def close(self) -> None:
        """End the other process."""
        self._elsewhere.end()

    def busy_share(self) -> float:
        """Share of all workers' time that they slept on a unit, from the first call to the end."""
        busy = sum(
            max(0.0, min(end, self.ended) - start)
            for worker in self.workers
            for start, end in worker.slept
        )
        return busy / (len(self.workers) * (self.ended - self.begun))


class _Elsewhere:
    """The process that writes files; calls are numbered from 0 in the order they come in."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._channel, theirs = context.Pipe()
        self._process = context.Process(target=_write, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._channel.recv()  # it is up
        self._waiting: list[tuple[str, bytes]] = []
        self._calls = self._written = 0

    def write(self, files: Iterable[tuple[str, bytes]]) -> None:
        self._waiting += files
        self._calls += 1

    def begin(self) -> None:
        """Hand over what came since the last time."""
        if self._waiting:
            self._channel.send((self._calls, self._waiting))
            self._waiting = []

    def wait_for(self, call: int) -> None:
        """Until the files of that call are there; nearly always they are."""
        while self._written <= call:
            self._written = self._channel.recv()

    def end(self) -> None:
        self._channel.close()
        self._process.join()


def _write(channel: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        channel.send(0)
        while True:
            calls, files = channel.recv()
            for path, data in files:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
                os.write(handle, data)
                os.close(handle)
            channel.send(calls)


def with_sleepers(plan: Plan, workers: int, stage: Written) -> Plan:
    """The plan of the same items, with one group of such workers, and room in memory for all."""
    (kinds,) = {group.kinds for group in plan.groups[-1:]}
    group = Group((stage,), kinds, workers=workers, pool="pictures")
    share = replace(plan.share, workers=workers, readers=0, budget_bytes=1 << 50)
    return replace(plan, groups=(group,), share=share)

"""The local backend: the same stages on threads of this process, without Ray.

For one photo, notebooks, debugging, and machines where Ray does not run. A codec that crashes on
the pixels of a photo or film takes the process with it; headers were read in processes of their
own. A call cannot be ended: a unit over ``limits.timeout_s`` fails, but its thread goes on until
the call returns.
"""

from __future__ import annotations

import platform
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.pipeline.engine.backend import (
    Meter,
    Parcel,
    Returned,
    WorkerGone,
    WorkerUp,
    unexpected,
)
from restore_batch.pipeline.engine.worker import GroupWorker
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.chain import Reply
from restore_batch.stages.media import Failure


class _Thread:
    def __init__(self, group: Group, context: WorkerContext) -> None:
        self._inbox: queue.SimpleQueue[tuple[Future[Returned], Sequence[Parcel], bool] | None]
        self._inbox = queue.SimpleQueue()
        self.ready: Future[None] = Future()
        self.at: frozenset[str] = frozenset()
        """Ids of the units in the running call."""
        self.begun = time.monotonic()
        self._stopped = False
        self._group, self._context = group, context
        self._thread = threading.Thread(target=self._loop, name=group.name, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        try:
            stages = GroupWorker(self._group, self._context)
        except Exception as error:
            self.ready.set_exception(error)
            return
        self.ready.set_result(None)
        while (work := self._inbox.get()) is not None:
            future, parcels, is_last = work
            # Noted before looking at the flag: whoever stops this thread sets the flag first and
            # then looks here, so that one of the two always sees the other.
            self.at = frozenset(parcel.unit.id for parcel in parcels)
            if self._stopped:
                break
            try:
                replies = stages.process([parcel.payload for parcel in parcels])
                returned = Returned(tuple(r if is_last else _pack(r) for r in replies))
            except BaseException as error:
                returned = unexpected(parcels, self._group, error)
            self.at = frozenset()
            future.set_result(returned)
        self.at = frozenset()
        stages.close()

    def start(self) -> WorkerUp | WorkerGone:
        """How its start ended, once ``ready`` has."""
        error = self.ready.exception()
        if error is None:
            return WorkerUp()
        if not isinstance(error, RestoreBatchError):
            error = ExecutorError(f"{type(error).__name__}: {error}")
        return WorkerGone(str(error), error=error)

    def submit(self, parcels: Sequence[Parcel], is_last: bool) -> Future[Returned]:
        future: Future[Returned] = Future()
        self._inbox.put((future, parcels, is_last))
        return future

    def refuse(self, parcels: Sequence[Parcel]) -> Future[Returned]:
        """Fail a call without running it."""
        text = "over limits.timeout_s; its thread cannot be ended to try again (engine ray can)"
        failures = (Failure(p.unit, self._group.name, "TimeoutError", text) for p in parcels)
        future: Future[Returned] = Future()
        future.set_result(Returned(tuple(failures)))
        return future

    def stop(self) -> None:
        # Calls that still wait here were given to another worker or are not wanted any more.
        self._stopped = True
        self._inbox.put(None)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)


def _pack(reply: Reply) -> Failure | Parcel:
    return reply if isinstance(reply, Failure) else Parcel(reply.unit, reply)


class LocalBackend:
    """Threads of this process as workers."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self.meter: Meter | None = None
        self._places: dict[int, Sequence[str]] = {}
        self._stopped: list[_Thread] = []
        self._ending: list[_Thread] = []

    def places(self, group: Group) -> Sequence[str]:
        return self._places.setdefault(group.workers, ("",) * group.workers)

    def host(self, node: str) -> str:
        return platform.node()

    def start_worker(self, group: Group, node: str) -> _Thread:
        return _Thread(group, self._context)

    def opening_since(self, worker: _Thread) -> float | None:
        return worker.begun

    def shortage(self, group: Group) -> str:
        return "its thread is still loading networks"

    def submit(self, worker: _Thread, parcels: Sequence[Parcel], is_last: bool) -> Future[Returned]:
        self._stopped = [thread for thread in self._stopped if thread.at]
        # Two calls on one unit would write one file.
        if any(p.unit.id in thread.at for thread in self._stopped for p in parcels):
            return worker.refuse(parcels)
        return worker.submit(parcels, is_last)

    def wait(
        self, calls: Sequence[Future[Returned]], starting: Sequence[_Thread], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        if not calls and not starting:
            time.sleep(timeout_s)
        waited: list[Future[Any]] = [*calls, *(worker.ready for worker in starting)]
        ended = wait(waited, timeout_s, return_when=FIRST_COMPLETED).done
        came = [(worker, worker.start()) for worker in starting if worker.ready in ended]
        return [*came, *((call, call.result()) for call in calls if call in ended)]

    def stop_worker(self, worker: _Thread) -> None:
        worker.stop()
        self._stopped.append(worker)
        self._ending.append(worker)

    def close(self) -> None:
        """Wait for stopped threads that are idle to free their networks.

        A thread that is still freeing tensors when the interpreter ends aborts the process.
        """
        for worker in self._ending:
            if not worker.at:
                worker.join(10)
        self._ending.clear()

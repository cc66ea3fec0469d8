"""The local executor: the same graph on threads of this process, without Ray.

For one photo, notebooks, debugging, and machines where Ray does not run. A codec that crashes
takes the process with it, and a call cannot be ended: ``limits.timeout_s`` needs ``ray``.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.pipeline.executor import Parcel, Returned, unexpected
from restore_batch.pipeline.graph import Group
from restore_batch.pipeline.worker import StageChain
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.media import Chunk, Failure


class _Thread:
    def __init__(self, group: Group, context: WorkerContext, last: bool) -> None:
        self._inbox: queue.SimpleQueue[tuple[Future[Returned], Sequence[Parcel]] | None]
        self._inbox = queue.SimpleQueue()
        self.ready: Future[None] = Future()
        self._group, self._context, self._last = group, context, last
        self._thread = threading.Thread(target=self._loop, name=group.name, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        try:
            chain = StageChain(self._group, self._context)
        except Exception as error:
            self.ready.set_exception(error)
            return
        self.ready.set_result(None)
        while (work := self._inbox.get()) is not None:
            future, parcels = work
            try:
                replies = chain.process([parcel.payload for parcel in parcels])
                future.set_result(Returned(tuple(self._pack(r) for r in replies)))
            except BaseException as error:
                future.set_result(unexpected(parcels, self._group, error))
        chain.close()

    def _pack(self, reply: Chunk | Failure) -> Failure | Parcel | Chunk:
        return reply if self._last or isinstance(reply, Failure) else Parcel(reply.unit, reply)

    def submit(self, parcels: Sequence[Parcel]) -> Future[Returned]:
        future: Future[Returned] = Future()
        self._inbox.put((future, parcels))
        return future

    def stop(self) -> None:
        self._inbox.put(None)


class LocalBackend:
    """Threads of this process as workers."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def start_worker(self, group: Group, index: int, last: bool) -> _Thread:
        return _Thread(group, self._context, last)

    def await_ready(self, worker: _Thread, timeout_s: float) -> str | None:
        try:
            worker.ready.result(timeout_s)
        except RestoreBatchError:
            raise
        except Exception as error:
            raise ExecutorError(f"{type(error).__name__}: {error}") from error
        return None

    def submit(self, worker: _Thread, parcels: Sequence[Parcel]) -> Future[Returned]:
        return worker.submit(parcels)

    def wait(
        self, calls: Sequence[Future[Returned]], timeout_s: float
    ) -> list[tuple[Future[Returned], Returned]]:
        ended = wait(calls, timeout_s, return_when=FIRST_COMPLETED).done
        return [(call, call.result()) for call in calls if call in ended]

    def stop_worker(self, worker: _Thread) -> None:
        worker.stop()

    def close(self) -> None:
        """Threads end by themselves once stopped; nothing else was started."""

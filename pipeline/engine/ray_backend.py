"""The Ray backend: groups of stages as pools of actors, on this machine or on a cluster.

A crash in a codec or a fault of a GPU kills an actor, not the job. Without an address a private
Ray is started that listens on the loopback interface only, and stopped again at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, NamedTuple

import psutil
import ray
from ray import exceptions

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.pipeline.engine.backend import (
    LOOKS_S,
    Parcel,
    PayloadGone,
    Returned,
    WorkerGone,
    unexpected,
)
from restore_batch.pipeline.engine.ray_deaths import MemoryKills, describe_death
from restore_batch.pipeline.engine.ray_noise import without_ray
from restore_batch.pipeline.engine.ray_private import PrivateRay, handlers_kept, quiet, shut_down
from restore_batch.pipeline.engine.ray_worker import PAYLOAD_LOSSES, WORKER_DEATHS, PoolWorker
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext


class _Handle:
    def __init__(self, actor: Any, opened: Any, group: Group) -> None:
        self.actor, self.opened, self.group = actor, opened, group
        self.process: psutil.Process | None = None
        """Of a worker on this machine, once it is up."""


class _Call(NamedTuple):
    worker: _Handle
    parcels: Sequence[Parcel]
    payloads: Sequence[Any]
    is_last: bool


class RayBackend:
    """Actors as workers. Raises ExecutorError when Ray cannot be started or reached."""

    def __init__(
        self, context: WorkerContext, *, address: str | None, cpus: float, store_bytes: int
    ) -> None:
        self._context = context
        self._calls: dict[Any, _Call] = {}
        self._private: PrivateRay | None = None
        self._memory = MemoryKills()
        self._ours = not ray.is_initialized()
        self._silence = ExitStack()
        self._silence.enter_context(without_ray())
        if not self._ours:
            return
        try:
            if address is None:
                self._private = PrivateRay(cpus, store_bytes)
            else:
                with handlers_kept():
                    ray.init(address=address, **quiet())
        except Exception as error:
            self.close()
            where = f"the Ray cluster at {address}" if address else "a local Ray"
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ExecutorError(
                f"cannot start or reach {where} ({detail});"
                " --set engine.kind=local runs without Ray"
            ) from error

    def start_worker(self, group: Group, index: int) -> _Handle:
        needs, on_gpu = group.needs, self._context.runtime.device.startswith("cuda")
        # torch and OpenCV read it when they are imported, before any call of ours.
        started_with: dict[str, Any] = {"env_vars": {"OMP_NUM_THREADS": str(self._context.threads)}}
        if self._private is not None:
            started_with["py_executable"] = self._private.worker_python
        actor = PoolWorker.options(  # type: ignore[attr-defined] # added by the decorator
            num_cpus=self._context.threads if needs.cpus >= 1 else 0,
            num_gpus=min(1.0, needs.gpus) if on_gpu else 0,
            runtime_env=started_with,
        ).remote()
        return _Handle(actor, actor.open.remote(group, self._context), group)

    def await_ready(
        self, worker: _Handle, timeout_s: float, unwanted: Callable[[], bool] = lambda: False
    ) -> str | None:
        until = time.monotonic() + timeout_s
        while not ray.wait([worker.opened], timeout=min(timeout_s, LOOKS_S))[0]:
            self._check()
            if unwanted() or time.monotonic() >= until:
                return (
                    f"no room or no answer within {timeout_s:g} s; the cluster has "
                    f"{_resources(ray.available_resources())} free"
                )
        try:
            pid = ray.get(worker.opened)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, RestoreBatchError):
                raise error.cause from None
            raise ExecutorError(f"{worker.group.name} cannot start: {error.cause}") from error
        except WORKER_DEATHS as error:
            return self._describe(error)
        if self._private is not None:
            with suppress(psutil.NoSuchProcess):
                worker.process = psutil.Process(pid)
        return None

    def submit(self, worker: _Handle, parcels: Sequence[Parcel], is_last: bool) -> Any:
        count = 1 if is_last else len(parcels) + 1
        refs = worker.actor.run.options(num_returns=count).remote(
            is_last, *(parcel.payload for parcel in parcels)
        )
        first, *payloads = [refs] if is_last else refs
        self._calls[first] = _Call(worker, parcels, payloads, is_last)
        return first

    def wait(self, calls: Sequence[Any], timeout_s: float) -> list[tuple[Any, Any]]:
        self._memory.look()
        ended, _ = ray.wait(
            list(calls), num_returns=len(calls), timeout=0, fetch_local=False
        )  # all that have ended, without waiting for more than one
        if not ended:
            self._check()
            ended, _ = ray.wait(list(calls), num_returns=1, timeout=timeout_s, fetch_local=False)
        # In the order of submission: of a dead worker's calls the oldest must come first.
        order = set(ended)
        return [(call, self._answer(call)) for call in calls if call in order]

    def _answer(self, call: Any) -> Returned | WorkerGone | PayloadGone:
        worker, parcels, payloads, is_last = self._calls.pop(call)
        try:
            replies = ray.get(call)
        except PAYLOAD_LOSSES:
            return PayloadGone()
        except WORKER_DEATHS as error:
            return WorkerGone(self._describe(error))
        except exceptions.RayError as error:
            return unexpected(parcels, worker.group, getattr(error, "cause", None) or error)
        if is_last:
            return Returned(tuple(replies))
        return Returned(
            tuple(
                failure or Parcel(parcel.unit, payload)
                for failure, parcel, payload in zip(replies, parcels, payloads, strict=True)
            )
        )

    def stop_worker(self, worker: _Handle) -> None:
        self._calls = {c: entry for c, entry in self._calls.items() if entry.worker is not worker}
        ray.kill(worker.actor, no_restart=True)
        if worker.process is not None:
            # Ray only asks, and one that is stopped cannot hear.
            with suppress(psutil.NoSuchProcess):
                worker.process.kill()

    def close(self) -> None:
        self._calls.clear()
        if self._private is not None:
            self._private.close()
        elif self._ours and ray.is_initialized():
            shut_down()
        self._silence.close()

    def _check(self) -> None:
        if self._private is not None:
            self._private.check()

    def _describe(self, error: Exception) -> str:
        deaths = self._private.deaths if self._private is not None else None
        return describe_death(error, deaths, self._memory)


def _resources(free: dict[str, float]) -> str:
    return f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs"

"""The Ray backend: groups of stages as pools of actors, on this machine or on a cluster.

A crash in a codec or a fault of a GPU kills an actor, not the job. Without an address a private
Ray is started that listens on the loopback interface only, and stopped again at the end.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import ray
from ray import exceptions

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.pipeline.engine.backend import (
    Parcel,
    PayloadGone,
    Returned,
    WorkerGone,
    unexpected,
)
from restore_batch.pipeline.engine.ray_alone import without_api_server
from restore_batch.pipeline.engine.ray_noise import without_ray
from restore_batch.pipeline.engine.ray_worker import (
    PAYLOAD_LOSSES,
    WORKER_DEATHS,
    PoolWorker,
    describe_death,
)
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import WorkerContext

# Unix socket paths end at 107 characters; Ray adds about 80 to its folder.
_LONGEST_TEMP_DIR = 26
_PREFIX = "rb-"


class _Handle:
    def __init__(self, actor: Any, opened: Any, group: Group) -> None:
        self.actor, self.opened, self.group = actor, opened, group


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
        self._temp_dir: Path | None = None
        self._ours = not ray.is_initialized()
        self._silence = ExitStack()
        self._silence.enter_context(without_ray())
        if not self._ours:
            return
        try:
            if address is not None:
                ray.init(address=address, **_quiet())
                return
            _remove_stale_folders()
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
            self._temp_dir = folder
            with without_api_server():
                ray.init(
                    num_cpus=max(1, int(cpus)),
                    object_store_memory=store_bytes,
                    include_dashboard=False,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(folder) if len(str(folder)) <= _LONGEST_TEMP_DIR else None,
                    **_quiet(),
                )
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
        actor = PoolWorker.options(  # type: ignore[attr-defined] # added by the decorator
            num_cpus=self._context.threads if needs.cpus >= 1 else 0,
            num_gpus=min(1.0, needs.gpus) if on_gpu else 0,
            # torch and OpenCV read it when they are imported, before any call of ours.
            runtime_env={"env_vars": {"OMP_NUM_THREADS": str(self._context.threads)}},
        ).remote()
        return _Handle(actor, actor.open.remote(group, self._context), group)

    def await_ready(self, worker: _Handle, timeout_s: float) -> str | None:
        try:
            ray.get(worker.opened, timeout=timeout_s)
        except exceptions.GetTimeoutError:
            return (
                f"no room or no answer within {timeout_s:g} s; the cluster has "
                f"{_resources(ray.available_resources())} free"
            )
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, RestoreBatchError):
                raise error.cause from None
            raise ExecutorError(f"{worker.group.name} cannot start: {error.cause}") from error
        except WORKER_DEATHS as error:
            return describe_death(error)
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
        ended, _ = ray.wait(
            list(calls), num_returns=len(calls), timeout=0, fetch_local=False
        )  # all that have ended, without waiting for more than one
        if not ended:
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
            return WorkerGone(describe_death(error))
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

    def close(self) -> None:
        self._calls.clear()
        if self._ours and ray.is_initialized():
            ray.shutdown()
        self._silence.close()
        if self._temp_dir is not None:
            shutil.rmtree(self._temp_dir, ignore_errors=True)


def _remove_stale_folders() -> None:
    """Folders of runs that were killed: their names say whose they are."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def _resources(free: dict[str, float]) -> str:
    return f"{free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs"

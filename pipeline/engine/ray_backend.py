"""The Ray backend: groups of stages as pools of actors, on this machine or on a cluster.

A crash in a codec or a fault of a GPU kills an actor, not the job. Without an address a private
Ray is started that listens on the loopback interface only, and stopped again at the end.
"""

from __future__ import annotations

import platform
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from typing import Any, NamedTuple

import psutil
import ray
from ray import exceptions

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.pipeline.engine.backend import (
    Meter,
    Parcel,
    PayloadGone,
    Returned,
    WorkerGone,
    WorkerUp,
    unexpected,
)
from restore_batch.pipeline.engine.queues import NOWHERE
from restore_batch.pipeline.engine.ray_cluster import Places, connect
from restore_batch.pipeline.engine.ray_deaths import (
    MemoryKills,
    describe_death,
    is_lost_machine,
)
from restore_batch.pipeline.engine.ray_home import Departures
from restore_batch.pipeline.engine.ray_meter import RayMeter
from restore_batch.pipeline.engine.ray_noise import without_ray
from restore_batch.pipeline.engine.ray_private import PrivateRay
from restore_batch.pipeline.engine.ray_worker import PAYLOAD_LOSSES, WORKER_DEATHS, PoolWorker
from restore_batch.pipeline.engine.travel.home import HomeLostError
from restore_batch.pipeline.plan.groups import Group
from restore_batch.pipeline.plan.layout import Layout
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import WorkerContext

_CLOSES_WITHIN_S = 2.0
"""What workers may take to close their stages, all of them together."""


class _Handle:
    def __init__(self, actor: Any, group: Group, *awaited: Any) -> None:
        self.actor, self.group, self.awaited = actor, group, list(awaited)
        """``awaited``: the calls of its start that have not ended."""
        self.arrived_at: float | None = None
        self.process: psutil.Process | None = None
        """Of a worker on this machine, once it is there."""


class _Call(NamedTuple):
    worker: _Handle
    parcels: Sequence[Parcel]
    payloads: Sequence[Any]
    is_last: bool


class RayBackend:
    """Actors as workers. Raises ExecutorError when Ray cannot be started or reached."""

    def __init__(self, context: WorkerContext, engine: Engine) -> None:
        self._context, self._engine = context, engine
        self.meter: Meter | None = None
        self._calls: dict[Any, _Call] = {}
        self._closing: dict[Any, tuple[_Handle, float]] = {}
        """Workers that close their stages, and until when they may, by the calls that do it."""
        self._private: PrivateRay | None = None
        self._cluster: Places | None = None
        self._departures: Departures | None = None
        self._fixed: dict[int, Sequence[str]] = {}
        self._memory = MemoryKills()
        self._leave: Callable[[], None] = lambda: None
        self._silence = ExitStack()
        self._silence.enter_context(without_ray())
        try:
            if engine.address is not None:
                self._leave = connect(engine.address)
                landmarks = None
                if engine.landmarks is not None:
                    self._departures = Departures(engine.landmarks)
                    landmarks = self._departures.travel.landmarks
                layout = engine.layout or Layout(on_gpu=False, threads=1)
                self._cluster = Places(layout, landmarks)
            elif not ray.is_initialized():
                self._private = _private(engine)
                self._leave = self._private.close
            if self._private is None or engine.metrics_port is not None:
                self.meter = RayMeter()
        except ExecutorError:
            self.close()
            raise
        except Exception as error:
            self.close()
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            where = f"reach the Ray cluster at {engine.address}" if engine.address else "start Ray"
            raise ExecutorError(
                f"cannot {where} ({detail}); --set engine.kind=local runs without Ray"
            ) from error

    def places(self, group: Group) -> Sequence[str]:
        if self._cluster is not None:
            if group.at_home:
                return self._cluster.at_home
            return self._cluster.reading if group.pool == "io" else self._cluster.computing
        return self._fixed.setdefault(group.workers, (NOWHERE,) * group.workers)

    def host(self, node: str) -> str:
        return self._cluster.host_of(node) if self._cluster is not None else platform.node()

    def start_worker(self, group: Group, node: str) -> _Handle:
        computes = group.pool != "io"
        if self._cluster is not None:
            options = self._cluster.options_of(node, computes=computes)
        else:
            options = {"num_cpus": self._context.threads if computes else 0}
        # Each that is started with anything of its own is started by another process before it,
        # which takes as long again: a node that joins is to be of use soon.
        if self._private is not None:
            options["runtime_env"] = {"py_executable": self._private.worker_python}
        on_gpu = self._context.runtime.device.startswith("cuda") and group.needs.gpus > 0
        actor = PoolWorker.options(  # type: ignore[attr-defined] # added by the decorator
            **options,
            num_gpus=self._engine.gpu_share if on_gpu else 0,
        ).remote()
        # A node that was cut off goes on; what it writes must be no other's file.
        writer = secrets.token_hex(4) if self._cluster is not None else ""
        arrived = actor.arrive.remote(self._context.threads)
        travel = self._departures.travel if self._departures is not None else None
        opened = actor.open.remote(group, self._context, writer, travel)
        return _Handle(actor, group, arrived, opened)

    def opening_since(self, worker: _Handle) -> float | None:
        return worker.arrived_at

    def shortage(self, group: Group) -> str:
        if self._cluster is not None and not self.places(group):
            wanted = "a GPU" if self._context.runtime.device != "cpu" else "a core"
            refusal = self._cluster.refusal
            grows = f", and it cannot be asked to grow ({refusal})" if refusal else ""
            return f"no node of the cluster has {wanted} for it{grows}"
        free = ray.available_resources()
        return (
            f"its process is still starting, or others hold what it needs: the cluster has"
            f" {free.get('CPU', 0):g} CPUs and {free.get('GPU', 0):g} GPUs free"
        )

    def submit(self, worker: _Handle, parcels: Sequence[Parcel], is_last: bool) -> Any:
        count = 1 if is_last else len(parcels) + 1
        refs = worker.actor.run.options(num_returns=count).remote(
            is_last, *(parcel.payload for parcel in parcels)
        )
        first, *payloads = [refs] if is_last else refs
        self._calls[first] = _Call(worker, parcels, payloads, is_last)
        return first

    def wait(
        self, calls: Sequence[Any], starting: Sequence[_Handle], timeout_s: float
    ) -> list[tuple[Any, Any]]:
        self._memory.look()
        self._end_closed(within_s=0.0)
        if self._cluster is not None:
            self._cluster.check()
        starts = {ref: worker for worker in starting for ref in worker.awaited}
        ended = set(self._ended([*calls, *starts], timeout_s))
        if not ended:
            self._check()
        came = [
            (worker, self._start(worker, ref))
            for ref, worker in starts.items()
            if ref in ended and ref in worker.awaited
        ]
        # In the order of submission: of a dead worker's calls the oldest must come first.
        answers = [(call, self._answer(call)) for call in calls if call in ended]
        return [*((worker, up) for worker, up in came if up is not None), *answers]

    def _ended(self, refs: list[Any], timeout_s: float) -> list[Any]:
        """Those that are here, so that taking them waits for nothing."""
        if not refs:
            time.sleep(timeout_s)
            return []
        # First all that are, without waiting for more than one.
        ended, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        if not ended:
            ended, _ = ray.wait(refs, num_returns=1, timeout=timeout_s)
        return ended

    def _start(self, worker: _Handle, ref: Any) -> WorkerUp | WorkerGone | None:
        """What the end of one of the two calls of its start means."""
        worker.awaited.remove(ref)
        try:
            pid = ray.get(ref)
        except exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, HomeLostError):
                worker.awaited.clear()
                return WorkerGone(str(cause), machine_lost=True)
            if not isinstance(cause, RestoreBatchError):
                told = " ".join(str(cause).split())
                cause = ExecutorError(f"{worker.group.name} cannot start: {told}")
            return WorkerGone(str(cause), error=cause)
        except exceptions.RayError as error:
            worker.awaited.clear()
            return self._gone(error)
        if worker.arrived_at is None:
            worker.arrived_at = time.monotonic()
            if self._private is not None:
                with suppress(psutil.NoSuchProcess):
                    worker.process = psutil.Process(pid)
        return None if worker.awaited else WorkerUp()

    def _answer(self, call: Any) -> Returned | WorkerGone | PayloadGone:
        worker, parcels, payloads, is_last = self._calls.pop(call)
        try:
            replies = ray.get(call)
        except PAYLOAD_LOSSES:
            return PayloadGone()
        except WORKER_DEATHS as error:
            return self._gone(error)
        except exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, HomeLostError):
                return PayloadGone()
            # Of the worker's own traceback only the text comes along.
            return unexpected(parcels, worker.group, cause, str(error))
        if is_last:
            return Returned(tuple(replies))
        return Returned(
            tuple(
                failure or Parcel(parcel.unit, payload)
                for failure, parcel, payload in zip(replies, parcels, payloads, strict=True)
            )
        )

    def stop_worker(self, worker: _Handle) -> None:
        others = {c: entry for c, entry in self._calls.items() if entry.worker is not worker}
        is_idle = len(others) == len(self._calls) and not worker.awaited
        self._calls = others
        if is_idle:
            closed = worker.actor.close.remote()
            self._closing[closed] = worker, time.monotonic() + _CLOSES_WITHIN_S
        else:
            self._end(worker)

    def _end_closed(self, within_s: float) -> None:
        """End the workers that have closed their stages, or had their time for it. What a stage
        raises then changes no result and ends no run."""
        if not self._closing:
            return
        calls = list(self._closing)
        ended = set(ray.wait(calls, num_returns=len(calls), timeout=within_s)[0])
        now = time.monotonic()
        for call, (worker, until) in list(self._closing.items()):
            if call in ended or now >= until:
                del self._closing[call]
                if call in ended:
                    # Ray prints an error that nobody has asked for.
                    with suppress(exceptions.RayError):
                        ray.get(call)
                self._end(worker)

    def _end(self, worker: _Handle) -> None:
        ray.kill(worker.actor, no_restart=True)
        if worker.process is not None:
            # Ray only asks, and one that is stopped cannot hear.
            with suppress(psutil.NoSuchProcess):
                worker.process.kill()

    def close(self) -> None:
        self._calls.clear()
        # The last first, all of them whatever one raises.
        with ExitStack() as ends:
            ends.callback(self._silence.close)
            ends.callback(self._leave)
            if self._departures is not None:
                ends.callback(self._departures.close)
            if self._cluster is not None:
                ends.callback(self._cluster.close)
            if self.meter is not None:
                ends.callback(self.meter.close)
            untils = (until for _, until in self._closing.values())
            left_s = max(untils, default=0.0) - time.monotonic()
            ends.callback(self._end_closed, max(0.0, left_s))

    def _check(self) -> None:
        if self._private is not None:
            self._private.check()

    def _gone(self, error: Exception) -> WorkerGone:
        if is_lost_machine(error):
            return WorkerGone("its machine was lost", machine_lost=True)
        if not isinstance(error, WORKER_DEATHS):
            return WorkerGone(" ".join(str(error).split()) or type(error).__name__)
        deaths = self._private.deaths if self._private is not None else None
        return WorkerGone(describe_death(error, deaths, self._memory))


def _private(engine: Engine) -> PrivateRay:
    if (port := engine.metrics_port) is None:
        return PrivateRay(engine.cpus, engine.store_bytes)
    if find_spec("opencensus") is None or find_spec("prometheus_client") is None:
        raise ExecutorError(
            "engine.metrics_port needs what Ray shows metrics with: install restore-batch[metrics]"
        )
    try:
        with socket.create_server(("127.0.0.1", port)):
            pass
    except OSError as error:
        raise ExecutorError(
            f"engine.metrics_port: port {port} is not free ({error.strerror}); choose another"
        ) from None
    return PrivateRay(engine.cpus, engine.store_bytes, port)

"""Opening the backend that a plan asks for: the only way from the pipeline to Ray."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from restore_batch.jobs.spec import Job
from restore_batch.pipeline.engine.backend import Backend
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.plan.resources import Cluster, Engine, Site, this_machine
from restore_batch.stages.base import WorkerContext

_RAYS_TOKEN = Path("~/.ray/auth_token")


def open_backend(engine: Engine, context: WorkerContext) -> Backend:
    """Start or connect. Raises ExecutorError where that fails."""
    if engine.kind == "local":
        from restore_batch.pipeline.engine.local import LocalBackend

        return LocalBackend(context)
    _prepare(engine.address)
    from restore_batch.pipeline.engine.ray_backend import RayBackend

    return RayBackend(context, engine)


@contextmanager
def site_of(job: Job) -> Iterator[Site]:
    """Where a job is to run: this machine, or a cluster as it is now, which stays connected
    meanwhile. Raises ExecutorError where that is not reached."""
    address = job.engine.address
    if job.engine.kind == "local" or address is None:
        yield this_machine()
        return
    _prepare(address)
    from restore_batch.pipeline.engine.ray_cluster import connect, nodes
    from restore_batch.pipeline.engine.ray_noise import without_ray

    with ExitStack() as held:
        held.enter_context(without_ray())
        held.callback(connect(address))
        yield Cluster(nodes())


def with_sight(plan: Plan) -> Plan:
    """The same plan, of a cluster that is connected, with what its nodes see of the job's files."""
    if not isinstance(plan.site, Cluster) or plan.share.layout is None:
        return plan
    from restore_batch.pipeline.engine.ray_home import seen_by

    nodes = plan.site.nodes
    computing = plan.share.layout.computing(nodes)
    working = {*computing, *plan.share.layout.reading(nodes, computing)}
    return replace(plan, site=replace(plan.site, sees=seen_by(working, plan.landmarks)))


def _prepare(address: str | None) -> None:
    """Set what Ray reads when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if address is None:
        # A private Ray has no business on the network: it resolves its own address to loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if "RAY_AUTH_TOKEN_PATH" not in os.environ and not _RAYS_TOKEN.expanduser().exists():
            # Else Ray makes one and leaves it in the user's home folder.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

"""Opening the backend that a plan asks for: the only way from the pipeline to Ray."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from restore_batch.pipeline.engine.backend import Backend
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import WorkerContext

_RAYS_TOKEN = Path("~/.ray/auth_token")


def open_backend(engine: Engine, context: WorkerContext) -> Backend:
    """Start or connect. Raises ExecutorError where that fails."""
    if engine.kind == "local":
        from restore_batch.pipeline.engine.local import LocalBackend

        return LocalBackend(context)
    # ray reads these when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if engine.address is None:
        # A private Ray has no business on the network: it resolves its own address to loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        if "RAY_AUTH_TOKEN_PATH" not in os.environ and not _RAYS_TOKEN.expanduser().exists():
            # Else Ray makes one and leaves it in the user's home folder.
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    from restore_batch.pipeline.engine.ray_backend import RayBackend

    return RayBackend(
        context, address=engine.address, cpus=engine.cpus, store_bytes=engine.store_bytes
    )

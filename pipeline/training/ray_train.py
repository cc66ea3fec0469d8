"""Training on several GPUs or machines: Ray Train starts the processes and averages gradients.

Each process makes its share of every batch and takes the same steps as a single one would, so the
number of workers changes a run by rounding only.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer, prepare_model

from restore_batch.errors import ExecutorError, RestoreBatchError
from restore_batch.models.train.recipe import Recipe

_RECORDS = "ray"


def train_with_ray(recipe: Recipe, *, resume: bool, gpus: bool, quiet: bool = False) -> Path:
    """Train with ``recipe.run.workers`` processes, each with a GPU where ``gpus``.

    Joins a Ray that runs already (RAY_ADDRESS, or started in this process), else starts one on
    this machine. Returns the path of the weights. Raises what a worker raised.
    """
    plan = {"recipe": recipe.model_dump(mode="json"), "resume": resume, "quiet": quiet}
    with _running(recipe.run.workers, recipe.run.threads or 1):
        trainer = TorchTrainer(
            _work,
            train_loop_config=plan,
            scaling_config=ScalingConfig(
                num_workers=recipe.run.workers,
                use_gpu=gpus,
                resources_per_worker={"CPU": recipe.run.threads or 1}
                | ({"GPU": 1} if gpus else {}),
            ),
            run_config=RunConfig(name=_RECORDS, storage_path=str(recipe.output)),
        )
        try:
            trainer.fit()
        except Exception as error:
            raise _cause(error) from error
    return recipe.output / f"{recipe.name}.safetensors"


def _work(plan: dict[str, Any]) -> None:
    """What each process does."""
    from restore_batch.models.train.crew import Crew, mean_over_processes
    from restore_batch.models.train.losses.judges import load_judges
    from restore_batch.models.train.trainer import Trainer
    from restore_batch.models.weights.store import Store

    place = get_context()
    crew = Crew(place.get_world_rank(), place.get_world_size(), prepare_model, mean_over_processes)
    recipe = Recipe.model_validate(plan["recipe"])
    trainer = Trainer(recipe, partial(load_judges, store=Store()), crew)
    if plan["resume"]:
        trainer.resume()

    def show(step: int, values: dict[str, float]) -> None:
        if crew.leads and not plan["quiet"]:
            print(step, *(f"{name} {value:.4g}" for name, value in values.items()), flush=True)

    trainer.run(show)
    if crew.leads:
        trainer.export()


@contextmanager
def _running(workers: int, threads: int) -> Iterator[None]:
    if ray.is_initialized():
        yield
        return
    private: dict[str, Any] = {
        # A core for Ray Train's own controller, which waits nearly all the time.
        "num_cpus": workers * threads + 1,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        # The processes' own connections too; elsewhere the interface has another name.
        "runtime_env": {"env_vars": {"GLOO_SOCKET_IFNAME": "lo"}}
        if sys.platform == "linux"
        else {},
    }
    try:
        ray.init(logging_level=logging.WARNING, **({} if "RAY_ADDRESS" in os.environ else private))
    except Exception as error:
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ExecutorError(
            f"cannot start or reach Ray ({detail}); set run.workers to 1"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _cause(error: BaseException) -> Exception:
    """The first error of ours behind ``error``, else one line about it."""
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop(0)
        if current is None:
            continue
        if isinstance(current, RestoreBatchError):
            return current
        pending += [current.__cause__, getattr(current, "cause", None)]
        pending += list(getattr(current, "worker_failures", {}).values())
    first = str(error).strip().splitlines() or [type(error).__name__]
    return ExecutorError(f"training with Ray failed: {first[0]}")

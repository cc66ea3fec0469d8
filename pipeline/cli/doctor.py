"""``restore-batch doctor``: what works on this machine, and what to do where it does not."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

import click

from restore_batch.errors import RestoreBatchError
from restore_batch.pipeline.cli.output import say, say_json

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """One finding. ``advice``: what to do where it is not ok."""

    name: str
    level: Level
    found: str
    advice: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-ray", is_flag=True, help="Do not try to start Ray (it takes some seconds).")
def doctor(as_json: bool, no_ray: bool) -> None:
    """Check this machine: Ray, GPU, memory, codecs, weights. Exit code 1 when something is off."""
    checks: list[Check] = []
    for examine in (_python, _packages, _machine, _torch, _codecs, _weights):
        checks += _guarded(examine)
    if not no_ray:
        checks += _guarded(_ray)
    if as_json:
        say_json([asdict(check) for check in checks])
    else:
        for check in checks:
            mark = {"ok": "ok     ", "warning": "warning", "error": "ERROR  "}[check.level]
            advice = f"; {check.advice}" if check.advice else ""
            say(f"{mark} {check.name}: {check.found}{advice}")
    sys.exit(1 if any(check.level == "error" for check in checks) else 0)


def _guarded(examine: Callable[[], Iterator[Check]]) -> list[Check]:
    try:
        return list(examine())
    except RestoreBatchError as error:
        return [Check(examine.__name__.strip("_"), "error", str(error))]
    except Exception as error:  # a broken installation is what this command is for
        name = examine.__name__.strip("_")
        return [Check(name, "error", f"{type(error).__name__}: {error}", "reinstall restore-batch")]


def _python() -> Iterator[Check]:
    yield Check("python", "ok", sys.version.split()[0])


def _packages() -> Iterator[Check]:
    for name in ("ray", "torch", "torchvision", "av", "opencv-python", "facexlib", "pillow"):
        yield Check(name, "ok", metadata.version(name))
    for module, extra in (("pillow_heif", "heif"), ("rawpy", "raw"), ("s3fs", "s3")):
        try:
            importlib.import_module(module)
            yield Check(extra, "ok", "installed")
        except ImportError:
            advice = f'pip install "restore-batch[{extra}]" where it is needed'
            yield Check(extra, "warning", "not installed", advice)


def _machine() -> Iterator[Check]:
    from restore_batch.pipeline.plan.resources import this_machine

    machine = this_machine()
    yield Check("cores", "ok", str(machine.cores))
    memory = machine.memory_bytes / 1e9
    level: Level = "ok" if memory >= 4 else "warning"
    yield Check("memory", level, f"{memory:.1f} GB", "" if memory >= 4 else "4 GB are advised")


def _torch() -> Iterator[Check]:
    import torch

    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            found = f"{properties.name}, {properties.total_memory / 1e9:.0f} GB"
            yield Check(f"gpu {index}", "ok", found)
    elif os.path.exists("/proc/driver/nvidia"):  # noqa: PTH110 - no Path needed
        advice = "the driver is there but torch cannot use it: install a matching torch"
        yield Check("gpu", "error", "not usable", advice)
    else:
        yield Check("gpu", "ok", "none: networks run on the CPU")


def _codecs() -> Iterator[Check]:
    from PIL import features

    for name in ("jpg", "jpg_2000", "webp", "avif", "libtiff"):
        there = features.check(name)
        advice = "" if there else "install Pillow from the package registry"
        yield Check(f"codec {name}", "ok" if there else "error", "yes" if there else "no", advice)


def _weights() -> Iterator[Check]:
    from restore_batch.models import registry
    from restore_batch.models.base import Task
    from restore_batch.models.weights import cache as weight_cache
    from restore_batch.models.weights.store import Store
    from restore_batch.pipeline.plan.choose import Role, best_first

    store = Store(download=False)
    if fault := weight_cache.open_to_others(store.folder):
        advice = "what others put there is used: take the right away, or choose another folder"
        yield Check("weights folder", "warning", f"{store.folder} {fault}", advice)
    roles: dict[Task, Role] = {
        "detect": "detect",
        "restore": "restore",
        "upscale": "background",
    }
    for task, role in roles.items():
        here = [card.name for card in registry.cards(task) if store.locate(card)]
        if here:
            yield Check(f"weights to {task}", "ok", ", ".join(here))
        else:
            advice = f"`restore-batch models pull {best_first(role)[0].name}` brings one"
            yield Check(f"weights to {task}", "warning", "none here", advice)


def _ray() -> Iterator[Check]:
    from restore_batch.pipeline.engine.opening import open_backend
    from restore_batch.pipeline.plan.resources import Engine
    from restore_batch.stages.base import WorkerContext

    backend = open_backend(Engine("ray", None, 1, 128 << 20), WorkerContext())
    backend.close()
    yield Check("ray start", "ok", "a local Ray starts and stops")

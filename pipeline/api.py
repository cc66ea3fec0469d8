"""The Python API: the same power as the command line, on arrays and objects."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.errors import MediaError, RestoreBatchError, UsageError
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import Photo
from restore_batch.models import registry
from restore_batch.models.base import Restorer, Runtime
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.notebook_image import RestoredImage
from restore_batch.pipeline.plan.mistakes import planned_mistakes
from restore_batch.pipeline.plan.plan import Plan, frame_stages
from restore_batch.pipeline.results import Results, open_results
from restore_batch.pipeline.session import RunOptions, plan_job, read_job, run_job, store_for
from restore_batch.stages.media import Chunk, Failure, Frame

if TYPE_CHECKING:
    import torch

    from restore_batch.stages.chain import OpenedStages

JobLike = str | Path | Job | Mapping[str, Any]


def run(
    job: JobLike,
    *,
    overrides: Mapping[str, object] | Sequence[str] = (),
    retry: bool = False,
    verify: bool = False,
) -> Summary:
    """Run a job file, a :class:`Job` or a mapping like one; what ``restore-batch run`` calls.

    Raises JobFileError for mistakes in the job; failed items are in the summary.
    """
    return run_job(_load(job, overrides), Unwatched(), RunOptions(verify, retry))


def plan(
    job: JobLike, *, overrides: Mapping[str, object] | Sequence[str] = ()
) -> Plan | ComparisonPlan:
    """What :func:`run` would do; the plans of all restorers where the job compares several."""
    return plan_job(_load(job, overrides))


def restore_image(rgb_hwc: np.ndarray, **job_options: Any) -> RestoredImage:
    """Restore one picture in this process.

    ``rgb_hwc``: (H, W, 3) uint8 or uint16 sRGB; the same dtype comes back, ``background.scale``
    times as large. ``job_options`` are sections of a job (``restore={"strength": 0.7}``,
    ``background={"scale": 1}``). Networks stay loaded for calls with the same options. A notebook
    shows the picture beside its original.

    Raises ValueError for another layout, MediaError when a stage fails.
    """
    array = np.asarray(rgb_hwc)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"expected (H, W, 3) uint8 or uint16, got {array.shape} {array.dtype}")
    if "inputs" in job_options or "output" in job_options:
        raise UsageError("restore_image takes a picture: `inputs` and `output` belong to run()")
    unit = Photo(id="image", source="image", output="image.png")
    opened = _opened(json.dumps(job_options, sort_keys=True))
    (reply,) = opened.process([Chunk(unit, frames=(Frame(array),))])
    if isinstance(reply, Failure):
        raise MediaError(f"{reply.stage}: {reply.message}")
    return RestoredImage.of(reply.pasted[0].rgb_hwc, array)


def open(output: str | os.PathLike[str]) -> Results:
    """What is in an output folder, or at the URL of results in a bucket: items, faces, warnings; as
    DataFrames where pandas is there.

    Nothing is written, and a run may be going on, also on another machine: its copy beside the
    results is read then, and ``copy`` says of when that is. Raises UsageError where nothing was run
    there, StoreError where a store has to be asked and cannot be used.
    """
    return open_results(output)


@lru_cache(maxsize=2)
def _opened(options_json: str) -> OpenedStages:
    from restore_batch.pipeline.plan.resources import share_out, this_machine
    from restore_batch.stages.base import WorkerContext
    from restore_batch.stages.chain import OpenedStages

    options = json.loads(options_json)
    job = job_from_mapping({**options, "inputs": ["."], "output": "unused"})
    share = share_out(job, this_machine())
    weights = Path(job.weights.dir) if job.weights.dir else None
    # Without decode and encode: the picture is given, and wanted, as an array.
    stages = frame_stages(LoadedJob(job), store_for(job))
    return OpenedStages(stages, WorkerContext(share.runtime, share.threads, weights))


def load_restorer(model: str, *, device: str = "cpu", **options: Any) -> Restorer:
    """A face restorer by the name of its card or family, ready to call on aligned crops.

    Its weights are downloaded when they are not here. Raises UsageError for another kind of
    model, WeightsError or LicenceError when the weights cannot be had.
    """
    from restore_batch.models.weights.store import Store

    card = registry.card(model)
    if card.task != "restore":
        raise UsageError(f"{card.name} is {registry.TASK_NOUNS[card.task]}, not a face restorer")
    ref = Store().ref(card, options)
    built: Any = registry.build(ref, Runtime(device=device))
    return built  # type: ignore[no-any-return]


def load_network(
    family: str, state: Mapping[str, torch.Tensor] | Path | str, **architecture: Any
) -> torch.nn.Module:
    """The bare network of ``family`` with the authors' keys, loaded strictly.

    ``state``: a state dict or a checkpoint file. Where no architecture is given it is inferred
    from the keys and shapes. Raises WeightsError when the state is not of that family.
    """
    from restore_batch.errors import WeightsError
    from restore_batch.models.weights.store import load_state

    tensors = load_state([state]) if isinstance(state, str | Path) else state
    for known in registry.families():
        if known.name != family:
            continue
        if not architecture:
            inferred = known.recognise(tensors)
            if inferred is None:
                raise WeightsError(f"this is not {family}: it holds {registry.describe(tensors)}")
            architecture = inferred
        return known.network(tensors, **architecture)
    names = ", ".join(known.name for known in registry.families())
    raise UsageError(f"no family is called {family!r}; known: {names}")


def _load(job: JobLike, overrides: Mapping[str, object] | Sequence[str]) -> LoadedJob:
    if isinstance(job, str | Path):
        return read_job(job, overrides)
    if isinstance(job, Job):
        if overrides:
            raise RestoreBatchError("overrides change job files and mappings; use model_copy")
        return LoadedJob(job)
    return LoadedJob(job_from_mapping(job, overrides=overrides, further=planned_mistakes))

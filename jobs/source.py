"""A job file on disk: from YAML to a :class:`~restore_batch.jobs.spec.Job`, and back to a line.

The positions of :mod:`restore_batch.jobs.yaml_options` outlive loading: what only the planner can
know (an unknown model, a missing input) is reported the same way, through
:meth:`LoadedJob.problem`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from restore_batch.errors import Problem
from restore_batch.jobs.mistakes import mistakes
from restore_batch.jobs.spec import Job
from restore_batch.jobs.yaml_options import (
    Overrides,
    Places,
    Wording,
    options_from_file,
    options_from_mapping,
)

__all__ = ["LoadedJob", "job_from_mapping", "json_schema", "load_job"]

_WORDING = Wording("a job file", "inputs: and output:", "restore.strength=0.7")


@dataclass(frozen=True)
class LoadedJob:
    """A job and where each of its options stands."""

    job: Job
    _places: Places = field(default=Places("job"), repr=False, compare=False)

    @property
    def name(self) -> str:
        """The job file as the user gave it, ``job`` for jobs made in Python."""
        return self._places.name

    def problem(self, path: str, message: str, *, at_key: bool = False) -> Problem:
        """``message`` about the option at the dotted ``path``, at its place in the file.

        List entries are numbers (``inputs.0``). The place is that of the value, or of the key
        with ``at_key``; of the nearest section where the option is not written; the override
        where one has set it.
        """
        return self._places.problem(path, message, at_key=at_key)

    def check(self, path: str, model: type[BaseModel], values: Mapping[str, Any]) -> list[Problem]:
        """Validate ``values``, written under ``path``, as a ``model``: empty when they fit.

        For options whose schema is known only once a model is chosen:
        ``loaded.check("restore.options", family.options, loaded.job.restore.options)``.
        """
        try:
            model.model_validate(dict(values))
        except ValidationError as error:
            found = mistakes(error, model, path)
            return [self.problem(m.path, m.message, at_key=m.at_key) for m in found]
        return []


def load_job(path: str | os.PathLike[str], overrides: Overrides = ()) -> LoadedJob:
    """Read and validate a job file.

    ``overrides`` change it first: ``["restore.strength=0.7"]`` with values in YAML, as after
    ``--set``, or ``{"restore.strength": 0.7}``. Paths in overrides, too, are relative to the
    job file's folder.

    Raises JobFileError with every mistake found, in the order of the file, overrides last.
    """
    return LoadedJob(*options_from_file(path, Job, overrides, _WORDING))


def job_from_mapping(
    mapping: Mapping[str, Any],
    base_dir: str | os.PathLike[str] = ".",
    overrides: Overrides = (),
) -> Job:
    """The job that ``mapping`` describes, with paths relative to ``base_dir``.

    Raises JobFileError like :func:`load_job`, with ``job`` for the place.
    """
    job, _ = options_from_mapping(
        mapping, Job, overrides, _WORDING, name="job", base_dir=Path(base_dir)
    )
    return job


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of job files, for editors that complete and check YAML."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Job.model_json_schema(),
        "title": "restore-batch job",
    }
    return dict(_unwrapped(schema))


def _unwrapped(value: Any) -> Any:
    """The same schema with each description on one line."""
    if isinstance(value, Mapping):
        return {
            k: " ".join(v.split()) if k == "description" and isinstance(v, str) else _unwrapped(v)
            for k, v in value.items()
        }
    return [_unwrapped(v) for v in value] if isinstance(value, list) else value

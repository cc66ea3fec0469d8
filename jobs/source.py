"""A job file on disk: from YAML to a :class:`~restore_batch.jobs.spec.Job`, and back to a line.

The positions of :mod:`restore_batch.jobs.yaml_options` outlive loading: what only the planner can
know (an unknown model, a missing input) is reported the same way, through
:meth:`LoadedJob.problem`. What it can know of a job that is refused anyway is asked at once, so
that nobody corrects a file twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore_batch.errors import Problem
from restore_batch.jobs.mistakes import Mistake
from restore_batch.jobs.spec import Job
from restore_batch.jobs.yaml_options import (
    Further,
    Overrides,
    Places,
    Wording,
    options_from_file,
    options_from_mapping,
)

__all__ = ["LoadedJob", "job_from_mapping", "json_schema", "load_job", "load_mapping"]

_WORDING = Wording("a job file", "inputs: and output:", "restore.strength=0.7")
FurtherCheck = Callable[[Job], Iterable[Mistake]]
"""What else is wrong with a job that has mistakes; it is given the job with the defaults in their
place."""


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

    def placed(self, found: Iterable[Mistake]) -> list[Problem]:
        """Mistakes found after loading, where they stand."""
        return [self.problem(m.path, m.message, at_key=m.at_key) for m in found]


def load_job(
    path: str | os.PathLike[str],
    overrides: Overrides = (),
    further: FurtherCheck = lambda job: (),
) -> LoadedJob:
    """Read and validate a job file.

    ``overrides`` change it first: ``["restore.strength=0.7"]`` with values in YAML, as after
    ``--set``, or ``{"restore.strength": 0.7}``. Paths in overrides, too, are relative to the
    job file's folder. ``further`` is asked when the job is refused.

    Raises JobFileError with every mistake found, in the order of the file, overrides last.
    """
    return LoadedJob(*options_from_file(path, Job, overrides, _WORDING, _further(further)))


def job_from_mapping(
    mapping: Mapping[str, Any],
    base_dir: str | os.PathLike[str] = ".",
    overrides: Overrides = (),
    further: FurtherCheck = lambda job: (),
) -> Job:
    """The job that ``mapping`` describes, with paths relative to ``base_dir``.

    Raises JobFileError like :func:`load_job`, with ``job`` for the place.
    """
    return load_mapping(mapping, "job", base_dir, overrides, further).job


def load_mapping(
    mapping: Mapping[str, Any],
    name: str,
    base_dir: str | os.PathLike[str] = ".",
    overrides: Overrides = (),
    further: FurtherCheck = lambda job: (),
) -> LoadedJob:
    """:func:`job_from_mapping` with ``name`` for the place of what is wrong."""
    return LoadedJob(
        *options_from_mapping(
            mapping, Job, overrides, _WORDING, _further(further), name=name, base_dir=Path(base_dir)
        )
    )


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


def _further(check: FurtherCheck) -> Further[Job]:
    return Further(check, {"inputs": ["."], "output": "."})

"""A job as the text of a job file: what was asked of it, so that it can be run again anywhere.

Only options that were given are written, with the paths that they came to. A file that is kept
beside results begins with a line that makes it ours: it may be replaced, any other may not.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_batch.files import whole
from restore_batch.jobs.path_options import as_written
from restore_batch.jobs.spec import Job

KEPT_NAME = "job.yaml"
_OURS = "# What `restore-batch run` was asked for, to be run again: restore-batch run "


def job_text(job: Job) -> str:
    """YAML that :func:`~restore_batch.jobs.source.load_job` reads as this job again.

    One line an option; lists and mappings of options on one line, as JSON, which is YAML: so that a
    name which is not UTF-8 can be written.
    """
    asked = job.model_dump(mode="json", exclude_unset=True)
    lines = []
    for name, value in _as_written(asked).items():
        if isinstance(value, Mapping) and value:
            lines.append(f"{name}:")
            lines += [f"  {option}: {json.dumps(below)}" for option, below in value.items()]
        else:
            lines.append(f"{name}: {json.dumps(value)}")
    return "".join(f"{line}\n" for line in lines)


def keep_job(job: Job, folder: Path) -> Path:
    """Write the job into ``folder``, as ``job.yaml`` or, where that is somebody else's, under the
    next free name; the path. The file there is left alone where it says the same."""
    for number in itertools.count(1):
        path = folder / (KEPT_NAME if number == 1 else f"job-{number}.yaml")
        text = f"{_OURS}{path.name}\n{job_text(job)}"
        if is_kept_job(path) or not path.exists():
            break
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with whole(path) as staged:
            staged.write_text(text, encoding="utf-8")
    return path


def is_kept_job(path: Path) -> bool:
    """Whether ``path`` is a file of :func:`keep_job`."""
    try:
        with path.open("rb") as file:
            return file.read(len(_OURS)) == _OURS.encode()
    except OSError:
        return False


def _as_written(asked: dict[str, Any]) -> dict[str, Any]:
    """The same options with paths as a job file has them."""
    written = dict(asked)
    written["inputs"] = [as_written(entry) for entry in asked["inputs"]]
    written["output"] = as_written(asked["output"])
    if asked.get("state"):
        written["state"] = as_written(asked["state"])
    for section, option in (("restore", "model"), ("background", "model"), ("weights", "dir")):
        value = asked.get(section, {}).get(option)
        if isinstance(value, str):
            written[section] = {**written[section], option: as_written(value)}
    sign = asked.get("provenance", {}).get("sign")
    if sign:
        paths = {option: as_written(path) for option, path in sign.items()}
        written["provenance"] = {**written["provenance"], "sign": paths}
    mirrors = asked.get("weights", {}).get("mirrors")
    if mirrors:
        written["weights"] = {**written["weights"], "mirrors": list(map(as_written, mirrors))}
    return written

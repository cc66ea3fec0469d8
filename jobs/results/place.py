"""Where the results of a job's local folder are, as it is on record there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.files import whole
from restore_batch.jobs.proof.faults import fault_of_file
from restore_batch.jobs.results.base import FOLDER

NAME = "store.json"


def result_place(folder: Path, name: str) -> str:
    """The path or URL of a result, by the job's local ``folder`` and the result's name."""
    noted = noted_store(folder)
    return str(folder / name) if noted is None else f"{noted['url']}/{name}"


def noted_store(folder: Path) -> dict[str, Any] | None:
    """What is on record of the bucket that the results of ``folder`` are in (``url`` and more);
    None where they are in the folder itself. Raises RestoreBatchError where it cannot be read."""
    path = folder / FOLDER / NAME
    try:
        noted = json.loads(path.read_text(encoding="utf-8"))
        return {**noted, "url": str(noted["url"])}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RestoreBatchError(
            f"{path}: cannot be read ({error}); remove the folder {folder} to go on from the copy"
            " of the ledger beside the results"
        ) from None


def note_store(folder: Path, noted: Mapping[str, Any]) -> None:
    """Put ``noted`` on record."""
    path = folder / FOLDER / NAME
    try:
        with whole(path) as staged:
            staged.write_text(json.dumps(noted), encoding="utf-8")
    except OSError as error:
        raise fault_of_file(error, path) from None

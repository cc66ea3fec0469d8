"""Finds weight files that installed packages ship, without importing those packages."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from restore_batch.models.base import WeightFile


def packages_of(files: Sequence[WeightFile]) -> str:
    """The distributions that ship ``files``, in words: "packages restore-batch and mtcnn"."""
    names = list(dict.fromkeys(file.package for file in files if file.package))
    return f"package{'s' if len(names) > 1 else ''} {' and '.join(names)}"


def package_file(package: str, relative: str) -> Path | None:
    """The file ``relative`` (to site-packages) of the distribution ``package``, if it is there."""
    try:
        path = Path(str(metadata.distribution(package).locate_file(relative)))
        if path.is_file():
            return path
    except metadata.PackageNotFoundError:
        pass
    # Packages put on the path without their metadata, as in a zipped or vendored environment.
    top, _, rest = relative.partition("/")
    spec = importlib.util.find_spec(top)
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((p for p in (Path(f) / rest for f in folders) if p.is_file()), None)

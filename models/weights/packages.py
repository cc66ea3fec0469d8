"""Finds weight files that installed packages ship, without importing those packages."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path


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

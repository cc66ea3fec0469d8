"""Names of films that are folders of numbered pictures: ``reel/frame_%06d.png``."""

from __future__ import annotations

import os
import re
from pathlib import PurePath

NUMBERED_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
_NUMBER = re.compile(r"%0?\d*d")


def is_numbered(source: str) -> bool:
    """Whether a source names such a folder, and no file that happens to be called so."""
    if "%" not in source:
        return False  # as of nearly all in a million
    name = PurePath(source)
    return (
        name.suffix.lower() in NUMBERED_SUFFIXES
        and _NUMBER.search(name.name) is not None
        and not os.path.lexists(source)
    )


def follows(name: str, pattern: str) -> bool:
    """Whether a file's name is ``pattern`` with a number in the place of ``%06d``."""
    before, after = _NUMBER.split(pattern, maxsplit=1)
    return re.fullmatch(rf"{re.escape(before)}\d+{re.escape(after)}", name) is not None

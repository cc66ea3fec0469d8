"""Units of work: what is committed, and the id that says whether it must be done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["photo", "index", "segment", "join"]
"""A photo is one unit. A film is indexed first; then each of its segments is a unit, and so is
the join of their parts. An index is worth nothing by itself: it is not kept in the manifest."""


@dataclass(frozen=True)
class Unit:
    """One photo (or, for a film, its index, one of its segments, or the join of their parts).

    ``source``: local path or fsspec URL. ``output``: path of the result relative to the output
    folder, with ``/``. ``staging_dir``: where the worker writes before the commit. ``base_key``
    covers the source and every option that matters to any picture, ``face_key`` those that
    matter only where a face was restored. ``payload``: what the stage of this kind needs beside
    the source; opaque here, picklable. ``label``: how a line of progress calls it.
    """

    id: str
    kind: Kind
    source: str
    output: str
    staging_dir: str
    base_key: str
    face_key: str
    size_bytes: int = 0
    megapixels: float = 0.0
    attempt: int = 1
    payload: Any = None
    label: str = ""

    @property
    def staged_path(self) -> Path:
        """Where this attempt writes its file."""
        return Path(self.staging_dir) / f"{self.id}.{self.attempt}{Path(self.output).suffix}"


def digest(value: Mapping[str, Any]) -> str:
    """A stable 16-digit hash of plain data (numbers, strings, lists, mappings)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unit_id(source_sha256: str, output: str, base_key: str, face_key: str) -> str:
    """The identity of a unit: it changes exactly when its result could change."""
    return digest({"source": source_sha256, "output": output, "base": base_key, "face": face_key})

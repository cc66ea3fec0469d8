"""Optional test data: each folder can be moved by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SHARED = ROOT.parent / "shared"


def folder(variable: str, default: str) -> Path:
    """The folder named by ``variable``, else ``../shared/<default>``; skips where absent."""
    path = Path(os.environ.get(variable) or _SHARED / default)
    if not path.is_dir():
        pytest.skip(f"no test data at {path} (set {variable})")
    return path


def photos() -> Path:
    return folder("RESTORE_BATCH_PHOTOS", "photos")


def weights() -> Path:
    return folder("RESTORE_BATCH_WEIGHTS", "weights")


def faces() -> Path:
    return folder("RESTORE_BATCH_FACES", "faces")


def field() -> Path:
    return folder("RESTORE_BATCH_FIELD", "field")


def evaluation_pictures(part: str) -> list[Path]:
    """The pictures to score on of ``faces`` or ``scenes``, by name."""
    variable = f"RESTORE_BATCH_{part.upper()}"
    chosen = folder(variable, part) / "eval"
    return sorted(path for path in chosen.iterdir() if path.suffix in (".jpg", ".png"))

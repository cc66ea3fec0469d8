"""Small archives of real pictures for end-to-end tests, and the command line as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_batch.jobs.outputs import CRATE

from support.ready import Ready

_READY = Ready()


def face(side_px: int = 256) -> Image.Image:
    """The astronaut's portrait (NASA, public domain): one frontal face."""
    from skimage import data

    return Image.fromarray(data.astronaut()[0:256, 96:352]).resize((side_px, side_px))


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth coloured noise: no face, not flat."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (max(2, height // 16), max(2, width // 16), 3), np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def make_archive(folder: Path, *, faces: int, scenes: int, side_px: int = 192) -> Path:
    """A folder with subfolders of PNG and JPEG pictures."""
    (folder / "album").mkdir(parents=True, exist_ok=True)
    for i in range(faces):
        face(side_px + 2 * i).save(folder / "album" / f"face{i:02}.png")
    for i in range(scenes):
        scene(side_px + i, side_px, i).save(folder / f"scene{i:02}.jpg", quality=90)
    return folder


def write_job(path: Path, **sections: Any) -> Path:
    """A job file; JSON is YAML. Without a report, which takes a process more, and a record, which
    says when it was written, unless asked for."""
    usual = {"report": False, "provenance": {"crate": False}}
    text = json.dumps({**usual, **sections}, indent=1)
    path.write_text(text, encoding="utf-8")
    return path


def command(*arguments: str | Path) -> list[str]:
    """The installed command line."""
    return [str(Path(sys.executable).parent / "restore-batch"), *map(str, arguments)]


def cli(
    *arguments: str | Path, cwd: Path | None = None, timeout_s: float = 300,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the command line to its end, in a process of its own (:mod:`support.ready`)."""
    variables = {**os.environ, **(env or {})}
    return _READY.run(command(*arguments), cwd, variables, timeout_s)


def checksums(folder: Path, hidden: Sequence[str] = (".restore-batch", CRATE)) -> dict[str, str]:
    """Relative path → sha256 of every file below ``folder`` but the manifest's and the record,
    which says when it was written."""
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not set(hidden) & set(p.relative_to(folder).parts)
    }

"""Small training runs: faces that a generator draws, recipes that end in a moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch.models.train.recipe import Recipe

TINY = {"widths": [8, 8, 16], "blocks": [1, 1, 1]}


def draw_face(seed: int, side_px: int) -> np.ndarray:
    """An oval with eyes and a mouth in random colours and places, rgb_hwc uint8."""
    rng = np.random.default_rng(seed)
    unit = side_px / 256
    picture = np.empty((side_px, side_px, 3), np.uint8)
    picture[:] = rng.integers(0, 256, 3)

    def oval(x: float, y: float, width: float, height: float) -> None:
        colour = [int(c) for c in rng.integers(0, 256, 3)]
        x, y = x + rng.uniform(-8, 8), y + rng.uniform(-8, 8)
        centre = (round(x * unit), round(y * unit))
        cv2.ellipse(picture, (centre, (width * unit, height * unit), 0), colour, -1, cv2.LINE_AA)

    oval(128, 140, 150, 190)
    for x in (97, 160):
        oval(x, 120, 30, 18)
        oval(x, 120, 10, 10)
    oval(128, 190, 60, 20)
    return picture


def draw_faces(folder: Path, count: int, side_px: int) -> Path:
    """``count`` drawn faces as PNG in ``folder``, which is made."""
    folder.mkdir(parents=True)
    for seed in range(count):
        bgr = np.ascontiguousarray(draw_face(seed, side_px)[..., ::-1])
        cv2.imwrite(str(folder / f"face_{seed}.png"), bgr)
    return folder


def recipe(folder: Path, faces: Path, **sections: Any) -> Recipe:
    """A recipe for a tiny compact restorer; ``sections`` replace whole sections of it."""
    made: dict[str, Any] = {
        "name": "tiny",
        "output": folder,
        "network": {"family": "compact", "architecture": TINY},
        "data": [{"folders": [faces], "side_px": 256}],
        "degradations": {"mixed": 0.5, "old_print": 0.5, "tone": {}},
        "objective": {"name": "fidelity", "weights": {"l1": 1, "ms_ssim": 0}},
        "optimiser": {"learning_rate": 2e-3},
        "run": run(6),
    }
    return Recipe.model_validate(made | sections)


def run(steps: int, **options: Any) -> dict[str, Any]:
    """The section ``run`` of a short run on the CPU."""
    return {
        "steps": steps,
        "batch": 2,
        "device": "cpu",
        "checkpoint_every_steps": 1000,
        "log_every_steps": 1,
    } | options

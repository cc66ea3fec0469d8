"""Small pictures of something: shapes, edges, texture and a smooth sky."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def draw_scene(seed: int, height: int, width: int) -> np.ndarray:
    """A smooth sky over houses of random colours with windows, rgb_hwc uint8."""
    rng = np.random.default_rng(seed)
    top, bottom = rng.uniform(90, 220, 3), rng.uniform(120, 250, 3)
    ramp = np.linspace(0, 1, height)[:, None, None]
    picture = np.broadcast_to(top + ramp * (bottom - top), (height, width, 3)).copy()
    for _ in range(max(3, width // 24)):
        left, side = (
            int(rng.integers(-8, width)),
            int(rng.integers(width // 12 + 4, width // 4 + 8)),
        )
        roof = int(rng.integers(height // 3, height - 8))
        colour = rng.uniform(20, 235, 3)
        cv2.rectangle(picture, (left, roof), (left + side, height), colour.tolist(), -1)
        for x in range(left + 3, left + side - 4, 9):
            for y in range(roof + 4, height - 5, 11):
                cv2.rectangle(picture, (x, y), (x + 3, y + 5), (255 - colour).tolist(), -1)
    picture[height // 2 :] += rng.normal(0, 4, (height - height // 2, width, 1))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def draw_scenes(folder: Path, count: int, height: int = 160, width: int = 200) -> Path:
    """``count`` drawn scenes as PNG in ``folder``, which is made."""
    folder.mkdir(parents=True)
    for seed in range(count):
        bgr = np.ascontiguousarray(draw_scene(seed, height, width)[..., ::-1])
        cv2.imwrite(str(folder / f"scene_{seed}.png"), bgr)
    return folder


def grey(rgb_hwc: np.ndarray) -> np.ndarray:
    """The green channel in all three."""
    return np.repeat(rgb_hwc[..., 1:2], 3, axis=2)

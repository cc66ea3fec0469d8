"""Finders of damage that tests can foresee."""

from __future__ import annotations

import numpy as np


class Brightness:
    """Takes for damage what is nearly white: certain at 255, not at all below 200."""

    def __init__(self, reach_px: int = 8) -> None:
        self.reach_px = reach_px

    def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
        assert rgb_hwc.dtype == np.uint8
        return np.clip((rgb_hwc.min(axis=2).astype(np.float32) - 200) / 55, 0, 1)

"""Which pictures can go through a network together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def equal_size_batches(
    images: Sequence[np.ndarray], device_type: str, max_pixels: int
) -> list[list[int]]:
    """Indices of pictures of one shape, in batches of at most ``max_pixels`` (but one picture).

    One by one on the CPU: a batch is no faster there, and a result must not depend on the
    company a picture has.
    """
    if device_type == "cpu":
        return [[i] for i in range(len(images))]
    of_shape: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        of_shape.setdefault(image.shape, []).append(i)
    batches = []
    for (height, width, *_), indices in of_shape.items():
        size = max(max_pixels // max(height * width, 1), 1)
        batches += [indices[i : i + size] for i in range(0, len(indices), size)]
    return batches

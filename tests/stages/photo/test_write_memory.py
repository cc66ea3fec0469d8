"""Encoders are given the picture that there is, and no copy of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.write import write

from support.cost import cost_of


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".ppm"])
def test_a_large_picture_is_written_without_a_copy_of_it(suffix: str, tmp_path: Path) -> None:
    # Larger than what JPEG makes tables for: these take all of its coefficients.
    frame = Frame(np.full((8200, 8200, 3), 120, np.uint8))
    path = tmp_path / f"large{suffix}"
    write(Frame(frame.rgb_hwc[:9, :9].copy()), PhotoMeta("png"), path)  # all is imported then
    cost = cost_of(lambda: str(write(frame, PhotoMeta("png"), path)), tmp_path / "said.txt")
    assert path.stat().st_size > 1000
    assert cost.peak_bytes < frame.nbytes // 2

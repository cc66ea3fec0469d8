"""A multi-picture file is a JPEG with others behind it: its first picture is restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from restore_batch.pipeline.plan.photos import media_suffixes
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for

from support.photo_files import LIMIT, encoded, file, photo


def test_the_first_picture_is_read_the_others_are_noted_and_the_result_is_a_jpeg(
    tmp_path: Path,
) -> None:
    first, second = photo(), photo()[::-1].copy()
    content = encoded(
        Image.fromarray(first), "MPO", save_all=True, append_images=[Image.fromarray(second)],
        quality=95,
    )  # fmt: skip
    source = file(tmp_path, "stereo.mpo", content)
    frame, _, warnings = read(source, LIMIT)
    assert np.abs(frame.rgb_hwc.astype(int) - first).mean() < 3
    (warning,) = warnings
    assert "further picture" in warning
    found = probe(source)
    (note,) = found.notes
    assert "further pictures in the file (1)" in note
    assert suffix_for(found.container, "keep", ".mpo") == ".jpg"
    assert ".mpo" in media_suffixes()

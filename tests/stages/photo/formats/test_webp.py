"""WebP as it is stored: sizes beyond Pillow's own limit, frames that do not fill their canvas."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from restore_batch.stages.photo.read import probe, read

from support.photo_files import file, photo


@pytest.mark.slow
def test_a_picture_that_the_job_allows_is_not_refused_by_pillow(tmp_path: Path) -> None:
    side = 13_500
    large = imagecodecs.webp_encode(np.zeros((side, side, 3), np.uint8), method=0)
    source = file(tmp_path, "large.webp", bytes(large))
    assert probe(source).megapixels > 2 * 89.5
    assert read(source, 250)[0].width == side


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("animated", [False, True])
def test_the_first_picture_is_what_pillow_shows(
    lossless: bool, channels: int, animated: bool, tmp_path: Path
) -> None:
    alpha = np.linspace(0, 255, 40 * 60).reshape(40, 60, 1).astype(np.uint8)
    pixels = np.concatenate([photo(), alpha], axis=2)[..., :channels]
    others = [Image.fromarray(pixels[::-1].copy())] if animated else []
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(
        buffer, "WEBP", lossless=lossless, save_all=animated, append_images=others
    )
    source = file(tmp_path, "a.webp", buffer.getvalue())
    shown = np.asarray(Image.open(source).convert("RGBA" if channels == 4 else "RGB"))
    frame, meta, _ = read(source, 10)
    np.testing.assert_array_equal(frame.rgb_hwc, shown[..., :3])
    assert meta.quality_hint["lossless"] == lossless
    assert probe(source).pages == 1 + animated
    if channels == 4:
        assert frame.alpha_hw is not None
        np.testing.assert_array_equal(frame.alpha_hw, shown[..., 3])

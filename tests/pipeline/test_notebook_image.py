"""A restored picture is an array like any other, and a notebook sees before and after."""

from __future__ import annotations

import base64
import io
import pickle
import re

import numpy as np
import pytest
from PIL import Image

import restore_batch as rb
from restore_batch.pipeline.notebook_image import RestoredImage

from support.archive import scene


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_restored_picture_shows_before_and_after_in_a_notebook(dtype: type) -> None:
    original = np.asarray(scene(60, 40)).astype(dtype) * (257 if dtype is np.uint16 else 1)
    restored = rb.restore_image(
        original, restore={"model": "none"}, background={"model": "none", "scale": 2}
    )
    assert isinstance(restored, np.ndarray)
    assert (restored.shape, restored.dtype) == ((80, 120, 3), np.dtype(dtype))
    shown = restored._repr_html_()
    assert shown is not None
    assert "before, 60×40" in shown
    assert "after, 120×80" in shown
    pictures = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(each))))
        for each in re.findall('base64,([^"]+)', shown)
    ]
    assert [picture.shape for picture in pictures] == [(80, 120, 3)] * 2
    apart = np.abs(pictures[0].astype(int) - pictures[1])
    assert apart.mean() < 4
    assert pictures[0].std() > 10


def test_what_is_computed_from_it_is_a_plain_array() -> None:
    original = np.zeros((4, 6, 3), np.uint8)
    image = RestoredImage.of(np.full((8, 12, 3), 7, np.uint8), original)
    assert type(image + 1) is np.ndarray
    assert float(image.mean()) == 7.0
    assert np.array_equal(image, np.full((8, 12, 3), 7))
    assert Image.fromarray(image).size == (12, 8)
    for derived in (image[:2], image.copy(), pickle.loads(pickle.dumps(image))):
        assert derived._repr_html_() is None
    assert image.original is original


def test_a_large_picture_is_shown_small() -> None:
    image = RestoredImage.of(np.zeros((3000, 1000, 3), np.uint8), np.zeros((9, 3, 3), np.uint8))
    shown = image._repr_html_()
    assert shown is not None
    assert 'width="240"' in shown
    assert len(shown) < 100_000

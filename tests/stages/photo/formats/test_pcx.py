"""PCX files read as their pixels are."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for

from support.photo_files import LIMIT, encoded, file, photo, refused

PIXELS = photo()
PICTURES = {
    "rgb": Image.fromarray(PIXELS),
    "grey": Image.fromarray(PIXELS[..., 0]),
    "palette": Image.fromarray(PIXELS).quantize(50),
    "black and white": Image.fromarray(PIXELS[..., 0] > 99),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_every_kind_is_read_as_it_is_and_kept_as_png(kind: str, tmp_path: Path) -> None:
    source = file(tmp_path, "a.pcx", encoded(PICTURES[kind], "PCX"))
    found = probe(source)
    frame, meta, warnings = read(source, LIMIT)
    assert (found.container, found.width, found.height) == ("pcx", 60, 40)
    assert np.array_equal(frame.rgb_hwc, np.asarray(PICTURES[kind].convert("RGB")))
    assert frame.grey == (kind in {"grey", "black and white"})
    assert warnings == ()
    assert suffix_for(meta.container, "keep", ".pcx") == ".png"


@pytest.mark.parametrize(("dots", "expected"), [((300, 300), (300.0, 300.0)), ((640, 480), None)])
def test_the_size_of_a_screen_is_not_taken_for_a_resolution(
    dots: tuple[int, int], expected: tuple[float, float] | None, tmp_path: Path
) -> None:
    data = bytearray(encoded(PICTURES["rgb"], "PCX"))
    data[12:16] = struct.pack("<HH", *dots)
    assert read(file(tmp_path, "a.pcx", bytes(data)), LIMIT)[1].dpi == expected


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    data = encoded(PICTURES["rgb"], "PCX")
    refused(file(tmp_path, "a.pcx", data[: len(data) // 2]), "PCX")

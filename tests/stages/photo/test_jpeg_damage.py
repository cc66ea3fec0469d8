"""A JPEG's scans are counted before they are decoded: each is a pass over the whole picture."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.photo.read import probe, read

from support.photo_files import LIMIT, encoded, file, photo

SCAN, END = b"\xff\xda", b"\xff\xd9"


def with_scans(jpeg: bytes, count: int) -> bytes:
    """``jpeg`` with its last scan again and again, until there are ``count``."""
    at = jpeg.rindex(SCAN)
    return jpeg[:-2] + jpeg[at:-2] * (count - jpeg.count(SCAN)) + END


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(
    tmp_path: Path, progressive: bool
) -> None:
    data = encoded(Image.fromarray(photo(64, 64)), "JPEG", progressive=progressive)
    path = file(tmp_path, "scans.jpg", with_scans(data, 3000))
    assert probe(path).width == 64
    with pytest.raises(MediaError) as refused:
        read(path, LIMIT)
    assert str(refused.value) == (
        f"{path}: its picture comes in more than 100 scans, to keep its readers busy; expected at"
        " most 100: save it anew with another program"
    )


def test_as_many_scans_as_any_encoder_writes_are_read(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(photo(64, 64)), "JPEG", progressive=True)
    frame, _, _ = read(file(tmp_path, "scans.jpg", with_scans(data, 100)), LIMIT)
    assert frame.width == 64
    with pytest.raises(MediaError, match="scans"):
        read(file(tmp_path, "more.jpg", with_scans(data, 101)), LIMIT)

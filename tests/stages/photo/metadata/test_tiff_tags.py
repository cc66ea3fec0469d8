"""Tags of TIFF files, wherever their offsets point."""

from __future__ import annotations

import io
import struct

import pytest

from restore_batch.stages.photo.metadata import tiff_tags


@pytest.mark.parametrize("at", [1 << 20, 1 << 46, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_directory_far_outside_the_file_is_a_broken_chain(at: int, tmp_path) -> None:
    data = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with path.open("rb") as on_disk:
        for file in (on_disk, io.BytesIO(data)):
            with pytest.raises(tiff_tags.TagError, match="points outside the file"):
                list(tiff_tags.directories(file))

"""Tags of TIFF files, wherever their offsets point."""

from __future__ import annotations

import io
import struct

import pytest

from restore_batch.stages.photo.metadata import tiff_tags

TEXT = tiff_tags.raw(b"camera\x00", 2)


@pytest.mark.parametrize("at", [1 << 20, 1 << 46, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_directory_far_outside_the_file_is_a_broken_chain(at: int, tmp_path) -> None:
    data = struct.pack("<2sHHHQ", b"II", 43, 8, 0, at)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    with path.open("rb") as on_disk:
        for file in (on_disk, io.BytesIO(data)):
            with pytest.raises(tiff_tags.TagError, match="points outside the file"):
                list(tiff_tags.directories(file))


def test_how_a_raw_picture_lies_is_told_and_that_of_a_page_is_read_elsewhere() -> None:
    main = {tiff_tags.ORIENTATION: tiff_tags.short(6), 50706: tiff_tags.long(1), 271: TEXT}
    file = io.BytesIO(tiff_tags.block(tiff_tags.Tree(main, {}, {}, {})))
    assert tiff_tags.tree(file, of_raw=True).main.keys() == {tiff_tags.ORIENTATION, 271}
    assert tiff_tags.tree(file).main.keys() == {50706, 271}


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        (tiff_tags.short(7, 8), 7.0), (tiff_tags.rational(2.5), 2.5), (tiff_tags.raw(b"7"), None),
        (tiff_tags.Tag(5, 1, bytes(8)), None), (tiff_tags.Tag(11, 0, b""), None),
        (tiff_tags.Tag(10, 1, struct.pack("<ii", -1, 2)), -0.5),
        (tiff_tags.Tag(11, 1, struct.pack("<f", 0.25)), 0.25),
        (tiff_tags.Tag(12, 1, struct.pack("<d", 0.1)), 0.1),
    ],
)  # fmt: skip
def test_a_number_is_read_from_any_type_of_numbers(
    tag: tiff_tags.Tag, number: float | None
) -> None:
    assert tag.number() == number

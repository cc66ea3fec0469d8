"""Tags of TIFF files that a result lacks are said, by plan and run; all others are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import write

from support.photo_files import LIMIT, photo


def tagged(path: Path, *tags: tuple[int, int | str, int, object, bool], **options: object) -> str:
    tifffile.imwrite(path, photo(), photometric="rgb", extratags=tags, metadata=None, **options)
    return str(path)


def test_what_tells_of_the_samples_as_they_were_is_said(tmp_path: Path) -> None:
    source = tagged(
        tmp_path / "a.tif",
        (280, "H", 3, (0, 0, 0), True),
        (42112, "s", 0, "<GDALMetadata/>", True),
        (42113, "s", 0, "-9999", True),
    )
    _, _, warnings = read(source, LIMIT)
    (said,) = warnings
    for words in ("280 (least sample)", "42112 (metadata of GDAL)", "42113"):
        assert words in said
    assert probe(source).notes == warnings


def test_the_first_of_two_descriptions_is_kept_and_the_second_said(tmp_path: Path) -> None:
    described = [(270, "s", 0, text, True) for text in ("an old box", '{"shape": [40, 60, 3]}')]
    source = tagged(tmp_path / "a.tif", *described)
    frame, meta, (said,) = read(source, LIMIT)
    assert "TIFF tag 270, repeated" in said
    write(frame, meta, tmp_path / "b.tif")
    with (tmp_path / "b.tif").open("rb") as file:
        (page,) = tiff_tags.directories(file)
    assert page[270].data.rstrip(b"\x00") == b"an old box"


@pytest.mark.parametrize(
    ("green", "photometric", "said"),
    [(0.60, "rgb", False), (0.71, "rgb", True), (0.71, "cielab", False)],
)
def test_chromaticities_are_said_where_they_say_something(
    green: float, photometric: str, said: bool, tmp_path: Path
) -> None:
    places = (64, 33, 30, int(green * 100), 15, 6)
    pairs = tuple(value for place in places for value in (place, 100))
    path = tmp_path / "a.tif"
    tag = (319, "2I", 6, pairs, True)
    tifffile.imwrite(path, photo(), photometric=photometric, extratags=[tag], metadata=None)
    warnings = read(str(path), LIMIT)[2]
    assert any("319 (chromaticities)" in line for line in warnings) == said


def test_private_tags_are_kept_without_a_word(tmp_path: Path) -> None:
    source = tagged(
        tmp_path / "a.tif",
        (65000, "s", 0, "private", True),
        (33550, "d", 3, (1.0, 1.0, 0.0), True),
        (285, "s", 0, "recto", True),
    )
    frame, meta, warnings = read(source, LIMIT)
    assert warnings == ()
    write(frame, meta, tmp_path / "b.tif")
    with (tmp_path / "b.tif").open("rb") as file:
        (page,) = tiff_tags.directories(file)
    assert {65000, 33550, 285} <= page.keys()

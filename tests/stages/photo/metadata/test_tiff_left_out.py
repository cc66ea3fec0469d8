"""Tags of TIFF files that a result lacks are said, by plan and run; all others are kept."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
import tifffile

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import write

from support.beside import exiftool
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
        (321, "H", 2, (9, 240), True),
        (343, "B", 4, b"\x00\x01\x02\x03", True),
    )
    _, _, warnings = read(source, LIMIT)
    said, unknown = warnings
    for words in ("280 (least sample)", "42112 (metadata of GDAL)", "42113", "321 (hints for"):
        assert words in said
    assert "343 (clipping path): it is unknown" in unknown
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
        (297, "H", 2, (2, 12), True),
        (34016, "I", 1, 7, True),
    )
    frame, meta, warnings = read(source, LIMIT)
    assert warnings == ()
    write(frame, meta, tmp_path / "b.tif")
    with (tmp_path / "b.tif").open("rb") as file:
        (page,) = tiff_tags.directories(file)
    assert {65000, 33550, 285, 34016} <= page.keys()
    assert page[297].integers() == (2, 12)


@pytest.mark.parametrize("suffix", [".tif", ".jpg", ".png"])
def test_the_shape_of_a_pixel_without_a_unit_is_kept(suffix: str, tmp_path: Path) -> None:
    source = tagged(tmp_path / "a.tif", resolution=(2, 1), resolutionunit=1)
    frame, meta, warnings = read(source, LIMIT)
    warnings += write(frame, meta, tmp_path / f"b{suffix}")
    assert warnings == ()
    found = exiftool(tmp_path / f"b{suffix}")
    assert (found["IFD0:XResolution"], found["IFD0:YResolution"]) == (2, 1)
    assert found["IFD0:ResolutionUnit"] == 1


@pytest.mark.parametrize("kind", ["11 f", "3 HH", "4 I"])
def test_a_resolution_in_other_numbers_than_fractions_is_kept(kind: str, tmp_path: Path) -> None:
    source = tagged(tmp_path / "a.tif", resolution=(72, 72), resolutionunit=2)
    data = bytearray(Path(source).read_bytes())
    field_type, code = kind.split()
    layout, at = tiff_tags.layout_of(io.BytesIO(data))
    for entry in tiff_tags.entries_of(io.BytesIO(data), layout, at)[0]:
        if entry.code in {tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION}:
            numbers = (300, 0)[: len(code)]
            value = struct.pack("<HI" + code, int(field_type), 1, *numbers)
            data[entry.at + 2 : entry.at + 12] = value
    Path(source).write_bytes(data)
    _, meta, warnings = read(source, LIMIT)
    assert meta.dpi == (300, 300)
    assert warnings == ()

"""Pictures of which some is missing: restored with a warning of how much, or refused when asked."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Photo
from restore_batch.stages.media import Chunk, Failure
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.read import probe, read

from support import data
from support.photo_files import LIMIT, encoded, file, refused

EOI = b"\xff\xd9"
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}),
    "full colour": ("RGB", {"subsampling": 0}),
    "stored as RGB": ("RGB", {"keep_rgb": True}),
    "grey": ("L", {}),
    "restarts": ("RGB", {"restart_marker_rows": 1}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive grey": ("L", {"progressive": True}),
    "cmyk": ("CMYK", {}),
}


def textured(height: int = 240, width: int = 320) -> Image.Image:
    """Something in every block, so that what is lost can be told from what is flat."""
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(kind: str) -> bytes:
    mode, options = KINDS[kind]
    return encoded(textured().convert(mode), "JPEG", quality=90, **options)


def scan_starts(content: bytes) -> list[int]:
    return [found.start() for found in re.finditer(b"\xff\xda", content)]


def warnings_of(folder: Path, content: bytes) -> tuple[str, ...]:
    return read(file(folder, "photo.bin", content), LIMIT)[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_is_read_without_a_warning(kind: str, tmp_path: Path) -> None:
    assert warnings_of(tmp_path, jpeg(kind)) == ()


@pytest.mark.parametrize("share", [0.3, 0.66, 0.9])
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_cut_off_that_yet_ends_as_one_is_said_to_be_damaged(
    kind: str, share: float, tmp_path: Path
) -> None:
    whole = jpeg(kind)
    start = scan_starts(whole)[0]
    cut = whole[: start + int((len(whole) - start) * share)] + EOI
    (warning,) = warnings_of(tmp_path, cut)
    assert warning.startswith("damaged: ")
    if "progressive" in kind:
        assert "detail" in warning
    else:
        found = re.search(r"about (\d+) % of the picture is missing", warning)
        assert found is not None
        assert abs(int(found[1]) / 100 - (1 - share)) < 0.1


def test_a_progressive_jpeg_that_ends_after_any_of_its_scans_is_said_to_be_damaged(
    tmp_path: Path,
) -> None:
    whole = jpeg("progressive")
    later = scan_starts(whole)[1:]
    assert len(later) > 5
    for start in later:
        (warning,) = warnings_of(tmp_path, whole[:start] + EOI)
        assert "detail" in warning or "colour channels" in warning


@pytest.mark.parametrize("kind", ["baseline", "restarts", "progressive"])
def test_bytes_lost_inside_a_scan_are_noticed(kind: str, tmp_path: Path) -> None:
    whole = jpeg(kind)
    middle = scan_starts(whole)[-1] + (len(whole) - scan_starts(whole)[-1]) // 2
    (warning,) = warnings_of(tmp_path, whole[:middle] + whole[middle + 300 :])
    assert warning.startswith("damaged: ")


@pytest.mark.parametrize("kind", ["baseline", "grey", "restarts", "progressive"])
def test_a_disk_sector_of_anything_inside_a_scan_costs_no_more_than_a_warning(
    kind: str, tmp_path: Path
) -> None:
    whole = jpeg(kind)
    start = scan_starts(whole)[0 if kind != "progressive" else -1]
    middle = start + (len(whole) - start) // 2
    rng = np.random.default_rng(5)
    sector = rng.integers(0, 256, 512, dtype=np.uint8)
    sector[::100] = 0xFF  # decoders stop at what looks like a marker
    sector[1::100] = 0x2A
    content = whole[:middle] + sector.tobytes() + whole[middle + 512 :]
    frame, _, warnings = read(file(tmp_path, "photo.jpg", content), LIMIT)
    assert warnings[0].startswith("damaged: ")
    above = np.asarray(Image.open(io.BytesIO(whole)).convert("RGB"))[:80]
    if kind != "progressive":
        assert np.array_equal(frame.rgb_hwc[:80], above), "what lies before the damage is untouched"


def test_a_lost_restart_interval_is_noticed(tmp_path: Path) -> None:
    whole = jpeg("restarts")
    marks = [found.start() for found in re.finditer(b"\xff[\xd0-\xd7]", whole)]
    assert len(marks) > 8
    (warning,) = warnings_of(tmp_path, whole[: marks[3]] + whole[marks[5] :])
    assert warning.startswith("damaged: ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_lacks_only_its_end_marker_is_restored_with_a_warning(
    kind: str, tmp_path: Path
) -> None:
    whole = jpeg(kind)
    expected = read(file(tmp_path, "whole.jpg", whole), LIMIT)[0].rgb_hwc
    for ending in (whole[:-2], whole[:-1], whole[:-2] + bytes(40)):
        frame, _, warnings = read(file(tmp_path, "photo.jpg", ending), LIMIT)
        assert warnings == ("damaged: its end marker is missing; all of its pixels are there",)
        assert np.array_equal(frame.rgb_hwc, expected)


def test_a_second_picture_behind_a_cut_one_is_not_taken_for_its_end(tmp_path: Path) -> None:
    whole = jpeg("baseline")
    refused(file(tmp_path, "cut.jpg", whole[: len(whole) // 2] + whole), "cut off")


def test_damaged_pictures_are_refused_when_the_job_asks_for_it(tmp_path: Path) -> None:
    whole = jpeg("baseline")
    source = file(tmp_path, "cut.jpg", whole[: len(whole) * 2 // 3] + EOI)
    unit = Photo(id="u", source=source, output="cut.jpg")
    (warned,) = Decode(LIMIT)([Chunk(unit)])
    assert isinstance(warned, Chunk)
    (given_up,) = Decode(LIMIT, "refuse")([Chunk(unit)])
    assert isinstance(given_up, Failure)
    assert given_up.message.startswith(f"{source}: damaged: about 3")
    assert "limits.damaged" in given_up.message


def with_dnl(whole: bytes) -> bytes:
    """A JPEG whose height stands behind its scan (T.81, B.2.5)."""
    at = whole.index(b"\xff\xc0") + 5
    height = whole[at : at + 2]
    return whole[:at] + b"\0\0" + whole[at + 2 : -2] + b"\xff\xdc\x00\x04" + height + EOI


def test_a_height_behind_the_scan_is_found_by_header_and_decoder(tmp_path: Path) -> None:
    source = file(tmp_path, "scan.jpg", with_dnl(jpeg("baseline")))
    found = probe(source)
    assert (found.width, found.height) == (320, 240)
    frame, _, warnings = read(source, LIMIT)
    assert (frame.width, frame.height, warnings) == (320, 240, ())


def test_a_jpeg_without_any_height_is_refused_by_its_header(tmp_path: Path) -> None:
    whole = with_dnl(jpeg("baseline"))
    source = file(tmp_path, "scan.jpg", whole.replace(b"\xff\xdc\x00\x04", b"\xff\xfe\x00\x04"))
    with pytest.raises(MediaError, match=r"scan\.jpg.*height"):
        probe(source)


def _tiff(**options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.asarray(textured()), photometric="rgb", rowsperstrip=16, **options)
    return buffer.getvalue()


def test_strips_missing_from_a_tiff_are_counted(tmp_path: Path) -> None:
    content = bytearray(_tiff(compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(content)) as tiff:
        (counts,) = (tag for tag in tiff.pages[0].tags if tag.name == "StripByteCounts")
        assert counts.count == 15
        size = {3: 2, 4: 4}[int(counts.dtype)]
        for strip in (3, 4, 9):
            at = counts.valueoffset + strip * size
            content[at : at + size] = bytes(size)
    frame, _, warnings = read(file(tmp_path, "scan.tif", bytes(content)), LIMIT)
    assert warnings == ("damaged: 3 of 15 parts of the picture are missing",)
    assert not frame.rgb_hwc[48:80].any()
    assert frame.rgb_hwc[80:144].any(axis=2).mean() > 0.9


def test_a_damaged_jpeg_inside_a_tiff_is_noticed(tmp_path: Path) -> None:
    whole = _tiff(compression="jpeg")
    assert warnings_of(tmp_path, whole) == ()
    with tifffile.TiffFile(io.BytesIO(whole)) as tiff:
        page = tiff.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        offset, count = page.dataoffsets[5], page.databytecounts[5]
    broken = bytearray(whole)
    # Half of its data gone, and its end where it was.
    broken[offset + count // 2 : offset + count - 2] = bytes(count - 2 - count // 2)
    (warning,) = warnings_of(tmp_path, bytes(broken))
    assert warning == "damaged: 1 of 15 parts of the picture are damaged"


def test_a_jpeg_2000_codestream_whose_tile_is_short_is_noticed(tmp_path: Path) -> None:
    whole = encoded(textured(), "JPEG2000", no_jp2=True)
    assert warnings_of(tmp_path, whole) == ()
    tile = whole.index(b"\xff\x90")
    longer = struct.pack(">I", len(whole) - tile + 20_000)
    stated = whole[: tile + 6] + longer + whole[tile + 10 :]
    source = file(tmp_path, "scan.j2k", stated)
    try:
        warnings = read(source, LIMIT)[2]
    except MediaError as error:
        assert "scan.j2k" in str(error)
    else:
        assert "of the data of a tile is missing" in warnings[0]


@pytest.mark.parametrize("name", ["baseline_cut_eoi.jpg", "baseline_noeoi.jpg"])
def test_the_damaged_files_from_the_field_are_restored_with_a_warning(name: str) -> None:
    _, _, warnings = read(str(data.field() / name), LIMIT)
    assert [warning.startswith("damaged: ") for warning in warnings] == [True]

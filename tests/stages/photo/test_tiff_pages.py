"""The photo of a TIFF file is the picture that is no copy, wherever it lies; the others are called
what they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.stages.photo import colour
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.tiff_tags import TagError
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.tiff_pages import pages_of
from restore_batch.stages.photo.write import write

from support.beside import exiftool, packet
from support.photo_files import LIMIT, file, photo, refused

FULL, REDUCED, MASK = 0, 1, 4
MAIN = np.random.default_rng(2).integers(0, 1 << 16, (60, 80, 3), np.uint16)
SMALL = photo(15, 20)
COPY = "marked as a reduced copy, and a result holds one picture"

Written = tuple[np.ndarray, int | None]
"""Samples, and NewSubfileType (None: not said)."""


def tiff(
    path: Path,
    *pages: tuple[Written, Sequence[Written]],
    tags: Sequence[Sequence[tuple[Any, ...]]] = (),
    **options: Any,
) -> str:
    """Each page with its branches. ``tags``: further ones of the pictures, in their order."""
    further = [*tags, *([()] * 100)]
    with tifffile.TiffWriter(path, **options) as writer:
        for page, branches in pages:
            for number, (samples, kind) in enumerate((page, *branches)):
                writer.write(
                    samples,
                    photometric="rgb" if samples.ndim == 3 else "minisblack",
                    subfiletype=kind,
                    subifds=len(branches) if number == 0 else None,
                    extratags=further.pop(0),
                    metadata=None,
                )
    return str(path)


def page(samples: np.ndarray, kind: int | None, *branches: Written) -> tuple[Written, Any]:
    return (samples, kind), branches


def said(source: str, samples: np.ndarray) -> tuple[str, ...]:
    """The warnings of a file whose photo has these samples, to the bit; the plan has them too."""
    frame, _, warnings = read(source, LIMIT)
    found = probe(source)
    assert (found.height, found.width, found.bits) == (*samples.shape[:2], samples.itemsize * 8)
    assert found.pages == 1
    assert frame.rgb_hwc.dtype == samples.dtype
    assert np.array_equal(frame.rgb_hwc, samples)
    assert found.notes == warnings
    return warnings


@pytest.mark.parametrize(
    "options", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}]
)
def test_a_photo_below_its_thumbnail_is_restored(options: dict[str, Any], tmp_path: Path) -> None:
    branches = (MAIN, FULL), (photo(30, 40), REDUCED)
    source = tiff(tmp_path / "a.tif", page(SMALL, REDUCED, *branches), **options)
    (warning,) = said(source, MAIN)
    assert warning == "not kept: 2 smaller pictures: of the picture as it was"

    # What ExifTool says of the place of the photo, and the bytes that are there.
    found = exiftool(Path(source), "-StripOffsets", "-ImageWidth", "-BitsPerSample")
    assert (found["IFD0:ImageWidth"], found["SubIFD:ImageWidth"]) == (20, 80)
    at = int(found["SubIFD:StripOffsets"])
    order = options.get("byteorder", "<")
    stored = np.frombuffer(Path(source).read_bytes()[at:], f"{order}u2", MAIN.size)
    assert np.array_equal(stored.reshape(MAIN.shape), MAIN)


def test_the_result_of_a_photo_below_its_thumbnail_is_the_photo_alone(tmp_path: Path) -> None:
    tiff(tmp_path / "a.tif", page(SMALL, REDUCED, (MAIN, FULL)))
    frame, meta, _ = read(str(tmp_path / "a.tif"), LIMIT)
    write(frame, meta, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as result:
        (only,) = result.pages
        assert isinstance(only, tifffile.TiffPage)
        assert only.subifds is None
        assert np.array_equal(only.asarray(), MAIN)
    assert said(str(tmp_path / "b.tif"), MAIN) == ()


def test_a_photo_behind_its_thumbnail_is_restored(tmp_path: Path) -> None:
    source = tiff(tmp_path / "a.tif", page(SMALL, REDUCED), page(photo(), FULL))
    (warning,) = said(source, photo())
    assert warning == "not kept: 1 smaller picture: of the picture as it was"
    with Image.open(source) as seen:
        seen.seek(1)
        assert np.array_equal(np.asarray(seen), photo())


def test_where_all_are_marked_as_copies_the_largest_is_restored(tmp_path: Path) -> None:
    half = photo(30, 40)
    source = tiff(tmp_path / "a.tif", page(half, REDUCED), page(photo(), REDUCED))
    assert said(source, photo()) == ("not kept: 1 smaller picture: of the picture as it was",)
    source = tiff(tmp_path / "b.tif", page(SMALL, REDUCED, (half, REDUCED), (photo(), REDUCED)))
    assert said(source, photo()) == ("not kept: 2 smaller pictures: of the picture as it was",)
    source = tiff(tmp_path / "c.tif", page(photo(), REDUCED), page(photo()[::-1], REDUCED))
    assert said(source, photo()) == (f"not kept: 1 further picture of the same size: {COPY}",)


@pytest.mark.parametrize("below", [True, False])
@pytest.mark.parametrize(
    ("copy", "words"),
    [
        (photo(20, 30), "1 smaller picture: of the picture as it was"),
        (photo()[::-1], f"1 further picture of the same size: {COPY}"),
        (photo(60, 40), f"1 further picture of the same size: {COPY}"),
        (photo(80, 120), f"1 further picture that is larger: {COPY}"),
    ],
)
def test_a_copy_is_called_smaller_only_where_it_is(
    copy: np.ndarray, words: str, below: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    if below:
        source = tiff(path, page(photo(), FULL, (copy, REDUCED)))
    else:
        source = tiff(path, page(photo(), FULL), page(copy, REDUCED))
    assert said(source, photo()) == (f"not kept: {words}",)


def test_masks_are_called_masks_and_never_restored(tmp_path: Path) -> None:
    mask = np.ones((40, 60), bool)
    large = np.ones((80, 120), bool)
    rest = page(photo(), FULL, (mask, MASK), (SMALL, REDUCED)), page(large, MASK | REDUCED)
    source = tiff(tmp_path / "a.tif", page(mask, MASK), *rest)
    (warning,) = said(source, photo())
    assert warning == "not kept: 3 masks, 1 smaller picture: of the picture as it was"


@pytest.mark.parametrize("kind", [FULL, None])
def test_a_smaller_picture_below_a_page_is_its_copy_even_if_it_does_not_say_so(
    kind: int | None, tmp_path: Path
) -> None:
    source = tiff(tmp_path / "a.tif", page(photo(), FULL, (SMALL, kind)))
    assert said(source, photo()) == ("not kept: 1 smaller picture: of the picture as it was",)


@pytest.mark.parametrize(
    ("pages", "in_branches"),
    [
        ([page(photo(), FULL, (photo()[::-1], FULL))], 1),
        ([page(photo(), None, (photo(80, 120), None))], 1),
        ([page(SMALL, REDUCED, (photo(), FULL), (SMALL, FULL))], 2),
        ([page(SMALL, REDUCED, (photo(), FULL)), page(SMALL, REDUCED, (photo(), FULL))], 2),
    ],
)
def test_several_pictures_of_which_each_may_be_the_photo_are_refused(
    pages: list[Any], in_branches: int, tmp_path: Path
) -> None:
    source = tiff(tmp_path / "a.tif", *pages)
    words = "holds 2 pictures of which none is marked as a copy"
    refused(source, f"{words}, {in_branches} of them in SubIFDs")
    assert probe(source).pages == 2


def test_several_pages_are_refused_as_such(tmp_path: Path) -> None:
    refused(tiff(tmp_path / "a.tif", page(photo(), FULL), page(SMALL, FULL)), "holds 2 pages")


def ascii_tag(code: int, text: str) -> tuple[Any, ...]:
    return code, 2, len(text) + 1, text, True


def bytes_tag(code: int, content: bytes) -> tuple[Any, ...]:
    return code, 7, len(content), content, True


ARTIST, DESCRIPTION, MAKE = 315, 270, 271
PROFILE = bytes_tag(tiff_tags.ICC, colour.srgb_profile())


@pytest.mark.parametrize("below", [True, False])
def test_what_is_said_of_the_photo_counts_and_then_what_is_said_of_the_file(
    below: bool, tmp_path: Path
) -> None:
    of_file = [
        ascii_tag(DESCRIPTION, "small"),
        ascii_tag(MAKE, "Imacon"),
        bytes_tag(tiff_tags.XMP, packet()),
        (tiff_tags.ORIENTATION, 3, 1, 6, True),
        PROFILE,
    ]
    tags = [of_file, [ascii_tag(DESCRIPTION, "large"), ascii_tag(ARTIST, "Krause")]]
    pages = (
        [page(SMALL, REDUCED, (MAIN, FULL))] if below else [page(SMALL, REDUCED), page(MAIN, FULL)]
    )
    source = tiff(tmp_path / "a.tif", *pages, tags=tags)
    frame, meta, warnings = read(source, LIMIT)
    assert warnings == ("not kept: 1 smaller picture: of the picture as it was",)
    assert np.array_equal(frame.rgb_hwc, np.rot90(MAIN, -1))
    assert probe(source).width == 60
    assert meta.icc == colour.srgb_profile()
    write(frame, meta, tmp_path / "b.tif")
    found = exiftool(tmp_path / "b.tif")
    assert found["IFD0:ImageDescription"] == "large"
    assert found["IFD0:Artist"] == "Krause"
    assert found["IFD0:Make"] == "Imacon"
    assert found["XMP-dc:Source"] == "box 7 & 8"
    assert (found["IFD0:ImageWidth"], found["IFD0:ImageHeight"]) == (60, 80)
    assert found.get("IFD0:Orientation", 1) == 1


def test_what_the_photo_says_is_not_replaced_by_what_is_said_of_the_file(tmp_path: Path) -> None:
    turned, upright = ((tiff_tags.ORIENTATION, 3, 1, value, True) for value in (6, 1))
    tags = [[turned, bytes_tag(tiff_tags.XMP, packet(inside="<dc:a>small</dc:a>"))]]
    tags.append([upright, bytes_tag(tiff_tags.XMP, packet())])
    source = tiff(tmp_path / "a.tif", page(SMALL, REDUCED, (MAIN, FULL)), tags=tags)
    said(source, MAIN)
    assert read(source, LIMIT)[1].xmp == packet()


def test_a_profile_for_other_colours_is_not_that_of_the_photo(tmp_path: Path) -> None:
    grey = MAIN[..., 0]
    source = tiff(tmp_path / "a.tif", page(SMALL, REDUCED, (grey, FULL)), tags=[[PROFILE]])
    frame, meta, warnings = read(source, LIMIT)
    assert frame.grey
    assert np.array_equal(frame.rgb_hwc[..., 0], grey)
    assert meta.icc != colour.srgb_profile()
    assert len(warnings) == 1


def test_a_raw_whose_sensor_data_lie_below_a_thumbnail_is_a_raw(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, b"\x01\x04\x00\x00", True)
    with tifffile.TiffWriter(path) as writer:
        writer.write(SMALL, photometric="rgb", subfiletype=1, subifds=1, extratags=[version])
        writer.write(MAIN[..., 0], photometric="cfa", subfiletype=0)
    with path.open("rb") as opened:
        assert catalogue.of_head(opened, str(path)).name == "raw"


def _pointing(samples: np.ndarray, *branches: int) -> bytes:
    """A page of grey 8-bit ``samples`` with these places of branches."""
    height, width = samples.shape
    offsets = struct.pack(f"<{len(branches)}I", *branches)
    at = 8 + samples.size + samples.size % 2
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
    tags += [(277, 3, 1), (278, 4, height), (279, 4, samples.size)]
    rows = b"".join(struct.pack("<HHII", code, kind, 1, value) for code, kind, value in tags)
    rows += struct.pack("<HHII", 330, 4, len(branches), at)
    body = samples.tobytes().ljust(at - 8, b"\0") + offsets
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(body))
        + body
        + struct.pack("<H", 10)
        + rows
        + (bytes(4))
    )


def test_branches_that_lead_nowhere_cost_nothing(tmp_path: Path) -> None:
    grey = photo()[..., 0]
    own = int.from_bytes(_pointing(grey, 0, 0, 0, 0)[4:8], "little")
    content = _pointing(grey, own, 9, 1 << 30, 1 << 30)
    frame, _, warnings = read(file(tmp_path, "a.tif", content), LIMIT)
    assert np.array_equal(frame.rgb_hwc[..., 0], grey)
    assert warnings == ()


def test_more_branches_than_any_program_writes_are_refused(tmp_path: Path) -> None:
    source = file(tmp_path, "a.tif", _pointing(photo()[..., 0], *range(1 << 20, 2 << 20)))
    refused(source, "more pictures in SubIFDs than any program writes")
    with Path(source).open("rb") as opened, pytest.raises(TagError):
        pages_of(opened)

"""What lies in the segments of a JPEG file is kept or named."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from restore_batch.stages.photo.metadata import exif, tiff_tags
from restore_batch.stages.photo.read import probe
from tests.support import beside
from tests.support.beside import (
    JPEG,
    restored,
)
from tests.support.photo_files import encoded, photo


def test_jpeg_comments_keep_their_number_and_their_bytes(tmp_path: Path) -> None:
    comments = [(0xFE, b"first"), (0xFE, b"Gro\xdfmutter \x96 1931"), (0xFE, b"padded\x00\x00")]
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, *comments))
    assert [each for each in beside.segments_of(done.content) if each[0] == 0xFE] == comments
    assert done.meta.text == {"Comment": "first\nGroßmutter – 1931\npadded"}
    assert done.warnings == ()


def test_jpeg_comments_become_one_text_in_another_format(tmp_path: Path) -> None:
    comments = [(0xFE, b"first"), (0xFE, b"caf\xe9 \x96 1931")]
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, *comments), "a.png")
    assert done.warnings == ()
    assert beside.exiftool(done.path)["PNG:Comment"] == "first\ncafé – 1931"


def test_segments_that_speak_of_nothing_that_changes_stay_to_the_bit(tmp_path: Path) -> None:
    kept = [
        (0xE3, b"Meta\x00\x00II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
        (0xEC, b"Ducky\x00\x02\x00\x06\x00\x00\x00\x02\x00h"),
        (0xEC, b"PictureInfo TimeDate=1931"),
        (0xEA, b"UNICODE\x00\x00h\x00i"),
    ]
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, *kept))
    assert done.warnings == ()
    written = beside.segments_of(done.content)
    assert [each for each in written if each in kept] == kept


def with_shape(across: int, down: int) -> bytes:
    """A JPEG whose header says how wide and high a pixel is, of no unit."""
    at = JPEG.index(b"JFIF\x00") + 7
    return JPEG[:at] + struct.pack(">BHH", 0, across, down) + JPEG[at + 5 :]


def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    done = restored(tmp_path, "a.jpg", with_shape(2, 1))
    assert done.warnings == ()
    found = beside.exiftool(done.path)
    assert (found["JFIF:XResolution"], found["JFIF:YResolution"]) == (2, 1)
    assert found["JFIF:ResolutionUnit"] == 0
    same = restored(tmp_path, "b.jpg", with_shape(3, 3))
    assert beside.segments_of(same.content) == beside.segments_of(
        restored(tmp_path, "c.jpg", JPEG).content
    )


def test_the_shape_of_a_pixel_is_named_where_it_cannot_be_kept(tmp_path: Path) -> None:
    done = restored(tmp_path, "a.jpg", with_shape(2, 1), "a.png")
    assert done.says("PNG cannot hold", "'JFIF' (shape of a pixel)")
    block = tiff_tags.block(tiff_tags.Tree({}, {}, {}, {}), {274: tiff_tags.short(6)})
    turned = beside.with_segments(with_shape(2, 1), (0xE1, b"Exif\x00\x00" + block))
    done = restored(tmp_path, "b.jpg", turned)
    assert done.says("(shape of a pixel)", "turned upright")


def test_segments_that_another_format_cannot_hold_are_named(tmp_path: Path) -> None:
    ducky = beside.with_segments(JPEG, (0xEC, b"Ducky\x00\x01\x00\x04\x00\x00\x00\x3c"))
    done = restored(tmp_path, "a.jpg", ducky, "a.png")
    assert done.says("PNG cannot hold", "APP12 'Ducky'")


@pytest.mark.parametrize(
    ("marker", "payload", "words"),
    [
        (0xE7, b"Nobody knows\x00" + bytes(20), ("APP7 'Nobody knows'", "33 bytes")),
        (0xE9, bytes(12), ("APP9", "12 bytes")),
        (0xE1, b"unheard-of\x00", ("APP1 'unheard-of'",)),
        (0xE0, b"JFXX\x00\x10\xff\xd8\xff", ("thumbnail",)),
        (0xE4, b"\xff\xd8\xff\xe0preview", ("thumbnail", "APP4")),
        (0xE2, b"urn:iso:std:iso:ts:21496:-1\x00\x00\x00\x00\x00", ("HDR gain map",)),
        (0xEB, b"HDR_RI ver=11", ("HDR gain map",)),
        (0xEB, b"JP\x00\x01\x00\x00\x00\x01" + beside.JUMBF, ("content credentials", "invalid")),
    ],
)
def test_segments_that_may_have_become_untrue_are_left_out_and_named(
    marker: int, payload: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    content = beside.with_segments(JPEG, (marker, payload))
    done = restored(tmp_path, "a.jpg", content)
    assert done.says("not kept", *words)
    assert len(done.warnings) == 1
    assert payload not in [body for _, body in beside.segments_of(done.content)]
    assert probe(str(tmp_path / "a.jpg")).notes == done.warnings


def test_credentials_over_several_segments_are_one_warning(tmp_path: Path) -> None:
    parts = [
        (0xEB, b"JP\x00\x01" + struct.pack(">I", number) + beside.JUMBF + bytes(500))
        for number in (1, 2)
    ]
    parts[1] = (0xEB, parts[1][1].replace(b"c2pa", b"cbor"))
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, *parts))
    assert len(done.warnings) == 1
    assert "JUMBF:JUMDLabel" not in beside.exiftool(done.path)


def test_a_comment_between_two_scans_is_kept(tmp_path: Path) -> None:
    progressive = encoded(Image.fromarray(photo()), "JPEG", progressive=True)
    second = progressive.index(b"\xff\xc4", progressive.index(b"\xff\xda"))
    note = b"\xff\xfe\x00\x08middle"
    done = restored(tmp_path, "a.jpg", progressive[:second] + note + progressive[second:])
    assert (0xFE, b"middle") in beside.segments_of(done.content)


def test_a_jfif_thumbnail_is_left_out_and_said(tmp_path: Path) -> None:
    jfif = struct.pack(">5sHBHHBB", b"JFIF", 0x0102, 1, 300, 300, 1, 1) + b"\x01\x02\x03"
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, (0xE0, jfif)))
    assert done.says("thumbnail")
    assert done.meta.dpi == (300.0, 300.0)


def test_an_exif_thumbnail_is_left_out_and_said(tmp_path: Path) -> None:
    block = tiff_tags.block(tiff_tags.Tree({271: tiff_tags.raw(b"Cam\x00", 2)}, {}, {}, {}))
    count = int.from_bytes(block[8:10], "little")
    link = 10 + 12 * count
    block = block[:link] + struct.pack("<I", len(block)) + block[link + 4 :]
    assert exif.has_thumbnail(block + bytes(6))
    content = beside.with_segments(JPEG, (0xE1, b"Exif\x00\x00" + block + bytes(6)))
    assert restored(tmp_path, "a.jpg", content).says("thumbnail in the EXIF block")

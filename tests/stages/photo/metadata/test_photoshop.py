"""Photoshop resources stay to the bit where they stay true."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from restore_batch.stages.photo.metadata import tiff_tags
from tests.support import beside
from tests.support.beside import (
    JPEG,
    restored,
)

IPTC = b"\x1c\x01\x5a\x00\x03\x1b%G\x1c\x02\x78\x00\x07M\xc3\xbcller"
PATH = beside.resource(2000, bytes(range(52)), b"Outline")
FLAG, URL = beside.resource(0x040A, b"\x01"), beside.resource(0x040B, b"http://example.org/a")
PRESET = beside.resource(4000, b"plugin")


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.png", "a.jp2"])
def test_photoshop_resources_stay_to_the_bit(name: str, tmp_path: Path) -> None:
    kept = PATH + FLAG + URL + PRESET
    section = b"Photoshop 3.0\x00" + beside.resource(0x0404, IPTC) + kept
    done = restored(tmp_path, "a.jpg", beside.with_segments(JPEG, (0xED, section)), f"b_{name}")
    assert done.warnings == ()
    again = restored(tmp_path, f"c_{name}", done.content)
    assert again.warnings == ()
    assert again.meta.iptc == IPTC
    assert b"".join(extra.payload for extra in again.meta.extras) == kept
    found = beside.exiftool(again.path)
    assert found["Photoshop:CopyrightFlag"] in {1}
    assert found["Photoshop:URL"] == "http://example.org/a"
    assert found["IPTC:Caption-Abstract"] == "Müller"


@pytest.mark.parametrize(
    ("block", "word"),
    [
        (beside.resource(0x040C, bytes(40)), "thumbnail"),
        (beside.resource(0x0406, bytes(7)), "JPEG quality"),
        (b"8BIM\x04\x0b\x00\x00\x00\x00\xff\xff", "damaged"),
    ],
)
def test_photoshop_resources_about_the_picture_as_it_was_are_said(
    block: bytes, word: str, tmp_path: Path
) -> None:
    content = beside.with_segments(JPEG, (0xED, b"Photoshop 3.0\x00" + FLAG + block))
    done = restored(tmp_path, "a.jpg", content)
    assert done.says(word)
    section = dict(beside.segments_of(done.content))[0xED]
    assert section == b"Photoshop 3.0\x00" + FLAG


def test_a_path_does_not_outlive_the_turn_of_its_picture(tmp_path: Path) -> None:
    block = tiff_tags.block(tiff_tags.Tree({}, {}, {}, {}), {274: tiff_tags.short(6)})
    section = (0xED, b"Photoshop 3.0\x00" + PATH + FLAG)
    turned = beside.with_segments(JPEG, (0xE1, b"Exif\x00\x00" + block), section)
    done = restored(tmp_path, "a.jpg", turned)
    assert done.says("2000 (path)", "turned upright")
    assert dict(beside.segments_of(done.content))[0xED] == b"Photoshop 3.0\x00" + FLAG


def test_guides_do_not_outlive_a_change_of_size(tmp_path: Path) -> None:
    guides = beside.resource(0x0408, bytes(16))
    content = beside.with_segments(JPEG, (0xED, b"Photoshop 3.0\x00" + guides + PATH))
    assert restored(tmp_path, "a.jpg", content).warnings == ()
    done = restored(tmp_path, "b.jpg", content, scale=2)
    assert done.says("grid and guides", "another size")
    assert dict(beside.segments_of(done.content))[0xED] == b"Photoshop 3.0\x00" + PATH


@pytest.mark.parametrize(("across", "stays"), [(300, True), (150, False)])
def test_a_resolution_is_turned_with_the_picture_where_that_changes_nothing(
    across: int, stays: bool, tmp_path: Path
) -> None:
    block = tiff_tags.block(tiff_tags.Tree({}, {}, {}, {}), {274: tiff_tags.short(6)})
    both = struct.pack(">IHHIHH", across << 16, 1, 1, 300 << 16, 1, 1)
    section = (0xED, b"Photoshop 3.0\x00" + beside.resource(0x03ED, both) + FLAG)
    turned = beside.with_segments(JPEG, (0xE1, b"Exif\x00\x00" + block), section)
    done = restored(tmp_path, "a.jpg", turned)
    assert (section in beside.segments_of(done.content)) is stays
    assert done.says("(resolution)") is not stays

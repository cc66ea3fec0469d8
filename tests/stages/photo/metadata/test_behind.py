"""What lies behind the end of a picture is named."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from restore_batch.stages.photo.metadata import behind
from tests.support import beside
from tests.support.beside import (
    CONTAINER,
    FILM,
    HDRGM,
    JPEG,
    PNG,
    SMALL,
    directory,
    packet,
    restored,
)


@pytest.mark.parametrize(
    ("trailer", "words"),
    [
        (FILM, ("short film", "132 bytes")),
        (beside.samsung_trailer(MotionPhoto_Data=FILM), ("short film", "132 bytes")),
        (beside.samsung_trailer(DualShot_DepthMap_1=bytes(9)), ("depth map",)),
        (beside.samsung_trailer(Image_UTC_Data=b"1600000000000"), ("Image_UTC_Data",)),
        (SMALL, ("further picture", f"{len(SMALL)} bytes")),
        (beside.with_xmp(SMALL, packet(f'{HDRGM} hdrgm:Version="1.0"')), ("HDR gain map",)),
        (beside.with_xmp(SMALL, packet(inside="<!-- aux:hdrgainmap -->")), ("HDR gain map",)),
        (b"PK\x03\x04 a note", ("11 bytes behind the end",)),
        (b"\x00" * 40 + b"note", ("44 bytes behind the end",)),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_what_lies_behind_a_picture_is_said(
    name: str, trailer: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    done = restored(tmp_path, name, {"a.jpg": JPEG, "a.png": PNG}[name] + trailer)
    assert done.says("not kept", *words)
    assert len(done.warnings) == 1


def test_padding_behind_a_picture_is_nothing_to_speak_of(tmp_path: Path) -> None:
    assert restored(tmp_path, "a.jpg", JPEG + bytes(100)).warnings == ()


def test_everything_behind_a_picture_is_listed() -> None:
    samsung = beside.samsung_trailer(MotionPhoto_Data=FILM, Image_UTC_Data=b"16")
    gain_map = beside.with_xmp(SMALL, packet(f'{HDRGM} hdrgm:Version="1.0"'))
    whole = JPEG + gain_map + bytes(7) + SMALL + b"odd" + FILM + samsung
    found = [extra.what for extra in behind.extras_behind(whole, len(JPEG))]
    starts = [
        "HDR gain map",
        "further picture",
        "3 bytes",
        "short film inside (motion photo) (132 bytes)",
        "short film inside (motion photo) 'MotionPhoto_Data' (132 bytes)",
        "Samsung trailer 'Image_UTC_Data' (2 bytes)",
    ]
    assert len(found) == len(starts)
    assert all(what.startswith(start) for what, start in zip(found, starts, strict=True))


def test_the_directory_says_what_a_picture_behind_the_picture_is(tmp_path: Path) -> None:
    xmp = packet(CONTAINER, directory("Depth", "Confidence"))
    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + SMALL + SMALL)
    assert done.says("depth map")
    assert done.says("further picture")


def test_a_preview_of_the_index_is_called_a_thumbnail(tmp_path: Path) -> None:
    sizes = ((0x030000, 0), (0x010001, len(SMALL)))
    rows = b"".join(struct.pack("<IIIHH", kind, size, 0, 0, 0) for kind, size in sizes)
    index = b"II*\x00\x08\x00\x00\x00\x02\x00" + struct.pack("<HHII", 0xB001, 4, 1, 2)
    index += struct.pack("<HHII", 0xB002, 7, len(rows), 38) + bytes(4) + rows
    done = restored(
        tmp_path, "a.jpg", beside.with_segments(JPEG, (0xE2, b"MPF\x00" + index)) + SMALL
    )
    assert done.says("thumbnail", f"{len(SMALL)} bytes")
    assert len(done.warnings) == 1
    assert "MPF0:NumberOfImages" not in beside.exiftool(done.path)

"""PNG files in which something beside their pixels is wrong are restored, and it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.photo.read import read
from tests.support import beside
from tests.support.beside import PNG

from support.photo_files import LIMIT, file, photo, refused

END = PNG[-12:]
WRONG = b"\x00\x01\x02\x03"
TEXT = (b"tEXt", b"Title\x00Hello")
NO_END = "damaged: its end chunk is missing; all of its pixels are there"


def with_wrong(*names: bytes) -> bytes:
    """A file with these chunks, of whose checksums that of each is wrong."""
    data = beside.with_chunks(PNG, *((name, b"Title\x00Hello") for name in names))
    for name in names:
        at = data.index(name) + len(name) + len(b"Title\x00Hello")
        data = data[:at] + WRONG + data[at + 4 :]
    return data


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (PNG.removesuffix(END), NO_END),
        (PNG[:-3], NO_END),
        (PNG.removesuffix(END) + b"\x00\x00\x10\x00tEXtTitle\x00He", NO_END),
        (with_wrong(b"tEXt"), "damaged: wrong checksums, hence not kept: tEXt"),
        (with_wrong(b"tEXt", b"eXIf"), "damaged: wrong checksums, hence not kept: tEXt, eXIf"),
        (
            with_wrong(b"iTXt").removesuffix(END),
            f"damaged: wrong checksums, hence not kept: iTXt; {NO_END[9:]}",
        ),
    ],
)
def test_the_picture_is_there_and_the_fault_is_said(data: bytes, said: str, tmp_path: Path) -> None:
    source = file(tmp_path, "a.png", data)
    frame, meta, warnings = read(source, LIMIT)
    assert np.array_equal(frame.rgb_hwc, photo())
    assert warnings == (said,)
    assert meta.text == {}
    with pytest.raises(MediaError, match="damaged"):
        read(source, LIMIT, damaged="refuse")


def test_the_checksum_of_the_end_guards_nothing(tmp_path: Path) -> None:
    frame, _, warnings = read(file(tmp_path, "a.png", PNG[:-4] + WRONG), LIMIT)
    assert np.array_equal(frame.rgb_hwc, photo())
    assert warnings == ()


@pytest.mark.parametrize("cut", [13, 60, len(PNG) - 40])
def test_a_file_that_is_cut_off_inside_its_picture_is_refused(cut: int, tmp_path: Path) -> None:
    refused(file(tmp_path, "a.png", PNG[:-cut]), "PNG")


def test_a_sound_file_is_not_copied(tmp_path: Path) -> None:
    from restore_batch.stages.photo.png_damage import repaired

    sound = beside.with_chunks(PNG, TEXT) + b"behind the end"
    assert repaired(sound)[0] is sound

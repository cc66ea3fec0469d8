"""The subject that an EXIF block places in its picture stays on its pixels."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.metadata.places.subjects import moved
from restore_batch.stages.photo.metadata.tiff_tags import Tag, Tree
from restore_batch.stages.photo.raster import upright

AREA, LOCATION = 37396, 41492
TAKEN = Tag(2, 20, b"1999:12:31 23:59:58\x00")


def big_endian(order: str, *numbers: int) -> bytes:
    """A block in either byte order whose EXIF directory holds a date and a subject area."""
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, 8)
    main = struct.pack(order + "HHHII", 1, tiff_tags.EXIF_IFD, 4, 1, 26) + bytes(4)
    count = len(numbers)
    values_at = 26 + 2 + 2 * 12 + 4
    packed = struct.pack(f"{order}{count}H", *numbers)
    inline = packed.ljust(4, b"\x00") if count <= 2 else struct.pack(order + "I", values_at + 20)
    directory = struct.pack(order + "HHHII", 2, 36867, 2, 20, values_at)
    directory += struct.pack(order + "HHI", AREA, 3, count) + inline + bytes(4)
    return header + main + directory + TAKEN.data + packed


def block(tags: dict[int, Tag], main: dict[int, Tag] | None = None) -> bytes:
    return tiff_tags.block(Tree(main or {}, {36867: TAKEN, **tags}, {}, {}))


def tags_of(exif: bytes) -> Tree:
    return tiff_tags.tree(io.BytesIO(exif))


def subject(exif: bytes, code: int = AREA) -> tuple[int, ...]:
    found = tags_of(exif).exif
    return found[code].integers() if code in found else ()


def painted(x: int, y: int, width: int, height: int) -> np.ndarray:
    picture = np.zeros((60, 90), np.uint8)
    picture[y - height // 2 : y + height // 2 + 1, x - width // 2 : x + width // 2 + 1] = 1
    return picture


@settings(deadline=None)
@given(
    st.integers(20, 69), st.integers(20, 39), st.integers(0, 19), st.integers(0, 19),
    st.integers(1, 8), st.integers(1, 3), st.sampled_from("<>"),
)  # fmt: skip
def test_an_area_lies_on_its_pixels_turned_and_enlarged(
    x: int, y: int, wide: int, high: int, orientation: int, scale: int, order: str
) -> None:
    width, height = 2 * wide + 1, 2 * high + 1
    picture = upright(painted(x, y, width, height), orientation)
    turn = Change.upright(orientation, picture.shape[::-1])
    exif, gone = moved(big_endian(order, x, y, width, height), turn)
    larger = picture.repeat(scale, 0).repeat(scale, 1)
    exif, more = moved(exif, Change.sized(picture.shape[::-1], larger.shape[::-1]))
    middle_x, middle_y, now_wide, now_high = subject(exif)
    rows, columns = np.nonzero(larger.any(1))[0], np.nonzero(larger.any(0))[0]
    assert (now_wide, now_high) == (len(columns), len(rows))
    assert abs(middle_x - (columns[0] + columns[-1]) / 2) <= 0.5
    assert abs(middle_y - (rows[0] + rows[-1]) / 2) <= 0.5
    assert not gone and not more


@pytest.mark.parametrize("numbers", [(5, 6), (5, 6, 7), (5, 6, 7, 9)])
@pytest.mark.parametrize("kind", [tiff_tags.short, tiff_tags.long])
def test_points_circles_and_rectangles_are_turned(numbers: tuple[int, ...], kind: object) -> None:
    exif, gone = moved(block({AREA: kind(*numbers)}), Change.upright(6, (60, 90)))
    assert subject(exif) == (53, 5, *numbers[2:][::-1])
    assert not gone


def test_the_location_and_that_of_the_main_directory_are_turned_too() -> None:
    exif = block({LOCATION: tiff_tags.short(5, 6)}, {AREA: tiff_tags.short(5, 6)})
    exif, gone = moved(exif, Change.upright(3, (90, 60)))
    assert subject(exif, LOCATION) == (84, 53)
    assert tags_of(exif).main[AREA].integers() == (84, 53)
    assert not gone


UNFIT = [
    tiff_tags.short(5), tiff_tags.short(1, 2, 3, 4, 5), tiff_tags.short(95, 6),
    Tag(2, 4, b"5 6\x00"), tiff_tags.rational(5.0),
]  # fmt: skip


@pytest.mark.parametrize("tag", UNFIT)
def test_one_that_cannot_be_followed_is_taken_out_and_all_else_stays(tag: Tag) -> None:
    others = {36867: TAKEN, 37500: tiff_tags.raw(b"maker note"), 41729: tiff_tags.raw(b"\x01")}
    with_it = tiff_tags.block(Tree({271: TAKEN}, {**others, AREA: tag}, {1: TAKEN}, {1: TAKEN}))
    exif, gone = moved(with_it, Change.upright(6, (60, 90)))
    assert gone == ("subject area in its EXIF block",)
    without = tags_of(exif)
    assert without == tags_of(tiff_tags.block(Tree({271: TAKEN}, others, {1: TAKEN}, {1: TAKEN})))
    assert len(exif) == len(with_it)


def test_a_number_that_its_type_cannot_hold_any_more_is_taken_out() -> None:
    exif = block({AREA: tiff_tags.short(50_000, 6)})
    exif, gone = moved(exif, Change.sized((60_000, 90), (120_000, 180)))
    assert subject(exif) == ()
    assert gone == ("subject area in its EXIF block",)


@pytest.mark.parametrize(("orientation", "exchanged"), [(3, False), (6, True)])
def test_resolutions_that_differ_change_places_on_a_picture_turned_sideways(
    orientation: int, exchanged: bool
) -> None:
    axes = (tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION)
    main = dict(zip(axes, (tiff_tags.rational(300.0), tiff_tags.rational(600.0)), strict=True))
    exif, _ = moved(block({}, main), Change.upright(orientation, (60, 90)))
    layout, at = tiff_tags.layout_of(io.BytesIO(exif))
    found = tiff_tags.directory_at(io.BytesIO(exif), layout, at)
    expected = (600.0, 300.0) if exchanged else (300.0, 600.0)
    assert tuple(found[code].number() for code in axes) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8))
def test_any_damage_to_a_block_is_a_tag_error_or_none(flips: list[tuple[int, int]]) -> None:
    exif = bytearray(big_endian(">", 5, 6, 7, 8))
    for at, value in flips:
        exif[at % len(exif)] = value
    try:
        now, _ = moved(bytes(exif), Change.upright(6, (60, 90)))
    except tiff_tags.TagError:
        return
    assert len(now) == len(exif)

"""Tags of TIFF files and EXIF blocks, which share one format: read and write.

Values are little-endian in memory and in what is written, whatever they were in the file.

Source: TIFF revision 6.0 (section 2), TIFF technical note on BigTIFF, Exif 2.32 (section 4.6).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.source import size_of

MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
ORIENTATION = 274
EXIF_IFD, GPS_IFD, INTEROP_IFD, SUB_IFDS = 34665, 34853, 40965, 330
ICC, XMP, IPTC, PHOTOSHOP = 34675, 700, 33723, 34377
CREDENTIALS = 52545
"""C2PA 2.1, annex A.3.6."""
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
MAKER_NOTE = 37500
_PHOTOMETRIC, _DNG_VERSION = 262, 50706

SHORT, LONG, RATIONAL, UNDEFINED, BYTE = 3, 4, 5, 7, 1
# Type -> (size of a value, size of the words in it that byte order applies to).
VALUE_SIZES = {
    1: (1, 1),
    2: (1, 1),
    3: (2, 2),
    4: (4, 4),
    5: (8, 4),
    6: (1, 1),
    7: (1, 1),
    8: (2, 2),
    9: (4, 4),
    10: (8, 4),
    11: (4, 4),
    12: (8, 8),
    13: (4, 4),
    16: (8, 8),
    17: (8, 8),
    18: (8, 8),
}
_NO_UNIT, _INCH = 1, 2
_MAX_ENTRIES = 4096
_MAX_PAGES = 10_000
_MAX_ENTRIES_OF_PAGES = 200_000
_MAX_INTEGERS = 1 << 20
_MAX_RAW_DIRECTORIES = 8


class TagError(ValueError):
    """The tags cannot be followed: wrong header, or offsets outside the file."""


@dataclass(frozen=True)
class Tag:
    """One value: ``data`` are ``count`` values of TIFF type ``field_type``, little-endian."""

    field_type: int
    count: int
    data: bytes

    def integers(self, most: int = _MAX_INTEGERS) -> tuple[int, ...]:
        """The values, no more than ``most``, of a BYTE, SHORT, LONG or LONG8 tag; empty for other
        types."""
        code = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(self.field_type)
        return struct.unpack_from(f"<{min(self.count, most)}{code}", self.data) if code else ()

    def number(self) -> float | None:
        """The first value of a tag of numbers."""
        code = {RATIONAL: "II", 10: "ii", 11: "f", 12: "d"}.get(self.field_type)
        if code is None or not self.count:
            return next(map(float, self.integers(1)), None)
        above, *below = struct.unpack_from(f"<{code}", self.data)
        return None if below == [0] else above / (below or [1])[0]


Directory = dict[int, Tag]


@dataclass(frozen=True)
class Layout:
    order: str
    big: bool

    @property
    def word(self) -> int:
        """Bytes of an offset, and of the value field of an entry."""
        return 8 if self.big else 4

    def unpack(self, code: str, data: bytes) -> int:
        return int(struct.unpack(self.order + code, data)[0])


@dataclass(frozen=True)
class Entry:
    code: int
    field_type: int
    count: int
    at: int
    """Position of the entry itself."""
    value_at: int
    """Position of its value: inside the entry, or where its offset points."""


def exactly(file: BinaryIO, at: int, size: int) -> bytes:
    """``size`` bytes from ``at`` on. Raises TagError where they are not all in the file."""
    # Asked for too many, reading would set memory aside first.
    if at >= 0 and 0 <= size <= size_of(file) - at:
        file.seek(at)
        data = file.read(size)
        if len(data) == size:
            return data
    raise TagError(f"a tag points outside the file (to byte {at + size})")


def layout_of(file: BinaryIO) -> tuple[Layout, int]:
    head = exactly(file, 0, 8)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise TagError("no TIFF header")
    version = struct.unpack(order + "H", head[2:4])[0]
    if version == 43:
        return Layout(order, True), struct.unpack(order + "Q", exactly(file, 8, 8))[0]
    if version not in {42, 0x55, 0x4F52, 0x5352}:  # the last three are camera raws
        raise TagError(f"unknown TIFF version {version}")
    return Layout(order, False), struct.unpack(order + "I", head[4:8])[0]


def entries_of(file: BinaryIO, layout: Layout, at: int) -> tuple[list[Entry], int]:
    """The entries of the directory at ``at``, and the position of its link to the next."""
    count_size, entry_size = (8, 20) if layout.big else (2, 12)
    count = layout.unpack("Q" if layout.big else "H", exactly(file, at, count_size))
    if count > _MAX_ENTRIES:
        raise TagError(f"a directory claims {count} tags")
    table = exactly(file, at + count_size, count * entry_size)
    entries = []
    for index in range(count):
        row = table[index * entry_size : (index + 1) * entry_size]
        code, kind = struct.unpack(layout.order + "HH", row[:4])
        amount = layout.unpack("Q" if layout.big else "I", row[4 : 4 + layout.word])
        entry_at = at + count_size + index * entry_size
        value_at = entry_at + 4 + layout.word
        if VALUE_SIZES.get(kind, (1, 1))[0] * amount > layout.word:
            value_at = layout.unpack("Q" if layout.big else "I", row[-layout.word :])
        entries.append(Entry(code, kind, amount, entry_at, value_at))
    return entries, at + count_size + count * entry_size


def _swapped(data: bytes, word: int) -> bytes:
    return data if word == 1 else np.frombuffer(data, f"u{word}").byteswap().tobytes()


# Photoshop's layers can be larger than the picture, and are never kept; where strips and tiles lie
# is the decoder's matter.
_NEVER_READ = frozenset({37724, 50341, 273, 279, 324, 325})


def directory_at(
    file: BinaryIO,
    layout: Layout,
    at: int,
    only: frozenset[int] | None = None,
    allowance: Allowance | None = None,
) -> Directory:
    """The directory at ``at``, or those of its tags that are in ``only``, as far as they fit
    ``allowance`` (None: a whole one). Raises TagError."""
    found: Directory = {}
    allowance = allowance or Allowance()
    for entry in entries_of(file, layout, at)[0]:
        unwanted = entry.code in _NEVER_READ or (only is not None and entry.code not in only)
        if unwanted or entry.field_type not in VALUE_SIZES or entry.code in found:
            continue
        size, word = VALUE_SIZES[entry.field_type]
        if size * entry.count > size_of(file):
            continue
        if not allowance.takes(size * entry.count, f"TIFF tag {entry.code}"):
            continue
        try:
            data = exactly(file, entry.value_at, size * entry.count)
        except (TagError, OverflowError):
            continue  # one value that points nowhere must not cost the others
        found[entry.code] = Tag(
            entry.field_type, entry.count, data if layout.order == "<" else _swapped(data, word)
        )
    return found


def chain(file: BinaryIO) -> Iterator[int]:
    """Where each directory of a TIFF file is: one a page (or thumbnail, or mask).

    Raises TagError on a broken chain.
    """
    layout, at = layout_of(file)
    seen: set[int] = set()
    entries = 0
    while at:
        if at in seen or len(seen) > _MAX_PAGES:
            raise TagError("the chain of pages runs in a circle")
        seen.add(at)
        yield at
        found, link_at = entries_of(file, layout, at)
        entries += len(found)
        if entries > _MAX_ENTRIES_OF_PAGES:
            raise TagError(f"the pages have more than {_MAX_ENTRIES_OF_PAGES:,} tags")
        link = exactly(file, link_at, layout.word)
        at = layout.unpack("Q" if layout.big else "I", link)


def directories(file: BinaryIO, only: frozenset[int] | None = None) -> Iterator[Directory]:
    """The directories of :func:`chain`. Raises TagError."""
    layout, _ = layout_of(file)
    for at in chain(file):
        yield directory_at(file, layout, at, only)


def holds_sensor_data(file: BinaryIO) -> bool:
    """Whether one of the first pages, or a sub-directory of one, is a camera's raw picture.

    Raises TagError.
    """
    layout, _ = layout_of(file)
    telling = frozenset({_DNG_VERSION, _PHOTOMETRIC, SUB_IFDS})
    for page in itertools.islice(directories(file, telling), _MAX_RAW_DIRECTORIES):
        branches = page[SUB_IFDS].integers(_MAX_RAW_DIRECTORIES) if SUB_IFDS in page else ()
        parts = [page, *(directory_at(file, layout, at, telling) for at in branches)]
        if any(_DNG_VERSION in part or _is_sensor(part) for part in parts):
            return True
    return False


def _is_sensor(directory: Directory) -> bool:
    """Photometric interpretation: colour filter array, or linear raw."""
    return _PHOTOMETRIC in directory and directory[_PHOTOMETRIC].integers(2) in ((32803,), (34892,))


@dataclass(frozen=True)
class Tree:
    """The directories that describe a picture, without those that store its pixels."""

    main: Mapping[int, Tag]
    exif: Mapping[int, Tag]
    gps: Mapping[int, Tag]
    interop: Mapping[int, Tag]

    def __bool__(self) -> bool:
        return bool(self.main or self.exif or self.gps)


# What says how the pixels are stored, or is kept elsewhere (ICC, XMP, IPTC), or would be stale.
_STRUCTURAL = frozenset(
    {
        *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279),
        *(280, 281, 284, 288, 289, 290, 291, 292, 293, 301, 317, 318, 319, 320, 321),
        *(322, 323, 324, 325, 326, 327, 328, 330, 332, 333, 334, 336, 338, 339, 340, 341),
        *(342, 343, 346, 347, 351, 400, 401, 403, 404, 405, 433, 434, 435, 512, 513, 514),
        *(515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 559, 34032),
        *(X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, ICC, XMP, IPTC, PHOTOSHOP),
        *(CREDENTIALS, 37724, 50341, EXIF_IFD, GPS_IFD, INTEROP_IFD, 33421, 33422),
        *(32932, 50838, 50839, 65535, 42112, 42113),
    }
)
_DNG_TAGS = range(50706, 53000)


def tree(
    file: BinaryIO, *, at: int = 0, of_raw: bool = False, allowance: Allowance | None = None
) -> Tree:
    """The descriptive tags of a page of a TIFF file (``at`` 0: the first), or of an EXIF block, as
    far as they fit ``allowance`` (None: a whole one).

    Raises TagError when there is no directory at all; a broken sub-directory is left out.
    """
    layout, first_at = layout_of(file)
    allowance = allowance or Allowance()
    main = directory_at(file, layout, at or first_at, allowance=allowance)

    def branch(parent: Directory, code: int) -> Directory:
        place = parent[code].integers(1) if code in parent else ()
        if not place:
            return {}
        try:
            return directory_at(file, layout, place[0], allowance=allowance)
        except (TagError, OverflowError):
            return {}

    exif = branch(main, EXIF_IFD)
    interop = branch(exif, INTEROP_IFD)
    exif.pop(INTEROP_IFD, None)
    kept = {code: tag for code, tag in main.items() if _describes(code, main, of_raw)}
    return Tree(kept, exif, branch(main, GPS_IFD), interop)


def _describes(code: int, main: Directory, of_raw: bool) -> bool:
    if code in {X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT}:
        # Without a unit it is the shape of a pixel, which no other field tells.
        return RESOLUTION_UNIT in main and main[RESOLUTION_UNIT].number() == _NO_UNIT
    if of_raw and (code == ORIENTATION or code in _DNG_TAGS):
        return code == ORIENTATION
    return code not in _STRUCTURAL


def serialise(directory: Mapping[int, Tag], at: int, *, big: bool = False) -> bytes:
    """One directory with its values, as it stands at position ``at`` of a little-endian file.

    The link to a next directory is 0.
    """
    word, code = (8, "Q") if big else (4, "I")
    table_size = (8 + 20 * len(directory) + 8) if big else (2 + 12 * len(directory) + 4)
    table = bytearray(struct.pack("<Q" if big else "<H", len(directory)))
    values = bytearray()
    for number in sorted(directory):
        tag = directory[number]
        table += struct.pack("<HH" + code, number, tag.field_type, tag.count)
        if len(tag.data) <= word:
            table += tag.data.ljust(word, b"\x00")
            continue
        values += b"\x00" * (-(at + table_size + len(values)) % 2)
        table += struct.pack("<" + code, at + table_size + len(values))
        values += tag.data
    return bytes(table + b"\x00" * word + values + b"\x00" * (len(values) % 2))


def serialise_tree(
    tree: Tree, at: int, extra: Mapping[int, Tag] | None = None, *, big: bool = False
) -> tuple[bytes, int]:
    """The sub-directories and then the main one; the bytes, and where the main one starts."""
    out = bytearray(b"\x00" * (at % 2))
    kind = 16 if big else LONG

    def put(directory: Mapping[int, Tag]) -> Tag:
        place = at + len(out)
        out.extend(serialise(directory, place, big=big))
        return Tag(kind, 1, place.to_bytes(8 if big else 4, "little"))

    main, exif = dict(tree.main) | dict(extra or {}), dict(tree.exif)
    if tree.interop:
        exif[INTEROP_IFD] = put(tree.interop)
    if exif:
        main[EXIF_IFD] = put(exif)
    if tree.gps:
        main[GPS_IFD] = put(tree.gps)
    main_at = at + len(out)
    out.extend(serialise(main, main_at, big=big))
    return bytes(out), main_at


def block(tree: Tree, extra: Mapping[int, Tag] | None = None) -> bytes:
    """A complete EXIF block of ``tree``."""
    body, main_at = serialise_tree(tree, 8, extra)
    return b"II*\x00" + struct.pack("<I", main_at) + body


def short(*values: int) -> Tag:
    return Tag(SHORT, len(values), struct.pack(f"<{len(values)}H", *values))


def long(*values: int, big: bool = False) -> Tag:
    code = "Q" if big else "I"
    return Tag(16 if big else LONG, len(values), struct.pack(f"<{len(values)}{code}", *values))


def raw(data: bytes, kind: int = UNDEFINED) -> Tag:
    return Tag(kind, len(data) // VALUE_SIZES[kind][0], data)


def rational(value: float) -> Tag:
    """``value`` to within a millionth, over 1 where it is whole."""
    below = 1 if float(value).is_integer() else 10_000
    return Tag(RATIONAL, 1, struct.pack("<II", min(round(value * below), 2**32 - 1), below))


def resolution_tags(dpi: tuple[float, float]) -> Directory:
    """The tags that say so many dots an inch."""
    return {
        X_RESOLUTION: rational(dpi[0]),
        Y_RESOLUTION: rational(dpi[1]),
        RESOLUTION_UNIT: short(_INCH),
    }


def resolution_of(directory: Mapping[int, Tag]) -> tuple[float, float] | None:
    """Dots an inch as a directory says, or None where it gives no absolute resolution."""
    across, down = directory.get(X_RESOLUTION), directory.get(Y_RESOLUTION)
    unit = (directory[RESOLUTION_UNIT].number() or 2) if RESOLUTION_UNIT in directory else 2
    if across is None or down is None or unit not in {2, 3}:
        return None
    values = across.number(), down.number()
    if not values[0] or not values[1]:
        return None
    scale = 2.54 if unit == 3 else 1.0
    return values[0] * scale, values[1] * scale

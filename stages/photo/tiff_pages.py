"""Which of the pictures in a TIFF file is the photo, what is said of it, and what the others are.

A file is a chain of directories, and each may have branches (SubIFDs). Scanners and cameras put a
small copy first, with what is said of the whole file, and the photo behind or below it.

Source: TIFF revision 6.0 (NewSubfileType, SubfileType); Adobe PageMaker 6.0 TIFF technical notes
(TIFF trees); ISO 12234-2, TIFF/EP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.allowance import Allowance
from restore_batch.stages.photo.metadata.tiff_tags import Directory, Layout, TagError, Tree
from restore_batch.text import plural

_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, _PHOTOMETRIC = 254, 255, 256, 257, 262
_TELLING = frozenset({_SUBFILE, _OLD_SUBFILE, _WIDTH, _LENGTH, tiff_tags.SUB_IFDS})
_REDUCED, _MASK = 1, 4
_OLD_REDUCED = 2
_RECORDS = frozenset({tiff_tags.IPTC, tiff_tags.PHOTOSHOP})
_OF_FILE = _RECORDS | {
    tiff_tags.ORIENTATION,
    tiff_tags.XMP,
    tiff_tags.ICC,
    tiff_tags.CREDENTIALS,
    _PHOTOMETRIC,
}
"""What the first directory says of the photo too, where that has no such tag: a profile if both
store the same kind of colours."""
_OF_COPY = frozenset({tiff_tags.X_RESOLUTION, tiff_tags.Y_RESOLUTION, tiff_tags.RESOLUTION_UNIT})
_MAX_BRANCHES, _MAX_TAGS_OF_BRANCHES = 10_000, 200_000


@dataclass(frozen=True)
class _Picture:
    """``at``: place of its directory, in the chain or in a branch."""

    at: int
    width: int
    height: int
    kind: Literal["full", "reduced", "mask"]
    in_chain: bool

    @property
    def area(self) -> int:
        return self.width * self.height


@dataclass(frozen=True)
class Pages:
    """``at``: place of the directory of the photo; ``tags``: its own, completed from the first
    directory, as far as they fit ``allowance``; ``codes``: of all its own tags, in order;
    ``codes_of_file``: those and the first directory's. ``count``: how many pictures in full there
    are, ``in_branches``: how many of them are in SubIFDs. ``others``: what the other pictures are.
    """

    at: int
    tags: Directory
    codes: tuple[int, ...]
    codes_of_file: frozenset[int]
    count: int
    in_branches: int
    others: tuple[Extra, ...]
    allowance: Allowance


def first(page: Directory, code: int, default: int) -> int:
    """The first value of a tag of integers."""
    values = page[code].integers(1) if code in page else ()
    return values[0] if values else default


def pages_of(file: BinaryIO) -> Pages:
    """Find the photo. Raises TagError."""
    layout, first_at = tiff_tags.layout_of(file)
    found = list(_pictures(file, layout))
    if not found:
        raise TagError("no page in the file")
    photo, full = _photo(found)
    of_full = {picture.at for picture in full}
    codes, codes_of_first = (_codes(file, layout, at) for at in (photo.at, first_at))
    allowance = Allowance()
    tags = tiff_tags.directory_at(file, layout, photo.at, allowance=allowance)
    if photo.at != first_at:
        tags = _completed(tags, tiff_tags.directory_at(file, layout, first_at, _OF_FILE, allowance))
    return Pages(
        photo.at,
        tags,
        codes,
        frozenset(codes + codes_of_first),
        len(full),
        sum(not picture.in_chain for picture in full),
        _others([picture for picture in found if picture.at not in of_full], photo),
        allowance,
    )


def described(file: BinaryIO, at: int) -> Tree:
    """The descriptive tags of the page at ``at``, completed from the first. Raises TagError."""
    allowance = Allowance()
    own = tiff_tags.tree(file, at=at, allowance=allowance)
    if at == tiff_tags.layout_of(file)[1]:
        return own
    of_file = tiff_tags.tree(file, allowance=allowance)
    main = {code: tag for code, tag in of_file.main.items() if code not in _OF_COPY}
    return Tree(
        {**main, **own.main},
        {**of_file.exif, **own.exif},
        own.gps or of_file.gps,
        own.interop or of_file.interop,
    )


def _pictures(file: BinaryIO, layout: Layout) -> Iterator[_Picture]:
    """Those of the chain, each followed by its branches. Raises TagError."""
    chain = list(tiff_tags.chain(file))
    seen, tags_seen, allowance = set(chain), 0, Allowance()
    for at in chain:
        page = tiff_tags.directory_at(file, layout, at, _TELLING, allowance)
        yield _picture(at, page, in_chain=True)
        branches = page.get(tiff_tags.SUB_IFDS)
        for branch in branches.integers(_MAX_BRANCHES + 1) if branches else ():
            if branch in seen:
                continue
            seen.add(branch)
            try:
                tags_seen += len(_codes(file, layout, branch))
                page = tiff_tags.directory_at(file, layout, branch, _TELLING, allowance)
            except (TagError, OverflowError):
                page = {}  # one that cannot be read must not cost the others
            if len(seen) - len(chain) > _MAX_BRANCHES or tags_seen > _MAX_TAGS_OF_BRANCHES:
                raise TagError("more pictures in SubIFDs than any program writes")
            picture = _picture(branch, page, in_chain=False)
            if picture.area:
                yield picture


def _codes(file: BinaryIO, layout: Layout, at: int) -> tuple[int, ...]:
    return tuple(entry.code for entry in tiff_tags.entries_of(file, layout, at)[0])


def _picture(at: int, page: Directory, *, in_chain: bool) -> _Picture:
    return _Picture(at, first(page, _WIDTH, 0), first(page, _LENGTH, 0), _kind(page), in_chain)


def _kind(page: Directory) -> Literal["full", "reduced", "mask"]:
    if _SUBFILE in page:
        kind = first(page, _SUBFILE, 0)
        return "mask" if kind & _MASK else "reduced" if kind & _REDUCED else "full"
    return "reduced" if first(page, _OLD_SUBFILE, 1) == _OLD_REDUCED else "full"


def _photo(found: list[_Picture]) -> tuple[_Picture, list[_Picture]]:
    """The photo, and all pictures in full, any of which could be it."""
    full = [picture for picture in found if picture.kind == "full"]
    in_chain = [picture for picture in full if picture.in_chain]
    if in_chain:
        photo = in_chain[0]
        # A branch that is smaller is a copy of its page, even where nothing says so.
        return photo, [each for each in full if each.in_chain or each.area >= photo.area]
    if full:
        return full[0], full
    copies = [picture for picture in found if picture.kind == "reduced"]
    photo = max(copies, key=lambda picture: picture.area) if copies else found[0]
    return photo, [photo]


def _completed(tags: Directory, of_file: Directory) -> Directory:
    """The tags of the photo, with those of the first directory that it lacks."""
    without = {_PHOTOMETRIC}
    if _RECORDS & tags.keys():
        without |= _RECORDS  # either may hold IPTC
    if tags.get(_PHOTOMETRIC) != of_file.get(_PHOTOMETRIC):
        without.add(tiff_tags.ICC)
    return {code: tag for code, tag in of_file.items() if code not in without} | tags


def _others(pictures: list[_Picture], photo: _Picture) -> tuple[Extra, ...]:
    counted = Counter(_what(picture, photo) for picture in pictures)
    return tuple(
        Extra(f"{plural(count, noun)}{rest}", left_out=why)
        for (noun, rest, why), count in counted.items()
    )


def _what(picture: _Picture, photo: _Picture) -> tuple[str, str, str]:
    """A noun, what follows it, and why the picture is left out. One in full that is not smaller
    never is."""
    if picture.kind == "mask":
        return "mask", "", "of the picture as it was"
    if picture.area < photo.area:
        return "smaller picture", "", "of the picture as it was"
    rest = " of the same size" if picture.area == photo.area else " that is larger"
    return "further picture", rest, "marked as a reduced copy, and a result holds one picture"

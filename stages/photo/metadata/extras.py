"""What becomes of all that a file holds beside its picture: passed on, or left out and said.

Readers list everything they find (:class:`Extra`). What stays true is passed on as it is; what
would be untrue of the result is left out, and so is what the packet of XMP promises of it.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable

from restore_batch.stages.media import Extra, PhotoMeta, Sidecar
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import promises
from restore_batch.text import plural

FILM = "film"
"""Type of extras (``Extra.stored_as``) that are films inside photos: what stands in a file behind
its picture, up to its end. They are left out unless a job asks for them."""
_BESIDE = "film beside"
"""Type of those that are kept beside the result, where it cannot hold them."""
_DROPPED = "photos.extras is drop"
_WHY = {
    promises.GAIN_MAP: "it fits only the picture as it was",
    promises.FILM: _DROPPED,
    promises.DEPTH_MAP: "a result holds the picture alone",
    promises.CREDENTIALS: "they would be invalid for the result",
    promises.THUMBNAIL: "of the picture as it was",
    promises.OTHER_PICTURES: "a result holds the first picture alone",
}
_UNKNOWN = "it is unknown whether it would still be true"


def left_out(kind: str, detail: str = "") -> Extra:
    """Something of a kind that :mod:`promises` names and that results never have."""
    return Extra(f"{kind}{detail}", left_out=_WHY[kind])


def film(detail: str, behind_picture: bytes, content: bytes) -> Extra:
    """A film inside a photo, whose file is ``content``. ``behind_picture``: all that stands behind
    the picture and has to stay together; b"" where it is not the last thing there."""
    extra = left_out(promises.FILM, detail)
    stored_as = FILM if behind_picture else ""
    return dataclasses.replace(extra, stored_as=stored_as, payload=behind_picture, film=content)


def carried(found: Iterable[Extra], *, fits: bool) -> tuple[Extra, ...]:
    """``found`` where a job asks to keep films: in the result where that can hold what stands
    behind the picture of its source (``fits``), else beside it."""
    return tuple(_carried(extra, fits) for extra in found)


def _carried(extra: Extra, fits: bool) -> Extra:
    if fits and extra.stored_as == FILM:
        return dataclasses.replace(extra, left_out="")
    if extra.film:
        return dataclasses.replace(extra, left_out="", stored_as=_BESIDE, payload=b"")
    return extra


def sidecars_of(meta: PhotoMeta) -> tuple[Sidecar, ...]:
    """The films that are kept beside a result."""
    films = [extra.film for extra in meta.extras if extra.stored_as == _BESIDE]
    return tuple(
        Sidecar(f".film{f'-{number}' if number > 1 else ''}{_suffix_of(film)}", film)
        for number, film in enumerate(films, 1)
    )


def _suffix_of(film: bytes) -> str:
    # ISO 14496-12 section 4.3: the major brand; QuickTime's own is a format of its own.
    return ".mov" if film[8:12] == b"qt  " else ".mp4"


def films_of(found: Iterable[Extra]) -> bytes:
    """What stands behind the picture of a result, for the films that it keeps."""
    return b"".join(extra.payload for extra in found if extra.stored_as == FILM)


def without_films(notes: Iterable[str]) -> tuple[str, ...]:
    """Notes on a header but for those on films that a job asks to keep."""
    return tuple(
        note
        for note in notes
        if not (note.startswith(f"not kept: {promises.FILM}") and note.endswith(_DROPPED))
    )


def without_credentials(warnings: Iterable[str]) -> tuple[str, ...]:
    """Warnings but for that on content credentials, of a result that carries those along."""
    return tuple(w for w in warnings if not w.startswith(f"not kept: {promises.CREDENTIALS}"))


def unknown(what: str) -> Extra:
    """Something that this program does not know, and so leaves out."""
    return Extra(what, left_out=_UNKNOWN)


def in_bytes(size: int) -> str:
    """A size as the end of an extra's name."""
    return f" ({plural(size, 'byte')})"


def settled(meta: PhotoMeta, *, turned: bool, thumbnail: bool) -> tuple[PhotoMeta, tuple[str, ...]]:
    """``meta`` as it will be true of a result, and a warning for each thing left out.

    ``turned``: the pixels are turned or mirrored; ``thumbnail``: EXIF held one. The packet of XMP
    no longer promises what results do not have.
    """
    gone = [extra for extra in meta.extras if extra.left_out]
    kept = [extra for extra in meta.extras if not extra.left_out]
    if turned:
        gone += [_untrue(extra, "turned upright") for extra in kept if extra.holds != "always"]
        kept = [extra for extra in kept if extra.holds == "always"]
    if thumbnail:
        gone.append(left_out(promises.THUMBNAIL, " in the EXIF block"))
    xmp = meta.xmp
    if xmp is not None:
        credentials = any(extra.what.startswith(promises.CREDENTIALS) for extra in gone)
        films = any(extra.stored_as == FILM for extra in kept)
        try:
            xmp, kinds = promises.without_promises(
                xmp, credentials=credentials, turned=turned, films=films
            )
        except ValueError:
            kinds = ()
            if promises.items_of(xmp) or any(extra.left_out for extra in gone):
                why = "it is damaged and stays as it is"
                gone.append(Extra("what its XMP says of things left out", left_out=why))
        for kind in kinds:
            beside = (extra for extra in kept if extra.stored_as == _BESIDE)
            if not any(extra.what.startswith(kind) for extra in (*gone, *beside)):
                gone.append(left_out(kind, ", as its XMP says"))
    meta = dataclasses.replace(meta, xmp=xmp, extras=tuple(kept))
    return meta, warnings_of(gone)


def header_notes(meta: PhotoMeta) -> tuple[str, ...]:
    """What a header shows that the result will lack. ``meta``: what it says, as far as known."""
    turned = exif_block.stated_orientation(meta.exif) != 1
    return settled(meta, turned=turned, thumbnail=exif_block.has_thumbnail(meta.exif))[1]


def fitting(
    meta: PhotoMeta, size: tuple[int, int], stored: Collection[str], title: str
) -> tuple[tuple[Extra, ...], tuple[str, ...]]:
    """The extras that a result of that size has, and warnings for the others.

    ``stored``: types of extras (``Extra.stored_as``) that its format, ``title``, stores.
    """
    kept, gone, lost = [], [], []
    for extra in meta.extras:
        if extra.stored_as == _BESIDE:
            continue
        if extra.stored_as not in stored:
            if not extra.text_key:
                lost.append(extra.what)
        elif extra.holds == "size" and meta.size not in {None, size}:
            gone.append(_untrue(extra, "given another size"))
        else:
            kept.append(extra)
    warnings = warnings_of(gone)
    if lost:
        warnings += (f"{title} cannot hold {', '.join(_counted(lost))}: not kept",)
    return tuple(kept), warnings


def warnings_of(gone: Iterable[Extra]) -> tuple[str, ...]:
    """One line for each reason why extras are left out."""
    reasons: dict[str, list[str]] = {}
    for extra in gone:
        reasons.setdefault(extra.left_out, []).append(extra.what)
    return tuple(f"not kept: {', '.join(_counted(names))}: {why}" for why, names in reasons.items())


def _untrue(extra: Extra, happened: str) -> Extra:
    why = f"the picture was {happened}"
    return dataclasses.replace(extra, left_out=why)


def _counted(names: Iterable[str]) -> list[str]:
    return [f"{count} x {name}" if count > 1 else name for name, count in Counter(names).items()]

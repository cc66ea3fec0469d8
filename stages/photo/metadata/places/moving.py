"""What a photo says of places in its picture, taken along where the picture was turned or sized."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from restore_batch.stages.media import Extra, PhotoMeta
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.metadata.extras import warnings_of
from restore_batch.stages.photo.metadata.places import regions, subjects
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.text import plural

_MOST_NAMED = 20


def moved(meta: PhotoMeta, change: Change) -> tuple[PhotoMeta, tuple[str, ...]]:
    """``meta`` with regions, subjects and the sizes they are measured in as they are after
    ``change``, and warnings that name what could not be followed, which is left out."""
    if change.is_none:
        return meta, ()
    happened = "turned upright" if change.turns else "given another size"
    why = f"its place cannot be followed, and the picture was {happened}"
    gone: list[Extra] = []
    exif, xmp = meta.exif, meta.xmp
    if exif is not None:
        try:
            exif, lost = subjects.moved(exif, change)
        except tiff_tags.TagError:
            lost = ()  # a damaged block, which is said where it is read
        gone += [Extra(what, left_out=why) for what in lost]
    if xmp is not None:
        xmp, left_out = regions.moved(xmp, change, why)
        gone += left_out
    return dataclasses.replace(meta, exif=exif, xmp=xmp), _said(gone)


def _said(gone: Sequence[Extra]) -> tuple[str, ...]:
    said = warnings_of(gone[:_MOST_NAMED])
    more = len(gone) - _MOST_NAMED
    return (
        (*said, f"not kept: {plural(more, 'place')} more, for the same reasons")
        if more > 0
        else said
    )

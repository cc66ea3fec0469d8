"""Reading a photo: what its header says, or its pixels upright in sRGB with all it says beside.

The header is read first and the size checked before a single pixel is decoded. Whatever a codec
raises ends as one :class:`MediaError` that names the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import colorimetry, colour
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import Format, WrittenFormat
from restore_batch.stages.photo.metadata import exif as exif_block
from restore_batch.stages.photo.metadata import extras, tiff_tags
from restore_batch.stages.photo.metadata import packets as metadata
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.metadata.places.moving import moved
from restore_batch.stages.photo.probe import Probe
from restore_batch.stages.photo.raster import Header, Raster, upright
from restore_batch.stages.photo.source import decoding, open_source, size_of
from restore_batch.stages.photo.verdict import holds_films, refusal

Damaged = Literal["warn", "refuse"]

_MAX_PROFILE_BYTES = 16 << 20
"""Profiles are kept for the pictures to come; printers' largest have three megabytes."""

DAMAGED = "damaged: "
"""How the warning that some of a picture is missing or wrong begins."""


def probe(source: str) -> Probe:
    """Read the header of a local path or fsspec URL, never the pixels.

    Raises MediaError, one line that names the file, for what is not a picture.
    """
    with open_source(source) as file:
        size_bytes = size_of(file)
        format, header = _header(file, source)
        with decoding(source, format.title):
            not_kept = format.not_kept(file)
    return _probe(format, header, size_bytes, not_kept)


def _probe(
    format: Format, header: Header, size_bytes: int, not_kept: tuple[str, ...] = ()
) -> Probe:
    sideways = header.orientation >= 5
    return Probe(
        container=format.name,
        width=header.height if sideways else header.width,
        height=header.width if sideways else header.height,
        bits=header.bits,
        channels=header.channels,
        has_alpha=header.has_alpha,
        pages=header.pages,
        size_bytes=size_bytes,
        refusal=header.refusal,
        notes=tuple(dict.fromkeys((*header.notes, *not_kept))),
    )


def _header(file: BinaryIO, source: str) -> tuple[Format, Header]:
    format = catalogue.of_head(file, source)
    with decoding(source, format.title), _right_colours(source):
        return format, format.header(file, source)


def read(
    source: str,
    max_megapixels: float,
    *,
    damaged: Damaged = "warn",
    target: WrittenFormat | None = None,
    scale: float = 1.0,
    keep_films: bool = False,
) -> tuple[Frame, PhotoMeta, tuple[str, ...]]:
    """Decode a local path or fsspec URL: upright sRGB, what to write back, and warnings.

    ``damaged``: what to do with a picture of which some is missing or wrong. ``target``: the
    format that the picture, ``scale`` times as large, is to be written in. ``keep_films``: the
    short films inside photos are to be carried over.

    Raises MediaError, one line that names the file: not a picture, cut off, of high dynamic range,
    or refused from the header (:func:`restore_batch.stages.photo.verdict.refusal`), before
    decoding.
    """
    with open_source(source) as file:
        format, header = _header(file, source)
        said = _probe(format, header, 0)
        size = said.width, said.height
        why_not = said.refusal or refusal(*size, max_megapixels, target, scale)
        if why_not:
            raise MediaError(f"{source}: {why_not}")
        with decoding(source, format.title):
            raster = format.decode(file, source)
            if raster.samples.shape[:2] not in {
                (header.height, header.width),
                (header.width, header.height),
            }:
                found = f"{raster.samples.shape[1]}x{raster.samples.shape[0]}"
                raise MediaError(
                    f"{source}: the {format.title} header says "
                    f"{header.width}x{header.height}, the data are {found}"
                )
    if raster.damage and damaged == "refuse":
        raise MediaError(
            f"{source}: {DAMAGED}{raster.damage}; limits.damaged: warn restores what is there"
        )
    with _right_colours(source):
        frame, meta, warnings = _finished(_with_films(raster, target) if keep_films else raster)
    damage = (f"{DAMAGED}{raster.damage}",) if raster.damage else ()
    # What the header shows is said of the picture too.
    return frame, meta, tuple(dict.fromkeys((*damage, *header.notes, *warnings)))


@contextmanager
def _right_colours(source: str) -> Iterator[None]:
    """Name the file whose colours cannot be used."""
    try:
        yield
    except colour.ColourError as error:
        raise MediaError(f"{source}: {error}") from error


def _with_films(raster: Raster, target: WrittenFormat | None) -> Raster:
    """The same, with its films among what is kept where ``target`` holds them."""
    meta = raster.meta
    found = extras.carried(meta.extras, fits=holds_films(target, meta.container))
    return dataclasses.replace(raster, meta=dataclasses.replace(meta, extras=found))


def _finished(raster: Raster) -> tuple[Frame, PhotoMeta, tuple[str, ...]]:
    meta, orientation, warnings = _upright_meta(raster)
    if meta.icc is not None and len(meta.icc) > _MAX_PROFILE_BYTES:
        too_large = f"its colour profile of {len(meta.icc):,} bytes is not read: no device has one"
        meta, warnings = dataclasses.replace(meta, icc=None), (*warnings, too_large)
    thumbnail = exif_block.has_thumbnail(raster.meta.exif)
    meta, not_kept = extras.settled(meta, turned=orientation != 1, thumbnail=thumbnail)
    meaning = colorimetry.meaning(meta.icc, raster.stated, meta.exif, raster.space, meta.bits)
    managed = colour.to_srgb(raster.samples, raster.space, meaning.icc)
    alpha = raster.alpha_hw
    if alpha is not None and managed.rgb_hwc.dtype != alpha.dtype:
        alpha = colour.full_depth(alpha)
    frame = Frame(
        rgb_hwc=upright(managed.rgb_hwc, orientation),
        alpha_hw=None if alpha is None else upright(alpha, orientation),
        grey=raster.space == "grey",
    )
    # Some decoders have turned the pixels already, as EXIF says too.
    turned_by = exif_block.stated_orientation(raster.meta.exif) if orientation == 1 else orientation
    change = Change.upright(turned_by, (frame.width, frame.height))
    meta, misplaced = moved(meta, change)
    meta = dataclasses.replace(
        meta,
        size=change.after,
        icc=managed.icc,
        icc_made=meaning.made,
        icc_elsewhere=meaning.elsewhere,
        stored=None if managed.stored is None else upright(managed.stored, orientation),
        outside_srgb=managed.outside_srgb,
    )
    return frame, meta, (*raster.warnings, *warnings, *not_kept, *misplaced, *meaning.warnings)


def _upright_meta(raster: Raster) -> tuple[PhotoMeta, int, tuple[str, ...]]:
    """The metadata with its orientation reset, and the orientation to apply to the pixels."""
    meta = raster.meta
    warnings: tuple[str, ...] = ()
    exif, dpi, stated = meta.exif, meta.dpi, None
    if exif is not None:
        try:
            stated = exif_block.orientation(exif)
            dpi = dpi or exif_block.resolution(exif)
            exif = exif_block.upright(exif)
        except tiff_tags.TagError as error:
            warnings = (f"its EXIF block is damaged and not kept: {error}",)
            exif = None
    if stated is None and meta.xmp is not None:
        stated = metadata.xmp_orientation(meta.xmp)
    orientation = raster.orientation or stated or 1
    dpi = metadata.whole_dpi(dpi)
    if dpi is not None and orientation >= 5:
        dpi = dpi[1], dpi[0]
    xmp = metadata.upright_xmp(meta.xmp) if meta.xmp is not None else None
    return dataclasses.replace(meta, exif=exif, xmp=xmp, dpi=dpi), orientation, warnings

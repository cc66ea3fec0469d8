"""The tables of docs/photos.md, from what the formats say."""

from __future__ import annotations

from collections.abc import Sequence

from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.formats.base import Format, WrittenFormat

_HEADINGS = (
    "format",
    "suffixes",
    "written as",
    "quality",
    "bits",
    "transparency",
    "keeps",
    "largest side",
)
_BEYOND_PX = 2**31 - 1
"""Larger than any picture."""
_FATES = (
    "format",
    "kept where it is there",
    "kept in another form",
    "left out and said",
    "refused",
)
_STORED = {
    "film": "films (`photos.extras: keep`)",
    "jp2": "boxes of text and links",
    "jpeg": "comments and segments",
    "photoshop": "Photoshop resources",
    "png": "text and safe chunks",
}
_CARRIED = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC", "icc": "profile", "dpi": "resolution"}


def markdown() -> str:
    """A line for each format of the catalogue."""
    lines = [f"| {' | '.join(_HEADINGS)} |", "| --- " * len(_HEADINGS) + "|"]
    for format in catalogue.formats():
        lines.append(f"| {' | '.join(_cells(format))} |")
    return "\n".join(lines)


def fates() -> str:
    """A line for each format: what becomes of what its files hold, where the format is kept."""
    lines = [f"| {' | '.join(_FATES)} |", "| --- " * len(_FATES) + "|"]
    for format in catalogue.formats():
        kept_as = catalogue.written_named(format.kept_as)
        kept = [_CARRIED[name] for name in _CARRIED if name in kept_as.carries]
        if kept_as is format:
            kept += [_STORED[name] for name in sorted(kept_as.stores_extras)]
        form = list(format.converted)
        if kept_as is not format:
            form.insert(0, f"becomes {kept_as.title}")
        cells = (format.title, kept, form, format.left_out, format.refused)
        lines.append("| " + " | ".join(_listed(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _listed(cell: str | Sequence[str]) -> str:
    return cell if isinstance(cell, str) else "; ".join(cell) or "–"


def _cells(format: Format) -> tuple[str, ...]:
    name = f"{format.title} (`{format.name}`)"
    if format.extra:
        name += f", needs `[{format.extra}]`"
    suffixes = " ".join(suffix.removeprefix(".") for suffix in format.suffixes)
    if not isinstance(format, WrittenFormat):
        return name, suffixes, catalogue.named(format.kept_as).title, *["–"] * 5
    return (
        name,
        suffixes,
        " ".join(suffix.removeprefix(".") for suffix in format.written_suffixes),
        _quality(format),
        " or ".join(map(str, format.bit_depths)),
        "yes" if format.holds_alpha else "no",
        _kept(format) or "–",
        f"{format.max_side_px:,}" if format.max_side_px < _BEYOND_PX else "–",
    )


def _quality(format: WrittenFormat) -> str:
    if not format.takes_quality:
        return "lossless"
    return "lossless, or 1–100" if format.usual_quality is None else f"{format.usual_quality}"


def _kept(format: WrittenFormat) -> str:
    kept = [text for name, text in _CARRIED.items() if name in format.carries]
    if format.text_keys is None:
        kept.append("text")
    return ", ".join([*kept, *(key.lower() for key in sorted(format.text_keys or ()))])

"""The table of docs/photos.md, from what the formats say: ``python -m`` this module prints it."""

from __future__ import annotations

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
_CARRIED = {"exif": "EXIF", "xmp": "XMP", "iptc": "IPTC", "icc": "profile", "dpi": "resolution"}


def markdown() -> str:
    """A line for each format of the catalogue."""
    lines = [f"| {' | '.join(_HEADINGS)} |", "| --- " * len(_HEADINGS) + "|"]
    for format in catalogue.formats():
        lines.append(f"| {' | '.join(_cells(format))} |")
    return "\n".join(lines)


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


if __name__ == "__main__":
    print(markdown())

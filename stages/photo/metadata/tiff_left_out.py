"""Tags that tell of the samples as they were, and so are not in a result.

Source: TIFF revision 6.0 (sections 8, 16, 20); GDAL and ImageJ for their own tags.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable

from restore_batch.stages.media import Extra
from restore_batch.stages.photo.metadata.extras import unknown
from restore_batch.stages.photo.metadata.tiff_tags import Directory, Tag

_PHOTOMETRIC, _CHROMATICITIES, _CLIP_PATH = 262, 319, 343
_OF_RGB = frozenset({2, 3, 6})
_SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_SAME = 0.002
_OF_SAMPLES = {
    280: "least sample",
    281: "greatest sample",
    291: "response to grey",
    301: "transfer function",
    319: "chromaticities",
    321: "hints for halftones",
    333: "names of inks",
    336: "range of dots",
    340: "least sample",
    341: "greatest sample",
    342: "range of the transfer function",
    32932: "annotations",
    34032: "CMYK equivalent",
    42112: "metadata of GDAL",
    42113: "value of GDAL for no data",
    50839: "metadata of ImageJ",
}


def tags_left_out(codes: Iterable[int], page: Directory) -> tuple[Extra, ...]:
    """The extras among the tags of a page. ``codes``: of all its tags, in order."""
    counted = Counter(codes)
    if not _tells_of_other_colours(page):
        counted.pop(_CHROMATICITIES, None)
    why, why_once = "it describes the samples as they were", "the first of equal tags counts"
    return (
        *(
            Extra(f"TIFF tag {code} ({name})", left_out=why)
            for code, name in _OF_SAMPLES.items()
            if code in counted
        ),
        *((unknown(f"TIFF tag {_CLIP_PATH} (clipping path)"),) if _CLIP_PATH in counted else ()),
        *(
            Extra(f"TIFF tag {code}, repeated", left_out=why_once)
            for code, count in counted.items()
            if count > 1
        ),
    )


def _tells_of_other_colours(page: Directory) -> bool:
    """Whether the chromaticities carry information; many writers put sRGB's there, or put them
    beside data that is not RGB."""
    tag, kind = page.get(_CHROMATICITIES), page.get(_PHOTOMETRIC)
    if tag is None or kind is None or kind.integers()[:1] not in {(each,) for each in _OF_RGB}:
        return False
    values = _ratios(tag)
    return any(abs(a - b) > _SAME for a, b in zip(values, _SRGB, strict=False))


def _ratios(tag: Tag) -> tuple[float, ...]:
    pairs = struct.iter_unpack("<II", tag.data[: len(tag.data) // 8 * 8])
    return tuple(above / below for above, below in pairs if below)

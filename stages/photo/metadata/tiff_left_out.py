"""Tags that tell of the samples as they were, and so are not in a result.

Source: TIFF revision 6.0 (sections 8, 16, 20); GDAL and ImageJ for their own tags.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from restore_batch.stages.media import Extra

_OF_SAMPLES = {
    280: "least sample",
    281: "greatest sample",
    291: "response to grey",
    301: "transfer function",
    319: "chromaticities",
    333: "names of inks",
    336: "range of dots",
    340: "least sample",
    341: "greatest sample",
    32932: "annotations",
    42112: "metadata of GDAL",
    42113: "value of GDAL for no data",
    50839: "metadata of ImageJ",
}


def tags_left_out(codes: Iterable[int]) -> tuple[Extra, ...]:
    """The extras among the tags of a page, by all their codes in order."""
    counted = Counter(codes)
    why, why_once = "it describes the samples as they were", "the first of equal tags counts"
    return (
        *(
            Extra(f"TIFF tag {code} ({name})", left_out=why)
            for code, name in _OF_SAMPLES.items()
            if code in counted
        ),
        *(
            Extra(f"TIFF tag {code}, repeated", left_out=why_once)
            for code, count in counted.items()
            if count > 1
        ),
    )

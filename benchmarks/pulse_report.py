"""How often PULSE finds a face that downscales to the given one, by group of people.

The generator draws some people better than others: where no face near a group's own can be
drawn, none is found. The rates say so; they say nothing of whether a face found is the right one.

Source: Menon et al. 2020 (arXiv 2003.03808), the table of success rates of PULSE on StyleGAN of
FFHQ by ethnicity, for FairFace. A success is an image that downscales correctly: a mean squared
difference of at most ``eps``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from restore_batch.models.families.pulse import Match

OVERALL = "all"


@dataclass(frozen=True)
class SuccessRate:
    """Of ``faces`` of a group, ``found`` have a consistent match."""

    group: str
    found: int
    faces: int

    @property
    def share(self) -> float:
        """``found`` over ``faces``, in [0, 1]."""
        return self.found / self.faces


def success_table(
    matches: Sequence[Match], groups: Sequence[str | None]
) -> tuple[SuccessRate, ...]:
    """The rate of each group, by name, then that of all faces.

    ``groups``: of each match; faces of no known group (None) count among all faces only. Empty
    without matches. Raises ValueError when the two differ in length or a group is called "all".
    """
    if len(matches) != len(groups):
        raise ValueError(f"{len(matches)} matches but {len(groups)} groups")
    if OVERALL in groups:
        raise ValueError(f"a group cannot be called {OVERALL!r}: that is the sum of all")
    if not matches:
        return ()
    faces = Counter(group for group in groups if group is not None)
    found = Counter(
        group
        for match, group in zip(matches, groups, strict=True)
        if group is not None and match.consistent
    )
    rates = [SuccessRate(group, found[group], faces[group]) for group in sorted(faces)]
    total = sum(match.consistent for match in matches)
    return (*rates, SuccessRate(OVERALL, total, len(matches)))


def as_text(table: Sequence[SuccessRate]) -> str:
    """The table in the paper's form, groups across, with the number of faces below."""
    names = [rate.group.replace("_", " ") for rate in table]
    shares = [f"{100 * rate.share:.1f}%" for rate in table]
    counts = [str(rate.faces) for rate in table]
    columns = [["", "success rate", "faces"], *map(list, zip(names, shares, counts, strict=True))]
    widths = [max(map(len, column)) for column in columns]
    lines = zip(*columns, strict=True)
    return "\n".join(
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(row))
        for row in (zip(line, widths, strict=True) for line in lines)
    )

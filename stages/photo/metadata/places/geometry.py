"""How a picture was turned and sized, and where that takes what is at a place in it.

Places are measured from the upper left corner, to the right and down. In a normalised frame the
picture is 1 wide and 1 high, else as many pixels as it has.

Source: Exif 2.32, 4.6.4 (Orientation) and 4.6.5 (SubjectArea, SubjectLocation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

Pair = tuple[Decimal, Decimal]

_SIDEWAYS = frozenset({5, 6, 7, 8})
_UPSIDE_DOWN = frozenset({3, 4, 7, 8})
_LEFT_TO_RIGHT = frozenset({2, 3, 6, 7})
_MIRRORED = frozenset({2, 4, 5, 7})
_QUARTERS = {3: 2, 4: 2, 5: 3, 6: 1, 7: 1, 8: 3}
_ALIKE = 0.01
"""By how much two shapes may differ that are the same: the smaller of two copies is rounded."""


@dataclass(frozen=True)
class Change:
    """``orientation``: the EXIF orientation that was applied, 1 to 8. ``before`` and ``after``:
    width and height as stored, and of the result."""

    orientation: int
    before: tuple[int, int]
    after: tuple[int, int]

    @classmethod
    def upright(cls, orientation: int, after: tuple[int, int]) -> Change:
        """A picture that ``orientation`` was applied to, and that is ``after`` large since."""
        return cls(orientation, after[::-1] if orientation in _SIDEWAYS else after, after)

    @classmethod
    def sized(cls, before: tuple[int, int], after: tuple[int, int]) -> Change:
        return cls(1, before, after)

    @property
    def without_turn(self) -> Change:
        """What it is to a place that was taken from the picture as it is shown."""
        return Change(1, self.before[::-1] if self.is_sideways else self.before, self.after)

    @property
    def is_none(self) -> bool:
        return not self.turns and not self.sizes

    @property
    def turns(self) -> bool:
        return self.orientation != 1

    @property
    def sizes(self) -> bool:
        return sorted(self.before) != sorted(self.after)

    @property
    def is_sideways(self) -> bool:
        return self.orientation in _SIDEWAYS

    @property
    def mirrors(self) -> bool:
        return self.orientation in _MIRRORED

    def point(self, x: Decimal, y: Decimal, *, pixels: bool) -> Pair:
        """Where a point lies. Raises ValueError for pixels that the picture never had, and that
        were to be turned."""
        across, down = map(Decimal, self.before if pixels else (1, 1))
        if pixels and self.turns and not (0 <= x <= across and 0 <= y <= down):
            raise ValueError("outside the picture")
        if self.is_sideways:
            x, y, across, down = y, x, down, across
        if self.orientation in _UPSIDE_DOWN:
            y = down - y
        if self.orientation in _LEFT_TO_RIGHT:
            x = across - x
        return self._scaled(x, y) if pixels else (x, y)

    def size(self, width: Decimal, height: Decimal, *, pixels: bool) -> Pair:
        """Width and height of something."""
        if self.is_sideways:
            width, height = height, width
        return self._scaled(width, height) if pixels else (width, height)

    def corner(
        self, x: Decimal, y: Decimal, width: Decimal, height: Decimal, *, pixels: bool
    ) -> Pair:
        """The upper left corner of a rectangle, by what was its upper left corner and its size."""
        here = self.point(x, y, pixels=pixels)
        there = self.point(x + width, y + height, pixels=pixels)
        return min(here[0], there[0]), min(here[1], there[1])

    def share_of_width(self, share: Decimal) -> Decimal:
        """What a length that was this share of the width is of the width now."""
        return share * self.before[0] / self.before[1] if self.is_sideways else share

    def angle(self, clockwise: float, turn: float) -> float:
        """What an angle is that was measured clockwise from upright; ``turn``: a whole turn."""
        mirrored = -clockwise if self.mirrors else clockwise
        return mirrored + _QUARTERS.get(self.orientation, 0) * turn / 4

    def subject(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """EXIF's area of a subject: the pixel in its middle, and its diameter, or its width and
        height, if it says so. Raises ValueError where that is not in the picture."""
        x, y, *rest = numbers
        if not (0 <= x < self.before[0] and 0 <= y < self.before[1]) or len(rest) > 2:
            raise ValueError("outside the picture")
        half = Decimal("0.5")
        middle = self.point(x + half, y + half, pixels=True)
        sides = self.size(Decimal(rest[0]), Decimal(rest[-1]), pixels=True) if rest else ()
        return (
            *map(math.floor, middle),
            *(max(round(side), 1) if side else 0 for side in sides[: len(rest)]),
        )

    def is_of_result(self, width: Decimal, height: Decimal) -> bool:
        """Whether a picture of that shape lies as the turned one does, not as the stored one."""
        was, now = self.before, self.without_turn.before
        return _alike(width, height, now) and not _alike(width, height, was)

    def _scaled(self, x: Decimal, y: Decimal) -> Pair:
        before = self.without_turn.before
        if before == self.after:
            return x, y
        return x * self.after[0] / before[0], y * self.after[1] / before[1]


def _alike(width: Decimal, height: Decimal, size: tuple[int, int]) -> bool:
    one, other = float(width) * size[1], float(height) * size[0]
    return abs(one - other) <= _ALIKE * max(one, other)

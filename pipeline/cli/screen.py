"""Tables, bars and lines by rich, in which no text from outside is markup or a command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from restore_batch.text import legible

_NEVER_FULL = 1_000_000


class Screen(Console):
    """A console that prints text as it is. Where the output is no terminal, nothing is cut or
    wrapped: there is no screen to fit, and a cut line cannot be searched."""

    def __init__(self, *, stderr: bool = False, **settings: Any) -> None:
        super().__init__(
            stderr=stderr, soft_wrap=True, highlight=False, markup=False, emoji=False, **settings
        )
        if not self.is_terminal:
            self.width = _NEVER_FULL

    def say(self, line: str) -> None:
        """Print one line, whatever is in it."""
        self.print(legible(line))

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """As rich does; text that would move the cursor or hide something is escaped. Line ends
        are rich's own: those in names are escaped before, where a line is put together."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                text = "\n".join(map(legible, segment.text.split("\n")))
                yield Segment(text, segment.style)

"""How fast a run goes, and when it may be done."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from restore_batch.jobs.history import Ended
from restore_batch.text import duration

_WINDOW_S = 300.0
_LEAST_S = 1.0


def roughly(seconds: float) -> str:
    """As :func:`~restore_batch.text.duration`, in whole seconds."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(seconds)


class Pace:
    """Items that the newest run brought to an end lately."""

    def __init__(self) -> None:
        self._run: Mapping[str, Any] = {}
        self._ended: deque[float] = deque()

    def of_run(self, run: Mapping[str, Any]) -> None:
        """The run that counts."""
        if run.get("id") != self._run.get("id"):
            self._ended.clear()
        self._run = run

    def add(self, ended: Iterable[Ended]) -> None:
        """Attempts that ended, in their order; those of other runs and at parts do not count."""
        run = self._run.get("id")
        self._ended += (each.ended for each in ended if each.run == run and each.output)

    def a_minute(self, now: float) -> float | None:
        """Items a minute over the last five, or since the run began; None while none has ended.
        ``now``: seconds since 1970."""
        begun = float(self._run.get("started") or now)
        first = max(begun, now - _WINDOW_S)
        while self._ended and self._ended[0] < first:
            self._ended.popleft()
        if not self._ended:
            return None
        return 60 * len(self._ended) / max(_LEAST_S, now - first)

    def said(self, now: float, left: int, *, films: bool) -> str:
        """In words. ``left``: without the films at work, of which nobody knows how long they take;
        ``films``: whether there are any."""
        rate = self.a_minute(now)
        if rate is None:
            return ""
        said = f"{rate:.1f} a minute" if rate < 100 else f"{rate:,.0f} a minute"
        if left:
            said += f", about {roughly(60 * left / rate)} left"
            said += " without the films that are at work" if films else ""
        return said

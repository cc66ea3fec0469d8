"""What is shown now, kept up to date item by item, and which page has been told of what.

Items keep the numbers that they were first shown under. Each change is noted by its item's number
in a log: a page knows how long the log was when it was last told, and is told of the rest.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from restore_batch.jobs.history import Entry
from restore_batch.jobs.patterns import Roots
from restore_batch.jobs.records import ItemAtWork
from restore_batch.pipeline.report.cache import Previews
from restore_batch.pipeline.report.items import Shown
from restore_batch.pipeline.report.summary import (
    Kinds,
    about,
    counted,
    counts_of,
    kinds_of,
    line_of,
    low_identity,
)
from restore_batch.pipeline.serve.looks import Look
from restore_batch.pipeline.serve.pace import Pace, roughly
from restore_batch.text import legible

_AT_WORK_SHOWN = 20
_QUIET_S = 60.0


class Board:
    """The items of one output folder and how its newest run goes.

    ``previews_of``: those of an item, or why it has none. ``generation`` changes when numbers no
    longer mean what they did: pages of earlier ones are to be loaded again.
    """

    def __init__(self, previews_of: Callable[[Entry], tuple[Previews | None, str]]) -> None:
        self._previews_of = previews_of
        self._lock = threading.RLock()
        self.runs: list[Mapping[str, Any]] = []
        self.moment = 0
        """Is another whenever anything that is shown has changed."""
        self._fault = ""
        self._at_work: Sequence[ItemAtWork] = ()
        self._since: dict[str, float] = {}
        self._changed_at = time.time()
        self._pace = Pace()
        self._begin()

    def _begin(self) -> None:
        self.generation = secrets.token_hex(8)
        self.shown: list[Shown] = []
        self._numbers: dict[str, int] = {}
        self._keys: dict[str, int] = {}
        self._log: list[int] = []
        self._sums: Counter[str] = Counter()
        self._warnings, self._failures = Kinds(Counter()), Kinds(Counter())
        self._summary: tuple[int, dict[str, Any]] | None = None

    # -- what comes in ------------------------------------------------------------------------
    def take(self, look: Look) -> None:
        """Show what a look at the ledger found."""
        with self._lock:
            if look.is_whole:
                self._take_whole(look)
            elif look.runs:
                self.runs[-1:] = look.runs
            self._pace.of_run(self.run)
            self._pace.add(look.ended)
            for entry in look.entries:
                previews, why = self._previews_of(entry)
                attempts = tuple(look.attempts.get(entry.unit, ()))
                self._put(Shown(entry, previews, look.films.get(entry.unit), attempts, why))
            self._at_work = look.at_work
            now = time.monotonic()
            self._since = {w.output: self._since.get(w.output, now) for w in look.at_work}
            self._changed_at, self._summary, self._fault = time.time(), None, ""
            self.moment += 1

    def cannot_look(self, why: str) -> None:
        """The ledger cannot be read now."""
        if why != self._fault:
            self._fault = why
            self.moment += 1

    def _take_whole(self, look: Look) -> None:
        before, self.runs, self._pace = self.job, list(look.runs), Pace()
        gone = self._numbers.keys() - {entry.output for entry in look.entries}
        if gone or before != self.job:
            self._begin()

    def made(self, entry: Entry) -> None:
        """Previews of an item were made, or could not be."""
        with self._lock:
            number = self._numbers.get(entry.output)
            if number is not None and self.shown[number].entry == entry:
                previews, why = self._previews_of(entry)
                self._put(replace(self.shown[number], previews=previews, why_no_previews=why))
                self._summary = None
                self.moment += 1

    def _put(self, each: Shown) -> None:
        number = self._numbers.setdefault(each.entry.output, len(self.shown))
        gone: tuple[set[str], set[str]] = (set(), set())
        if number == len(self.shown):
            self.shown.append(each)
        else:
            former = self.shown[number]
            if former == each:
                return
            gone = kinds_of(former)
            self._sums.subtract(counted(former, self.low))
            self.shown[number] = each
        self._sums.update(counted(each, self.low))
        if each.previews is not None:
            self._keys[each.previews.path.rpartition("/")[2]] = number
        for kinds, old, new in zip(
            (self._warnings, self._failures), gone, kinds_of(each), strict=True
        ):
            kinds.change(old, new)
        self._log.append(number)

    # -- what is shown ------------------------------------------------------------------------
    @property
    def run(self) -> Mapping[str, Any]:
        """The newest run; empty before the first."""
        return self.runs[-1] if self.runs else {}

    @property
    def job(self) -> Mapping[str, Any]:
        """That of the newest run, as plain data."""
        return self.run.get("job") or {}

    @property
    def low(self) -> float:
        """Below this likeness a face is doubtful."""
        return low_identity(self.job)

    @property
    def sequence(self) -> int:
        """How long the log is."""
        return len(self._log)

    def about(self) -> tuple[dict[str, Any], int]:
        """What stands above the list, and how long the log was then."""
        with self._lock:
            if self._summary is None or self._summary[0] != self.sequence:
                found = about(self.shown, self.runs, self._warnings, self._failures)
                self._summary = self.sequence, found
            return self._summary[1], self.sequence

    def entry_of(self, key: str) -> Entry | None:
        """The item whose previews have that key."""
        with self._lock:
            number = self._keys.get(key)
            return None if number is None else self.shown[number].entry

    def lines(self, start: int, most: int) -> list[dict[str, Any]]:
        """Lines of the items from number ``start`` on."""
        with self._lock:
            return self._lines(self.shown[start : start + most])

    def news(self, sequence: int, most: int) -> tuple[dict[str, Any], int]:
        """What a page is told that knows ``sequence`` of the log, and how far it knows it then:
        the state, [number, line] of at most ``most`` changes, and kinds where any item changed.
        All of one moment: counts never lag behind the cards that they count."""
        with self._lock:
            end = min(len(self._log), sequence + most)
            numbers = sorted(set(self._log[sequence:end]))
            lines = self._lines([self.shown[number] for number in numbers])
            news = {
                "state": self.state(),
                "lines": [list(pair) for pair in zip(numbers, lines, strict=True)],
                "kinds": self.kinds() if lines else {},
            }
            return news, end

    def _lines(self, shown: Sequence[Shown]) -> list[dict[str, Any]]:
        roots = Roots(str(entry) for entry in self.job.get("inputs") or ())
        return [line_of(each, roots, self._warnings, self._failures) for each in shown]

    def kinds(self) -> dict[str, list[tuple[str, int]]]:
        """Kinds of warnings and failures with their counts, by number."""
        with self._lock:
            return {"kind": list(self._warnings.listed), "reason": list(self._failures.listed)}

    def state(self) -> dict[str, Any]:
        """How the run goes, as plain data, in words where they are the same for everyone."""
        now = time.time()
        with self._lock:
            run, at_work = self.run, self._at_work
            going = bool(run) and run.get("ended") is None
            total = max(int(run.get("total") or 0), len(self.shown))
            counts = counts_of(self._sums, total)
            quiet_s = now - self._changed_at
            films = sum(bool(each.segments_done or each.segments_begun) for each in at_work)
            left = max(0, counts["left"] - films)
            return {
                "counts": counts,
                "total": total,
                "going": going,
                "said": self._said(run, going),
                "pace": self._pace.said(now, left, films=films > 0) if going else "",
                "quiet": roughly(quiet_s) if going and quiet_s > _QUIET_S else "",
                "at_work_count": len(at_work),
                "at_work": [self._work(each) for each in at_work[:_AT_WORK_SHOWN]],
                "fault": legible(self._fault),
            }

    def _said(self, run: Mapping[str, Any], going: bool) -> str:
        if not run:
            return "No run has begun yet."
        if going:
            return "A run is going on, or was cut off."
        return f"The last run has ended: {legible(str(run.get('outcome') or 'nobody knows how'))}."

    def _work(self, each: ItemAtWork) -> dict[str, Any]:
        said = []
        if begun := each.segments_done + each.segments_begun:
            said.append(f"segments done: {each.segments_done} of the {begun} begun")
        if each.attempts > 1:
            said.append(f"attempt {each.attempts}")
        seen = self._since.get(each.output)
        if seen is not None:
            said.append(f"seen at work for {roughly(time.monotonic() - seen)}")
        return {"output": legible(each.output), "said": ", ".join(said)}

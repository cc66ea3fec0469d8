"""Looks at a ledger: all of it once, later what has come since."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.jobs.history import Ended, Entry, FailedAttempt, History, Mark
from restore_batch.jobs.records import ItemAtWork
from restore_batch.pipeline.report.films import FilmFaces, summed_up

_AT_ONCE = 400


@dataclass(frozen=True)
class Look:
    """What was found. ``is_whole``: ``entries`` are all there are, else those that may have
    changed. ``runs``: all, or the newest alone. ``ended``: attempts, with those at parts."""

    mark: Mark
    is_whole: bool
    runs: Sequence[Mapping[str, Any]]
    entries: Sequence[Entry]
    attempts: Mapping[str, Sequence[FailedAttempt]]
    films: Mapping[str, FilmFaces]
    ended: Sequence[Ended]
    at_work: Sequence[ItemAtWork]


def look_at(output_dir: Path, last: Look | None) -> Look:
    """Look at the ledger of ``output_dir`` without a trace; ``last``: the look before.

    Raises ManifestError where it cannot be read.
    """
    return History.glance(output_dir, lambda history: _asked(history, last))


def _asked(history: History, last: Look | None) -> Look:
    mark, at_work = history.mark(), history.at_work()
    if last is None or mark.run != last.mark.run or min(mark[i] - last.mark[i] for i in (1, 2)) < 0:
        films = {unit: summed_up(frames) for unit, frames in history.film_frames()}
        return Look(
            mark, True, history.runs(), list(history.entries()), history.failed_attempts(), films,
            history.ended_since(Mark()), at_work,
        )  # fmt: skip
    ended = history.ended_since(last.mark)
    # Once more those that ended before: a copy of an original stands in only after its failure.
    before = () if last.is_whole else last.ended
    changed = {each.output for each in (*ended, *before) if each.output}
    changed |= {each.output for each in at_work} ^ {each.output for each in last.at_work}
    changed.update(history.begun_since(last.mark))
    entries = [entry for few in _few(changed) for entry in history.entries(few)]
    troubled = [e.unit for e in entries if e.attempts > 1 or e.state == "failed"]
    attempts: dict[str, Sequence[FailedAttempt]] = {}
    for few in _few(troubled):
        attempts |= history.failed_attempts(few)
    done = [e.unit for e in entries if e.kind not in ("photo", "") and e.state == "done"]
    films = {unit: summed_up(frames) for film in done for unit, frames in history.film_frames(film)}
    newest = history.last_run()
    runs = () if newest is None else (newest,)
    return Look(mark, False, runs, entries, attempts, films, ended, at_work)


def _few(values: Collection[str]) -> Iterator[list[str]]:
    """Some hundred at a time: a statement takes no more."""
    rest = iter(sorted(values))
    while few := list(itertools.islice(rest, _AT_ONCE)):
        yield few

"""What a run says of originals and results that are not what they were when they were noted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import or_

from restore_batch.jobs.manifest import Manifest
from restore_batch.pipeline.drive.standing import Standing
from restore_batch.pipeline.drive.summary import Summary
from restore_batch.pipeline.plan.earlier import Changed
from restore_batch.text import first_of, plural


class Tally:
    """How many results of the same job were made with something else than it would take today."""

    def __init__(self) -> None:
        self._kept: Counter[Changed] = Counter()
        self._made_again: Counter[Changed] = Counter()

    def add(self, changed: Changed, *, is_kept: bool) -> None:
        """One more of them."""
        (self._kept if is_kept else self._made_again)[changed] += 1

    def lines(self, made_again: str) -> Iterator[str]:
        """What is said of them; ``made_again``: what becomes of those that are not kept."""
        if self._kept:
            since = reduce(or_, self._kept).since
            yield (
                f"{_results(self._kept.total())} made by version 0.1.0 and kept (since then:"
                f" {since}); what is taken away is made again"
            )
        for changed, count in self._made_again.most_common():
            yield f"{_results(count)} made {changed.what} and {made_again} ({changed.why})"


def _results(count: int) -> str:
    return f"{plural(count, 'result')} {'was' if count == 1 else 'were'}"


class Changes:
    """Warnings go to ``summary``. ``verify``: all results are read, also those that look
    untouched."""

    def __init__(self, manifest: Manifest, summary: Summary, *, verify: bool) -> None:
        self._manifest, self._summary, self._verify = manifest, summary, verify
        self._tally = Tally()

    def count(self, found: Standing) -> None:
        """An item is come to: its result may have been made with something else."""
        if found.changed is not None:
            self._tally.add(found.changed, is_kept=found.state == "done")
            self._summary.earlier = list(self._tally.lines("made again"))

    def tell(self, found: Standing, sha256: str) -> None:
        """Say of an item whose source was read, and holds this, what has changed."""
        unit = found.unit
        if found.has_changed(sha256):
            text = "the original's content has changed since it was last read; it is restored anew"
            self._summary.warned.append((unit.source, text))
        pending = found.state == "pending" and not found.reason
        if not (self._verify and pending and self._manifest.result_of(unit) is not None):
            return
        if self._manifest.results.is_taken(unit.output):
            # Its size and time may be as they were; it is kept when it is replaced.
            self._manifest.altered.found(unit.output)
        else:
            text = f"the result {unit.output} is gone; it is made again"
            self._summary.warned.append((unit.source, text))

    def tell_beside(self, names: Sequence[str]) -> None:
        """Say which results of earlier runs stay, though this one calls theirs otherwise."""
        if names:
            lie = "lies" if len(names) == 1 else "lie"
            self._summary.earlier.append(
                f"{plural(len(names), 'result')} of earlier runs {lie} there under another name"
                f" than now, and nothing takes it away: {first_of(names)}"
            )

    def tell_kept(self, sources: Mapping[str, str] | None = None) -> None:
        """Say which files were not as they were written when they were replaced, with the sources
        of results, where they are known."""
        for name, beside in self._manifest.altered.kept():
            text = (
                f"{name} was altered after it was written: that is kept as {beside}, and what was"
                " made anew has its place"
            )
            self._summary.warned.append(((sources or {}).get(name, name), text))

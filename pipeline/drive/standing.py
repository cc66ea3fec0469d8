"""How a plan's items stand before a run: done, failed before, or still to be done.

Items are compared some hundred at a time: one question for what is noted of their sources, one for
their records, one look at their results. A source whose stamp is as it was is not read; what must
be read is read when its item is come to, so that work begins with the first item that needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from restore_batch.jobs.manifest import Manifest, State, Survey
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.drive.sources import Sources
from restore_batch.pipeline.plan.plan import Item, Plan

ITEMS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Standing:
    """An item and what is on record of it. ``reason``: why it failed before, or why it cannot be
    restored where that is not on record yet. ``changed``: the source holds something else than
    what was noted."""

    item: Item
    unit: Unit
    source_sha256: str
    state: State
    reason: str = ""
    changed: bool = False


class Standings:
    """How each item of a plan stands, in the order of the plan."""

    def __init__(self, plan: Plan, manifest: Manifest, *, verify: bool = False) -> None:
        self._plan, self._manifest, self._verify = plan, manifest, verify
        self._sources = Sources(manifest, plan.job, verify=verify)

    def __iter__(self) -> Iterator[Standing]:
        items = self._plan.items
        for first in range(0, len(items), ITEMS_AT_ONCE):
            some = items[first : first + ITEMS_AT_ONCE]
            self._sources.look_up(some)
            survey = self._manifest.survey([item.output for item in some])
            adopted: list[Unit] = []
            for item in some:
                yield self._standing(item, survey, adopted)
            self._manifest.adopt(adopted)

    def _standing(self, item: Item, survey: Survey, adopted: list[Unit]) -> Standing:
        """``adopted`` is given those whose result is there under the keys of an earlier version."""
        if item.error:
            unit = self._plan.unit(item, f"unreadable:{item.source.version}")
            state = survey.state_of(unit)
            reason = survey.reason_of(unit) if state == "failed" else item.error
            return Standing(item, unit, "", state, reason)
        try:
            sha256, changed = self._sources.content(item)
        except OSError as error:
            reason = f"{item.source.source}: cannot be read: {error.strerror or error}"
            return Standing(item, self._plan.unit(item, "unreadable"), "", "pending", reason)
        unit = self._plan.unit(item, sha256)
        state = survey.state_of(unit, verify=self._verify)
        if state == "failed":
            return Standing(item, unit, sha256, state, survey.reason_of(unit), changed)
        if state == "pending":
            former = self._plan.former_unit(item, sha256)
            if survey.state_of(former, verify=self._verify) == "done":
                adopted.append(unit)
                state = "done"
        return Standing(item, unit, sha256, state, changed=changed)

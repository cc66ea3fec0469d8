"""The items at work: what was known of their sources, until a worker has read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.records import SourceNote
from restore_batch.jobs.units import Join, Unit
from restore_batch.pipeline.drive.films import Films
from restore_batch.pipeline.drive.standing import Standing, Standings
from restore_batch.pipeline.engine.backend import Failed, Outcome
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.stages.film.work import JoinWork


class Begun:
    """``tell``: is told of what was read that it is not what it was."""

    def __init__(
        self,
        plan: Plan,
        manifest: Manifest,
        standings: Standings,
        films: Films,
        tell: Callable[[Standing, str], None],
    ) -> None:
        self._plan, self._manifest, self._standings = plan, manifest, standings
        self._films, self._tell = films, tell
        self._by_unit: dict[str, Standing] = {}

    def add(self, unit: Unit, found: Standing) -> None:
        """``unit`` is to read the source of an item."""
        self._by_unit[unit.id] = found

    def begin(self, units: Sequence[Unit]) -> list[Unit]:
        """The same units, an attempt at each photo registered: they are about to be worked on."""
        items = [(unit, self._by_unit[unit.id].source_sha256) for unit in units if unit.is_item]
        begun = iter(self._manifest.start_all(items))
        return [next(begun) if unit.is_item else unit for unit in units]

    def settled(self, together: Sequence[Outcome]) -> tuple[list[Outcome], list[SourceNote]]:
        """The same outcomes, of units that go by the content that their workers have read; and what
        is to be noted of it as they are committed, so that nobody has to read it again."""
        notes: list[SourceNote] = []
        return [self._settled(outcome, notes) for outcome in together], notes

    def _settled(self, outcome: Outcome, notes: list[SourceNote]) -> Outcome:
        found = self._by_unit.pop(outcome.unit.id, None)
        sha256 = _source_sha256(outcome)
        if found is None or not sha256:
            return outcome
        if sha256 != found.source_sha256:
            self._tell(found, sha256)
        notes.append(self._standings.note(found.item, sha256))
        if found.item.is_film:
            join: Join[JoinWork] = self._plan.unit(found.item, sha256)  # type: ignore[assignment]
            self._films.read(outcome.unit, join, sha256)  # type: ignore[arg-type] # its index
            return outcome
        base_key = self._plan.photo_base_key(sha256)
        return replace(outcome, unit=replace(outcome.unit, base_key=base_key))


def _source_sha256(outcome: Outcome) -> str:
    """Of what its worker read; "" where nothing was."""
    if isinstance(outcome, Failed):
        return outcome.failure.source_sha256
    return outcome.chunk.source_sha256

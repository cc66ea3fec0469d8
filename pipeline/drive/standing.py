"""How a plan's items stand before a run: done, failed before, or still to be done.

Items are looked at some hundred at a time. Headers that are not on record are read in processes,
ahead of the items that are worked on. Then there is one question for what is noted of the sources,
one for the records, one look at the results. A source whose stamp is as it was is not read; where
its result lies there, too, made as it would be today, nothing more is asked. One of which nothing
is on record is read by the worker that decodes it. Where a result is there and the stamp of its
source has changed, the content decides: to read it is work for a worker like any other, while the
items behind it go on. Where a result is there and its source cannot be read any more, or the job
refuses it now, it stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from restore_batch.files import side_by_side
from restore_batch.jobs.manifest import Manifest, State, Survey
from restore_batch.jobs.records import MadeWith, SourceNote
from restore_batch.jobs.units import Content, Unit
from restore_batch.pipeline.drive.background import Beside
from restore_batch.pipeline.drive.sources import Sources
from restore_batch.pipeline.plan.earlier import Changed, Earlier, FormerRecipe
from restore_batch.pipeline.plan.headers import HeaderReaders, header_read
from restore_batch.pipeline.plan.items import Item, looked_at_item, output_of, read_item
from restore_batch.pipeline.plan.plan import Plan

ITEMS_AT_ONCE = 500
_ITEMS_AT_FIRST = 32
_PARTS_AHEAD = 2
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Standing:
    """An item and what is on record of it. ``source_sha256``: "" where nobody has read the source.
    ``noted_sha256``: what was noted of it last. ``reason``: why it failed before, or why it cannot
    be restored where that is not on record yet; of one that is done, why it could not be restored
    now. ``changed``: what has changed since its result was made, for the same job; a result
    that is done is kept all the same."""

    item: Item
    unit: Unit
    source_sha256: str
    state: State
    reason: str = ""
    noted_sha256: str | None = None
    changed: Changed | None = None

    def has_changed(self, source_sha256: str) -> bool:
        """Whether a source that holds this holds something else than what was noted."""
        return self.noted_sha256 not in (None, source_sha256)


@dataclass(frozen=True, slots=True)
class Settled:
    """So many photos that are done, and of which there is nothing to say."""

    count: int


@dataclass(frozen=True)
class _Undecided:
    """An item whose content decides, and what that is compared with."""

    item: Item
    survey: Survey
    noted_sha256: str | None


class Standings:
    """How each item of a plan stands, in the order of the plan. Of those whose content decides the
    unit comes that reads it; how they stand, once that :meth:`was_read`."""

    def __init__(
        self, plan: Plan, manifest: Manifest, *, verify: bool = False, retry: bool = False,
        readers: HeaderReaders | None = None,
    ) -> None:  # fmt: skip
        """``readers``: of headers, which are closed with it."""
        self._plan, self._manifest = plan, manifest
        self._verify, self._retry = verify, retry
        self._sources = Sources(manifest, plan.job, verify=verify)
        self._undecided: dict[str, _Undecided] = {}
        """By the unit that reads their content."""
        self._readers = readers or HeaderReaders(plan.job)
        self._unread = sum(item.unread for item in plan.items)
        # One thread: processes do the reading.
        self._headers = Beside(self._read_headers, 1, at_end=self._readers.close)
        self._notes: list[SourceNote] = []
        self._adopted: list[Unit] = []
        self.wait_s = _LOOK_S
        """How long it may take until None comes instead of a standing that is not known yet."""

    def close(self) -> None:
        """Read nothing more."""
        self._headers.close()

    def note(self, item: Item, sha256: str) -> SourceNote:
        """What is to be on record of the source of an item, once a worker has read it."""
        return self._sources.note(item, sha256)

    def was_read(self, content: Content, sha256: str) -> Standing:
        """How an item stands whose source holds this. It is on record after :meth:`record`."""
        undecided = self._undecided.pop(content.id)
        self._notes.append(self._sources.note(undecided.item, sha256))
        return self._compared(undecided.item, sha256, undecided.survey, undecided.noted_sha256)

    def could_not_be_read(self, content: Content, reason: str) -> Standing:
        """How an item stands then: one that has its result is done."""
        undecided = self._undecided.pop(content.id)
        item, unit = undecided.item, self._plan.unread_unit(undecided.item)
        if self._has_result(item, undecided.survey):
            return _kept(item, unit, reason)
        return Standing(item, unit, "", "pending", reason)

    def record(self) -> None:
        """Bring to the ledger what was found out."""
        self._manifest.note_sources(self._notes)
        self._manifest.adopt(self._adopted)
        self._notes, self._adopted = [], []

    def __iter__(self) -> Iterator[Standing | Settled | Content]:
        """All of them, waiting for headers that must be read."""
        return (found for found in self.as_they_come() if found is not None)

    def as_they_come(self) -> Iterator[Standing | Settled | Content | None]:
        """None instead of the next one, where that is not known yet."""
        for some in _parts(self._plan.items):
            yield from self._look_at(some)
            yield from self._read(0.0)
            while self._headers.waiting > _PARTS_AHEAD:
                yield from self._read_or_none()
        while self._headers.waiting:
            yield from self._read_or_none()

    def _look_at(self, some: Sequence[Item]) -> Iterator[Standing | Settled | Content]:
        listed = [item for item in some if item.unread]
        looked = iter(list(side_by_side(looked_at_item, listed)))
        some = [next(looked) if item.unread else item for item in some]
        if not self._verify:
            left = self._not_settled(some)
            if len(left) < len(some):
                yield Settled(len(some) - len(left))
            some = left
        self._sources.look_up(some)
        known = [self._with_known_header(item) if item.unread else item for item in some]
        if any(item.unread for item in known):
            self._headers.ask(known)
        else:
            yield from self._stand(known)

    def _not_settled(self, some: Sequence[Item]) -> Sequence[Item]:
        """``some`` without the photos whose results lie there, made of what the sources still hold,
        as they would be today: what else their headers say does not matter."""
        unread = [item for item in some if item.unread]
        known = [
            (item, output_of(item, container, self._plan.job), sha256)
            for item, sha256, container in self._sources.same(unread)
        ]
        if not known:
            return some
        plan, survey = self._plan, self._manifest.survey([output for _, output, _ in known])
        settled = {
            item.source.source
            for item, output, sha256 in known
            if survey.is_done(output, sha256, plan.photo_base_key(sha256), plan.keys.face)
        }
        return [item for item in some if item.source.source not in settled]

    def _with_known_header(self, item: Item) -> Item:
        header = self._sources.header(item, again=self._retry)
        return item if header is None else read_item(item, header_read(header), self._plan.job)

    def _read_headers(self, some: Sequence[Item]) -> Sequence[Item]:
        """The same items with their headers; in a thread of its own."""
        unread = [item for item in some if item.unread]
        headers = iter(self._readers.read([item.source for item in unread], of=self._unread))
        return [
            read_item(item, next(headers), self._plan.job) if item.unread else item for item in some
        ]

    def _stand(self, some: Sequence[Item]) -> Iterator[Standing | Content]:
        """How these stand, whose headers are read and whose sources were looked up."""
        survey = self._manifest.survey([item.output for item in some])
        kept = self._kept([item for item in some if self._is_newly_unreadable(item, survey)])
        for item in some:
            yield kept.get(item.source.source) or self._standing(item, survey)
        self.record()

    def _is_newly_unreadable(self, item: Item, survey: Survey) -> bool:
        return item.is_unreadable and self._refused(item, survey).state != "failed"

    def _kept(self, unreadable: Sequence[Item]) -> dict[str, Standing]:
        """How those of ``unreadable`` stand whose results are there, by their sources. What results
        are called follows from headers: these are found by what is on record of the sources."""
        results = self._manifest.results_of([item.source.source for item in unreadable])
        survey = self._manifest.survey([output for each in results.values() for output in each])
        kept: dict[str, Standing] = {}
        for item in unreadable:
            source = item.source.source
            for output in results.get(source, ()):
                found = item._replace(output=output)
                if self._has_result(found, survey):
                    kept[source] = _kept(found, self._plan.unread_unit(found), item.error)
        return kept

    def _read_or_none(self) -> Iterator[Standing | Content | None]:
        found: list[Standing | Content | None] = list(self._read(self.wait_s))
        yield from found or [None]

    def _read(self, within_s: float) -> Iterator[Standing | Content]:
        """Those whose headers were read meanwhile."""
        for _, items in self._headers.answers(within_s):
            if isinstance(items, Exception):
                raise items
            self._sources.look_up(items)
            yield from self._stand(items)

    def _standing(self, item: Item, survey: Survey) -> Standing | Content:
        """How it stands, or what must be read to tell."""
        if item.error and not self._may_be_kept(item, survey):
            return self._refused(item, survey)
        noted = self._sources.noted(item)
        known = self._sources.known(item)
        if known is not None:
            if not self._sources.is_noted(item, known):
                self._notes.append(self._sources.note(item, known))
            return self._compared(item, known, survey, noted)
        recorded = survey.source_of(item.output)
        if recorded and (self._verify or item.error or self._is_settled(item, recorded, survey)):
            content = self._plan.content_unit(item)
            self._undecided[content.id] = _Undecided(item, survey, noted)
            return content
        unit = survey.on_record(self._plan.unread_unit(item))
        state = survey.state_of(unit)
        reason = survey.reason_of(unit) if state == "failed" else ""
        return Standing(item, unit, "", state, reason, noted)

    def _may_be_kept(self, item: Item, survey: Survey) -> bool:
        """Whether an item with an error has a result on record, which may be of another content.
        Without its header nobody knows its name: see :meth:`_kept`."""
        return not item.is_unreadable and survey.made_with(item.output) is not None

    def _refused(self, item: Item, survey: Survey) -> Standing:
        """How an item with an error stands."""
        unit = self._plan.unit(item, f"unreadable:{item.source.version}")
        state = survey.state_of(unit)
        reason = survey.reason_of(unit) if state == "failed" else item.error
        return Standing(item, unit, "", state, reason)

    @cached_property
    def _earlier(self) -> Earlier:
        # Not before a result asks: the first run of a job has none to tell apart.
        return self._plan.earlier(self._manifest.networks_of_runs())

    def _is_settled(self, item: Item, source_sha256: str, survey: Survey) -> bool:
        """Whether an item whose source holds this is done or has failed."""
        unit = self._plan.unit(item, source_sha256)
        if survey.state_of(unit) != "pending":
            return True
        return self._made_earlier(item, unit, source_sha256, survey) is not None

    def _made_earlier(
        self, item: Item, unit: Unit, source_sha256: str, survey: Survey, *, verify: bool = False
    ) -> tuple[MadeWith, FormerRecipe] | None:
        """What a result was made with that is there, of this content and for the same job; None
        where there is none, or nobody knows."""
        made = survey.made_with(item.output)
        if made is None or made.source_sha256 != source_sha256:
            return None
        if not self._is_there(unit, made, survey, verify=verify):
            return None
        recipe = self._earlier.recipe_of(made, is_film=item.is_film)
        return None if recipe is None else (made, recipe)

    def _has_result(self, item: Item, survey: Survey) -> bool:
        """Whether the result that is on record of an item is there, whatever it was made with."""
        made = survey.made_with(item.output)
        if made is None:
            return False
        return self._is_there(self._plan.unread_unit(item), made, survey, verify=self._verify)

    def _is_there(self, unit: Unit, made: MadeWith, survey: Survey, *, verify: bool) -> bool:
        """Whether the result that ``unit`` is to have is there, as it was made then."""
        then = replace(unit, base_key=made.base_key, face_key=made.face_key)
        return survey.state_of(then, verify=verify) == "done"

    def _compared(
        self, item: Item, source_sha256: str, survey: Survey, noted_sha256: str | None
    ) -> Standing:
        unit = self._plan.unit(item, source_sha256)
        state = survey.state_of(unit, verify=self._verify)
        if item.error and state != "done":
            is_of_it = survey.source_of(item.output) == source_sha256
            if is_of_it and self._has_result(item, survey):
                return _kept(item, self._plan.unread_unit(item), item.error)
            return self._refused(item, survey)
        if state != "done":  # else nobody asks for its id any more
            unit = survey.on_record(unit)
        found = Standing(item, unit, source_sha256, state, noted_sha256=noted_sha256)
        if found.state == "failed":
            return replace(found, reason=survey.reason_of(unit))
        if found.state == "pending":
            return self._of_earlier(found, survey)
        return found

    def _of_earlier(self, found: Standing, survey: Survey) -> Standing:
        """The same, where the result was made with something else than it would take today."""
        known = self._made_earlier(
            found.item, found.unit, found.source_sha256, survey, verify=self._verify
        )
        if known is None:
            return found
        made, recipe = known
        changed = recipe.changed(made, found.item.facts, is_film=found.item.is_film)
        if not changed:
            self._adopted.append(found.unit)
            return replace(found, state="done")
        state: State = "done" if recipe.is_former else "pending"
        return replace(found, state=state, changed=changed)


def _kept(item: Item, unit: Unit, reason: str) -> Standing:
    """How an item stands that cannot be restored now, and whose result is there."""
    told = f"{reason}; its result of an earlier run is kept"
    return Standing(item, unit, "", "done", told)


def _parts(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Some at a time, at first only a few: work is to begin."""
    first, size = 0, min(_ITEMS_AT_FIRST, ITEMS_AT_ONCE)
    while first < len(items):
        yield items[first : first + size]
        first, size = first + size, ITEMS_AT_ONCE

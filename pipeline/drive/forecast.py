"""How the items of a plan stand by what is on record, for whoever plans and changes nothing.

Nothing is read but the ledger: sources whose stamps are as they were noted are taken to be
unchanged, and results in a folder are only looked for. What a run finds out by reading may differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from restore_batch.files import side_by_side
from restore_batch.jobs.manifest import Manifest, State
from restore_batch.jobs.records import MadeWith
from restore_batch.pipeline.drive.changes import Tally
from restore_batch.pipeline.drive.sources import Sources
from restore_batch.pipeline.plan.earlier import Earlier
from restore_batch.pipeline.plan.headers import header_read
from restore_batch.pipeline.plan.items import Item, looked_at_item, read_item
from restore_batch.pipeline.plan.plan import Plan

_ITEMS_AT_ONCE = 500


@dataclass(frozen=True)
class Foreseen:
    """What a run of a plan has before it: the items that are ``left``, and the sources of those
    that are ``done`` or ``failed`` before, which only a retry tries again. ``earlier``: what is to
    be said of results made with something else than it would take today, a line each."""

    left: tuple[Item, ...]
    done: frozenset[str] = field(default_factory=frozenset)
    failed: frozenset[str] = field(default_factory=frozenset)
    earlier: tuple[str, ...] = ()

    @property
    def is_first(self) -> bool:
        """Whether nothing has come to an end yet."""
        return not (self.done or self.failed)

    def state_of(self, item: Item) -> State:
        """How one of the items stands."""
        source = item.source.source
        return "done" if source in self.done else "failed" if source in self.failed else "pending"


def foresee(plan: Plan) -> Foreseen:
    """What a run of ``plan`` would do with results and failures that are on record."""
    manifest = Manifest.read(plan.output_dir)
    if manifest is None:
        return Foreseen(plan.items)
    with manifest:
        return foreseen(plan, manifest)


def foreseen(plan: Plan, manifest: Manifest) -> Foreseen:
    """The same, by the records of ``manifest``."""
    looking = _Looking(plan, manifest)
    items: dict[State, list[Item]] = {"done": [], "failed": [], "pending": []}
    for first in range(0, len(plan.items), _ITEMS_AT_ONCE):
        some = plan.items[first : first + _ITEMS_AT_ONCE]
        for item, state in zip(some, looking.states(some), strict=True):
            items[state].append(item)
    done, failed = (frozenset(item.source.source for item in items[s]) for s in ("done", "failed"))
    earlier = tuple(looking.tally.lines("will be made again"))
    return Foreseen(tuple(items["pending"]), done, failed, earlier)


def left_beside(plan: Plan, manifest: Manifest) -> list[str]:
    """Results on record that lie there and that ``plan`` would call otherwise, as after a change of
    format: nothing takes their place."""
    several = manifest.made_of_the_same()
    if not several:
        return []
    looking = _Looking(plan, manifest)
    items = [item for item in plan.items if item.source.source in several]
    for first in range(0, len(items), _ITEMS_AT_ONCE):
        for item in looking.named(items[first : first + _ITEMS_AT_ONCE]):
            outputs = several[item.source.source]
            if item.unread:  # nobody knows which is the one
                outputs.clear()
            elif item.output in outputs:
                outputs.remove(item.output)
    planned = {item.source.source for item in items}
    beside = sorted(name for source in several if source in planned for name in several[source])
    is_there = manifest.results.looks(beside)
    return [name for name, look in zip(beside, is_there, strict=True) if look is not None]


class _Looking:
    """``tally``: of results made with something else than today, as far as they were come to."""

    def __init__(self, plan: Plan, manifest: Manifest) -> None:
        self._plan, self._manifest = plan, manifest
        self._sources = Sources(manifest, plan.job)
        self.tally = Tally()

    @cached_property
    def _earlier(self) -> Earlier:
        # Not before a result asks: there are many ways in which it may have been made.
        return self._plan.earlier(self._manifest.networks_of_runs())

    def states(self, some: Sequence[Item]) -> Iterator[State]:
        """Of each of ``some`` in turn."""
        named = self.named(some)
        outputs = [item.output for item in named if not item.unread]
        made_with = self._manifest.made_with(outputs)
        failed = self._manifest.made_with(outputs, "failed")
        is_there = self._there(list(made_with))
        for item in named:
            made, tried = made_with.get(item.output), failed.get(item.output)
            if made is not None and is_there(item.output) and self._is_kept(item, made):
                yield "done"
            else:
                yield "failed" if tried is not None and self._has_failed(item, tried) else "pending"

    def named(self, some: Sequence[Item]) -> list[Item]:
        """The same with the names of their results, where headers are read or noted."""
        listed = iter(list(side_by_side(looked_at_item, [item for item in some if item.unread])))
        some = [next(listed) if item.unread else item for item in some]
        self._sources.look_up(some)
        return [self._named(item) for item in some]

    def _named(self, item: Item) -> Item:
        header = self._sources.header(item, again=False) if item.unread else None
        return item if header is None else read_item(item, header_read(header), self._plan.job)

    def _there(self, outputs: Sequence[str]) -> Callable[[str], bool]:
        """Whether a result lies there; what went to a URL is taken to."""
        if isinstance(self._plan.job.output, str):
            return lambda _: True
        looks = self._manifest.results.looks(outputs)
        there = {name for name, look in zip(outputs, looks, strict=True) if look is not None}
        return there.__contains__

    def _is_kept(self, item: Item, made: MadeWith) -> bool:
        """Whether a result on record stays; if it was made with something else, that is counted."""
        if self._sources.expected(item) != made.source_sha256:
            return item.is_unreadable
        unit = self._plan.unit(item, made.source_sha256)
        same_faces = made.face_key == unit.face_key or not made.face_count
        if made.base_key == unit.base_key and same_faces:
            return True
        recipe = self._earlier.recipe_of(made, is_film=item.is_film)
        if recipe is None:
            return False
        changed = recipe.changed(made, item.facts, is_film=item.is_film)
        if changed:
            self.tally.add(changed, is_kept=recipe.is_former)
        return recipe.is_former or not changed

    def _has_failed(self, item: Item, tried: MadeWith) -> bool:
        """Whether the source is what failed, and would be tried the same way."""
        unread = f"unreadable:{item.source.version}"
        held = self._sources.expected(item)
        units = [self._plan.unread_unit(item), self._plan.unit(item, unread)]
        units += [self._plan.unit(item, held)] if held else []
        return any((u.base_key, u.face_key) == (tried.base_key, tried.face_key) for u in units)

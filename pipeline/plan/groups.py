"""Stages cut into groups: neighbours that run fused in one worker.

What a stage needs of those before it follows from the fields of a chunk that it reads; where it
may run, from its pool; which units come to a group, from the kinds that its stages work on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from restore_batch.jobs.units import (
    FilmContent,
    FilmIndex,
    Join,
    Photo,
    PhotoContent,
    Segment,
    Unit,
)
from restore_batch.stages.base import COMMON_FIELDS, Pool, Resources, Stage, needed_by
from restore_batch.stages.media import RESULT_FIELDS

Kinds = frozenset[type[Unit]]

PHOTOS: Kinds = frozenset({Photo, PhotoContent})
FILMS: Kinds = frozenset({FilmIndex, FilmContent, Segment, Join})
"""The kinds of units that photos lead to, and films."""
CONTENTS: Kinds = frozenset({PhotoContent, FilmContent})
"""Those that only compare."""


@dataclass(frozen=True)
class Group:
    """Neighbouring stages fused in one worker. ``kinds``: the units that come here. ``keep``: the
    fields that later groups still need. ``at_home``: it works on nodes alone that see all files of
    the job, since its units take whole films."""

    stages: tuple[Stage, ...]
    kinds: Kinds
    keep: frozenset[str] = RESULT_FIELDS
    workers: int = 1
    pool: Pool = "pictures"
    at_home: bool = False

    @property
    def name(self) -> str:
        """The stages' names, joined: what plans and error messages show."""
        return "+".join(stage.name for stage in self.stages)

    @property
    def needs(self) -> Resources:
        """Stages take turns in a worker: it needs the largest share of any. Reading and writing
        files waits for disks: it is let in beside those that compute."""
        each = [stage.needs for stage in self.stages]
        return Resources(
            cpus=0.0 if self.pool == "io" else max(r.cpus for r in each),
            gpus=max(r.gpus for r in each),
        )


def check_order(stages: Sequence[Stage]) -> None:
    """Raise ValueError where two stages have one name, or one reads what none before it writes."""
    names = [stage.name for stage in stages]
    if len(set(names)) != len(names):
        raise ValueError(f"two stages have one name: {names}")
    written: set[str] = set(COMMON_FIELDS)
    for stage in stages:
        missing = stage.reads - written
        if missing:
            raise ValueError(f"{stage.name} reads {sorted(missing)}, which no earlier stage writes")
        written |= stage.writes


def make_groups(
    stages: Sequence[Stage],
    kinds: Kinds,
    workers: Mapping[Pool, int],
    *,
    split: bool,
    films_at_home: bool = False,
) -> tuple[Group, ...]:
    """The groups that units of ``kinds`` go through, in order.

    Files are always read ahead in workers of their own. All else is one group, or with ``split``
    one a pool; then the films have one with all stages of a picture, so that their frames need
    not travel. With ``films_at_home`` whole films are read and joined apart from photos, by
    workers that are ``at_home``.
    """
    check_order(stages)
    placed = list(zip(stages, _pools(stages), strict=True))
    parts: list[tuple[Pool, list[Stage], Kinds]] = []
    io = [stage for stage, pool in placed if pool == "io"]
    if films_at_home:
        parts.append(("io", io, _kinds_of(io) & PHOTOS))
    parts.append(("io", io, _kinds_of(io) - PHOTOS if films_at_home else _kinds_of(io)))
    whole = len(parts) - 1
    if split:
        frame_stages = [stage for stage, _ in placed if stage.of_frames]
        films = [stage for stage, pool in placed if pool == "films"]
        for name in ("faces", "pictures"):
            of_pool = [stage for stage, pool in placed if pool == name]
            parts.append((name, of_pool, _kinds_of(of_pool)))  # type: ignore[arg-type] # both are pools
        parts.append(("films", [*frame_stages, *films], _kinds_of(films)))
    else:
        rest = [stage for stage, pool in placed if pool != "io"]
        parts.append(("pictures", rest, _kinds_of(rest)))
    groups = [
        Group(
            tuple(of_group), served, workers=workers.get(pool, 1), pool=pool,
            at_home=films_at_home and number == whole,
        )
        for number, (pool, of_group, served) in enumerate(parts)
    ]  # fmt: skip
    used = serving(groups, kinds)
    return tuple(
        replace(group, keep=RESULT_FIELDS | _needed(group, used[i + 1 :]))
        for i, group in enumerate(used)
    )


def serving(groups: Iterable[Group], kinds: Kinds) -> tuple[Group, ...]:
    """What units of ``kinds`` come to of ``groups``, without the stages that none of them needs."""
    served = (replace(group, kinds=group.kinds & kinds) for group in groups)
    return tuple(_only_used(group) for group in served if group.kinds)


def _pools(stages: Sequence[Stage]) -> list[Pool]:
    """Where each stage works; one that does not say goes with the stage that follows it."""
    pools: list[Pool] = []
    following: Pool = "pictures"
    for stage in reversed(stages):
        following = stage.pool or following
        pools.append(following)
    return pools[::-1]


def _kinds_of(stages: Iterable[Stage]) -> Kinds:
    return frozenset(kind for stage in stages for kind in stage.kinds)


def _only_used(group: Group) -> Group:
    """Without the stages that none of its units needs."""
    stages = tuple(stage for stage in group.stages if stage.works_on(group.kinds))
    return replace(group, stages=stages)


def _needed(group: Group, later: Sequence[Group]) -> frozenset[str]:
    """The fields that chunks must bring along for later groups."""
    stages = [stage for other in later if other.kinds & group.kinds for stage in other.stages]
    return needed_by(stages)

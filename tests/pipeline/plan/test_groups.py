"""Groups follow from what stages say of themselves, and a cut changes no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.source import job_from_mapping
from restore_batch.jobs.units import FilmContent, FilmIndex, Join, Photo, PhotoContent
from restore_batch.pipeline.engine.worker import GroupWorker
from restore_batch.pipeline.plan.groups import FILMS, PHOTOS, Group, check_order, make_groups
from restore_batch.pipeline.plan.stages import make_stages
from restore_batch.stages.base import Pool, Resources, Stage, WorkerContext
from restore_batch.stages.media import RESULT_FIELDS, Artifact, Chunk, Failure, Frame, PhotoMeta

from support.toys import unit

HEAVY = sorted({f.name for f in fields(Chunk)} - RESULT_FIELDS)


class Words(str):
    """In the place of a picture, which says how much it weighs."""

    nbytes = 0


class Step(Stage):
    """Writes into each of its fields what it found in those it reads."""

    def __init__(
        self,
        name: str,
        reads: Sequence[str] = (),
        writes: Sequence[str] = (),
        pool: Pool = "pictures",
        **needs: Any,
    ) -> None:
        self.pool = pool  # type: ignore[misc]
        self.name = name  # type: ignore[misc] # a class variable in real stages
        self.reads, self.writes = frozenset(reads), frozenset(writes)  # type: ignore[misc]
        self.needs = Resources(**needs)  # type: ignore[misc]

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._step)

    def _step(self, chunk: Chunk) -> Chunk:
        found = {name: getattr(chunk, name) for name in sorted(self.reads)}
        words = (Words(self.name), Words(found))
        told: dict[str, Any] = dict.fromkeys(self.writes, words)
        return replace(chunk, **told, warnings=(*chunk.warnings, f"{self.name}{found}"))


@st.composite
def chains(draw: st.DrawFn) -> tuple[Step, ...]:
    """Stages that read only what was written before them; some write a field again."""
    steps: list[Step] = []
    written: list[str] = []
    for number in range(draw(st.integers(1, 7))):
        reads = draw(st.sets(st.sampled_from(written))) if written else set()
        writes = draw(st.sets(st.sampled_from(HEAVY), max_size=3))
        steps.append(Step(f"s{number}", sorted(reads), sorted(writes)))
        written = sorted({*written, *writes})
    return tuple(steps)


POOLS: tuple[Pool, ...] = ("io", "faces", "pictures")


@st.composite
def pooled_chains(draw: st.DrawFn) -> tuple[Step, ...]:
    """Stages whose pools come one after another, as those of a photo do."""
    steps = draw(chains())
    cuts = sorted(draw(st.lists(st.integers(0, len(steps)), min_size=2, max_size=2)))
    for number, step in enumerate(steps):
        step.pool = POOLS[sum(number >= cut for cut in cuts)]  # type: ignore[misc]
    return steps


def photo_groups(steps: Sequence[Stage], *, split: bool = False) -> tuple[Group, ...]:
    return make_groups(steps, PHOTOS, {}, split=split)


# -- what is refused ------------------------------------------------------------------------------
def test_a_stage_that_reads_what_nobody_writes_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"paste reads \['upscaled'\], which no earlier stage"):
        check_order((Step("decode", (), ["frames"]), Step("paste", ["frames", "upscaled"])))


def test_a_stage_cannot_read_what_only_a_later_one_or_itself_writes() -> None:
    with pytest.raises(ValueError, match="reads"):
        check_order((Step("paste", ["frames"]), Step("decode", (), ["frames"])))
    with pytest.raises(ValueError, match="reads"):
        check_order((Step("paste", ["frames"], ["frames"]),))


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two stages have one name"):
        check_order((Step("a"), Step("b"), Step("a")))


# -- groups ---------------------------------------------------------------------------------------
@settings(deadline=None)
@given(pooled_chains(), st.booleans())
def test_groups_are_the_stages_in_order_cut_where_the_pool_changes(
    steps: tuple[Step, ...], split: bool
) -> None:
    groups = photo_groups(steps, split=split)
    assert sum((g.stages for g in groups), ()) == steps
    for group in groups:
        pools = {stage.pool for stage in group.stages}
        assert len(pools) == 1 or (not split and "io" not in pools)


@settings(deadline=None)
@given(pooled_chains())
def test_a_group_keeps_exactly_what_later_groups_need(steps: tuple[Step, ...]) -> None:
    """Needed: read by a later stage, and written by none between the cut and that stage."""
    end = 0
    for group in photo_groups(steps, split=True):
        end += len(group.stages)
        needed = {
            name
            for i in range(end, len(steps))
            for name in steps[i].reads
            if not any(name in between.writes for between in steps[end:i])
        }
        assert group.keep == RESULT_FIELDS | needed


@settings(deadline=None)
@given(pooled_chains())
def test_a_cut_changes_no_result(steps: tuple[Step, ...]) -> None:
    results = []
    for split in (False, True):
        chunk: Chunk | Failure = Chunk(unit("u"))
        for group in photo_groups(steps, split=split):
            assert isinstance(chunk, Chunk)
            (chunk,) = GroupWorker(group, WorkerContext()).process([chunk])
        assert isinstance(chunk, Chunk)
        results.append(replace(chunk, seconds={}))
    assert results[0].warnings == results[1].warnings
    assert [getattr(results[0], f) for f in HEAVY] == [getattr(results[1], f) for f in HEAVY]


def test_a_stage_that_names_no_pool_works_where_the_next_one_does() -> None:
    tint, last = Step("tint"), Step("last")
    tint.pool = last.pool = None  # type: ignore[misc]
    steps = (Step("read", pool="io"), tint, Step("find", pool="faces"), Step("paste"), last)
    groups = photo_groups(steps, split=True)
    assert [group.name for group in groups] == ["read", "tint+find", "paste+last"]


def test_workers_are_given_by_pool() -> None:
    steps = (Step("a", pool="io"), Step("b", pool="faces"), Step("c"))
    workers: dict[Pool, int] = {"io": 3, "faces": 2, "pictures": 4}
    assert [g.workers for g in make_groups(steps, PHOTOS, workers, split=True)] == [3, 2, 4]
    assert [g.workers for g in make_groups(steps, PHOTOS, workers, split=False)] == [3, 4]


def test_a_group_needs_the_largest_share_of_any_stage_and_no_core_for_waiting_on_disks() -> None:
    steps = (Step("a", cpus=2, gpus=0.2), Step("b", cpus=1, gpus=0.5))
    assert Group(steps, PHOTOS).needs == Resources(cpus=2, gpus=0.5)
    assert Group(steps, PHOTOS, pool="io").needs.cpus == 0


# -- photos and films -----------------------------------------------------------------------------
def real_stages() -> list[Stage]:
    job = job_from_mapping({"inputs": ["."], "output": "out", "video": {"preview_s": 1}})
    return [made.stage for made in make_stages(job, {})]


def test_photos_alone_need_no_stage_of_films_and_films_none_of_photos_files() -> None:
    stages = real_stages()
    photos = {s.name for g in make_groups(stages, PHOTOS, {}, split=False) for s in g.stages}
    films = {s.name for g in make_groups(stages, FILMS, {}, split=False) for s in g.stages}
    frames = {"detect", "align", "restore", "upscale", "paste"}
    assert photos == frames | {
        "checksum", "decode", "assess", "repair", "reassess", "thumbnail", "encode", "shelve",
    }  # fmt: skip
    assert films == frames | {"checksum", "index", "preview", "segment", "join", "clips"}


def test_a_film_among_photos_leaves_the_photos_in_pools_of_their_own() -> None:
    groups = make_groups(real_stages(), PHOTOS | FILMS, {}, split=True)
    kinds = {group.pool: {kind.kind for kind in group.kinds} for group in groups}
    assert kinds == {
        "io": {"photo", "index", "join", "content"}, "faces": {"photo"}, "pictures": {"photo"},
        "films": {"index", "segment"},
    }  # fmt: skip
    films = groups[-1]
    assert films.name == "detect+align+restore+upscale+paste+preview+segment"
    assert not groups[0].keep & films.keep - RESULT_FIELDS, "nothing travels to films but names"


@pytest.mark.parametrize("split", [True, False])
def test_whole_films_have_readers_of_their_own_where_nodes_may_not_see_them(split: bool) -> None:
    groups = make_groups(real_stages(), PHOTOS | FILMS, {}, split=split, films_at_home=True)
    photos, films = groups[:2]
    assert [stage.name for stage in photos.stages] == ["checksum", "decode", "assess"]
    assert [stage.name for stage in films.stages] == ["checksum", "index", "join", "clips"]
    assert films.kinds == {FilmIndex, FilmContent, Join}
    assert photos.kinds == {Photo, PhotoContent}
    assert [group.at_home for group in groups] == [False, True, *[False] * (len(groups) - 2)]
    (alone, *_) = make_groups(real_stages(), PHOTOS, {}, split=split, films_at_home=True)
    assert not alone.at_home
    (alone, *_) = make_groups(real_stages(), FILMS, {}, split=split, films_at_home=True)
    assert alone.at_home


# -- what is dropped ------------------------------------------------------------------------------
def full_chunk() -> Chunk:
    frame, array = Frame(np.zeros((2, 2, 3), np.uint8)), np.zeros((0, 4, 4, 3), np.uint8)
    return Chunk(
        unit("u"), (frame,), PhotoMeta("png"), ((),), ((),), (array,), (array,), (frame,),
        (frame,), ((),), artifact=Artifact("a", 1, "0", 2, 2), warnings=("careful",),
        seconds={"decode": 1.0},
    )  # fmt: skip


@settings(deadline=None)
@given(st.sets(st.sampled_from(HEAVY)))
def test_only_empties_exactly_what_is_not_named_and_no_result(keep: set[str]) -> None:
    chunk, empty = full_chunk(), Chunk(unit("u"))
    stripped = chunk.only(frozenset(keep))
    for field in fields(Chunk):
        kept = field.name in keep | RESULT_FIELDS
        assert getattr(stripped, field.name) == getattr(chunk if kept else empty, field.name)


def test_the_last_group_sends_no_picture_back() -> None:
    (group,) = photo_groups((Step("a"),))
    (stripped,) = GroupWorker(group, WorkerContext()).process([full_chunk()])
    assert isinstance(stripped, Chunk)
    assert all(not getattr(stripped, name) for name in HEAVY)
    assert stripped.artifact is not None
    assert stripped.warnings[0] == "careful"


def test_a_picture_is_let_go_of_by_the_last_stage_that_reads_it() -> None:
    seen: list[set[str]] = []

    class Look(Step):
        def _step(self, chunk: Chunk) -> Chunk:
            seen.append({name for name in HEAVY if getattr(chunk, name)})
            return super()._step(chunk)

    stages = (
        Look("decode", writes=("frames", "meta")),
        Look("upscale", ("frames",), ("upscaled",)),
        Look("paste", ("frames", "upscaled"), ("pasted",)),
        Look("encode", ("pasted", "meta")),
    )
    (group,) = photo_groups(stages)
    (reply,) = GroupWorker(group, WorkerContext()).process([Chunk(unit("u"))])
    assert isinstance(reply, Chunk)
    assert seen == [set(), {"frames", "meta"}, {"frames", "meta", "upscaled"}, {"meta", "pasted"}]

"""The graph follows from what stages read and write, and a cut changes no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.pipeline.engine.chain import StageChain
from restore_batch.pipeline.plan.graph import ALWAYS_KEPT, Graph, Group
from restore_batch.stages.base import Resources, Stage, WorkerContext
from restore_batch.stages.media import Artifact, Chunk, Failure, Frame, PhotoMeta

from support.toys import unit

HEAVY = sorted({f.name for f in fields(Chunk)} - ALWAYS_KEPT)


class Step(Stage):
    """Writes into each of its fields what it found in those it reads."""

    def __init__(
        self, name: str, reads: Sequence[str] = (), writes: Sequence[str] = (), **needs: Any
    ) -> None:
        self.name = name  # type: ignore[misc] # a class variable in real stages
        self.reads, self.writes = frozenset(reads), frozenset(writes)  # type: ignore[misc]
        self.needs = Resources(**needs)  # type: ignore[misc]

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._step)

    def _step(self, chunk: Chunk) -> Chunk:
        found = {name: getattr(chunk, name) for name in sorted(self.reads)}
        told: dict[str, Any] = {name: (self.name, str(found)) for name in self.writes}
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


@st.composite
def cut_chains(draw: st.DrawFn) -> tuple[tuple[Step, ...], list[str]]:
    steps = draw(chains())
    starts = draw(st.sets(st.sampled_from([s.name for s in steps])))
    return steps, sorted(starts)


# -- what is refused ------------------------------------------------------------------------------
def test_a_stage_that_reads_what_nobody_writes_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"paste reads \['upscaled'\], which no earlier stage"):
        Graph((Step("decode", (), ["frames"]), Step("paste", ["frames", "upscaled"])))


def test_a_stage_cannot_read_what_only_a_later_one_or_itself_writes() -> None:
    with pytest.raises(ValueError, match="reads"):
        Graph((Step("paste", ["frames"]), Step("decode", (), ["frames"])))
    with pytest.raises(ValueError, match="reads"):
        Graph((Step("paste", ["frames"], ["frames"]),))


def test_two_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two stages have one name"):
        Graph((Step("a"), Step("b"), Step("a")))


# -- edges ----------------------------------------------------------------------------------------
def test_edges_lead_from_the_latest_writer_of_each_field() -> None:
    graph = Graph(
        (
            Step("decode", (), ["frames", "meta"]),
            Step("detect", ["frames"], ["faces"]),
            Step("denoise", ["frames"], ["frames"]),
            Step("upscale", ["frames"], ["upscaled"]),
            Step("encode", ["meta", "upscaled", "faces"]),
        )
    )
    assert graph.edges() == [
        ("decode", "detect"), ("decode", "denoise"), ("denoise", "upscale"),
        ("decode", "encode"), ("detect", "encode"), ("upscale", "encode"),
    ]  # fmt: skip


@settings(deadline=None)
@given(chains())
def test_every_edge_goes_forward_and_every_reader_has_one(steps: tuple[Step, ...]) -> None:
    edges = Graph(steps).edges()
    order = {step.name: i for i, step in enumerate(steps)}
    assert len(set(edges)) == len(edges)
    assert all(order[source] < order[target] for source, target in edges)
    assert {target for _, target in edges} == {step.name for step in steps if step.reads}


# -- groups ---------------------------------------------------------------------------------------
@settings(deadline=None)
@given(cut_chains())
def test_groups_are_the_stages_in_order_cut_where_asked(
    case: tuple[tuple[Step, ...], list[str]],
) -> None:
    steps, starts = case
    groups = Graph(steps).groups(starts, {})
    assert sum((g.stages for g in groups), ()) == steps
    assert {g.stages[0].name for g in groups} == {steps[0].name, *starts}


@settings(deadline=None)
@given(cut_chains())
def test_a_group_keeps_exactly_what_later_groups_need(
    case: tuple[tuple[Step, ...], list[str]],
) -> None:
    """Needed: read by a later stage, and written by none between the cut and that stage."""
    steps, starts = case
    end = 0
    for group in Graph(steps).groups(starts, {}):
        end += len(group.stages)
        needed = {
            name
            for i in range(end, len(steps))
            for name in steps[i].reads
            if not any(name in between.writes for between in steps[end:i])
        }
        assert group.keep == ALWAYS_KEPT | needed


@settings(deadline=None)
@given(cut_chains())
def test_a_cut_changes_no_result(case: tuple[tuple[Step, ...], list[str]]) -> None:
    steps, starts = case
    results = []
    for cuts in ((), starts):
        chunk: Chunk | Failure = Chunk(unit("u"))
        for group in Graph(steps).groups(cuts, {}):
            assert isinstance(chunk, Chunk)
            (chunk,) = StageChain(group, WorkerContext()).process([chunk])
        assert isinstance(chunk, Chunk)
        results.append(replace(chunk, seconds={}))
    assert results[0].warnings == results[1].warnings
    assert [getattr(results[0], f) for f in HEAVY] == [getattr(results[1], f) for f in HEAVY]


def test_a_cut_at_the_first_stage_or_at_no_stage_changes_nothing() -> None:
    graph = Graph((Step("a"), Step("b")))
    assert graph.groups(("a", "unknown"), {}) == graph.groups((), {})


def test_workers_are_given_by_the_first_stage_and_are_at_least_one() -> None:
    graph = Graph((Step("a"), Step("b"), Step("c")))
    groups = graph.groups(("b", "c"), {"a": 3, "b": 0})
    assert [(g.name, g.workers) for g in groups] == [("a", 3), ("b", 1), ("c", 1)]
    assert graph.groups((), {})[0].name == "a+b+c"


def test_a_group_needs_the_largest_share_of_a_core_and_the_memory_of_all() -> None:
    group = Group(
        (Step("a", cpus=2, gpus=0.2, memory_mb=100), Step("b", cpus=1, gpus=0.5, memory_mb=50)),
        ALWAYS_KEPT,
    )
    assert group.needs == Resources(cpus=2, gpus=0.5, memory_mb=150)


# -- strip ----------------------------------------------------------------------------------------
def full_chunk() -> Chunk:
    frame, array = Frame(np.zeros((2, 2, 3), np.uint8)), np.zeros((0, 4, 4, 3), np.uint8)
    return Chunk(
        unit("u"), (frame,), PhotoMeta("png"), ((),), ((),), (array,), (array,), (frame,),
        (frame,), ((),), Artifact("a", 1, "0", 2, 2), ("careful",), {"decode": 1.0},
    )  # fmt: skip


@settings(deadline=None)
@given(st.sets(st.sampled_from(HEAVY)))
def test_stripping_empties_exactly_what_is_not_kept(keep: set[str]) -> None:
    chunk, empty = full_chunk(), Chunk(unit("u"))
    stripped = Group((Step("a"),), ALWAYS_KEPT | keep).strip(chunk)
    for field in fields(Chunk):
        kept = field.name in keep | ALWAYS_KEPT
        assert getattr(stripped, field.name) == getattr(chunk if kept else empty, field.name)


def test_the_last_group_sends_no_picture_back() -> None:
    (group,) = Graph((Step("a"),)).groups((), {})
    stripped = group.strip(full_chunk())
    assert all(not getattr(stripped, name) for name in HEAVY)
    assert stripped.artifact is not None
    assert stripped.warnings == ("careful",)

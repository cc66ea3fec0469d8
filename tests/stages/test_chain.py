"""Whatever is wrong with one chunk or one stage, each chunk gets its own result, at its place."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Join
from restore_batch.stages import heap
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.chain import OpenedStages, Reply
from restore_batch.stages.media import Chunk, Failure, Frame

from support.toys import unit


class Mark(Stage):
    """Appends its name to the warnings; ``log`` remembers its life."""

    def __init__(self, name: str, log: list[str] | None = None, broken: str = "") -> None:
        self.name = name  # type: ignore[misc] # a class variable in real stages
        self.log = [] if log is None else log
        self.broken = broken

    def open(self, worker: WorkerContext) -> None:
        self.log.append(f"open {self.name}")
        if self.broken == "open":
            raise MediaError(f"{self.name} cannot be opened")

    def close(self) -> None:
        self.log.append(f"close {self.name}")
        if self.broken == "close":
            raise MediaError(f"{self.name} cannot be closed")

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self.mark)

    def mark(self, chunk: Chunk) -> Chunk:
        if f"{self.name}-fails" in chunk.unit.source:
            raise MediaError(f"{chunk.unit.source}: not for {self.name}")
        return replace(chunk, warnings=(*chunk.warnings, self.name))


class Odd(Mark):
    """Answers a batch by ``answer``, however wrong that is."""

    def __init__(self, answer: Callable[[list[Chunk]], Any]) -> None:
        super().__init__("odd")
        self.answer = answer
        self.asked: list[int] = []

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        self.asked.append(len(batch))
        return self.answer(batch)


def chain(*stages: Stage) -> OpenedStages:
    return OpenedStages(stages, WorkerContext())


def chunks(*names: str) -> list[Chunk]:
    return [Chunk(unit(name)) for name in names]


def told(replies: list[Reply]) -> list[tuple[str, ...]]:
    """For each reply its marks, or the stage and kind of its failure."""
    return [r.warnings if isinstance(r, Chunk) else ("failed", r.stage, r.kind) for r in replies]


# -- chunks ---------------------------------------------------------------------------------------
@settings(deadline=None)
@given(st.lists(st.sampled_from(["ok", "a-fails", "b-fails", "c-fails"]), max_size=8))
def test_each_chunk_gets_its_own_result_at_its_place(kinds: list[str]) -> None:
    batch = chunks(*(f"{kind}-{i}" for i, kind in enumerate(kinds)))
    replies = chain(Mark("a"), Mark("b"), Mark("c")).process(batch)
    assert [r.unit for r in replies] == [c.unit for c in batch]
    for kind, reply in zip(kinds, told(replies), strict=True):
        expected = ("a", "b", "c") if kind == "ok" else ("failed", kind[0], "MediaError")
        assert reply == expected


def test_a_failed_chunk_is_not_given_to_later_stages() -> None:
    later = Odd(lambda batch: batch)
    chain(Mark("a"), later).process(chunks("a-fails", "ok", "a-fails"))
    assert later.asked == [1]


def test_when_all_have_failed_later_stages_are_not_asked() -> None:
    later = Odd(lambda batch: batch)
    replies = chain(Mark("a"), later).process(chunks("a-fails", "a-fails-too"))
    assert later.asked == []
    assert told(replies) == [("failed", "a", "MediaError")] * 2


def test_an_exception_for_a_whole_batch_costs_only_the_culprit() -> None:
    def explode(batch: list[Chunk]) -> list[Chunk]:
        if any(c.unit.source == "bomb" for c in batch):
            raise MemoryError("too much")
        return batch

    odd = Odd(explode)
    replies = chain(odd, Mark("b")).process(chunks("x", "bomb", "y"))
    assert told(replies) == [("b",), ("failed", "odd", "MemoryError"), ("b",)]
    assert odd.asked == [3, 1, 1, 1]


@pytest.mark.parametrize(
    "answer",
    [
        lambda batch: batch[1:],
        lambda batch: [*batch, batch[0]],
        lambda batch: None,
        iter,
        lambda batch: [None for _ in batch],
    ],
    ids=["too few", "too many", "nothing", "an iterator", "nothing for each"],
)
def test_a_stage_that_answers_wrongly_fails_its_chunks_and_not_the_worker(
    answer: Callable[[list[Chunk]], Any],
) -> None:
    replies = chain(Mark("a"), Odd(answer), Mark("b")).process(chunks("x", "y"))
    assert [r.unit.source for r in replies] == ["x", "y"]
    assert all(isinstance(r, Failure) and r.stage == "odd" for r in replies)


def test_a_wrong_number_of_results_is_told_with_the_numbers() -> None:
    (reply,) = chain(Odd(lambda batch: [*batch, *batch])).process(chunks("x"))
    assert isinstance(reply, Failure)
    assert "odd returned 2 results for 1" in reply.message


def test_a_picture_never_comes_back_under_the_name_of_another() -> None:
    odd = Odd(lambda batch: batch[::-1])
    replies = chain(Mark("a"), odd, Mark("b")).process(chunks("x", "y", "z"))
    assert [r.unit.source for r in replies] == ["x", "y", "z"]
    assert told(replies) == [("a", "b")] * 3, "one by one there is nothing to confuse"


def test_a_stage_may_do_with_its_list_what_it_likes() -> None:
    def consume(batch: list[Chunk]) -> list[Chunk]:
        if len(batch) > 1:
            batch.clear()
            raise RuntimeError("one by one, please")
        return [batch.pop()]

    replies = chain(Odd(consume)).process(chunks("x", "y"))
    assert all(isinstance(r, Chunk) for r in replies)


def test_seconds_are_noted_for_each_stage_a_chunk_has_passed() -> None:
    first = replace(Chunk(unit("x")), seconds={"decode": 2.0})
    replies = chain(Mark("a"), Mark("b")).process([first, *chunks("y")])
    assert isinstance(replies[0], Chunk)
    assert isinstance(replies[1], Chunk)
    assert replies[0].seconds.keys() == {"decode", "a", "b"}
    assert replies[0].seconds["decode"] == 2.0
    assert replies[1].seconds.keys() == {"a", "b"}
    assert all(value >= 0 for value in replies[1].seconds.values())


def test_no_chunks_give_no_results() -> None:
    assert chain(Mark("a")).process([]) == []


# -- opening and closing --------------------------------------------------------------------------
def test_stages_are_opened_in_order_and_closed_in_reverse() -> None:
    log: list[str] = []
    opened = chain(Mark("a", log), Mark("b", log))
    opened.process(chunks("x"))
    opened.process(chunks("y"))
    opened.close()
    assert log == ["open a", "open b", "close b", "close a"]


def test_a_stage_that_cannot_be_opened_closes_those_before_it() -> None:
    log: list[str] = []
    with pytest.raises(MediaError, match="b cannot be opened"):
        chain(Mark("a", log), Mark("b", log, "open"), Mark("c", log))
    assert log == ["open a", "open b", "close a"]


def test_a_stage_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    log: list[str] = []
    opened = chain(Mark("a", log), Mark("b", log, "close"), Mark("c", log))
    with pytest.raises(MediaError, match="b cannot be closed"):
        opened.close()
    assert log[3:] == ["close c", "close b", "close a"]


# -- workers that are given the same stages -------------------------------------------------------
class Holder(Stage):
    """Works only with what it loaded itself."""

    name = "holder"

    def __init__(self) -> None:
        self.loaded: object | None = None

    def open(self, worker: WorkerContext) -> None:
        self.loaded = object()

    def close(self) -> None:
        self.loaded = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        if self.loaded is None:
            raise RuntimeError("it is closed")
        return list(batch)


def test_workers_with_the_same_stages_have_networks_of_their_own() -> None:
    """As threads have: what one loads or closes is not what another one works with."""
    stage = Holder()
    one, other = (OpenedStages((stage,), WorkerContext()) for _ in range(2))
    loaded = [opened.stages[0].loaded for opened in (one, other)]  # type: ignore[attr-defined]
    assert loaded[0] is not loaded[1]
    assert stage.loaded is None, "the stage that was given is only a description"
    one.close()
    (reply,) = other.process(chunks("a"))
    assert isinstance(reply, Chunk)
    other.close()


def test_a_stage_finds_the_opened_stages_of_frames_that_come_before_it() -> None:
    class Needy(Mark):
        of_frames = False
        seen: tuple[Stage, ...] = ()

        def open(self, worker: WorkerContext) -> None:
            Needy.seen = worker.frame_stages

    first, files, second = Mark("first"), Mark("files"), Mark("second")
    files.of_frames = False  # type: ignore[misc]
    opened = chain(first, files, second, Needy("needy"))
    assert Needy.seen == (opened.stages[0], opened.stages[2])


def test_units_of_another_kind_pass_a_stage_by() -> None:
    join: Join[None] = Join(id="j", source="j", output="j")
    replies = chain(Mark("a")).process([Chunk(join), *chunks("photo")])
    assert told(replies) == [(), ("a",)]


class Draws(Stage):
    name = "draws"
    writes = frozenset({"pasted"})

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return [replace(c, pasted=(Frame(np.zeros((2, 2, 3), np.uint8)),)) for c in batch]


class Reads(Stage):
    name = "reads"
    reads = frozenset({"pasted"})

    def __init__(self, seen: list[weakref.ref[np.ndarray]]) -> None:
        self.seen = seen

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        self.seen += [weakref.ref(chunk.pasted[0].rgb_hwc) for chunk in batch]
        return list(batch)


class Counts(Stage):
    name = "counts"

    def __init__(self, seen: list[weakref.ref[np.ndarray]], left: list[int]) -> None:
        self.seen, self.left = seen, left

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        self.left.append(sum(picture() is not None for picture in self.seen))
        return list(batch)


def test_a_picture_that_no_later_stage_reads_is_gone_when_the_next_one_begins() -> None:
    seen: list[weakref.ref[np.ndarray]] = []
    left: list[int] = []
    stages = [Draws(), Reads(seen), Counts(seen, left)]
    opened = OpenedStages(stages, WorkerContext(), frozenset({"artifact"}))
    opened.process([Chunk(unit("a")), Chunk(unit("b"))])
    assert (len(seen), left) == (2, [0])


def test_large_pieces_lie_apart_while_a_huge_picture_is_worked_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    @contextmanager
    def noted(wanted: bool) -> Iterator[None]:
        asked.append(wanted)
        yield

    monkeypatch.setattr(heap, "large_pieces_apart", noted)
    monkeypatch.setattr(heap, "HUGE_BYTES", 8 * 8 * 3)
    opened = OpenedStages([Mark("a")], WorkerContext())
    for side in (7, 8):
        picture = Frame(np.zeros((side, 8, 3), np.uint8))
        opened.process([Chunk(unit("photo"), frames=(picture,))])
    assert asked == [False, True]

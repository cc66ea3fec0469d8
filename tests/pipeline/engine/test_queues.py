"""Who is given what waits, where pictures lie on several nodes."""

from __future__ import annotations

from collections.abc import Mapping

from restore_batch.pipeline.engine.queues import NOWHERE, Queue


def queue(workers_on: Mapping[str, int], *tasks: tuple[str, str]) -> Queue[str]:
    made: Queue[str] = Queue(lambda node: workers_on.get(node, 0))
    for task, node in tasks:
        made.append(task, node)
    return made


def taken(waiting: Queue[str], node: str, *, idle: bool = True) -> str | None:
    waits = waiting.head_for(node, idle=idle)
    return None if waits is None else waiting.pop(waits)


def test_a_worker_takes_what_lies_on_its_node_and_what_lies_nowhere_in_their_order() -> None:
    waiting = queue({"a": 1, "b": 1}, ("1", "b"), ("2", "a"), ("3", NOWHERE), ("4", "a"))
    assert [taken(waiting, "a") for _ in range(4)] == ["2", "3", "4", None]
    assert len(waiting) == 1


def test_what_was_put_first_is_taken_first() -> None:
    waiting = queue({"a": 1}, ("2", "a"), ("3", NOWHERE))
    waiting.put_first("1", NOWHERE)
    waiting.put_first("0", "a")
    assert [taken(waiting, "a") for _ in range(4)] == ["0", "1", "2", "3"]


def test_an_idle_worker_takes_only_what_is_too_much_for_another_node() -> None:
    waiting = queue({"a": 2, "b": 1}, ("1", "a"), ("2", "a"), ("3", "a"))
    assert taken(waiting, "b", idle=False) is None
    assert taken(waiting, "b") == "1"
    assert taken(waiting, "b") is None


def test_what_lies_on_a_node_without_workers_is_taken_by_any() -> None:
    waiting = queue({"b": 1}, ("1", "a"))
    assert taken(waiting, "b") == "1"

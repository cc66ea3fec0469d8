"""A Ray that is slow to start is waited for, as long as it can still come."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from restore_batch.errors import ExecutorError

services = pytest.importorskip("ray._private.services")

from restore_batch.pipeline.engine import ray_private  # noqa: E402
from restore_batch.pipeline.engine.ray_private import handlers_kept, patience  # noqa: E402


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """What Ray's head answers, one after the other: of a node that is not registered an error."""
    given: list[object] = []

    def get_node(address: str, node: str) -> object:
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(services, "get_node", get_node)
    yield given
    assert services.get_node is get_node, "it is as it was before"


def test_a_node_that_registers_late_is_waited_for(answers: list[object]) -> None:
    answers += [RuntimeError("not there yet")] * 5 + ["the node"]
    with patience():
        assert services.get_node("127.0.0.1:1", "node") == "the node"
    assert answers == []


def test_not_once_what_it_needs_has_died(answers: list[object]) -> None:
    def dead() -> None:
        raise ExecutorError("the raylet has died")

    answers += [RuntimeError("not there yet")] * 2
    with patience(dead), pytest.raises(ExecutorError, match="the raylet has died"):
        services.get_node("127.0.0.1:1", "node")


def test_not_once_somebody_asks_for_an_end(answers: list[object]) -> None:
    answers += [RuntimeError("not there yet")] * 2
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with handlers_kept(), patience():
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            with pytest.raises(ExecutorError, match="asked to end while Ray starts"):
                services.get_node("127.0.0.1:1", "node")
            assert heard == []
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_and_not_for_ever(answers: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_private, "_STARTS_WITHIN_S", 0.0)
    answers += [RuntimeError("not there yet")] * 3
    with patience(), pytest.raises(RuntimeError, match="not there yet"):
        services.get_node("127.0.0.1:1", "node")

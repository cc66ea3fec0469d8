"""A private Ray without the processes that it has no use for.

Its API server asks the addresses at which cloud providers describe a machine where it is, whether
usage statistics are switched off or not; the autoscaler's monitor has nothing to scale; the log
monitor passes on what workers print, which nobody is shown. Each is a Python of its own. The agent
of a node is needed, but without what it can do beside: it would offer that, and metrics, at ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ray._private import utils
from ray._private.node import Node

_IDLE = ("start_api_server", "start_monitor", "start_log_monitor")
_ASKED_OF_AGENT = {
    "get_dashboard_dependency_error": ImportError("not wanted here"),
    "check_dashboard_dependencies_installed": False,
}
"""By what Ray finds out whether its agent is to be a small one, the later name first."""


@contextmanager
def without_idle_processes(*, metrics: bool = False) -> Iterator[None]:
    """A Ray that is started within has none of them. ``metrics``: its agent shows them."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    theirs = {name: getattr(Node, name) for name in _IDLE}
    for name in _IDLE:
        setattr(Node, name, nothing)
    asked = {} if metrics else {n: a for n, a in _ASKED_OF_AGENT.items() if hasattr(utils, n)}
    before = {name: getattr(utils, name) for name in asked}
    for name, answer in asked.items():
        setattr(utils, name, partial(_answer, answer))
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(utils, name, function)
        for name, method in theirs.items():
            setattr(Node, name, method)


def _answer(answer: Any, *_: Any, **__: Any) -> Any:
    return answer

"""A private Ray without the processes that it has no use for.

Its API server asks the addresses at which cloud providers describe a machine where it is, whether
usage statistics are switched off or not; the autoscaler's monitor has nothing to scale; the log
monitor passes on what workers print, which nobody is shown. Each is a Python of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray._private.node import Node

_IDLE = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def without_idle_processes() -> Iterator[None]:
    """A Ray that is started within has none of them."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    theirs = {name: getattr(Node, name) for name in _IDLE}
    for name in _IDLE:
        setattr(Node, name, nothing)
    try:
        yield
    finally:
        for name, method in theirs.items():
            setattr(Node, name, method)

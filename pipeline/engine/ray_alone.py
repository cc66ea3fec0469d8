"""A private Ray without its API server.

Nothing here needs that process, and it asks the addresses at which cloud providers describe a
machine where it is, whether usage statistics are switched off or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray._private import services


@contextmanager
def without_api_server() -> Iterator[None]:
    """A Ray that is started within has none."""
    theirs = services.start_api_server

    def nothing(*_: Any, **__: Any) -> tuple[None, None]:
        return None, None

    services.start_api_server = nothing  # type: ignore[assignment]
    try:
        yield
    finally:
        services.start_api_server = theirs  # type: ignore[assignment]

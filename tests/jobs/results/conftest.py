"""A real S3 server, empty for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restore_batch.jobs.results import s3_calls

from support.object_store import Store, forget, serving, talk_to


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """That of all tests of a module."""
    with serving(tmp_path_factory.mktemp("server") / "log") as store:
        yield store


@pytest.fixture
def store(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Emptied, and talked to by this process."""
    server.reset()
    talk_to(server.url, monkeypatch)
    monkeypatch.setattr(s3_calls, "_FIRST_WAIT_S", 0.05)
    yield server
    forget()

"""What tests of weights share: a web site, the toy models installed, an empty cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import toy_model
from support.web import Site, site


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


@pytest.fixture
def toys(tmp_path: Path) -> Iterator[None]:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    with toy_model.installed(plugin, toy_model.FAMILY, toy_model.BOX):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"

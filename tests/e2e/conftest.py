"""Small restorers for films, in this process and in those that tests start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import films_e2e


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    pytest.importorskip("skimage")
    with films_e2e.installed(tmp_path_factory.mktemp("small")) as found:
        yield found


@pytest.fixture(scope="module")
def weights_dir(installed: tuple[Path, dict[str, str]]) -> Path:
    return installed[0]


@pytest.fixture(scope="module")
def env(installed: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return installed[1]

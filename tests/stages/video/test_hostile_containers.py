"""Files made to hurt: each ends done or failed, with lines that can be read, in little time and
memory, and hurts nothing beside it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore_batch.text import legible

from support import hostile_mkv, hostile_mp4, hostile_streams
from support.one_by_one import Fate, fates

MOST_MB = 1024
PATIENCE_S = 60


def _made(folder: Path) -> Iterator[tuple[str, Path]]:
    yield from hostile_mp4.films(folder)
    yield from hostile_mkv.films(folder)
    yield from hostile_streams.files(folder)


@pytest.fixture(
    scope="module",
    params=[pytest.param(4, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)],
)
def table(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Fate]:
    """What came of every file, or of every fourth."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "in").mkdir()
    made = dict(itertools.islice(_made(folder / "in"), 0, None, request.param))
    before = _tree(folder / "in")
    found = fates(list(made.values()), folder / "out", PATIENCE_S)
    told = dict(zip(made, found, strict=True))
    assert _tree(folder / "in") == before, "an original was touched"
    assert {path.name for path in folder.iterdir()} == {"in", "out"}
    return told


def _tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_every_file_is_done_or_failed(table: dict[str, Fate]) -> None:
    assert {
        name: fate for name, fate in table.items() if fate.outcome not in ("done", "failed")
    } == {}
    assert {fate.outcome for fate in table.values()} == {"done", "failed"}


def test_whatever_is_said_is_a_line_that_names_the_file(table: dict[str, Fate]) -> None:
    for name, fate in table.items():
        for line in fate.words:
            assert "\n" not in line, name
            assert len(legible(line)) < 2000, name
        if fate.outcome == "failed":
            (line,) = fate.words
            assert Path(fate.file).name in line, name
            assert "Error:" not in line, f"{name}: a fault of ours: {line}"


def test_none_takes_a_gigabyte(table: dict[str, Fate]) -> None:
    assert {n: f.peak_mb for n, f in table.items() if f.peak_mb > MOST_MB} == {}

"""A journal gives back the lines whose seals are good, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.jobs.proof.journal import Journal, Position, Tables, read_lines, sealed

ROWS: Tables = {
    "units": {"a": [{"id": "a", "item": "x\udcff\n", "size_bytes": 7}]},
    "faces": {"a": []},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def numbers(path: Path, start: int = 0) -> list[int]:
    return [line.position.number for line in read_lines(path, start)]


def test_lines_come_back_as_they_were_written_with_their_places(path: Path) -> None:
    journal = Journal(path)
    first, second = journal.append(1, ROWS, kept=True), journal.append(2, {}, kept=False)
    found = list(read_lines(path))
    assert [(line.position, line.tables, line.kept) for line in found] == [
        (first, ROWS, True), (second, {}, False),
    ]  # fmt: skip
    assert numbers(path, first.end) == [2]
    assert journal.holds(first)
    assert journal.holds(second)
    assert journal.holds(Position(0, 0, 0))
    journal.close()


def test_a_line_that_was_cut_off_spoils_neither_those_before_nor_those_after(path: Path) -> None:
    Journal(path).append(1, ROWS, kept=True)
    with path.open("ab") as file:
        file.write(sealed(2, ROWS, kept=True)[:-20])
    assert numbers(path) == [1]
    journal = Journal(path)
    third = journal.append(3, ROWS, kept=True)
    assert numbers(path) == [1, 3]
    assert journal.holds(third)


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_a_line_with_one_byte_altered_counts_for_nothing(place: float, change: int) -> None:
    import tempfile

    line = bytearray(sealed(1, ROWS, kept=True))
    at = int(place * (len(line) - 1))  # the end of the line is no part of it
    line[at] ^= change
    with tempfile.NamedTemporaryFile() as file:
        file.write(line + sealed(2, ROWS, kept=True))
        file.flush()
        assert numbers(Path(file.name)) == [2]


def test_a_position_of_another_journal_is_not_held(path: Path) -> None:
    journal = Journal(path)
    held = journal.append(5, ROWS, kept=True)
    for position in (
        Position(4, held.start, held.end), Position(5, held.start + 1, held.end),
        Position(5, held.start, held.end + 1), Position(-1, 0, 0), Position(5, -3, held.end),
        Position(5, 0, 1 << 62),
    ):  # fmt: skip
        assert not journal.holds(position)


def test_where_there_is_no_journal_there_are_no_lines(path: Path) -> None:
    assert numbers(path) == []
    path.mkdir()
    assert numbers(path) == []

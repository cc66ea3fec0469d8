"""Files are handed out from where they are said to lie, and from nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from restore_batch.pipeline.serve.files import asked_part, open_at, open_below, pieces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inner = tmp_path / "out"
    (inner / "album").mkdir(parents=True)
    (inner / "album" / "a.png").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    (inner / "link.png").symlink_to(tmp_path / "secret")
    (inner / "up").symlink_to(tmp_path)
    (inner / "near.png").symlink_to("album/a.png")
    os.mkfifo(inner / "pipe.png")
    return inner


def test_a_file_below_is_opened(folder: Path) -> None:
    with open_below(folder, "album/a.png") as file:
        assert file.read() == b"0123456789"


@pytest.mark.parametrize(
    "path",
    [
        "../secret", "album/../../secret", "/etc/passwd", "link.png", "up/secret", "near.png",
        "album", "album/", "album//a.png", "./album/a.png", "", ".", "..", "pipe.png",
        "album/a.png\0", "\0", "album\\a.png", "none.png", "a" * 5000,
    ],
)  # fmt: skip
def test_nothing_else_is_opened_by_whatever_path(folder: Path, path: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError):
        open_below(folder, path)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_original_is_opened_unless_it_is_a_link_or_no_file(folder: Path) -> None:
    with open_at(str(folder / "album" / "a.png")) as file:
        assert file.read(1) == b"0"
    for name in ("link.png", "pipe.png", "album", "album/a.png\0"):
        with pytest.raises(OSError):
            open_at(str(folder / name))


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None), ("bytes=0-", range(10)), ("bytes=2-4", range(2, 5)),
        ("bytes=8-99", range(8, 10)), ("bytes=-3", range(7, 10)), ("bytes=-99", range(10)),
        ("bytes=-", None), ("bytes=0-1,3-4", None), ("lines=1-2", None),
    ],
)  # fmt: skip
def test_a_part_is_what_its_header_says(folder: Path, header: str, expected: range | None) -> None:
    assert asked_part(header, 10) == expected
    if expected is not None:
        file = open_below(folder, "album/a.png")
        assert b"".join(pieces(file, expected)) == b"0123456789"[expected.start : expected.stop]
        assert file.closed


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=-0"])
def test_a_part_that_is_not_there_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        asked_part(header, 10)

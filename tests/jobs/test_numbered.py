"""Folders of numbered pictures are known by their names, and not taken for files."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.jobs.numbered import follows, is_numbered


@pytest.mark.parametrize(
    ("name", "numbered"),
    [
        ("reel/frame_%06d.png", True), ("%d.TIF", True), ("a/%4d.jpeg", True),
        ("reel/frame_000001.png", False), ("50%d off.mp4", False), ("100% done.png", False),
        ("reel%d/a.png", False),
    ],
)  # fmt: skip
def test_a_pattern_of_numbers_is_known_by_its_name(name: str, numbered: bool) -> None:
    assert is_numbered(name) == numbered


def test_a_file_that_is_called_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scan_%d.png"
    assert is_numbered(str(path))
    path.write_bytes(b"")
    assert not is_numbered(str(path))


def test_pictures_follow_their_pattern() -> None:
    assert follows("frame_000001.png", "frame_%06d.png")
    assert follows("1000000.png", "%06d.png")
    assert not follows("frame_.png", "frame_%06d.png")
    assert not follows("frameX1.png", "frame.%d.png"), "a dot is a dot"

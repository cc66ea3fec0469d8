"""A result that somebody altered is never replaced before it has another name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from restore_batch.jobs.manifest import Manifest

from support.ledger import content, do, photo


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    with Manifest.open(tmp_path) as opened:
        yield opened


def kept(manifest: Manifest) -> dict[str, str]:
    return dict(manifest.altered.kept())


def retouch(path: Path, text: bytes = b"hours of work") -> None:
    path.write_bytes(text)


def test_an_altered_result_is_kept_beside_what_replaces_it(
    manifest: Manifest, tmp_path: Path
) -> None:
    unit = do(manifest, photo(tmp_path, "album/a.png"))
    retouch(tmp_path / "album" / "a.png")
    do(manifest, unit)
    assert (tmp_path / "album" / "a.png").read_bytes() == content(unit)
    assert (tmp_path / "album" / "a.altered.png").read_bytes() == b"hours of work"
    assert kept(manifest) == {"album/a.png": "album/a.altered.png"}
    assert kept(manifest) == {}


def test_so_is_one_whose_options_have_changed_meanwhile(manifest: Manifest, tmp_path: Path) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"))
    retouch(tmp_path / "a.png")
    do(manifest, photo(tmp_path, "a.png"))
    assert (tmp_path / "a.altered.png").read_bytes() == b"hours of work"


def test_each_time_under_a_name_that_nothing_has(manifest: Manifest, tmp_path: Path) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"))
    for text in (b"first", b"second"):
        retouch(tmp_path / "a.png", text)
        do(manifest, unit)
    assert (tmp_path / "a.altered.png").read_bytes() == b"first"
    assert (tmp_path / "a.altered-2.png").read_bytes() == b"second"
    assert sorted(each.name for each in tmp_path.glob("a*")) == [
        "a.altered-2.png", "a.altered.png", "a.png",
    ]  # fmt: skip


def test_a_result_as_it_was_written_leaves_nothing_behind(
    manifest: Manifest, tmp_path: Path
) -> None:
    do(manifest, photo(tmp_path, "a.png", base="old"))
    os.utime(tmp_path / "a.png", ns=(1, 1))  # copied back, say
    do(manifest, photo(tmp_path, "a.png"))
    assert [each.name for each in tmp_path.glob("a*")] == ["a.png"]
    assert kept(manifest) == {}


def test_what_was_found_altered_when_it_was_read_is_kept_whatever_its_time_says(
    manifest: Manifest, tmp_path: Path
) -> None:
    unit = do(manifest, photo(tmp_path, "a.png"))
    path = tmp_path / "a.png"
    before = path.stat()
    retouch(path, b"x" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    manifest.altered.found("a.png")
    do(manifest, unit)
    assert (tmp_path / "a.altered.png").read_bytes() == b"x" * before.st_size


def test_where_no_file_can_have_two_names_it_is_copied(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    unit = do(manifest, photo(tmp_path, "a.png"))
    retouch(tmp_path / "a.png")
    monkeypatch.setattr(os, "link", refused)
    do(manifest, unit)
    assert (tmp_path / "a.altered.png").read_bytes() == b"hours of work"
    assert (tmp_path / "a.png").read_bytes() == content(unit)

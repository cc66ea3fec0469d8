"""What a machine sees of a job's files, told from others under the same names."""

from __future__ import annotations

import os
from pathlib import Path

from restore_batch.jobs.inputs import SourceFile
from restore_batch.pipeline.plan.landmarks import Landmarks, Mark, Sees


def source(path: Path, relative: str) -> SourceFile:
    return SourceFile(str(path), relative, 0, "")


def test_a_mark_is_seen_as_long_as_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"a scan")
    os.utime(file, ns=(5, 1_000_000_001_234_567_890))
    mark, folder = Mark.of(file), Mark.of(tmp_path)
    assert mark.is_seen
    assert folder.is_seen
    os.utime(file, ns=(5, 1_000_000_000_000_000_000))
    assert mark.is_seen, "where times are kept coarsely"
    os.utime(file, ns=(5, 1_000_000_002_000_000_000))
    assert not mark.is_seen
    file.write_bytes(b"another")
    os.utime(file, ns=(5, 1_000_000_001_234_567_890))
    assert not mark.is_seen
    file.unlink()
    assert not mark.is_seen
    tmp_path.rename(tmp_path.with_name("moved"))
    tmp_path.mkdir()
    assert not folder.is_seen
    assert not Mark.of(file).is_seen, "nothing is no mark"


def test_one_file_below_each_place_of_inputs_is_a_mark(tmp_path: Path) -> None:
    for name in ("one/a/1.png", "one/2.png", "two/3.png", "reel/f_01.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sources = [
        source(tmp_path / "one/a/1.png", "a/1.png"),
        source(tmp_path / "one/2.png", "2.png"),
        source(tmp_path / "two/3.png", "3.png"),
        source(tmp_path / "reel/f_%02d.png", "reel.mkv"),
        SourceFile("s3://museum/4.png", "4.png", 7, "tag"),
    ]
    landmarks = Landmarks.of(tmp_path / "out" / "tmp", sources, {}, None)
    marks = [Path(mark.path).relative_to(tmp_path) for mark in landmarks.inputs]
    assert list(map(str, marks)) == ["one/a/1.png", "two/3.png", "reel"]
    assert landmarks.staging.path == str(tmp_path), "the nearest folder that is there"
    assert landmarks.seen_here() == Sees(staging=True, inputs=True, weights=True)
    (tmp_path / "two/3.png").unlink()
    assert landmarks.seen_here() == Sees(staging=True, inputs=False, weights=True)

"""A film as a folder of numbered pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.film.frames_out import write_frames
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Frame
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.types import FrameRange
from restore_batch.stages.video.write import PartWriter

from support.clips import clip, frame_number, numbered_picture

PICTURE = numbered_picture((64, 48))


def _work(folder: Path) -> tuple[str, JoinWork]:
    source = str(clip(folder / "film.mp4", frames=5, pts=[0, 2, 3, 7, 9], rate=Fraction(25)))
    index = index_video(source)
    format_, _ = resolve_format(VideoWish(codec="ffv1", container="mkv"), index.facts, 1, source)
    parts = []
    for number, own in enumerate((range(2), range(2, 5))):
        pts, durations = (tuple(int(a[i]) for i in own) for a in (index.pts, index.durations))
        path = folder / f"{number}.part"
        with PartWriter(path, format_, index.facts.time_base_s) as writer:
            for i, time, duration in zip(own, pts, durations, strict=True):
                writer.write(Frame(PICTURE(i)), time, duration)
            writer.close()
        parts.append((str(path), FrameRange(number, own.start, pts, durations, 0, 0, None)))
    out = folder / "out" / "film.frames"
    return source, JoinWork(index.facts, format_, tuple(parts), str(out))


def _pixels(path: Path) -> np.ndarray:
    with av.open(str(path)) as picture:
        return next(picture.decode(video=0)).to_ndarray(format="rgb24")


def test_every_frame_is_a_picture_and_keeps_its_time(tmp_path: Path) -> None:
    source, work = _work(tmp_path)
    staged = tmp_path / "staged.json"
    artifact = write_frames(source, work, staged)
    folder = Path(work.folder)
    assert [frame_number(_pixels(path)) for path in sorted(folder.iterdir())] == list(range(5))
    assert (_pixels(folder / "frame_000003.png") == PICTURE(2)).all()
    told = json.loads(staged.read_text())
    assert artifact.size_bytes == staged.stat().st_size
    tick = Fraction(told["time_base_s"])
    begins = [frame["pts"] * tick for frame in told["frames"]]
    assert [begin - begins[0] for begin in begins] == [
        (pts - work.parts[0][1].pts[0]) * work.facts.time_base_s
        for _, segment in work.parts
        for pts in segment.pts
    ]


def test_its_own_folder_is_replaced_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    source, work = _work(tmp_path)
    folder = Path(work.folder)
    write_frames(source, work, tmp_path / "staged.json")
    (folder / "frame_000009.png").write_bytes(b"of a longer version")
    write_frames(source, work, tmp_path / "staged.json")
    assert len(list(folder.iterdir())) == 5
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(MediaError, match="did not write"):
        write_frames(source, work, tmp_path / "staged.json")
    assert (folder / "notes.txt").read_text() == "mine"
    assert not list(tmp_path.glob("*.old"))


def test_a_part_that_lacks_frames_is_refused(tmp_path: Path) -> None:
    source, work = _work(tmp_path)
    path, segment = work.parts[0]
    longer = FrameRange(0, 0, (*segment.pts, 99), (*segment.durations, 1), 0, 0, None)
    broken = replace(work, parts=((path, longer), *work.parts[1:]))
    with pytest.raises(MediaError, match="holds 2 frames, expected 3"):
        write_frames(source, broken, tmp_path / "staged.json")
    assert not Path(work.folder).exists()

"""What goes wrong in films: frames, workers and files that fail, through the whole pipeline."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import restore_batch as rb
from restore_batch.pipeline.drive.summary import Summary
from restore_batch.stages.video.types import ColourTags

from support.archive import cli, write_job
from support.clips import clip, decoded, frame_number
from support.ffprobe import probe
from support.films_e2e import BLUE, DAINTY, RED, moving_face, sections
from support.remux import copied


def told(summary: Summary) -> list[str]:
    return [text for _, text in summary.warned]


def rows(path: Path) -> list[np.ndarray]:
    return [picture for _, picture in decoded(path)]


def tinted(path: Path, tints: dict[int, Any], frames: int = 30) -> tuple[Path, list[np.ndarray]]:
    """A lossless film of five pictures a second, and the pictures."""
    draw = moving_face(tints=tints)
    clip(
        path, codec="ffv1", pix_fmt="bgr0", frames=frames, size=(144, 108), rate=Fraction(5), gop=1,
        picture=draw,
    )  # fmt: skip
    return path, [draw(i) for i in range(frames)]


def same(one: list[np.ndarray], two: list[np.ndarray]) -> list[int]:
    """Numbers of the pictures that are equal in both."""
    return [i for i, (a, b) in enumerate(zip(one, two, strict=True)) if np.array_equal(a, b)]


def test_a_frame_that_cannot_be_restored_stands_in_for_itself(
    weights_dir: Path, tmp_path: Path
) -> None:
    source, originals = tinted(tmp_path / "film.mkv", {14: RED})
    summary = rb.run(
        sections(
            weights_dir, DAINTY, inputs=[str(source)], output=str(tmp_path / "out"),
            video={"codec": "ffv1", "segment_s": 2.0},
        )
    )  # fmt: skip
    assert (summary.done, summary.failed, summary.segments) == (1, [], 3)
    assert told(summary) == ["frame 14 at 2.80 s: not restored: ValueError: this face is too red"]
    assert same(rows(tmp_path / "out" / "film.mkv"), originals) == [14]
    assert summary.faces == 29


def test_where_an_unforeseen_error_came_from_is_kept_beside_the_manifest(
    weights_dir: Path, tmp_path: Path
) -> None:
    for name, tint in (("red", {0: RED}), ("sound", {})):
        (picture,) = tinted(tmp_path / f"{name}.mkv", tint, frames=1)[1]
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), picture[..., ::-1])
    out = tmp_path / "out"
    summary = rb.run(
        sections(weights_dir, DAINTY, inputs=[str(tmp_path / "*.png")], output=str(out))
    )
    assert summary.done == 1
    ((source, stage, message),) = summary.failed
    assert (Path(source).name, stage) == ("red.png", "restore")
    said, _, place = message.removesuffix(")").partition(" (its traceback: ")
    assert said == "ValueError: this face is too red"
    text = (out / place).read_text("utf-8")
    assert "films_e2e.py" in text
    assert 'raise ValueError("this face is too red")' in text


@pytest.mark.slow
def test_a_stretch_that_kills_its_worker_three_times_stays_plain_and_the_film_is_done(
    weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    source, originals = tinted(tmp_path / "film.mkv", {7: BLUE}, frames=15)
    job = write_job(
        tmp_path / "job.yaml",
        **sections(
            weights_dir, DAINTY, inputs=[str(source)], engine={"kind": "ray", "workers": 1},
            video={"codec": "ffv1", "segment_s": 1.0},
        ),
    )  # fmt: skip
    done = cli("run", job, "--json", env=env)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    plain = range(5, 10)
    assert [w["warning"].partition(" (")[0] for w in summary["warned"]] == [
        f"frame {i} at {i / 5:.2f} s: not restored: the worker was lost 3 times on it"
        for i in plain
    ]
    assert same(rows(tmp_path / "out" / "film.mkv"), originals) == list(plain)
    assert summary["faces"] == 10


def test_frames_that_cannot_be_decoded_are_replaced_counted_and_named(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mp4", frames=40, rate=Fraction(10), gop=10, audio=["aac"])
    rng, number = np.random.default_rng(0), iter(range(40))
    lost, doubtful = [13, 14, 25], [*range(15, 20), *range(26, 30)]
    hurt = copied(
        whole, tmp_path / "hurt.mp4",
        replace=lambda packet: rng.bytes(packet.size) if next(number) in lost else None,
    )  # fmt: skip
    summary = rb.run({
        "inputs": [str(hurt)], "output": str(tmp_path / "out"), "engine": {"kind": "local"},
        "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
        "video": {"codec": "ffv1", "container": "mkv", "segment_s": 1.0},
    })  # fmt: skip
    assert (summary.done, summary.failed, summary.segments) == (1, [], 4)
    named = {int(text.split()[1]): text for text in told(summary)}
    assert sorted(named) == sorted([*lost, *doubtful])
    assert all("cannot be decoded" in named[i] for i in lost)
    assert all("may be damaged" in named[i] for i in doubtful)
    shown = decoded(tmp_path / "out" / "hurt.mkv")
    assert [pts for pts, _ in shown] == [100 * i for i in range(40)]
    numbers = {i: frame_number(p) for i, (_, p) in enumerate(shown) if i not in doubtful}
    assert numbers == {**{i: i for i in numbers}, 13: 12, 14: 12, 25: 24}


def test_films_that_are_refused_are_copied_where_the_job_says_so_and_done_once_they_can_be(
    tmp_path: Path,
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    hdr = clip(
        inputs / "hdr.mp4", codec="libx265", pix_fmt="yuv420p10le", frames=10,
        colour=ColourTags(9, 16, 9, False),
    )  # fmt: skip
    (inputs / "words.mp4").write_text("this is no film\n" * 99)
    clip(inputs / "good.mp4", frames=10)
    out = tmp_path / "out"
    job = {
        "inputs": [str(inputs)], "output": str(out), "engine": {"kind": "local"},
        "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
        "on_error": "copy-original",
    }  # fmt: skip
    summary = rb.run(job)
    assert (summary.done, summary.exit_code) == (1, 1)
    reasons = {Path(source).name: reason for source, _, reason in summary.failed}
    assert set(reasons) == {"hdr.mp4", "words.mp4"}
    assert "video.tonemap" in reasons["hdr.mp4"]
    assert "text" in reasons["words.mp4"]
    for name in reasons:
        assert (out / name).read_bytes() == (inputs / name).read_bytes()

    (inputs / "words.mp4").unlink()
    again = rb.run({**job, "video": {"tonemap": "hable"}})
    assert (again.done, again.failed) == (2, [])
    assert probe(hdr)["streams"][0]["color_transfer"] == "smpte2084"
    video = probe(out / "hdr.mp4")["streams"][0]
    assert (video["color_transfer"], video["pix_fmt"]) == ("bt709", "yuv420p10le")

"""Films through the whole pipeline, read back by other programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import restore_batch as rb
from restore_batch.pipeline.drive.run import Summary
from restore_batch.stages.video.types import ColourTags

from support import films_e2e
from support.archive import checksums, cli, command, write_job
from support.clips import clip, decoded, frame_number
from support.data import ROOT, folder
from support.ffprobe import probe
from support.film_compare import differences
from support.films_e2e import BLUE, DAINTY, RED, moving_face, pictures, sections, units
from support.remux import copied

SAMPLE = ROOT / "jobs" / "samples" / "video" / "home_movie.mp4"
# Sources that do not say their matrix are read as players read them, and the result says so.
UNSAID_MATRIX = "color_space: unknown became smpte170m"
FRAMES = 48
FIVE_SEGMENTS = {"codec": "ffv1", "container": "mkv", "segment_s": 2.0, "deflicker": True}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face that sways, is out of focus for five frames, and is somewhere else after a cut."""
    pytest.importorskip("skimage")
    return clip(
        tmp_path_factory.mktemp("in") / "film.mp4", frames=FRAMES, size=(144, 108),
        rate=Fraction(5), gop=5, b_frames=2, picture=moving_face(blurred=range(24, 29), cut=38),
    )  # fmt: skip


@pytest.fixture(scope="module")
def expected(film: Path, weights_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film restored without interruption, in five segments by two workers."""
    out = tmp_path_factory.mktemp("expected")
    summary = rb.run(
        sections(
            weights_dir,
            inputs=[str(film)],
            output=str(out),
            engine={"kind": "local", "workers": 2, "threads": 2},
            video=FIVE_SEGMENTS,
        )
    )
    assert (summary.done, summary.segments, summary.faces) == (1, 5, FRAMES)
    return out / "film.mkv"


def told(summary: Summary) -> list[str]:
    return [text for _, text in summary.warned]


def rows(path: Path) -> list[np.ndarray]:
    return [picture for _, picture in decoded(path)]


# -- what people have ---------------------------------------------------------------------------


def test_short_films_are_restored_or_refused_as_a_user_would_expect(
    tmp_path: Path, weights_dir: Path, env: dict[str, str]
) -> None:
    source = folder("RESTORE_BATCH_VIDEO", "video")
    index = {e["file"]: e for e in json.loads((source / "index.json").read_text())}
    explained = {
        "one_frame.mp4": [UNSAID_MATRIX],
        "rotated_meta.mp4": [UNSAID_MATRIX],
        "hevc_10bit.mp4": [UNSAID_MATRIX],
        # ffprobe guesses how long a last frame lasts from the mean of all.
        "vfr.mp4": ["duration: frame 89: 0.033367 s became 0.044467 s", UNSAID_MATRIX],
        "truncated_faststart.mp4": [
            "duration: frame 57: 0.033367 s became 0.033933 s", UNSAID_MATRIX
        ],
    }  # fmt: skip
    names = [*explained, "truncated_no_index.mp4"]
    job = write_job(
        tmp_path / "job.yaml",
        **sections(weights_dir, DAINTY, inputs=[str(source / name) for name in names]),
    )
    done = cli("run", job, "--json", env=env)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    (failed,) = summary["failed"]
    assert "truncated_no_index.mp4" in failed["reason"]
    assert "cut off" in failed["reason"]
    assert "\n" not in failed["reason"]
    out = tmp_path / "out"
    assert set(checksums(out)) == set(explained)
    assert {name: differences(source / name, out / name) for name in explained} == explained
    items = json.loads(cli("status", job, "--json").stdout)["items"]
    faces = {Path(i["output"]).name: i["faces"] for i in items}
    for name in explained:
        assert faces[name] == int(index[name]["streams"][0]["nb_read_frames"]), name
    warned = {Path(w["source"]).name: w["warning"] for w in summary["warned"]}
    assert set(warned) == {"truncated_faststart.mp4"}
    assert "cut off" in warned["truncated_faststart.mp4"]
    before, after = (decoded(at / "rotated_meta.mp4")[0][1] for at in (source, out))
    assert before.shape == after.shape
    # Above the face, where nothing is restored.
    assert np.corrcoef(before[:40].ravel(), after[:40].ravel())[0, 1] > 0.95


def test_the_sample_film_keeps_its_sound_and_title_and_is_not_done_twice(
    tmp_path: Path, weights_dir: Path, env: dict[str, str]
) -> None:
    job, out = ROOT / "jobs" / "video.yaml", tmp_path / "out"
    ours = [
        "--set", f"output={out}", "--set", f"weights.dir={weights_dir}",
        "--set", "restore.model=small-gfpgan", "--set", "engine.kind=local",
    ]  # fmt: skip
    planned = cli("plan", job, *ours, env=env)
    assert planned.returncode == 0, planned.stderr
    assert "home_movie.mp4" in planned.stdout
    assert "50 frames" in planned.stdout
    done = cli("run", job, *ours, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    result = out / "home_movie.mp4"
    assert differences(SAMPLE, result, scale=Fraction(2)) == []
    assert probe(result)["format"]["tags"]["title"] == "Home movie, sample film of restore-batch"
    (row,) = json.loads(cli("status", out, "--json").stdout)["items"]
    assert (row["output"], row["state"], row["faces"]) == ("home_movie.mp4", "done", 50)

    stamp = result.stat().st_mtime_ns
    again = cli("run", job, *ours, env=env)
    assert again.returncode == 0
    assert "nothing to do: all 1 results are there" in again.stdout
    assert result.stat().st_mtime_ns == stamp

    assert not films_e2e.committed_parts(out)
    ours += ["--set", "restore.model=none", "--set", "video.crf=40"]
    changed = json.loads(cli("run", job, *ours, "--json", env=env).stdout)
    assert (changed["done"], changed["unchanged"]) == (1, 0)
    assert result.stat().st_mtime_ns != stamp


# -- the same result, however it is made --------------------------------------------------------


@pytest.mark.parametrize(
    ("segment_s", "segments", "engine"),
    [
        (600.0, 1, {"kind": "local", "workers": 1, "threads": 1}),
        (4.0, 2, {"kind": "ray", "workers": 2, "threads": 1}),
    ],
    ids=["one worker in one piece", "two worker processes in two pieces"],
)
def test_frames_are_the_same_whatever_the_segments_workers_and_executor(
    film: Path,
    expected: Path,
    weights_dir: Path,
    env: dict[str, str],
    tmp_path: Path,
    segment_s: float,
    segments: int,
    engine: dict[str, Any],
) -> None:
    video = {**FIVE_SEGMENTS, "segment_s": segment_s}
    job = write_job(
        tmp_path / "job.yaml",
        **sections(weights_dir, inputs=[str(film)], engine=engine, video=video),
    )
    done = cli("run", job, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segments"] == segments
    assert pictures(tmp_path / "out" / "film.mkv") == pictures(expected)


def test_an_interrupted_film_goes_on_with_its_finished_parts_and_ends_the_same(
    film: Path, expected: Path, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    job = write_job(
        tmp_path / "job.yaml",
        **sections(
            weights_dir,
            inputs=[str(film)],
            engine={"kind": "local", "workers": 1},
            video=FIVE_SEGMENTS,
        ),
    )
    process = subprocess.Popen(
        command("run", job), env={**os.environ, **env}, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not films_e2e.committed_parts(tmp_path / "out"):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 130, said
    assert "goes on from here" in said
    kept = [part.name for part in films_e2e.committed_parts(tmp_path / "out")]
    assert 1 <= len(kept) < 5
    assert not (tmp_path / "out" / "film.mkv").exists()

    done = cli("run", job, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segments"] == 5 - len(kept)
    attempts = [row["attempts"] for row in units(tmp_path / "out", "segment")]
    assert attempts.count(1) >= len(kept)
    assert (tmp_path / "out" / "film.mkv").read_bytes() == expected.read_bytes()
    assert not films_e2e.committed_parts(tmp_path / "out")


def test_kills_of_driver_and_worker_lose_nothing(
    film: Path, expected: Path, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    job = write_job(
        tmp_path / "job.yaml",
        **sections(weights_dir, inputs=[str(film)], engine={"kind": "ray"}, video=FIVE_SEGMENTS),
    )
    films_e2e.kill(job, tmp_path / "out" / "film.mkv", 5, env, kills=2, seed=1)
    done = cli("run", job, "--quiet", env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "film.mkv").read_bytes() == expected.read_bytes()
    assert [row["state"] for row in units(tmp_path / "out", "segment")] == ["done"] * 5
    assert not films_e2e.committed_parts(tmp_path / "out")


# -- what goes wrong ----------------------------------------------------------------------------


def tinted(path: Path, tints: dict[int, Any]) -> tuple[Path, list[np.ndarray]]:
    """A lossless film of 30 pictures, and the pictures."""
    draw = moving_face(tints=tints)
    clip(
        path, codec="ffv1", pix_fmt="bgr0", frames=30, size=(144, 108), rate=Fraction(5), gop=1,
        picture=draw,
    )  # fmt: skip
    return path, [draw(i) for i in range(30)]


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


def test_a_stretch_that_kills_its_worker_three_times_stays_plain_and_the_film_is_done(
    weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    source, originals = tinted(tmp_path / "film.mkv", {14: BLUE})
    job = write_job(
        tmp_path / "job.yaml",
        **sections(
            weights_dir, DAINTY, inputs=[str(source)], engine={"kind": "ray"},
            video={"codec": "ffv1", "segment_s": 2.0},
        ),
    )  # fmt: skip
    done = cli("run", job, "--json", env=env)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    plain = range(10, 20)
    assert [w["warning"] for w in summary["warned"]] == [
        f"frame {i} at {i / 5:.2f} s: not restored: its worker was lost" for i in plain
    ]
    assert same(rows(tmp_path / "out" / "film.mkv"), originals) == list(plain)
    assert summary["faces"] == 20


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

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

from support import films_e2e
from support.archive import checksums, cli, command, write_job
from support.clips import clip, decoded
from support.data import ROOT, folder
from support.ffprobe import probe
from support.film_compare import differences
from support.films_e2e import DAINTY, moving_face, pictures, sections, units

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
        "--set", "restore.min_identity=null",
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
    assert "nothing to do: the result is there" in again.stdout
    assert result.stat().st_mtime_ns == stamp
    assert not films_e2e.committed_parts(out)


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
        **sections(weights_dir, inputs=[str(film)], engine=engine, video=video, report=True),
    )
    done = cli("run", job, "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["segments"] == segments
    assert pictures(tmp_path / "out" / "film.mkv") == pictures(expected)
    drawn = [
        {path.name.partition("-")[2]: path.read_bytes() for path in folder.rglob("previews/*/*")}
        for folder in (tmp_path / "out", expected.parent)
    ]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {
        "thumb.jpg", "posters.jpg", "before.mp4", "after.mp4", "facts.json",
    }  # fmt: skip


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


@pytest.mark.slow
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

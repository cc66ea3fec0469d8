"""Every film of the collection, every length of a segment, and twenty kills."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from support import films_e2e
from support.archive import checksums, cli, write_job
from support.clips import clip, decoded
from support.data import folder
from support.film_compare import differences
from support.films_e2e import frames_with_faces, moving_face, pictures, sections, units

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

# Sources that do not say their matrix are read as players read them, and the result says so.
UNSAID_MATRIX = "color_space: unknown became smpte170m"
# ffprobe guesses how long a last frame lasts from the mean of all, where frames are reordered.
EXPLAINED = {
    "anamorphic.mp4": [UNSAID_MATRIX],
    "carphone_aac.mp4": [UNSAID_MATRIX],
    "cuts_and_gaps.mp4": [UNSAID_MATRIX],
    "film_1950s.mp4": [UNSAID_MATRIX],
    "hevc_10bit.mp4": [UNSAID_MATRIX],
    "one_frame.mp4": [UNSAID_MATRIX],
    "rotated_meta.mp4": [UNSAID_MATRIX],
    "truncated_faststart.mp4": [
        "duration: frame 57: 0.033367 s became 0.033933 s",
        UNSAID_MATRIX,
    ],
    "two_audio_subs_chapters.mkv": [UNSAID_MATRIX],
    "vfr.mp4": ["duration: frame 89: 0.033367 s became 0.044467 s", UNSAID_MATRIX],
}
FACES = {
    "anamorphic.mp4": [*range(43)],  # MTCNN; our own finder is as sure of the last before the cut
    "carphone_aac.mp4": [*range(120)],
    "cuts_and_gaps.mp4": [*range(25), *range(70, 100)],
    "hevc_10bit.mp4": [*range(60)],
    "one_frame.mp4": [0],
    "rotated_meta.mp4": [*range(45)],
    "truncated_faststart.mp4": [*range(58)],
    "two_audio_subs_chapters.mkv": [*range(120)],
    "vfr.mp4": [*range(90)],
}


@pytest.mark.parametrize("scale", [1, 2])
def test_every_film_is_restored_or_refused_as_a_user_would_expect(
    tmp_path: Path, weights_dir: Path, env: dict[str, str], scale: int
) -> None:
    source = folder("RESTORE_BATCH_VIDEO", "video")
    names = {entry["file"] for entry in json.loads((source / "index.json").read_text())}
    assert names == {*EXPLAINED, "truncated_no_index.mp4"}
    job = write_job(
        tmp_path / "job.yaml",
        **sections(
            weights_dir,
            inputs=[str(source)],
            engine={"kind": "ray"},
            background={"model": "none", "scale": scale},
        ),
    )
    done = cli("run", job, "--json", env=env, timeout_s=7000)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert [Path(f["source"]).name for f in summary["failed"]] == ["truncated_no_index.mp4"]
    assert {Path(w["source"]).name for w in summary["warned"]} == {"truncated_faststart.mp4"}
    out = tmp_path / "out"
    assert set(checksums(out)) == set(EXPLAINED)
    found = {
        name: differences(
            source / name,
            out / name,
            scale=Fraction(scale),
            tick_s=Fraction(1, 1000) if name.endswith(".mkv") else Fraction(0),
        )
        for name in EXPLAINED
    }
    assert found == EXPLAINED
    assert {name: frames_with_faces(out, name) for name in FACES} == FACES
    # The shot with the sign and those of the trucks are left alone.
    aged = frames_with_faces(out, "film_1950s.mp4")
    assert [i for i in aged if i < 299] == [*range(44)]
    black = [picture for _, picture in decoded(out / "cuts_and_gaps.mp4")][25:40]
    assert max(int(picture.max()) for picture in black) <= 2


@pytest.mark.parametrize("deflicker", [False, True])
def test_a_talking_head_is_the_same_in_segments_of_any_length(
    tmp_path: Path, weights_dir: Path, env: dict[str, str], deflicker: bool
) -> None:
    source = folder("RESTORE_BATCH_VIDEO", "video") / "carphone_aac.mp4"
    found: dict[float, Any] = {}
    for segment_s, segments, engine in (
        (600.0, 1, {"kind": "local", "workers": 1, "threads": 1}),
        (4.0, 1, {"kind": "ray", "workers": 1, "threads": 2}),
        (1.5, 3, {"kind": "local", "workers": 2, "threads": 2}),
        (0.5, 8, {"kind": "ray", "workers": 2, "threads": 1}),
    ):
        video = {
            "codec": "ffv1",
            "container": "mkv",
            "segment_s": segment_s,
            "deflicker": deflicker,
        }
        output = str(tmp_path / f"{segment_s}")
        job = write_job(
            tmp_path / f"{segment_s}.yaml",
            **sections(
                weights_dir,
                inputs=[str(source)],
                output=output,
                engine=engine,
                video=video,
                background={"model": "none", "scale": 1.5},
            ),
        )
        done = cli("run", job, "--json", env=env, timeout_s=3000)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["segments"] == segments
        found[segment_s] = pictures(Path(output) / "carphone_aac.mkv")
    assert found[4.0] == found[600.0]
    assert found[1.5] == found[600.0]
    assert found[0.5] == found[600.0]
    assert len({digest for _, digest in found[600.0]}) == 120


def test_twenty_kills_of_driver_and_workers_lose_nothing(
    tmp_path: Path, weights_dir: Path, env: dict[str, str]
) -> None:
    film = clip(
        tmp_path / "film.mp4", frames=60, size=(144, 108), rate=Fraction(5), gop=5, b_frames=2,
        picture=moving_face(blurred=range(24, 29), cut=38), audio=["aac"],
        metadata={"title": "Sway"},
    )  # fmt: skip
    made = sections(
        weights_dir,
        inputs=[str(film)],
        engine={"kind": "ray", "workers": 2, "threads": 1},
        background={"model": "none", "scale": 2},
        video={"codec": "h264", "segment_s": 2.0},
    )
    whole = write_job(tmp_path / "whole.yaml", **{**made, "output": "whole"})
    assert cli("run", whole, "--quiet", env=env).returncode == 0
    job, out = write_job(tmp_path / "job.yaml", **made), tmp_path / "out"
    films_e2e.kill(job, out / "film.mp4", 6, env, kills=20, seed=2)
    done = cli("run", job, "--quiet", env=env)
    assert done.returncode == 0, done.stderr
    assert checksums(out) == checksums(tmp_path / "whole")
    assert [row["state"] for row in units(out, "segment")] == ["done"] * 6
    assert [row["state"] for row in units(out, "join")] == ["done"]
    assert all(row["warnings"] in (None, "[]") for row in units(out, "segment"))
    assert not films_e2e.committed_parts(out)

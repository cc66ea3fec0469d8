"""Restored films in what people watch them with: a browser, mpv and ffmpeg."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

import restore_batch as rb

from support.browser import played
from support.clips import clip, frame_number
from support.ffprobe import ffmpeg, program

FRAMES, WIDTH, HEIGHT = 45, 128, 96
# Like a phone's film: the time between frames varies. In thousandths of a second.
STAMPS = [0, *accumulate((40, 40, 80, 33, 120)[i % 5] for i in range(FRAMES - 1))]
END = STAMPS[-1] + 40
MIDDLES_S = [(a + b) / 2000 for a, b in pairwise([*STAMPS, END])]
# Both ends, frames beside the cuts between segments, and back again.
SOUGHT = [0, 44, 11, 12, 13, 23, 24, 25, 35, 36, 37, 5, 43, 1]


@pytest.fixture(scope="module", params=["h264", "av1"])
def films(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A film with sound whose frames say their number, and the same restored in four segments."""
    codec = request.param
    folder = tmp_path_factory.mktemp(codec)
    coder, sound, b_frames = {
        "h264": ("libx264", "aac", 2),
        "av1": ("libvpx-vp9", "libopus", 0),
    }[codec]
    source = clip(
        folder / "film.mp4", codec=coder, frames=FRAMES, size=(WIDTH, HEIGHT), gop=12,
        b_frames=b_frames, time_base=Fraction(1, 1000), pts=STAMPS, audio=[sound],
    )  # fmt: skip
    summary = rb.run(
        {
            "inputs": [str(source)],
            "output": str(folder / "out"),
            "engine": {"kind": "local", "workers": 2},
            "restore": {"model": "none"},
            "background": {"model": "none", "scale": 2},
            "video": {"codec": codec, "segment_s": 0.5},
        }
    )
    assert (summary.done, summary.segments) == (1, 4)
    return source, folder / "out" / source.name


@pytest.fixture(scope="module")
def restored(films: tuple[Path, Path]) -> Path:
    return films[1]


def test_a_browser_plays_every_frame_and_seeks_as_in_the_source(
    films: tuple[Path, Path],
) -> None:
    before, seen = (played(film, [MIDDLES_S[i] for i in SOUGHT]) for film in films)
    assert "error" not in seen, seen["error"]
    assert (seen["width"], seen["height"]) == (2 * WIDTH, 2 * HEIGHT)
    assert seen["duration"] == pytest.approx(END / 1000, abs=0.1)
    assert seen["frames"] == FRAMES
    assert seen["sound"] > 0
    found = [frame_number(picture) for picture in seen["pictures"]]
    assert found == [frame_number(picture) for picture in before["pictures"]]
    # Chromium is early by a frame before some keyframes of films like this one.
    assert np.abs(np.subtract(found, SOUGHT)).max() <= 1


def test_mpv_shows_every_frame_and_seeks_to_the_right_one(restored: Path, tmp_path: Path) -> None:
    assert shown(restored, tmp_path / "all") == list(range(FRAMES))
    found = [
        shown(restored, tmp_path / f"{i}", f"--start={MIDDLES_S[i]}", "--frames=1")
        for i in SOUGHT[:7]
    ]
    # The frame that begins at or after the time sought.
    assert found == [[min(i + 1, FRAMES - 1)] for i in SOUGHT[:7]]


def test_ffmpeg_seeks_as_in_the_source(films: tuple[Path, Path]) -> None:
    before, found = ([first_after(film, STAMPS[i]) for i in SOUGHT] for film in films)
    assert found == before
    assert np.abs(np.subtract(found, SOUGHT)).max() <= 1


def first_after(film: Path, stamp_ms: int) -> int:
    """The number on the picture that ffmpeg begins with when told to begin at ``stamp_ms``."""
    raw = ffmpeg(
        "-ss", f"{stamp_ms / 1000}", "-i", film, "-frames:v", "1", "-s", f"{WIDTH}x{HEIGHT}",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-",
    )  # fmt: skip
    return frame_number(np.frombuffer(raw, np.uint8).reshape(HEIGHT, WIDTH, 3))


def shown(film: Path, folder: Path, *options: str) -> list[int]:
    """The numbers on the pictures that mpv puts on its screen."""
    subprocess.run(
        [
            program("mpv"), "--no-config", "--ao=null", "--untimed", "--framedrop=no", "--vo=image",
            "--vo-image-format=png", f"--vo-image-outdir={folder}", *options, str(film),
        ],
        check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    pictures = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
    return [frame_number(picture) for picture in pictures if picture is not None]

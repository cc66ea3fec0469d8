"""How long a film is, before it is indexed: by its header, by counting, or by a look at its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from restore_batch.stages.video import length
from restore_batch.stages.video.probe import probe_video

from support.clips import clip
from support.films import checked_index

DV: dict[str, Any] = {"codec": "dvvideo", "size": (720, 576)}
# Formats whose header does not count pictures.
KINDS: dict[str, dict[str, Any]] = {
    "h264.mkv": {"b_frames": 2},
    "vp8.webm": {"codec": "libvpx"},
    "mpeg4.nut": {"codec": "mpeg4"},
    "wmv2.wmv": {"codec": "wmv2"},
    "h264.ts": {"b_frames": 2},
    "h264.flv": {},
    "mpeg1.mpg": {"codec": "mpeg1video"},
    "mpeg2.vob": {"codec": "mpeg2video"},
    "mpeg2.m2v": {"codec": "mpeg2video"},
    "h264.h264": {},
    "hevc.hevc": {"codec": "libx265"},
    "mjpeg.mjpeg": {"codec": "mjpeg"},
    "av1.obu": {"codec": "libsvtav1"},
    "dv.dv": DV,
    "mpeg2.gxf": {"codec": "mpeg2video", "size": (720, 576)},
}
CLOCKS = ("h264.mkv", "vp8.webm", "mpeg4.nut", "wmv2.wmv")
TEN_HOURS = 25 * 36000


@pytest.mark.parametrize("name", KINDS)
def test_the_frames_of_a_small_film_are_counted(name: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, **KINDS[name], frames=25)
    facts = probe_video(str(path))
    assert facts.frame_count == 25
    assert facts.duration_s == pytest.approx(checked_index(path).facts.duration_s, abs=0.001)
    assert facts.warnings == ()


@pytest.mark.parametrize("name", ["h264.h264", "mjpeg.mjpeg", "dv.dv"])
def test_the_frames_of_a_large_stream_are_estimated(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "COUNTED_BYTES", 0)
    facts = probe_video(str(clip(tmp_path / name, **KINDS[name], frames=30)))
    assert (facts.frame_count, facts.duration_s) == (30, pytest.approx(1.2))
    (warning,) = facts.warnings
    assert "estimated" in warning


def _late(folder: Path, name: str, begin: int, frames: int) -> Path:
    return clip(folder / name, **KINDS[name], pts=range(begin, begin + frames), frames=frames)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("begin", [125, TEN_HOURS])
@pytest.mark.parametrize("name", CLOCKS)
def test_a_clock_that_starts_late_makes_a_film_no_longer(
    name: str, begin: int, counted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length, "COUNTED_BYTES", length.COUNTED_BYTES if counted else 0)
    path = _late(tmp_path, name, begin, 50)
    facts = probe_video(str(path))
    assert facts.frame_count == 50
    assert facts.duration_s == pytest.approx(2.0, abs=0.05)
    index = checked_index(path)
    assert index.facts.warnings == ()
    assert index.pts[0] * index.facts.time_base_s == begin / 25


@pytest.mark.parametrize("name", CLOCKS[:2])
def test_a_film_whose_clock_starts_late_says_how_much_of_it_is_missing(
    name: str, tmp_path: Path
) -> None:
    whole = _late(tmp_path, name, TEN_HOURS, 100)
    cut = tmp_path / f"cut{whole.suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    (warning,) = checked_index(cut).facts.warnings
    assert "is cut off" in warning
    assert "of 0:00:04.000 can be read" in warning

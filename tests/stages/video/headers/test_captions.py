"""Closed captions inside the frames of a film: each stays with its frame, or their loss is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest

from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.headers.captions import captions_of, with_captions
from restore_batch.stages.video.probe import probe_video
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments

from support.clips import clip
from support.data import field
from support.film_parts import in_parts, shown_numbers
from support.films import checked_index
from support.remux import copied

FRAMES = 20
KINDS: dict[str, dict[str, Any]] = {
    "h264.ts": {"b_frames": 2},
    "hevc.ts": {"codec": "libx265", "b_frames": 2},
    "mpeg2.ts": {"codec": "mpeg2video", "b_frames": 2},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "mpeg2_interlaced.ts": {"codec": "mpeg2video", "interlaced": True},
}


def _said(number: int, padding: int) -> bytes:
    """Captions of a frame: its number behind zeros, which look like start codes."""
    return b"\xfc\0\0" * (number % 4) + b"\xfd\x80\0" * padding + bytes([0xFC, 0x94, number])


def _captioned(path: Path, padding: int = 20) -> Path:
    """A film in whose packets the number of each is said, in order of decoding."""
    options = KINDS[path.name]
    codec = "mpeg2video" if "mpeg2" in path.name else path.stem
    plain = clip(path.with_name(f"plain{path.suffix}"), **options, frames=FRAMES, gop=8)
    number = -1

    def caption(packet: av.Packet) -> bytes:
        nonlocal number
        number += 1
        text = _said(number, padding)
        if codec != "mpeg2video":
            return bytes(with_captions(codec, packet, text))
        data = bytes(packet)
        slices, text = data.index(b"\0\0\1\1"), text[-30:]
        head = b"\0\0\1\xb2GA94\x03" + bytes([0x40 | len(text) // 3, 0xFF])
        return data[:slices] + head + text + b"\xff" + data[slices:]

    return copied(plain, path, replace=caption)


def _captions(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [captions_of(picture) for picture in container.decode(video=0)]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("name", KINDS)
def test_captions_stay_with_their_frames(name: str, codec: str, tmp_path: Path) -> None:
    source = _captioned(tmp_path / name)
    before = _captions(source)
    assert len(set(before)) == FRAMES, "each frame has its own"
    assert probe_video(str(source)).captions
    film = in_parts(source, tmp_path / "parts", 3, VideoWish(codec, "mkv"))  # type: ignore[arg-type]
    result = tmp_path / "result.mkv"
    film.joined(result)
    assert _captions(result) == before
    assert shown_numbers(result) == list(range(FRAMES))


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_more_captions_than_a_message_holds_are_kept(codec: str, tmp_path: Path) -> None:
    source = _captioned(tmp_path / "h264.ts", padding=40)
    film = in_parts(source, tmp_path / "parts", 2, VideoWish(codec, "mkv"))  # type: ignore[arg-type]
    film.joined(tmp_path / "result.mkv")
    assert all(len(text) > 3 * 31 for text in _captions(source))
    assert _captions(tmp_path / "result.mkv") == _captions(source)


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_captions_are_kept_in_every_container(container: str, tmp_path: Path) -> None:
    source = _captioned(tmp_path / "h264.ts")
    film = in_parts(source, tmp_path / "parts", 2, VideoWish("h264", container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    film.joined(result)
    assert _captions(result) == _captions(source)


def test_captions_of_interlaced_frames_stay_with_the_woven_ones(tmp_path: Path) -> None:
    source = _captioned(tmp_path / "mpeg2_interlaced.ts")
    index = checked_index(source)
    found: list[bytes] = []
    for segment in cut_segments(index, 0.3, 1 << 30, 2):
        frames = list(FrameRangeReader(str(source), index.facts, segment, deinterlace="always"))
        found += [each.captions for each in frames[segment.before : len(frames) - segment.after]]
    assert found == _captions(source)


@pytest.mark.parametrize("codec", ["ffv1", "prores"])
def test_a_codec_that_takes_no_captions_is_said_to(codec: str, tmp_path: Path) -> None:
    facts = probe_video(str(_captioned(tmp_path / "h264.ts")))
    _, notes = resolve_format(VideoWish(codec, "mkv"), facts, 1, "film.ts")  # type: ignore[arg-type]
    lost = f"closed captions inside its frames are not kept in {codec}; these take them: av1, "
    assert any(note.startswith(lost) for note in notes)
    _, notes = resolve_format(VideoWish("h264", "mkv"), facts, 1, "film.ts")
    assert not any("captions" in note for note in notes)


def test_a_film_without_captions_has_none(tmp_path: Path) -> None:
    film = clip(tmp_path / "a.mp4", frames=2)
    assert not probe_video(str(film)).captions
    assert _captions(film) == [b"", b""]


def test_the_captions_of_a_recording_are_kept(tmp_path: Path) -> None:
    source = field() / "a53_h264.mp4"
    in_parts(source, tmp_path / "parts", 3).joined(tmp_path / "result.mp4")
    assert _captions(tmp_path / "result.mp4") == _captions(source)

"""What an edit list hides of the sound is not heard in the result, and the rest in its place."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.join import join
from restore_batch.stages.video.probe import open_video
from restore_batch.stages.video.streams.ahead import look_ahead

from support.clips import clip
from support.film_parts import CutFilm, in_parts

Edits = Sequence[tuple[float, float | None]]
"""How long, and from what moment of the recording on; None for a pause."""

TRIM: Edits = [(2.0, 1.0)]
DELAY: Edits = [(0.5, None), (2.0, 1.0)]
PACKETS_S = {"aac": 1024 / 48000, "ac3": 1536 / 48000, "libopus": 0.02, "alac": 4096 / 48000}


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box of an ISO file."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        yield kind, data[at + 8 : at + size]
        at += size


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def edited(path: Path, edits: Edits, kind: bytes = b"") -> Path:
    """The film with another edit list for its tracks of a kind, all by default; its index lies
    behind the media."""
    data = path.read_bytes()
    assert data.index(b"mdat") < data.index(b"moov"), "or the media would move"
    path.write_bytes(
        b"".join(
            box(name, _edited_movie(content, edits, kind) if name == b"moov" else content)
            for name, content in boxes(data)
        )
    )
    return path


def _edited_movie(movie: bytes, edits: Edits, kind: bytes) -> bytes:
    header = dict(boxes(movie))[b"mvhd"]
    film_hz = struct.unpack_from(">I", header, 12)[0]
    length = struct.pack(">I", round(sum(edit[0] for edit in edits) * film_hz))
    new = b""
    for name, content in boxes(movie):
        if name == b"mvhd" and not kind:
            new += box(name, content[:16] + length + content[20:])
        elif name == b"trak" and kind in content:
            new += box(name, _edited_track(content, edits, film_hz))
        else:
            new += box(name, content)
    return new


def _edited_track(track: bytes, edits: Edits, film_hz: int) -> bytes:
    parts = dict(boxes(track))
    media_hz = struct.unpack_from(">I", dict(boxes(parts[b"mdia"]))[b"mdhd"], 12)[0]
    # Priming samples of sound come before its first moment.
    old = dict(boxes(parts.get(b"edts", b""))).get(b"elst")
    begin = 0 if old is None else max(0, struct.unpack_from(">i", old, 12)[0])
    entries = [
        struct.pack(
            ">IiI",
            round(length_s * film_hz),
            -1 if begin_s is None else begin + round(begin_s * media_hz),
            1 << 16,
        )
        for length_s, begin_s in edits
    ]
    edts = box(b"edts", box(b"elst", struct.pack(">II", 0, len(entries)) + b"".join(entries)))
    parts.pop(b"edts", None)
    return box(b"tkhd", parts.pop(b"tkhd")) + edts + b"".join(box(*each) for each in parts.items())


def cut(folder: Path, edits: Edits, codec: str = "aac", container: str = "mkv") -> CutFilm:
    whole = clip(folder / "cut.mp4", frames=100, audio=[codec])
    wish = VideoWish(container=container)  # type: ignore[arg-type]
    return in_parts(edited(whole, edits), folder / "parts", 1, wish)


def sound(path: Path) -> tuple[float, np.ndarray]:
    """When it is first heard, in seconds, and all of it, as samples of one channel."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    resampler = av.AudioResampler("flt", "mono")
    samples = [each.to_ndarray().ravel() for frame in frames for each in resampler.resample(frame)]
    return frames[0].time or 0.0, np.concatenate(samples)


def beats_s(path: Path) -> list[float]:
    """When the tone becomes loud."""
    begin_s, samples = sound(path)
    level = np.abs(samples[: samples.size // 96 * 96]).reshape(-1, 96).max(axis=1)
    loud = level > 0.3
    return [begin_s + 0.002 * start for start in np.flatnonzero(loud[1:] & ~loud[:-1]) + 1]


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("edits", [TRIM, DELAY])
@pytest.mark.parametrize("codec", ["aac", "ac3", "libopus", "alac"])
def test_what_is_cut_away_stays_away(
    codec: str, edits: Edits, container: str, tmp_path: Path
) -> None:
    if container == "mov" and codec == "libopus":
        pytest.skip("FFmpeg writes no Opus into MOV")
    film = cut(tmp_path, edits, codec, container)
    begin_s, packet_s = sum(length for length, media in edits if media is None), PACKETS_S[codec]
    before_s, before = sound(film.source)
    assert before_s == pytest.approx(begin_s, abs=0.001)
    assert before.size / 48000 == pytest.approx(2.0, abs=packet_s)
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == ()
    with av.open(str(result)) as opened:
        stored = sum(packet.size > 0 for packet in opened.demux(audio=0))
    assert stored <= 2.0 / packet_s + 3
    after_s, after = sound(result)
    assert abs(after_s - begin_s) <= packet_s
    assert after_s + after.size / 48000 == pytest.approx(begin_s + before.size / 48000, abs=2e-3)
    # The first beat is no edge where nothing is heard before it.
    beats = [
        [beat for beat in beats_s(path) if beat > begin_s + 0.1] for path in (film.source, result)
    ]
    assert len(beats[0]) == 4
    assert beats[1] == pytest.approx(beats[0], abs=0.005)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_priming_is_no_cut(codec: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=50, audio=[codec])
    with open_video(str(path)) as container:
        (begun,) = look_ahead(container).values()
    assert not begun.is_cut
    assert begun.lead.pts == begun.first.pts == -begun.lead.unheard < 0


def test_a_stream_is_found_behind_a_long_hidden_stretch(tmp_path: Path) -> None:
    path = edited(
        clip(tmp_path / "a.mp4", frames=3000, gop=3000, audio=["pcm_s16le", "aac"]), [(9.0, 111.0)]
    )
    with open_video(str(path)) as container:
        for begun in look_ahead(container).values():
            assert begun.is_cut
            assert begun.played is not None
            assert begun.played.pts is not None
            assert abs(begun.played.pts) <= 1024
            assert begun.lead.pts is not None
            assert begun.played.pts - begun.lead.pts == 1024


def test_what_is_cut_away_stays_away_from_sound_that_is_encoded(tmp_path: Path) -> None:
    film = cut(tmp_path, DELAY, "libopus", "mov")
    result = tmp_path / "result.mov"
    report = join(str(film.source), film.parts, film.facts, film.format, result, audio="transcode")
    assert "encoded as aac" in report.warnings[0]
    begin_s, samples = sound(result)
    assert begin_s == pytest.approx(0.5, abs=0.022)
    assert begin_s + samples.size / 48000 == pytest.approx(2.5, abs=0.03)
    assert [beat for beat in beats_s(result) if beat > 0.6] == pytest.approx(
        [1.0, 1.5, 2.0, 2.5], abs=0.006
    )


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_sound_that_an_edit_list_hides_altogether_is_left_out(
    container: str, tmp_path: Path
) -> None:
    whole = clip(tmp_path / "cut.mp4", frames=50, audio=["aac"])
    edited(whole, [(1.0, None), (1.0, 100.0)], b"soun")
    wish = VideoWish(container=container)  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    film = in_parts(whole, tmp_path / "parts", 1, wish)
    assert film.joined(result).warnings == (
        "stream 1 (audio, aac, eng): its edit list hides all of it, left out",
    )
    with av.open(str(result)) as opened:
        assert not opened.streams.audio

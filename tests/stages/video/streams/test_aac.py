"""AAC that is damaged, changes midway or begins late: what can be heard is; all else is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.join import join
from restore_batch.stages.video.streams.aac import (
    AacParameters,
    adts_parameters,
    configured_parameters,
)

from support.clip_sound import beats
from support.clips import clip
from support.film_parts import CutFilm, in_parts, shown_numbers

FRAME_S = 1024 / 48000
ADTS_BYTES = 7


def broadcast(folder: Path, *stretches: tuple[str, int] | None) -> Path:
    """A transport stream of two seconds for each stretch, whose sound has this layout and rate;
    None for one without sound, of which its table of programs does not know either."""
    data = b""
    for number, stretch in enumerate(stretches):
        plain = clip(folder / f"{number}.mkv", frames=50)
        path = folder / f"{number}.ts"
        with av.open(str(plain)) as old, av.open(str(path), "w") as new:
            picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
            packets = [packet for packet in old.demux() if packet.size]
            for packet in packets:
                packet.stream = picture
                packet.pts += 2000 * number
                packet.dts = (packet.dts if packet.dts is not None else packet.pts) + 2000 * number
            if stretch is not None:
                packets += _sound(new, *stretch, begin_s=2 * number)
            packets.sort(key=lambda packet: packet.dts * packet.time_base)
            for packet in packets:
                new.mux(packet)
        data += path.read_bytes()
    whole = folder / "broadcast.ts"
    whole.write_bytes(data)
    return whole


def _sound(
    new: av.container.OutputContainer, layout: str, rate: int, begin_s: int
) -> list[av.Packet]:
    stream = new.add_stream("aac", rate=rate)
    stream.codec_context.layout = layout
    channels = stream.codec_context.channels
    wave = np.repeat(beats(2.0, 440.0, rate)[None], channels, axis=0)
    packets = []
    for start in range(0, wave.shape[1], 1024):
        block = np.ascontiguousarray(wave[:, start : start + 1024])
        frame = av.AudioFrame.from_ndarray(block, "fltp", layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = begin_s * rate + start
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def as_film(path: Path, container: str) -> CutFilm:
    wish = VideoWish(container=container)  # type: ignore[arg-type]
    return in_parts(path, path.parent / f"parts.{container}", 1, wish)


def loud_s(path: Path) -> list[float]:
    """When the tone becomes loud, in seconds, by the times that the sound itself says."""
    times: list[float] = []
    levels: list[float] = []
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            for frame in decoded(packet):
                values = np.abs(frame.to_ndarray() / (1 if frame.format.name == "fltp" else 32768))
                channels = frame.layout.nb_channels
                level = values.T if frame.format.is_planar else values.reshape(-1, channels)
                for start in range(0, frame.samples, 96):
                    times.append((frame.time or 0.0) + start / frame.sample_rate)
                    levels.append(level[start : start + 96].max())
    loud = np.array(levels) > 0.3
    return [times[start] for start in np.flatnonzero(loud[1:] & ~loud[:-1]) + 1]


def decoded(packet: av.Packet) -> list[av.AudioFrame]:
    try:
        return packet.decode()  # type: ignore[return-value]
    except av.FFmpegError:
        return []


def sound(path: Path) -> list[bytes]:
    """Its packets."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def times_s(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        return [float(packet.pts * packet.time_base) for packet in packets]


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize(
    ("after", "said", "becomes"),
    [
        (("5.1", 48000), "6 channels at 48000 Hz", ("5.1", 48000)),
        (("mono", 24000), "1 channel at 24000 Hz", ("stereo", 48000)),
        (("stereo", 44100), "2 channels at 44100 Hz", ("stereo", 48000)),
    ],
)
def test_sound_that_changes_midway_is_encoded_and_stays_in_time(
    after: tuple[str, int], said: str, becomes: tuple[str, int], container: str, tmp_path: Path
) -> None:
    film = as_film(broadcast(tmp_path, ("stereo", 48000), after), container)
    result = tmp_path / f"result.{container}"
    codec = {"mkv": "flac", "mp4": "aac"}[container]
    assert film.joined(result).warnings == (
        f"stream 1 (audio, aac): changes from 2 channels at 48000 Hz to {said} at 2.0 s,"
        f" encoded as {codec}",
    )
    assert shown_numbers(result) == [*range(50)] * 2
    with av.open(str(result)) as opened:
        made = opened.streams.audio[0].codec_context
        assert (made.name, made.layout.name, made.sample_rate) == (codec, *becomes)
    # Priming of the second stretch hides the beginning of its first beat.
    beats_s = [beat for beat in loud_s(result) if not 1.9 < beat < 2.1]
    assert beats_s == pytest.approx([0.02, 0.52, 1.02, 1.52, 2.5, 3.0, 3.5], abs=0.006)


def test_a_change_back_is_no_second_change(tmp_path: Path) -> None:
    stretches = (("stereo", 48000), ("5.1", 48000), ("stereo", 48000))
    film = as_film(broadcast(tmp_path, *stretches), "mkv")
    (note,) = film.joined(tmp_path / "result.mkv").warnings
    assert "encoded as flac" in note
    assert len(loud_s(tmp_path / "result.mkv")) == 12


def damaged(path: Path, number: int, at: int, value: int) -> list[bytes]:
    """Put ``value`` at a place of the header of a frame; returns the frames as they were."""
    frames = sound(path)
    data = bytearray(path.read_bytes())
    start = data.index(frames[number][:12])
    data[start + at] = value
    path.write_bytes(data)
    return frames


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize(
    ("at", "value"),
    [
        pytest.param(0, 0x00, id="no header"),
        pytest.param(2, 0x7C, id="no such rate"),
        pytest.param(2, 0x50, id="another rate"),
        pytest.param(3, 0x82, id="too long"),
    ],
)
def test_a_damaged_header_costs_its_frame_alone(
    at: int, value: int, container: str, tmp_path: Path
) -> None:
    path = broadcast(tmp_path, ("stereo", 48000), ("stereo", 48000))
    before = damaged(path, 40, at, value)
    film = as_film(path, container)
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == (
        "stream 1 (audio, aac): 1 packet cannot be read, left out",
    )
    assert shown_numbers(result) == [*range(50)] * 2
    after, when = sound(result), times_s(result)
    assert len(after) == len(before) - 1
    assert set(after) <= {frame[ADTS_BYTES:] for frame in before}
    assert np.diff(when).max() < 2 * FRAME_S + 0.002
    assert when[-1] - when[0] == pytest.approx(3.99, abs=0.02)


def tags_of(stream: bytes) -> list[tuple[int, bytes]]:
    """Where each tag of a Flash video begins, and it."""
    found, at = [], 13
    while at < len(stream):
        size = 11 + int.from_bytes(stream[at + 1 : at + 4], "big") + 4
        found.append((at, stream[at : at + size]))
        at += size
    return found


def with_sound_tag(path: Path, content: bytes, place: float = 0.8) -> Path:
    """Another tag of sound in a Flash video, usually behind what FFmpeg reads to open it."""
    data = path.read_bytes()
    tags = [each for each in tags_of(data) if each[1][0] == 8]
    at, like = tags[int(len(tags) * place)]
    size = len(content).to_bytes(3, "big")
    tag = like[:1] + size + like[4:11] + content
    path.write_bytes(data[:at] + tag + len(tag).to_bytes(4, "big") + data[at:])
    return path


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_parameters_that_nobody_takes_are_damage(container: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.flv", frames=250, audio=["aac"])
    before = sound(path)
    film = as_film(with_sound_tag(path, b"\xaf\x00\xff\xff\xff"), container)
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == ()
    assert sound(result) == before


def test_parameters_that_are_said_again_are_no_change(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.flv", frames=250, audio=["aac"])
    before = sound(path)
    with av.open(str(path)) as opened:
        config = opened.streams.audio[0].codec_context.extradata
    film = as_film(with_sound_tag(path, b"\xaf\x00" + (config or b"")), "mkv")
    assert film.joined(tmp_path / "result.mkv").warnings == ()
    assert sound(tmp_path / "result.mkv") == before


def test_parameters_that_are_said_anew_are_a_change(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.flv", frames=250, audio=["aac"])
    film = as_film(with_sound_tag(path, b"\xaf\x00\x11\x90"), "mkv")
    (note,) = film.joined(tmp_path / "result.mkv").warnings[:1]
    assert "changes from 1 channel at 48000 Hz to 2 channels at 48000 Hz at 8.0 s" in note
    assert shown_numbers(tmp_path / "result.mkv") == list(range(250))


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_a_stream_that_is_damage_costs_itself_alone(container: str, tmp_path: Path) -> None:
    """Sound of another kind within a Flash video is a stream of its own."""
    path = clip(tmp_path / "a.flv", frames=50, audio=["libmp3lame"])
    before = sound(path)
    film = as_film(with_sound_tag(path, b"\xaf\x01 no such frame", 0.5), container)
    notes = film.joined(tmp_path / f"result.{container}").warnings
    assert notes == ("stream 2 (audio, aac): nothing of it can be decoded, left out",)
    assert sound(tmp_path / f"result.{container}") == before


def test_a_stream_that_turns_up_late_loses_no_film(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.flv", frames=50, audio=["libmp3lame"])
    before = sound(path)
    film = as_film(with_sound_tag(path, b"\xaf\x01 no such frame"), "mkv")
    notes = film.joined(tmp_path / "result.mkv").warnings
    # Whether PyAV notices that it has no object for the stream is a matter of chance.
    late = "a stream that the beginning of the file does not announce is left out"
    assert notes in ((), (late,))
    assert sound(tmp_path / "result.mkv") == before


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
def test_sound_that_begins_late_is_copied(container: str, tmp_path: Path) -> None:
    path = broadcast(tmp_path, None, ("5.1", 48000))
    with av.open(str(path)) as opened:
        assert opened.streams.audio[0].codec_context.sample_rate == 0
    before = sound(path)
    film = as_film(path, container)
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == ()
    assert shown_numbers(result) == [*range(50)] * 2
    assert sound(result) == [frame[ADTS_BYTES:] for frame in before]
    when = times_s(result)
    assert when[0] == pytest.approx(2 - FRAME_S, abs=0.002)
    assert np.diff(when) == pytest.approx(FRAME_S, abs=0.0011)
    assert loud_s(result) == pytest.approx([2.0, 2.5, 3.0, 3.5], abs=0.006)


def late(path: Path, codec: str) -> Path:
    """A transport stream whose sound FFmpeg does not see when it opens it."""
    plain = clip(path.with_name("plain.ts"), frames=50)
    sounding = clip(path.with_name("sound.ts"), frames=50, pts=range(50, 100), audio=[codec])
    path.write_bytes(plain.read_bytes() + sounding.read_bytes())
    return path


@pytest.mark.parametrize("codec", ["ac3", "mp2"])
def test_late_sound_of_other_codecs_is_copied_too(codec: str, tmp_path: Path) -> None:
    path = late(tmp_path / "late.ts", codec)
    before = sound(path)
    for container in ("mkv", "mp4"):
        result = tmp_path / f"result.{container}"
        assert as_film(path, container).joined(result).warnings == ()
        assert sound(result) == before
        assert loud_s(result)[-3:] == pytest.approx([2.5, 3.0, 3.5], abs=0.006)


def test_late_sound_is_encoded_where_it_does_not_fit(tmp_path: Path) -> None:
    path = late(tmp_path / "late.ts", "libopus")
    film = as_film(path, "mov")
    report = join(
        str(path), film.parts, film.facts, film.format, tmp_path / "a.mov", audio="transcode"
    )
    assert report.warnings == ("stream 1 (audio, opus, eng): mov does not take it, encoded as aac",)
    assert loud_s(tmp_path / "a.mov")[-3:] == pytest.approx([2.5, 3.0, 3.5], abs=0.006)


def test_parameters_of_a_frame_and_of_a_file() -> None:
    stereo = AacParameters(2, 48000, 2)
    header = bytes.fromhex("fff14c8001bffc21004608")
    assert adts_parameters(header) == stereo
    assert adts_parameters(header[:7]) is None, "a header without a frame"
    assert adts_parameters(b"\x00" + header[1:]) is None
    assert configured_parameters(bytes.fromhex("1190")) == stereo
    assert configured_parameters(bytes.fromhex("17805dc010")) == stereo, "a rate of its own"
    assert configured_parameters(b"\xff\xff") is None
    assert configured_parameters(b"") is None
    assert str(stereo) == "2 channels at 48000 Hz"
    assert str(AacParameters(2, 24000, 1)) == "1 channel at 24000 Hz"


@given(st.binary(max_size=40))
def test_no_bytes_are_too_odd(data: bytes) -> None:
    for found in (adts_parameters(data), configured_parameters(data)):
        assert found is None or found.rate_hz > 0

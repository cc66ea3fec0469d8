"""Copied packets keep their times: to the tick, however many share one, and without drifting."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.streams.copied import CopiedSound, CopiedStream, ExactSound

from support.clips import clip
from support.ffprobe import ffmpeg
from support.film_parts import heard, in_parts

MS = Fraction(1, 1000)
RATE = 48000


def carried(carrier: CopiedStream, times: Sequence[int], clock_s: Fraction = MS) -> list[Fraction]:
    """When the packets of these times are written, in seconds."""
    written = []
    for time in times:
        packet = av.Packet(b"sound")
        packet.pts = packet.dts = time
        packet.time_base = clock_s
        written += carrier.packets(packet)
    written += carrier.flush()
    assert all(packet.pts == packet.dts for packet in written)
    return [packet.pts * packet.time_base for packet in written]


def target() -> av.AudioStream:
    return av.open(io.BytesIO(), "w", "matroska").add_stream("flac", RATE)


@given(st.lists(st.integers(-50, 5000), min_size=1, max_size=60))
def test_where_equal_times_may_be_equal_only_falling_ones_are_moved(times: list[int]) -> None:
    written = carried(CopiedStream(target(), Fraction(0), MS, MS), times)
    latest = -50
    for time, found in zip(times, written, strict=True):
        latest = max(latest, time)
        assert found == latest * MS


# Of packets of at least two samples, 24 begin within a millisecond.
@given(
    st.lists(st.tuples(st.integers(1, 24), st.integers(1, 9)), min_size=1, max_size=30),
    st.sampled_from([8000, 44100, RATE, 96000]),
)
def test_where_times_must_differ_none_leaves_its_tick(
    runs: list[tuple[int, int]], rate: int
) -> None:
    times, now = [], 0
    for together, pause in runs:
        times += [now] * min(together, rate // 2000)
        now += pause
    sample_s = Fraction(1, rate)
    carrier = CopiedSound(target(), Fraction(0), MS, sample_s, sample_s)
    written = carried(carrier, times)
    assert all(after - before >= sample_s for before, after in pairwise(written))
    for time, found in zip(times, written, strict=True):
        assert abs(found - time * MS) < MS


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.booleans())
def test_a_repaired_time_of_sound_is_no_later_than_the_next_one_allows(
    times: list[int], must_differ: bool
) -> None:
    apart_s = MS / 48 if must_differ else Fraction(0)
    carrier = CopiedSound(target(), Fraction(0), MS, MS / 48, apart_s)
    written = carried(carrier, times)
    assert len(written) == len(times)
    earliest = Fraction(0)
    for time, following, found in zip(times, [*times[1:], times[-1]], written, strict=True):
        assert earliest <= found <= max(time * MS, earliest)
        if following * MS >= earliest:
            assert found <= following * MS
        earliest = found + apart_s


@pytest.mark.parametrize("wrong", [0, 2000])
def test_one_wrong_time_moves_no_other_packet(wrong: int) -> None:
    times = list(range(0, 1000, 20))
    times[20] = wrong
    written = carried(CopiedSound(target(), Fraction(0), MS, MS), times)
    off = [abs(found / MS - 20 * number) for number, found in enumerate(written)]
    assert max(off) <= 20
    assert sum(each > 0 for each in off) == 1


@given(st.integers(1, 4096), st.sampled_from([8000, 44100, RATE, 96000]), st.data())
def test_rounded_times_are_exact_in_samples_and_stay_so(
    samples: int, rate: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, 200))
    exact_s = [Fraction(samples * number, rate) for number in range(count)]
    times = [round(time / MS) for time in exact_s]
    written = carried(ExactSound(target(), Fraction(0), MS, rate, samples), times)
    assert written == exact_s


def sound_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [
            float(packet.pts * packet.time_base)
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]


def in_small_packets(original: Path, path: Path, samples: int) -> Path:
    """The same film with its sound, 16 bits of one channel, in packets of so many samples."""
    with av.open(str(original)) as old, av.open(str(path), "w") as new:
        targets = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        begin = 0
        for packet in old.demux():
            if not packet.size:
                continue
            if packet.stream.type == "video":
                packet.stream = targets[packet.stream.index]
                new.mux(packet)
                continue
            data, size = bytes(packet), 2 * samples
            for start in range(0, len(data), size):
                small = av.Packet(data[start : start + size])
                small.stream, small.time_base = targets[packet.stream.index], Fraction(1, RATE)
                small.pts = small.dts = begin
                begin += small.size // 2
                new.mux(small)
    return path


@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_sound_in_packets_below_a_millisecond_does_not_drift(
    container: str, tmp_path: Path
) -> None:
    whole = clip(tmp_path / "whole.mkv", frames=25, audio=["pcm_s16le"])
    original = in_small_packets(whole, tmp_path / "small.mkv", 32)
    before = sound_times(original)
    assert len(set(before)) < len(before) == 1500
    film = in_parts(original, tmp_path / "parts", 1, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    film.joined(result)
    assert heard(result) == heard(original)
    if container == "mkv":
        assert sound_times(result) == before


def test_truehd_does_not_drift_in_matroska(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mkv", frames=25, audio=["pcm_s16le"])
    original = tmp_path / "truehd.mkv"
    encode = ("-c:v", "copy", "-c:a", "truehd", "-strict", "experimental")
    ffmpeg("-i", plain, *encode, original)
    before = sound_times(original)
    assert len(set(before)) < len(before)
    film = in_parts(original, tmp_path / "parts")
    film.joined(tmp_path / "result.mkv")
    assert sound_times(tmp_path / "result.mkv") == before


def test_lines_that_are_shown_together_stay_together(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mkv", frames=25)
    original = tmp_path / "lines.mkv"
    with av.open(str(plain)) as old, av.open(str(original), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        text = new.add_mux_stream("subrip", time_base=MS)
        for packet in old.demux():
            if packet.size:
                packet.stream = picture
                new.mux(packet)
        for number in range(20):
            line = av.Packet(f"Line {number}".encode())
            line.pts = line.dts = 300 if number < 10 else 500
            line.duration, line.time_base, line.stream = 400, MS, text
            new.mux(line)
    film = in_parts(original, tmp_path / "parts")
    film.joined(tmp_path / "result.mkv")
    with av.open(str(tmp_path / "result.mkv")) as container:
        found = [packet.pts for packet in container.demux(subtitles=0) if packet.pts is not None]
    assert found == [300] * 10 + [500] * 10

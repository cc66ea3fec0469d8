"""Text subtitles in MP4 and MOV, which show one text at a time: nothing is moved, nothing lost."""

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
from restore_batch.stages.video.streams.text import SingleText

from support.clips import clip
from support.film_parts import in_parts

MS = Fraction(1, 1000)
Line = tuple[int, int, str]
"""Begin, end and text, in milliseconds."""


def subtitled(path: Path, lines: Sequence[Line], audio: Sequence[str] = ()) -> Path:
    """A Matroska film of four seconds with these lines."""
    plain = clip(path.with_name("plain.mkv"), frames=100, audio=audio)
    with av.open(str(plain)) as old, av.open(str(path), "w") as new:
        targets = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        text = new.add_mux_stream("subrip", time_base=MS)
        packets = [packet for packet in old.demux() if packet.size]
        for packet in packets:
            packet.stream = targets[packet.stream.index]
        packets += [line_packet(line, text) for line in lines]
        packets.sort(key=lambda packet: (packet.dts or 0) * packet.time_base)
        for packet in packets:
            new.mux(packet)
    return path


def line_packet(line: Line, stream: av.stream.Stream | None = None) -> av.Packet:
    begin, end, text = line
    packet = av.Packet(text.encode())
    packet.pts = packet.dts = begin
    packet.duration, packet.time_base = end - begin, MS
    if stream is not None:
        packet.stream = stream
    return packet


def texts(path: Path) -> list[tuple[float, float, str]]:
    """Begin, end and text of every sample that is not empty."""
    with av.open(str(path)) as container:
        return [
            (
                round(float(packet.pts * packet.time_base), 3),
                round(float((packet.pts + packet.duration) * packet.time_base), 3),
                text,
            )
            for packet in container.demux(subtitles=0)
            if packet.size and (text := said(bytes(packet)))
        ]


def said(sample: bytes) -> str:
    return sample[2 : 2 + int.from_bytes(sample[:2], "big")].decode()


LINES: Sequence[Line] = (
    (200, 600, "before"),
    (600, 900, "right behind"),
    (1000, 2500, "long"),
    (1500, 2000, "inside"),
    (1500, 2700, "beyond"),
    (3000, 3400, "alone"),
)


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("audio", [(), ("aac",)])
def test_lines_that_overlap_are_joined_for_as_long_as_they_do(
    container: str, audio: Sequence[str], tmp_path: Path
) -> None:
    source = subtitled(tmp_path / "a.mkv", LINES, audio)
    film = in_parts(source, tmp_path / "parts", 1, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    place = f"stream {1 + len(audio)} (subtitle, subrip)"
    assert film.joined(result).warnings == (
        f"{place}: {container} does not take it, written as mov_text",
        f"{place}: lines that overlap are joined (2 times), since only one text is shown at a time",
    )
    assert texts(result) == [
        (0.2, 0.6, "before"),
        (0.6, 0.9, "right behind"),
        (1.0, 1.5, "long"),
        (1.5, 2.0, "long\ninside\nbeyond"),
        (2.0, 2.5, "long\nbeyond"),
        (2.5, 2.7, "beyond"),
        (3.0, 3.4, "alone"),
    ]


def test_a_style_ends_with_its_line(tmp_path: Path) -> None:
    lines = ((500, 1500, "<i>slanted</i>"), (700, 1200, "<i>open"), (800, 1000, "plain"))
    source = subtitled(tmp_path / "a.mkv", lines)
    film = in_parts(source, tmp_path / "parts", 1, VideoWish(container="mp4"))
    film.joined(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as container:
        samples = [bytes(packet) for packet in container.demux(subtitles=0) if packet.size > 2]
    three = next(each for each in samples if said(each) == "slanted\nopen\nplain")
    _, _, boxes = three.partition(b"styl")
    records = [boxes[2 + 12 * n : 14 + 12 * n] for n in range(int.from_bytes(boxes[:2], "big"))]
    spans = [
        (int.from_bytes(each[:2], "big"), int.from_bytes(each[2:4], "big")) for each in records
    ]
    assert spans == [(0, 7), (8, 12)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=12))
def test_at_every_moment_the_same_lines_are_shown(spans: list[tuple[int, int]]) -> None:
    lines = [
        (begin, begin + length, f"line {number}")
        for number, (begin, length) in enumerate(sorted(spans))
    ]
    carrier = _carrier()
    written: list[av.Packet] = []
    for line in lines:
        written += carrier.until(line[0] * float(MS))
        written += carrier.packets(line_packet(line))
    written += carrier.flush()
    assert all(before.pts + before.duration <= after.pts for before, after in pairwise(written))
    for moment in range(100):
        shown = [
            text
            for packet in written
            if packet.pts <= moment < packet.pts + packet.duration
            for text in said(bytes(packet)).split("\n")
        ]
        assert shown == [text for begin, end, text in lines if begin <= moment < end]


def _carrier() -> SingleText:
    """For SubRip, of a file in memory."""
    file = io.BytesIO(b"1\n00:00:00,000 --> 00:00:01,000\nnothing\n")
    source = av.open(file, "r", format="srt")
    output = av.open(io.BytesIO(), "w", format="mp4")
    return SingleText(source.streams.subtitles[0], output, "mp4", Fraction(0))

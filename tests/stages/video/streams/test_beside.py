"""Damage beside the picture costs what it has hit: never a film, and never more than is said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import av.error
import pytest

from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.streams import beside
from restore_batch.stages.video.streams.aac import CheckedAac
from restore_batch.stages.video.streams.carried import CarriedStreams

from support.clips import clip
from support.film_parts import CutFilm, heard, in_parts, shown_numbers


def film(folder: Path, name: str, container: str = "mkv", **options: object) -> CutFilm:
    original = clip(folder / name, frames=50, **options)  # type: ignore[arg-type]
    return in_parts(original, folder / "parts", 1, VideoWish(container=container))  # type: ignore[arg-type]


def damaged_demuxer(monkeypatch: pytest.MonkeyPatch, *, reports: int) -> None:
    """One that reports damage after every twentieth packet, so many times."""
    left = reports

    def with_reports(_: object, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        nonlocal left
        for number, packet in enumerate(packets):
            if number == 20 and left:
                left -= 1
                raise av.error.InvalidDataError(1094995529, "Invalid data found")
            yield packet

    monkeypatch.setattr(beside, "with_early_times", with_reports)


def test_behind_damage_that_a_demuxer_reports_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = film(tmp_path, "a.mkv", audio=["aac"])
    damaged_demuxer(monkeypatch, reports=1)
    assert cut.joined(tmp_path / "one.mkv").warnings == (
        "the source is damaged at 0.4 s: what lies there of its sound and subtitles is left out",
    )
    # The packet at which it was reported is lost.
    assert heard(tmp_path / "one.mkv")[1] >= heard(cut.source)[1] - 2048
    damaged_demuxer(monkeypatch, reports=2)
    (note,) = cut.joined(tmp_path / "two.mkv").warnings
    assert "at 0.4 s and in 1 other place: what lies there" in note


def test_where_a_demuxer_gives_up_the_sound_ends_and_the_film_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = film(tmp_path, "a.mkv", audio=["aac"])
    left = iter([True])

    def broken(_: object, packets: Iterable[av.Packet]) -> Iterator[av.Packet]:
        for packet in packets if next(left, False) else ():
            yield packet
            if float((packet.pts or 0) * packet.time_base) > 1:
                break
        raise av.error.InvalidDataError(1094995529, "Invalid data found")

    monkeypatch.setattr(beside, "with_early_times", broken)
    assert cut.joined(tmp_path / "result.mkv").warnings == (
        "the source is damaged at 1.0 s, where its sound and subtitles end: Invalid data found",
    )
    assert shown_numbers(tmp_path / "result.mkv") == list(range(50))
    assert 0.9 < heard(tmp_path / "result.mkv")[1] / 48000 < 1.3


@pytest.mark.parametrize("container", ["mkv", "mp4"])
@pytest.mark.parametrize("can_be_encoded", [True, False])
def test_sound_that_cannot_be_written_loses_no_film(
    container: str, can_be_encoded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Damage that nobody foresaw: here of a header, which is not looked at."""
    cut = film(tmp_path, "a.ts", container, audio=["aac"])
    with av.open(str(cut.source)) as source:
        frames = [bytes(packet) for packet in source.demux(audio=0) if packet.size]
    data = bytearray(cut.source.read_bytes())
    data[data.index(frames[40][:12])] = 0
    cut.source.write_bytes(data)
    monkeypatch.setattr(CheckedAac, "_fitting", lambda _, packet: iter([packet]))
    becomes = f"encoded as {'flac' if container == 'mkv' else 'aac'}"
    if not can_be_encoded:
        becomes = "left out"
        monkeypatch.setattr(
            CarriedStreams, "_refusal", lambda _, stream, fate: "no" if fate == "encode" else ""
        )
    result = tmp_path / f"result.{container}"
    note, *others = cut.joined(result).warnings
    assert note.startswith("stream 1 (audio, aac, eng): cannot be copied (")
    assert note.endswith(f"), {becomes}")
    assert len(others) <= 1
    assert shown_numbers(result) == list(range(50))
    with av.open(str(result)) as opened:
        assert len(opened.streams.audio) == can_be_encoded
    if can_be_encoded:
        assert heard(result)[1] / 48000 == pytest.approx(2.0, abs=0.06)


def test_a_damaged_line_costs_itself_alone(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mp4", frames=50, subtitles=1)
    original = tmp_path / "lines.mp4"
    with av.open(str(plain)) as old, av.open(str(original), "w") as new:
        targets = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        lines = 0
        for packet in old.demux():
            if not packet.size:
                continue
            target, kept = targets[packet.stream.index], packet
            if packet.stream.type == "subtitle" and packet.size > 2:
                lines += 1
                if lines == 2:
                    kept = av.Packet(b"\x00")
                    kept.pts, kept.dts, kept.duration = packet.pts, packet.dts, packet.duration
                    kept.time_base, kept.is_keyframe = packet.time_base, True
            kept.stream = target
            new.mux(kept)
    assert lines == 4
    cut = in_parts(original, tmp_path / "parts", 1, VideoWish(container="mkv"))
    assert cut.joined(tmp_path / "result.mkv").warnings == (
        "stream 1 (subtitle, mov_text): mkv does not take it, written as subrip",
        "stream 1 (subtitle, mov_text): 1 packet cannot be read, left out",
    )
    with av.open(str(tmp_path / "result.mkv")) as opened:
        said = [bytes(packet).decode() for packet in opened.demux(subtitles=0) if packet.size]
    assert [line[:6] for line in said] == ["Line 1", "Line 3", "Line 4"]

"""A joined film has the source's frames at the source's times, and the sound beside them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.errors import MediaError
from restore_batch.stages.media import Artifact
from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.join import JoinReport, Part, join
from restore_batch.stages.video.parts import decoding_time
from restore_batch.stages.video.types import ColourTags, FrameRange

from support.clips import clip, decoded, frame_number
from support.ffprobe import audio_sha256, probe
from support.film_parts import (
    CODECS,
    PacketTime,
    heard,
    in_parts,
    packet_times,
    shown_numbers,
    write_part,
)

VFR_PTS = [0, 40, 47, 90, 133, 134, 300, 340, 381, 900, 940, 955, 960, 1000, 1040, 1083]


def source(folder: Path, name: str = "source.mp4", **options: object) -> Path:
    return clip(folder / name, **{"frames": 24, "b_frames": 2, **options})  # type: ignore[arg-type]


def shown_s(path: Path) -> list[Fraction]:
    return sorted(time.pts_s for time in packet_times(path))


def ends_s(path: Path) -> Fraction:
    """When the last frame of the picture goes away."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        return ((stream.start_time or 0) + (stream.duration or 0)) * base


def check_decoding_order(times: list[PacketTime]) -> None:
    assert all(before.dts_s < after.dts_s for before, after in pairwise(times))
    assert all(time.dts_s <= time.pts_s for time in times)


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        *((codec, container) for codec in ("h264", "hevc") for container in ("mp4", "mov")),
        ("av1", "mp4"),
        *((codec, "mkv") for codec in CODECS),
        ("prores", "mov"),
    ],
)
def test_every_codec_in_every_container_that_takes_it(
    codec: str, container: str, tmp_path: Path
) -> None:
    tags = ColourTags(5, 6, 5, False)
    original = source(tmp_path, sample_aspect=Fraction(16, 15), colour=tags, audio=["aac"])
    film = in_parts(original, tmp_path / "parts", 3, VideoWish(codec, container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    report = film.joined(result)
    assert report.frames == 24
    assert shown_numbers(result) == list(range(24))
    assert shown_s(result) == film.times_s
    seen = probe(result)
    stream = seen["streams"][0]
    assert len(seen["frames"]) == 24
    base = Fraction(stream["time_base"])
    assert [Fraction(frame["pts"]) * base for frame in seen["frames"]] == film.times_s
    assert stream["codec_name"] == codec
    assert stream["sample_aspect_ratio"] == "16:15"
    assert stream["r_frame_rate"] == "25/1"
    assert (stream["color_primaries"], stream["color_transfer"]) == ("bt470bg", "smpte170m")
    assert stream["color_space"] == ("gbr" if codec == "ffv1" else "bt470bg")
    assert seen["streams"][1]["codec_name"] == "aac"
    if (codec, container) in (("hevc", "mp4"), ("hevc", "mov")):
        assert stream["codec_tag_string"] == "hvc1"


def test_the_report_describes_the_file(tmp_path: Path) -> None:
    film = in_parts(source(tmp_path), tmp_path / "parts")
    result = tmp_path / "result.mp4"
    report = film.joined(result)
    data = result.read_bytes()
    assert (report.artifact.size_bytes, report.warnings) == (len(data), ())
    assert data.index(b"moov") < data.index(b"mdat"), "playing can begin before the end is there"
    again = film.joined(tmp_path / "again.mp4")
    assert again.artifact.sha256 == report.artifact.sha256


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_uneven_frames_are_joined_the_same_however_they_were_cut(
    container: str, tmp_path: Path
) -> None:
    original = source(
        tmp_path, frames=len(VFR_PTS), pts=VFR_PTS, time_base=Fraction(1, 1000), audio=["aac"]
    )
    wish = VideoWish(container=container)  # type: ignore[arg-type]
    found = {}
    for count in (1, 2, 7):
        film = in_parts(original, tmp_path / f"parts{count}", count, wish)
        result = tmp_path / f"result{count}.{container}"
        film.joined(result)
        times = packet_times(result)
        if container == "mp4":
            check_decoding_order(times)
            assert ends_s(result) == film.times_s[-1] + film.durations[-1] * film.facts.time_base_s
        assert shown_numbers(result) == list(range(len(VFR_PTS)))
        found[count] = sorted(time.pts_s for time in times)
    assert found[1] == found[2] == found[7] == [Fraction(pts, 1000) for pts in VFR_PTS]


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_parts_that_reorder_frames_differently_fit_each_other(codec: str, tmp_path: Path) -> None:
    """A part of one frame has no delay, its neighbours have one of two frames."""
    film = in_parts(source(tmp_path), tmp_path / "whole", 1, VideoWish(codec))  # type: ignore[arg-type]
    pictures = [picture for _, picture in decoded(film.source)]
    parts = []
    for number, (first, end) in enumerate(((0, 1), (1, 12), (12, 13), (13, 24))):
        part = Part(tmp_path / str(number), film.pts[first:end], film.durations[first:end])
        write_part(part, film.format, film.facts.time_base_s, pictures[first:end])
        parts.append(part)
    result = tmp_path / "result.mp4"
    join(str(film.source), parts, film.facts, film.format, result)
    check_decoding_order(packet_times(result))
    assert shown_s(result) == film.times_s
    assert shown_numbers(result) == list(range(24))


@given(
    steps=st.lists(st.integers(1, 10_000), min_size=1, max_size=40),
    begin=st.integers(-1000, 1000),
    shuffles=st.lists(st.integers(0, 4), min_size=40, max_size=40),
)
def test_decoding_times_rise_and_never_pass_the_presentation(
    steps: list[int], begin: int, shuffles: list[int]
) -> None:
    pts = [begin]
    for step in steps:
        pts.append(pts[-1] + step)
    order = list(range(len(pts)))
    for place, ahead in zip(range(len(order)), shuffles, strict=False):
        order.insert(place, order.pop(min(place + ahead, len(order) - 1)))
    delay = max(place - rank for place, rank in enumerate(order))
    times = [decoding_time(pts, place - delay) for place in range(len(pts))]
    assert all(before < after for before, after in pairwise(times))
    assert all(time <= pts[rank] for time, rank in zip(times, order, strict=True))


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_a_film_of_one_frame(container: str, tmp_path: Path) -> None:
    original = source(tmp_path, frames=1, audio=["aac"])
    film = in_parts(original, tmp_path / "parts", 1, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    film.joined(result)
    assert shown_numbers(result) == [0]
    assert heard(result)[:2] == heard(original)[:2]


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_time_base_with_a_numerator_is_kept_exactly(container: str, tmp_path: Path) -> None:
    original = source(tmp_path, "source.avi", codec="mjpeg", rate=Fraction(30000, 1001), b_frames=0)
    film = in_parts(original, tmp_path / "parts", 2, VideoWish(container=container))  # type: ignore[arg-type]
    assert film.facts.time_base_s.numerator > 1
    result = tmp_path / f"result.{container}"
    film.joined(result)
    tick = 0 if container == "mp4" else Fraction(1, 2000)
    apart = zip(shown_s(result), film.times_s, strict=True)
    assert all(abs(found - true) <= tick for found, true in apart)
    assert probe(result)["streams"][0]["r_frame_rate"] == "30000/1001"


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_seeking_lands_on_the_right_frame(codec: str, container: str, tmp_path: Path) -> None:
    original = source(tmp_path, frames=60, rate=Fraction(10))
    film = in_parts(original, tmp_path / "parts", 3, VideoWish(codec, container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    film.joined(result)
    with av.open(str(result)) as opened:
        stream = opened.streams.video[0]
        base = stream.time_base or Fraction(1)
        for number in (0, 19, 20, 21, 39, 41, 59, 7):
            wanted = round(film.times_s[number] / base)
            opened.seek(wanted, stream=stream)
            frames = opened.decode(stream)
            frame = next(frame for frame in frames if frame.pts == wanted)
            assert frame_number(frame.to_ndarray(format="rgb24")) == number
            assert frame.pts is not None


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("delay_s", [-0.25, 0.0, 0.37])
def test_sound_keeps_its_distance_to_the_picture(
    container: str, delay_s: float, tmp_path: Path
) -> None:
    original = source(
        tmp_path, pts=[7000 + 512 * i for i in range(24)], time_base=Fraction(1, 12800),
        audio=["aac"], audio_delay_s=delay_s,
    )  # fmt: skip
    film = in_parts(original, tmp_path / "parts", 2, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    report = film.joined(result)
    assert report.origin_s == 0
    assert shown_s(result) == film.times_s
    assert heard(result) == heard(original)
    assert audio_sha256(result, 0) == audio_sha256(original, 0)


def test_a_film_that_begins_late_begins_late_in_matroska_too(tmp_path: Path) -> None:
    original = source(
        tmp_path, "source.mkv", pts=[700 + 40 * i for i in range(24)],
        time_base=Fraction(1, 1000), audio=["aac"], audio_delay_s=0.1,
    )  # fmt: skip
    film = in_parts(original, tmp_path / "parts", 2)
    result = tmp_path / "result.mkv"
    film.joined(result)
    assert shown_s(result) == film.times_s
    assert film.times_s[0] == Fraction(700, 1000)
    assert heard(result) == heard(original)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
@pytest.mark.parametrize("delay_s", [0.0, 0.3])
def test_the_clock_of_a_broadcast_is_set_to_zero(
    container: str, delay_s: float, tmp_path: Path
) -> None:
    original = source(
        tmp_path, "source.ts", pts=[900_000 + 3600 * i for i in range(24)],
        time_base=Fraction(1, 90000), audio=["ac3"], audio_delay_s=delay_s,
    )  # fmt: skip
    film = in_parts(original, tmp_path / "parts", 2, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    report = film.joined(result)
    assert report.origin_s > 9
    tick = Fraction(0) if container == "mp4" else Fraction(1, 2000)
    moved = [time - report.origin_s for time in film.times_s]
    assert all(abs(a - b) <= tick for a, b in zip(shown_s(result), moved, strict=True))
    digest, count, begin_s = heard(original)
    assert heard(result)[:2] == (digest, count)
    assert heard(result)[2] == pytest.approx(begin_s - float(report.origin_s), abs=1e-3)
    assert min(heard(result)[2], float(shown_s(result)[0])) == pytest.approx(0, abs=0.03)


def test_a_turned_film_is_written_upright(tmp_path: Path) -> None:
    original = source(tmp_path, rotation_deg=90, size=(64, 48))
    film = in_parts(original, tmp_path / "parts")
    result = tmp_path / "result.mp4"
    film.joined(result)
    assert shown_numbers(result) == list(range(24))
    stream = probe(result)["streams"][0]
    assert (stream["width"], stream["height"]) == (48, 64)
    assert "side_data_list" not in stream


def test_ffv1_is_lossless_through_part_and_join(tmp_path: Path) -> None:
    original = source(tmp_path, "source.mkv", codec="ffv1", pix_fmt="bgr0", b_frames=0)
    film = in_parts(original, tmp_path / "parts", 3, VideoWish("ffv1"))
    result = tmp_path / "result.mkv"
    film.joined(result)
    for (_, before), (_, after) in zip(decoded(original), decoded(result), strict=True):
        assert np.array_equal(before, after)


@pytest.mark.parametrize("codec", ["h264", "hevc"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_parts_of_different_encoders_decode_from_any_keyframe(
    codec: str, container: str, tmp_path: Path
) -> None:
    """As after an update between two runs: here by another quality and pixel structure."""
    original = source(tmp_path, frames=60, rate=Fraction(10))
    film = in_parts(original, tmp_path / "parts", 2, VideoWish(codec, container))  # type: ignore[arg-type]
    other = replace(
        film.format,
        options=tuple(
            (key, {"crf": "30", "preset": "ultrafast"}.get(key, value))
            for key, value in film.format.options
        ),
    )
    pictures = [picture for _, picture in decoded(original)]
    write_part(film.parts[1], other, film.facts.time_base_s, pictures[30:])
    result = tmp_path / f"result.{container}"
    film.joined(result)
    assert shown_numbers(result) == list(range(60))
    with av.open(str(result)) as opened:
        stream = opened.streams.video[0]
        base = stream.time_base or Fraction(1)
        for number in (59, 25, 35, 0):
            wanted = round(film.times_s[number] / base)
            opened.seek(wanted, stream=stream)
            frame = next(frame for frame in opened.decode(stream) if frame.pts == wanted)
            assert frame_number(frame.to_ndarray(format="rgb24")) == number
    assert len(probe(result)["frames"]) == 60


class TestWrongParts:
    """Whatever does not fit the promise is found before anything is written."""

    def refused(
        self, tmp_path: Path, pattern: str, parts: object = None, **changes: object
    ) -> None:
        film = in_parts(source(tmp_path, audio=["aac"]), tmp_path / "parts", 2)
        chosen = list(film.parts)
        if callable(parts):
            chosen = parts(chosen)
        facts = replace(film.facts, **changes)  # type: ignore[arg-type]
        with pytest.raises(MediaError, match=pattern) as caught:
            join(str(film.source), chosen, facts, film.format, tmp_path / "result.mp4")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "result.mp4").exists()

    def test_a_missing_frame(self, tmp_path: Path) -> None:
        def longer(parts: list[Part]) -> list[Part]:
            last = parts[1]
            return [
                parts[0], replace(last, pts=(*last.pts, 10**6), durations=(*last.durations, 1))
            ]  # fmt: skip

        self.refused(tmp_path, "000001.part: holds 12 frames, expected 13", longer)

    def test_another_time(self, tmp_path: Path) -> None:
        def later(parts: list[Part]) -> list[Part]:
            return [parts[0], replace(parts[1], pts=(*parts[1].pts[:-1], parts[1].pts[-1] + 1))]

        self.refused(tmp_path, r"000001\.part: frame 11 is 0\.44.* after the first", later)

    def test_parts_out_of_order(self, tmp_path: Path) -> None:
        self.refused(tmp_path, r"000000\.part: does not follow 000001", lambda parts: parts[::-1])

    def test_a_part_that_is_not_there(self, tmp_path: Path) -> None:
        def away(parts: list[Part]) -> list[Part]:
            return [parts[0], replace(parts[1], path=tmp_path / "gone.part")]

        self.refused(tmp_path, "gone.part: cannot be read as a part", away)

    def test_a_part_that_was_cut_off(self, tmp_path: Path) -> None:
        def short(parts: list[Part]) -> list[Part]:
            data = parts[1].path.read_bytes()
            parts[1].path.write_bytes(data[: len(data) // 2])
            return parts

        self.refused(tmp_path, r"000001\.part: ", short)

    def test_no_parts(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "without parts", lambda parts: [])

    def test_a_part_of_another_format(self, tmp_path: Path) -> None:
        film = in_parts(source(tmp_path), tmp_path / "parts", 1)
        wrong = replace(film.format, width=66)
        with pytest.raises(MediaError, match="holds h264 64x48, expected h264 66x48"):
            join(str(film.source), film.parts, film.facts, wrong, tmp_path / "result.mp4")

    def test_a_source_that_has_changed(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "stream 7 is gone", video_stream=7)

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        film = in_parts(source(tmp_path), tmp_path / "parts", 1)
        with pytest.raises(MediaError, match=r"source\.mp4: cannot be joined as mp4"):
            film.joined(tmp_path / "nowhere" / "result.mp4")


def test_a_folder_of_pictures_becomes_a_film_without_sound(tmp_path: Path) -> None:
    film = in_parts(source(tmp_path, audio=["aac"]), tmp_path / "parts", 2)
    facts = replace(film.facts, container="frames", streams=(), chapters=0)
    result = tmp_path / "result.mp4"
    report = join(
        str(tmp_path), film.parts, facts, film.format, result, metadata={"title": "Pictures"}
    )
    assert report.warnings == ()
    seen = probe(result)
    assert [stream["codec_type"] for stream in seen["streams"]] == ["video"]
    assert seen["format"]["tags"]["title"] == "Pictures"
    assert shown_numbers(result) == list(range(24))


def test_a_part_promises_the_own_frames_of_its_segment() -> None:
    segment = FrameRange(3, 50, (1, 2, 3, 4, 5), (1, 1, 1, 1, 9), before=2, after=1, seek_pts=None)
    assert Part.of(Path("a"), segment) == Part(Path("a"), (3, 4), (1, 1))


def test_a_report_is_plain_data() -> None:
    report = JoinReport(Artifact("a", 1, "b", 4, 3), 2, ("c",), Fraction(1, 3))
    assert pickle.loads(pickle.dumps(report)) == report

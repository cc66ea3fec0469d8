"""What stands beside the picture goes along: sound, text, fonts, chapters, names, cover art."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from restore_batch.jobs.units import Join
from restore_batch.stages.film.join import JoinFilm
from restore_batch.stages.film.work import JoinWork
from restore_batch.stages.media import Chunk
from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.join import join
from restore_batch.stages.video.probe import probe_video
from restore_batch.stages.video.streams.choice import (
    left_out_of_pictures,
    stream_fate,
    stream_warnings,
)
from restore_batch.stages.video.types import FrameRange, StreamFacts

from support.clip_sound import LANGUAGES
from support.clips import attachment, clip
from support.ffprobe import audio_sha256, probe
from support.film_parts import FACTS, CutFilm, heard, in_parts, packet_times, shown_numbers

RICH = {
    "frames": 60,
    "audio": ["aac", "aac"],
    "subtitles": 2,
    "chapters": 3,
    "metadata": {"title": "A film", "artist": "Somebody", "comment": "Found in an attic"},
}


def made(folder: Path, name: str, **options: object) -> CutFilm:
    container = options.pop("container", "keep")
    original = clip(folder / name, **options)  # type: ignore[arg-type]
    return in_parts(original, folder / f"{name}.parts", 2, VideoWish(container=container))  # type: ignore[arg-type]


def kinds(path: Path) -> list[str]:
    return [stream["codec_type"] for stream in probe(path)["streams"]]


def lines(path: Path, stream: int = 0) -> list[tuple[float, str]]:
    """What text subtitles say, and when."""
    with av.open(str(path)) as container:
        text = container.streams.subtitles[stream]
        text.codec_context.open(strict=False)
        return [
            (round(float(packet.pts * packet.time_base), 3), line.dialogue.decode())
            for packet in container.demux(text)
            if packet.pts is not None
            for line in text.codec_context.decode(packet)
        ]


def tagged(path: Path) -> dict[str, str]:
    return {key.lower(): value for key, value in probe(path)["format"]["tags"].items()}


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_a_rich_file_loses_nothing_in_its_own_container(container: str, tmp_path: Path) -> None:
    fonts = 2 if container == "mkv" else 0
    film = made(tmp_path, f"rich.{container}", **RICH, attachments=fonts)
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == ()
    before, after = probe(film.source), probe(result)
    assert kinds(result) == kinds(film.source)
    for old, new in zip(before["streams"], after["streams"], strict=True):
        assert new["disposition"] == old["disposition"]
        for key in ("language", "title", "filename", "mimetype"):
            assert new.get("tags", {}).get(key) == old.get("tags", {}).get(key)
        if old["codec_type"] != "video":
            assert new.get("codec_name") == old.get("codec_name")
            assert new["start_time"] == old["start_time"]
    assert [_chapter(each) for each in after["chapters"]] == [
        _chapter(each) for each in before["chapters"]
    ]
    assert {key: tagged(result)[key] for key in ("title", "artist", "comment")} == {
        "title": "A film",
        "artist": "Somebody",
        "comment": "Found in an attic",
    }
    for stream in range(2):
        assert heard(result, stream) == heard(film.source, stream)
        assert audio_sha256(result, stream) == audio_sha256(film.source, stream)
        assert lines(result, stream) == lines(film.source, stream) != []
    if fonts:
        with av.open(str(result)) as opened:
            found = [stream.data for stream in opened.streams.attachments]
        assert found == [attachment(0), attachment(1)]


def _chapter(said: dict[str, Any]) -> tuple[str, str, str]:
    return said["start_time"], said["end_time"], said["tags"]["title"]


def test_languages_survive_in_all_containers(tmp_path: Path) -> None:
    film = made(tmp_path, "rich.mkv", frames=6, audio=["aac"] * 4)
    for container, deu, fra in (
        ("mp4", "deu", "fra"),
        ("mov", "ger", "fra"),
        ("mkv", "deu", "fra"),
    ):
        there = in_parts(film.source, tmp_path / container, 1, VideoWish(container=container))  # type: ignore[arg-type]
        result = tmp_path / f"result.{container}"
        there.joined(result)
        said = [stream["tags"]["language"] for stream in probe(result)["streams"][1:]]
        assert said == ["eng", deu, fra, "jpn"]
    assert LANGUAGES == ("eng", "deu", "fra", "jpn")


def test_there_and_back_again_is_the_same_film(tmp_path: Path) -> None:
    film = made(tmp_path, "first.mp4", **RICH)
    there = in_parts(film.source, tmp_path / "there", 2, VideoWish(container="mkv"))
    notes = there.joined(tmp_path / "second.mkv").warnings
    assert [note.split(":")[0] for note in notes] == [
        "stream 3 (subtitle, mov_text, eng)",
        "stream 4 (subtitle, mov_text, deu)",
    ]
    back = in_parts(tmp_path / "second.mkv", tmp_path / "back", 2, VideoWish(container="mp4"))
    back.joined(tmp_path / "third.mp4")
    for path in (tmp_path / "second.mkv", tmp_path / "third.mp4"):
        assert shown_numbers(path) == list(range(60))
        assert sorted(time.pts_s for time in packet_times(path)) == film.times_s
        for stream in range(2):
            assert heard(path, stream) == heard(film.source, stream)
            assert lines(path, stream) == lines(film.source, stream)
        assert probe(path)["chapters"][1]["tags"]["title"] == "Chapter 2"
        assert tagged(path)["title"] == "A film"
    before, after = (probe(path)["streams"] for path in (film.source, tmp_path / "third.mp4"))
    sound = [stream for stream in after if stream["codec_type"] == "audio"]
    assert [stream["nb_frames"] for stream in sound] == [
        stream["nb_frames"] for stream in before if stream["codec_type"] == "audio"
    ]
    assert [stream["start_pts"] for stream in sound] == [0, 0]


def test_sound_that_was_rounded_to_milliseconds_is_exact_in_mp4(tmp_path: Path) -> None:
    film = made(tmp_path, "sound.mkv", frames=60, audio=["aac", "libmp3lame"], container="mp4")
    film.joined(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as opened:
        for stream, samples in zip(opened.streams.audio, (1024, 1152), strict=True):
            times = [packet.pts for packet in opened.demux(stream) if packet.pts is not None]
            assert set(np.diff(times)) == {samples}
            opened.seek(0)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame", "ac3", "libopus", "flac", "pcm_s16le"])
def test_priming_is_skipped_in_matroska_as_in_mp4(codec: str, tmp_path: Path) -> None:
    film = made(tmp_path, "sound.mp4", frames=40, audio=[codec], container="mkv")
    film.joined(tmp_path / "result.mkv")
    assert heard(tmp_path / "result.mkv") == heard(film.source)
    assert sorted(t.pts_s for t in packet_times(tmp_path / "result.mkv")) == film.times_s


def test_broadcast_aac_gets_the_header_that_files_need(tmp_path: Path) -> None:
    film = made(tmp_path, "sound.ts", frames=40, audio=["aac"])
    for container in ("mkv", "mp4", "mov"):
        there = in_parts(film.source, tmp_path / container, 1, VideoWish(container=container))  # type: ignore[arg-type]
        there.joined(tmp_path / f"result.{container}")
        assert heard(tmp_path / f"result.{container}")[:2] == heard(film.source)[:2]
        assert audio_sha256(tmp_path / f"result.{container}", 0)


def test_sound_that_does_not_fit_is_left_out_or_encoded_as_the_job_says(tmp_path: Path) -> None:
    film = made(tmp_path, "sound.avi", codec="mjpeg", frames=40, audio=["pcm_mulaw", "libmp3lame"])
    join(str(film.source), film.parts, film.facts, film.format, tmp_path / "none.mkv", audio="drop")
    assert kinds(tmp_path / "none.mkv") == ["video"]
    notes = film.joined(tmp_path / "copy.mkv").warnings
    assert notes == (
        "stream 1 (audio, pcm_mulaw): mkv does not take it, left out; audio: transcode keeps it",
    )
    assert notes == stream_warnings(film.facts, "mkv")
    assert kinds(tmp_path / "copy.mkv") == ["video", "audio"]
    report = join(
        str(film.source), film.parts, film.facts, film.format, tmp_path / "all.mkv",
        audio="transcode",
    )  # fmt: skip
    assert report.warnings == stream_warnings(film.facts, "mkv", "transcode")
    assert "encoded as flac" in report.warnings[0]
    assert [stream["codec_name"] for stream in probe(tmp_path / "all.mkv")["streams"]] == [
        "h264", "flac", "mp3",
    ]  # fmt: skip
    assert audio_sha256(tmp_path / "all.mkv", 0) == audio_sha256(film.source, 0), "lossless"


@pytest.mark.parametrize("delay_s", [0.0, 0.4])
def test_sound_encoded_anew_stays_in_time(delay_s: float, tmp_path: Path) -> None:
    film = made(
        tmp_path, "sound.mkv", frames=75, audio=["flac"], audio_delay_s=delay_s, container="mov"
    )
    join(
        str(film.source), film.parts, film.facts, film.format, tmp_path / "a.mov", audio="transcode"
    )
    # The first beat is no edge where nothing is heard before it.
    before, after = (
        [beat for beat in _beats_s(path) if beat > delay_s + 0.1]
        for path in (film.source, tmp_path / "a.mov")
    )
    assert len(before) == 5
    assert after == pytest.approx(before, abs=0.005)


def _beats_s(path: Path) -> list[float]:
    """When the tone of a test clip becomes loud."""
    with av.open(str(path)) as container:
        frames = [(frame.time or 0.0, frame.to_ndarray()) for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].codec_context.sample_rate
    wave = np.concatenate([samples.astype(np.float64).ravel() for _, samples in frames])
    block = rate // 500
    level = np.abs(wave[: len(wave) // block * block]).reshape(-1, block).max(axis=1)
    loud = level > 0.6 * level.max()
    starts = np.flatnonzero(loud[1:] & ~loud[:-1]) + 1
    return [frames[0][0] + start * block / rate for start in starts]


def test_a_gap_in_the_sound_is_silence_in_what_is_encoded_anew(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mkv", frames=75, audio=["flac"])
    with av.open(str(whole)) as old, av.open(str(tmp_path / "gap.mkv"), "w") as new:
        targets = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in old.demux():
            time_s = float((packet.dts or 0) * packet.time_base)
            if packet.dts is None or (packet.stream.type == "audio" and 0.9 < time_s < 1.8):
                continue
            packet.stream = targets[packet.stream.index]
            new.mux(packet)
    film = in_parts(tmp_path / "gap.mkv", tmp_path / "parts", 1, VideoWish(container="mov"))
    join(
        str(film.source), film.parts, film.facts, film.format, tmp_path / "a.mov", audio="transcode"
    )
    late = [beat for beat in _beats_s(whole) if beat > 2]
    found = [beat for beat in _beats_s(tmp_path / "a.mov") if beat > 2]
    assert len(late) >= 1
    assert found == pytest.approx(late, abs=0.005)


def test_text_subtitles_of_every_kind_are_kept_when_the_container_changes(tmp_path: Path) -> None:
    for source, container in (("a.mkv", "mp4"), ("a.mkv", "mov"), ("a.webm", "mp4")):
        codec = "libvpx-vp9" if source.endswith("webm") else "libx264"
        film = made(tmp_path, source, codec=codec, frames=40, subtitles=1, container=container)
        result = tmp_path / f"result.{container}"
        (note,) = film.joined(result).warnings
        assert "written as mov_text" in note
        assert (note,) == stream_warnings(film.facts, container)
        assert lines(result) == lines(film.source) != []


def test_fonts_do_not_fit_mp4_and_that_is_said(tmp_path: Path) -> None:
    film = made(tmp_path, "a.mkv", frames=6, attachments=1, container="mp4")
    warnings = film.joined(tmp_path / "result.mp4").warnings
    assert len(warnings) == 1
    assert "stream 1 (attachment" in warnings[0]
    assert warnings == stream_warnings(film.facts, "mp4")


def _with_cover(folder: Path, suffix: str, cover: bytes) -> Path:
    plain = clip(folder / f"plain{suffix}", frames=6, audio=["aac"])
    path = folder / f"cover{suffix}"
    with av.open(str(plain)) as old, av.open(str(path), "w") as new:
        targets = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        if suffix == ".mkv":
            new.add_attachment("front.jpg", "image/jpeg", cover)
        else:
            art = new.add_stream("mjpeg", width=32, height=32, pix_fmt="yuvj420p")
            art.disposition = Disposition.attached_pic
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = targets[packet.stream.index]
                new.mux(packet)
        if suffix != ".mkv":
            picture = av.Packet(cover)
            picture.stream, picture.pts, picture.dts = art, 0, 0
            picture.time_base = Fraction(1, 25)
            new.mux(picture)
    return path


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("container", ["mkv", "mp4"])
def test_cover_art_is_kept_byte_for_byte(suffix: str, container: str, tmp_path: Path) -> None:
    done, jpeg = cv2.imencode(".jpg", np.full((32, 32, 3), 99, np.uint8))
    assert done
    cover = jpeg.tobytes()
    original = _with_cover(tmp_path, suffix, cover)
    assert _covers(original) == [cover]
    film = in_parts(original, tmp_path / "parts", 2, VideoWish(container=container))  # type: ignore[arg-type]
    result = tmp_path / f"result.{container}"
    assert film.joined(result).warnings == ()
    assert _covers(result) == [cover]
    assert shown_numbers(result) == list(range(6))
    assert heard(result) == heard(original)


def _covers(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        art = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        return [bytes(packet) for packet in container.demux(art) if packet.size] if art else []


def test_a_second_film_in_the_file_is_left_out_and_told(tmp_path: Path) -> None:
    first = clip(tmp_path / "first.mkv", frames=6, audio=["aac"])
    path = tmp_path / "two.mkv"
    with av.open(str(first)) as old, av.open(str(path), "w") as new:
        targets = [new.add_stream_from_template(s, opaque=True) for s in old.streams]
        second = new.add_stream_from_template(old.streams.video[0], opaque=True)
        for packet in old.demux():
            if packet.dts is None:
                continue
            copy = av.Packet(bytes(packet))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.is_keyframe, copy.stream = packet.is_keyframe, second
            packet.stream = targets[packet.stream.index]
            new.mux(packet)
            if packet.stream.type == "video":
                new.mux(copy)
    film = in_parts(path, tmp_path / "parts", 1)
    warnings = film.joined(tmp_path / "result.mkv").warnings
    assert warnings == stream_warnings(film.facts, "mkv")
    assert "only the first film" in warnings[0]
    assert kinds(tmp_path / "result.mkv") == ["video", "audio"]


def test_timed_data_goes_along_in_mp4(tmp_path: Path) -> None:
    first = clip(tmp_path / "first.mp4", frames=12)
    path = tmp_path / "data.mp4"
    with av.open(str(first)) as old, av.open(str(path), "w") as new:
        picture = new.add_stream_from_template(old.streams.video[0], opaque=True)
        data = new.add_data_stream("bin_data")
        data.time_base = Fraction(1, 1000)
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = picture
                new.mux(packet)
        for number in range(4):
            sample = av.Packet(f"sensor {number}".encode())
            sample.pts = sample.dts = 100 * number
            sample.duration, sample.time_base, sample.stream = 100, Fraction(1, 1000), data
            new.mux(sample)
    film = in_parts(path, tmp_path / "parts", 2)
    assert film.joined(tmp_path / "result.mp4").warnings == ()
    with av.open(str(tmp_path / "result.mp4")) as opened:
        samples = [bytes(p) for p in opened.demux(opened.streams.data[0]) if p.size]
    assert samples == [b"sensor 0", b"sensor 1", b"sensor 2", b"sensor 3"]


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_the_timecode_is_kept(container: str, tmp_path: Path) -> None:
    film = made(tmp_path, f"a.{container}", frames=12, metadata={"timecode": "01:02:03:04"})
    assert film.joined(tmp_path / f"result.{container}").warnings == ()
    (note,) = stream_warnings(film.facts, container)
    assert "unless it is the timecode" in note, "the plan reads the header only"
    streams = probe(tmp_path / f"result.{container}")["streams"]
    assert streams[0]["tags"]["timecode"] == "01:02:03:04"


def test_tags_are_added_and_no_tag_of_the_old_file_remains(tmp_path: Path) -> None:
    tags = {"title": "Old", "date": "1953", "location": "+48-011/", "my_own": "word"}
    film = made(tmp_path, "a.mkv", frames=6, metadata=tags, audio=["aac"])
    for container in ("mkv", "mp4", "mov"):
        there = in_parts(film.source, tmp_path / container, 1, VideoWish(container=container))  # type: ignore[arg-type]
        result = tmp_path / f"result.{container}"
        join(
            str(film.source), there.parts, there.facts, there.format, result,
            metadata={"TITLE": "New", "restored_by": "tests"},
        )  # fmt: skip
        found = tagged(result)
        assert (found["title"], found["date"]) == ("New", "1953")
        assert (found["my_own"], found["restored_by"]) == ("word", "tests")
        video, sound = probe(result)["streams"]
        ours = ("language", "title", "handler_name", "vendor_id", "duration")
        for stream in (video, sound):
            assert {key.lower() for key in stream.get("tags", {})} <= set(ours)


def test_sound_of_a_damaged_source_ends_where_it_can_be_read_no_more(tmp_path: Path) -> None:
    whole = made(tmp_path, "a.mkv", frames=250, gop=25, audio=["pcm_s16le"])
    data = whole.source.read_bytes()
    whole.source.write_bytes(data[: len(data) // 2])
    report = whole.joined(tmp_path / "result.mkv")
    assert report.frames == 250
    assert shown_numbers(tmp_path / "result.mkv") == list(range(250))
    assert 0 < heard(tmp_path / "result.mkv")[1] < 480_000


@pytest.mark.parametrize(
    ("kind", "codec", "fates"),
    [
        ("audio", "aac", ("copy", "copy", "copy")),
        ("audio", "dts", ("copy", "copy", "copy")),
        ("audio", "opus", ("copy", "drop", "copy")),
        ("audio", "flac", ("copy", "drop", "copy")),
        ("audio", "pcm_dvd", ("drop", "drop", "drop")),
        ("subtitle", "dvd_subtitle", ("copy", "drop", "copy")),
        ("subtitle", "hdmv_pgs_subtitle", ("drop", "drop", "copy")),
        ("subtitle", "ass", ("text", "text", "copy")),
        ("subtitle", "mov_text", ("copy", "copy", "text")),
        ("attachment", "ttf", ("drop", "drop", "copy")),
        ("video", "mjpeg", ("cover", "cover", "cover")),
        ("video", "h264", ("drop", "drop", "drop")),
        ("data", "bin_data", ("copy", "copy", "drop")),
        ("data", "no such codec", ("drop", "drop", "drop")),
        ("audio", "no such codec", ("drop", "drop", "drop")),
    ],
)
def test_the_fate_of_a_stream_by_its_codec(kind: str, codec: str, fates: Sequence[str]) -> None:
    assert [stream_fate(kind, codec, container) for container in ("mp4", "mov", "mkv")] == list(
        fates
    )


def test_the_plan_is_silent_about_what_is_written_anew(tmp_path: Path) -> None:
    facts = probe_video(str(clip(tmp_path / "a.mp4", frames=6, chapters=2, audio=["aac"])))
    assert any(stream.kind == "data" for stream in facts.streams)
    assert stream_warnings(facts, "mkv") == stream_warnings(facts, "mp4") == ()
    assert stream_warnings(facts, "mp4", "drop") == ()


def test_the_plan_names_the_stream_that_stays_behind() -> None:
    streams = (StreamFacts(0, "video", "h264"), StreamFacts(3, "subtitle", "dvb_subtitle", "fra"))
    assert stream_warnings(replace(FACTS, streams=streams), "mp4") == (
        "stream 3 (subtitle, dvb_subtitle, fra): mp4 does not take it, left out",
    )


def test_what_stays_behind_pictures_is_said(tmp_path: Path) -> None:
    rich = probe_video(str(clip(tmp_path / "a.mkv", **{**RICH, "frames": 6})))  # type: ignore[arg-type]
    assert left_out_of_pictures(rich) == (
        "only its pictures are written, without its sound, subtitles and chapters",
    )
    assert left_out_of_pictures(rich, "drop") == (
        "only its pictures are written, without its subtitles and chapters",
    )
    assert left_out_of_pictures(FACTS) == ()


def test_a_film_written_as_pictures_says_that_its_sound_is_not_there(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", frames=6, audio=["aac"])
    film = in_parts(source, tmp_path / "parts", 1, VideoWish(codec="ffv1", container="mkv"))
    (part,) = film.parts
    frames = FrameRange(0, 0, film.pts, film.durations, 0, 0, None)
    folder = str(tmp_path / "out" / "a.frames")
    work = JoinWork(film.facts, film.format, ((str(part.path), frames),), folder)
    unit = Join(
        id="film", source=str(source), output="a.frames/frames.json",
        staging_dir=str(tmp_path / "tmp"), work=work,
    )  # fmt: skip
    (done,) = JoinFilm(output="frames")([Chunk(unit)])
    assert isinstance(done, Chunk)
    assert done.warnings == ("only its pictures are written, without its sound",)


@pytest.mark.slow
def test_joining_takes_the_memory_of_seconds_not_of_the_film(tmp_path: Path) -> None:
    """Ten minutes of sound, 115 MB: the peak of a fresh process beyond its imports."""
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says how much memory a process has used at most")
    film = made(
        tmp_path, "long.mkv", frames=300, rate=Fraction(1, 2), gop=60,
        audio=["pcm_s16le"] * 2, tones=False,
    )  # fmt: skip
    script = """
import pickle, re, sys
from pathlib import Path
from restore_batch.stages.video.join import join
source, parts, facts, format = pickle.loads(Path(sys.argv[1]).read_bytes())
peak = lambda: int(re.search("VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1])
# From now on, and of this program only: getrusage also counts the one that started it.
Path("/proc/self/clear_refs").write_text("5")
before = peak()
join(source, parts, facts, format, Path(sys.argv[2]))
print((peak() - before) / 1024)
"""
    work = (str(film.source), film.parts, film.facts, film.format)
    (tmp_path / "work").write_bytes(pickle.dumps(work))
    command = [sys.executable, "-c", script, str(tmp_path / "work"), str(tmp_path / "result.mkv")]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert 0 < float(done.stdout) < 40

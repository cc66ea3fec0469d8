"""The index names just the frames that a full decode gives, in every codec and container."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.video.index import index_video
from restore_batch.stages.video.probe import probe_video

from support import data, ffprobe
from support.clips import clip, frame_number
from support.films import KINDS, checked_index, times
from support.remux import copied, decodable_times


@pytest.mark.parametrize("name", KINDS)
def test_the_index_is_what_a_full_decode_gives(name: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, **KINDS[name])
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    assert index.packets is None
    assert index.facts.warnings == ()
    assert index.keyframes[0] == 0
    assert index.facts.mean_fps == pytest.approx(25, rel=0.05)
    assert index.facts.duration_s == pytest.approx(index.count / 25, rel=0.05)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "hevc.ts", "mpeg2.ts", "vp9.webm"])
def test_another_program_counts_the_same_frames(name: str, tmp_path: Path) -> None:
    path = clip(tmp_path / name, **KINDS[name])
    seen = [int(frame["pts"]) for frame in ffprobe.probe(path)["frames"]]
    assert index_video(str(path)).pts.tolist() == seen


def _shared() -> list[str]:
    try:
        folder = data.folder("RESTORE_BATCH_VIDEO", "video")
    except pytest.skip.Exception:
        return ["(no test data)"]
    return [entry["file"] for entry in json.loads((folder / "index.json").read_text())]


@pytest.mark.parametrize("name", _shared())
def test_real_films_have_the_frames_their_list_says(name: str) -> None:
    folder = data.folder("RESTORE_BATCH_VIDEO", "video")
    (entry,) = (e for e in json.loads((folder / "index.json").read_text()) if e["file"] == name)
    if not entry["streams"]:
        with pytest.raises(MediaError, match=r"moov.*copy it again"):
            index_video(str(folder / name))
        return
    (video,) = (s for s in entry["streams"] if s["codec_type"] == "video")
    index = checked_index(folder / name)
    assert index.count == int(video["nb_read_frames"])
    assert index.pts.tolist() == decodable_times(folder / name)
    assert (index.facts.width, index.facts.height) == (video["width"], video["height"])
    cut = "truncated" in name
    assert [("cut off" in warning) for warning in index.facts.warnings] == [True] * cut


# -- timestamps --------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_a_variable_rate_and_a_late_start_are_kept(suffix: str, tmp_path: Path) -> None:
    pts = [900, 903, 909, 910, 930, 940, 941, 942, 1000, 1010]
    path = clip(tmp_path / f"vfr{suffix}", time_base=Fraction(1, 100), pts=pts, b_frames=2)
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    seconds = np.array(pts) / 100
    offset_s = float(index.pts[0] * index.facts.time_base_s) - seconds[0]
    np.testing.assert_allclose(
        index.pts * float(index.facts.time_base_s) - offset_s, seconds, atol=1e-3
    )


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
def test_a_film_of_one_frame_has_an_index_of_one(suffix: str, tmp_path: Path) -> None:
    path = clip(tmp_path / f"one{suffix}", frames=1)
    index = checked_index(path)
    assert index.pts.tolist() == times(path)
    assert index.keyframes.tolist() == [0]
    assert index.facts.duration_s == pytest.approx(0.04, abs=1e-3)


@pytest.mark.parametrize("name", ["b.avi", "b.h264"])
def test_frames_without_true_times_are_counted_and_said_to_be(name: str, tmp_path: Path) -> None:
    if name.endswith(".avi"):
        path = clip(tmp_path / name, frames=30, b_frames=2)
    else:
        path = copied(clip(tmp_path / "b.ts", frames=30, b_frames=2), tmp_path / name)
    index = checked_index(path)
    assert index.count == 30
    assert "decoded once" in index.facts.warnings[0]
    assert index.packets is not None
    assert sorted(index.packets.tolist()) == list(range(30))
    assert index.packets.tolist() != list(range(30))
    assert index.facts.duration_s == pytest.approx(1.2)
    assert index.keyframes.tolist() == [0, 12, 24]
    # Stamped with the index's times, packets give frames in order, each with its own number.
    times = dict(zip(index.packets.tolist(), index.pts.tolist(), strict=True))
    shown = []
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        for number, packet in enumerate(packets):
            packet.pts = times[number]
        for packet in [*packets, None]:
            shown += container.streams.video[0].decode(packet)
    assert [frame.pts for frame in shown] == index.pts.tolist()
    assert [frame_number(frame.to_ndarray(format="rgb24")) for frame in shown] == list(range(30))


def test_a_raw_stream_without_swapped_frames_is_counted_too(tmp_path: Path) -> None:
    path = copied(clip(tmp_path / "a.ts", frames=20), tmp_path / "a.h264")
    index = checked_index(path)
    assert index.count == 20
    assert set((index.durations * index.facts.time_base_s).tolist()) == {Fraction(1, 25)}


def test_a_raw_stream_of_one_frame_has_an_index_of_one(tmp_path: Path) -> None:
    index = checked_index(copied(clip(tmp_path / "a.ts", frames=1), tmp_path / "a.h264"))
    assert (index.count, index.facts.duration_s) == (1, pytest.approx(0.04))


def test_times_in_decoding_order_are_found_out_in_other_containers(tmp_path: Path) -> None:
    path = clip(tmp_path / "good.mp4", frames=30, b_frames=2)

    def flatten(packet: av.Packet) -> None:
        packet.pts = packet.dts = packet.dts + round(Fraction(2, 25) / packet.time_base)

    bad = copied(path, tmp_path / "bad.mp4", change=flatten)
    index = checked_index(bad)
    assert index.count == 30
    assert "decoding order" in index.facts.warnings[0]
    assert index.packets is not None
    durations = set(index.durations.tolist())
    assert len(durations) == 1


def test_two_pictures_of_one_time_are_told_apart(tmp_path: Path) -> None:
    path = clip(tmp_path / "good.mkv", frames=30)

    def twin(packet: av.Packet) -> None:
        if packet.pts == 400:
            packet.pts = packet.dts = 360

    bad = copied(path, tmp_path / "bad.mkv", change=twin)
    index = checked_index(bad)
    assert index.count == 30
    assert index.pts[9:12].tolist() == [360, 361, 440]
    assert "same presentation time" in index.facts.warnings[0]
    assert index.packets is not None
    assert index.packets.tolist() == list(range(30))


# Names of films, how they are made.
JOINED: dict[str, dict[str, Any]] = {
    "film.ts": {"b_frames": 2},
    "film.m2ts": {"b_frames": 2, "audio": ["mp2"]},
    "film.mpg": {"codec": "mpeg1video", "b_frames": 2},
    "film.vob": {"codec": "mpeg2video", "audio": ["ac3"]},
}
AN_HOUR = 25 * 3600


@pytest.mark.parametrize(("before", "after"), [(0, 0), (AN_HOUR, 0), (AN_HOUR, AN_HOUR - 25)])
@pytest.mark.parametrize("name", JOINED)
def test_a_film_whose_clock_falls_back_is_refused_with_the_command_that_repairs_it(
    name: str, before: int, after: int, tmp_path: Path
) -> None:
    twice = tmp_path / name
    for begin in (before, after):
        pts = range(begin, begin + 50)
        part = clip(tmp_path / f"part{twice.suffix}", **JOINED[name], frames=50, pts=pts)
        with twice.open("ab") as file:
            file.write(part.read_bytes())
    for read in (index_video, probe_video):
        with pytest.raises(MediaError, match=r": its clock starts again after 0:00:01") as caught:
            read(str(twice))
    command = str(caught.value).partition(", as in ffmpeg ")[2]
    repaired = tmp_path / "new.mkv"
    names = {"FILE": str(twice), "NEW.mkv": str(repaired)}
    words = [names.get(word, word) for word in command.split()]
    tool = [ffprobe.program("ffmpeg"), "-v", "error"]
    subprocess.run([*tool, *words], check=True, stdin=subprocess.DEVNULL)
    assert checked_index(repaired).count == 100


@pytest.mark.parametrize("name", JOINED)
def test_a_clock_that_goes_past_its_end_does_not_start_again(name: str, tmp_path: Path) -> None:
    ends_s = Fraction(1 << 33, 90000)
    begin = round(ends_s * 25) - 20
    film = clip(tmp_path / name, **JOINED[name], frames=50, pts=range(begin, begin + 50))
    index = checked_index(film)
    assert index.count == 50
    assert index.facts.duration_s == pytest.approx(2.0, abs=0.05)
    assert index.facts.warnings == ()


# -- keyframes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_keyframes_of_open_groups_are_where_decoding_can_start(
    codec: str, suffix: str, tmp_path: Path
) -> None:
    options = {"x264-params": "open-gop=1"} if codec == "libx264" else {"x265-params": "open-gop=1"}
    path = clip(
        tmp_path / f"a{suffix}", codec=codec, frames=40, gop=10, b_frames=2, options=options
    )
    index = checked_index(path)
    assert index.keyframes.tolist() == [0, 10, 20, 30]


def test_every_frame_of_an_intra_codec_is_a_keyframe(tmp_path: Path) -> None:
    index = checked_index(clip(tmp_path / "a.mov", codec="prores_ks", frames=10))
    assert index.keyframes.tolist() == list(range(10))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_the_start_of_an_intra_refresh_is_no_keyframe(suffix: str, tmp_path: Path) -> None:
    options = {"x264-params": "intra-refresh=1"}
    path = clip(tmp_path / f"a{suffix}", frames=40, gop=10, options=options)
    with av.open(str(path)) as container:
        flagged = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert flagged > 1
    assert checked_index(path).keyframes.tolist() == [0]


@pytest.mark.parametrize(
    ("codec", "keyframes"),
    [
        ("libx264", [0, 10, 20]),
        ("mpeg2video", [0, 10, 20]),
        ("mpeg4", [0, 10, 20]),
        ("msmpeg4v2", [0, 10, 20]),
        ("msmpeg4", [0, 10, 20]),
        ("wmv1", [0, 10, 20]),
        ("wmv2", [0, 10, 20]),
        ("ffv1", [0, 10, 20]),
        ("mjpeg", list(range(30))),
        ("flv", [0]),  # its headers are not read here: slow to start, but right
    ],
)
def test_an_avi_without_its_index_does_not_make_every_frame_a_keyframe(
    codec: str, keyframes: list[int], tmp_path: Path
) -> None:
    whole = clip(tmp_path / "whole.avi", codec=codec, frames=30, gop=10)
    content = whole.read_bytes()
    bare = tmp_path / "bare.avi"
    bare.write_bytes(content[: content.rindex(b"idx1")])
    index = checked_index(bare)
    assert index.pts.tolist() == times(bare)
    assert index.count == 30
    assert index.keyframes.tolist() == keyframes


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg2video"])
def test_a_file_that_calls_everything_a_keyframe_is_not_believed(
    codec: str, tmp_path: Path
) -> None:
    def flag(packet: av.Packet) -> None:
        packet.is_keyframe = True

    honest = clip(tmp_path / "a.mkv", codec=codec, frames=40, gop=10, b_frames=2)
    flagged = copied(honest, tmp_path / "b.mkv", change=flag)
    assert checked_index(flagged).keyframes.tolist() == index_video(str(honest)).keyframes.tolist()
    assert 4 <= len(index_video(str(honest)).keyframes) <= 5


def test_a_matroska_file_without_its_index_is_read(tmp_path: Path) -> None:
    whole = clip(tmp_path / "whole.mkv", frames=30, b_frames=2)
    content = whole.read_bytes()
    bare = tmp_path / "bare.mkv"
    bare.write_bytes(content[: content.rindex(bytes.fromhex("1c53bb6b"))])  # the Cues element
    assert checked_index(bare).pts.tolist() == times(whole)
    assert index_video(str(bare)).keyframes.tolist() == [0, 12, 24]

"""A part holds every frame at its time, decodes on its own, and is the same on every machine."""

from __future__ import annotations

import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame
from restore_batch.stages.video.format import VideoWish, resolve_format
from restore_batch.stages.video.types import ColourTags, VideoFormat
from restore_batch.stages.video.write import PartWriter

from support.clips import decoded, frame_number, numbered_picture
from support.ffprobe import probe
from support.film_parts import CODECS, FACTS, QUICK

BASE_S = Fraction(1, 12800)


def format_of(codec: str, **facts: object) -> VideoFormat:
    wish = VideoWish(codec, "keep", preset=QUICK.get(codec))  # type: ignore[arg-type]
    return resolve_format(wish, replace(FACTS, **facts), 1, "a.mp4")[0]  # type: ignore[arg-type]


def write(
    path: Path,
    format: VideoFormat,
    pts: list[int],
    base_s: Fraction = BASE_S,
    pictures: list[np.ndarray] | None = None,
) -> None:
    draw = numbered_picture((format.width, format.height), deep=format.bits > 8)
    with PartWriter(path, format, base_s) as writer:
        for number, time in enumerate(pts):
            frame = Frame(pictures[number] if pictures else draw(number))
            writer.write(frame, time, pts[number + 1] - time if number + 1 < len(pts) else 7)
        part = writer.close()
    assert (part.staged_path, part.width, part.height) == (str(path), format.width, format.height)
    assert part.size_bytes == path.stat().st_size
    assert part.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("codec", CODECS)
def test_every_frame_comes_back_in_order_at_its_time(codec: str, bits: int, tmp_path: Path) -> None:
    format = format_of(codec, bits=bits)
    pts = [90_000 + 512 * i + (i % 3) * 7 for i in range(20)]
    write(tmp_path / "part", format, pts)
    with av.open(str(tmp_path / "part")) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(0)
        first = next(packet for packet in container.demux(stream))
        assert first.is_keyframe
    frames = decoded(tmp_path / "part")
    assert [frame_number(picture) for _, picture in frames] == list(range(20))
    times = [(time - frames[0][0]) * base for time, _ in frames]
    assert times == [(time - pts[0]) * BASE_S for time in pts]


@pytest.mark.parametrize(
    "base_s", [Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 1000), Fraction(1, 10**7)]
)
def test_any_time_base_is_kept_exactly(base_s: Fraction, tmp_path: Path) -> None:
    pts = [-5, -1, 0, 3, 4, 400, 401]
    write(tmp_path / "part", format_of("h264"), pts, base_s)
    with av.open(str(tmp_path / "part")) as container:
        base = container.streams.video[0].time_base or Fraction(0)
    times = [time * base for time, _ in decoded(tmp_path / "part")]
    assert [time - times[0] for time in times] == [(time + 5) * base_s for time in pts]


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("codec", CODECS)
def test_a_part_of_a_frame_or_two_is_a_part(codec: str, frames: int, tmp_path: Path) -> None:
    write(tmp_path / "part", format_of(codec), [12345, 12349][:frames])
    assert len(decoded(tmp_path / "part")) == frames


@pytest.mark.parametrize("codec", CODECS)
def test_the_stream_says_its_colours_aspect_and_depth(codec: str, tmp_path: Path) -> None:
    format = format_of(codec, colour=ColourTags(5, 6, 5, False), bits=10)
    write(tmp_path / "part", format, [0, 512])
    (stream,) = probe(tmp_path / "part")["streams"]
    assert stream["sample_aspect_ratio"] == "16:15"
    assert (stream["color_primaries"], stream["color_transfer"]) == ("bt470bg", "smpte170m")
    assert stream["color_space"] == ("gbr" if codec == "ffv1" else "bt470bg")
    if codec not in ("ffv1", "prores"):  # FFmpeg 5.1 does not read the range of these two
        assert stream["color_range"] == "tv"
    assert "10" in stream["pix_fmt"]


def test_full_range_is_said(tmp_path: Path) -> None:
    write(tmp_path / "part", format_of("h264", colour=ColourTags(1, 1, 1, True)), [0, 512])
    (stream,) = probe(tmp_path / "part")["streams"]
    assert stream["color_range"] == "pc"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_groups_are_closed_and_two_seconds_long(codec: str, tmp_path: Path) -> None:
    format = format_of(codec, mean_fps=5.0)
    write(tmp_path / "part", format, [512 * i for i in range(31)])
    with av.open(str(tmp_path / "part")) as container:
        latest, keys = -1, []
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is None:
                continue
            if packet.is_keyframe:
                keys.append(packet.pts // 512)
                assert packet.pts > latest, "nothing behind a keyframe is shown before it"
            latest = max(latest, packet.pts)
    assert keys == [0, 10, 20, 30]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_ffv1_keeps_every_bit(bits: int, tmp_path: Path) -> None:
    format = format_of("ffv1", bits=bits, pix_fmt="gbrp16le" if bits > 8 else "rgb24")
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 2**bits, (3, 48, 64, 3))
    if bits == 8:
        pictures = list(levels.astype(np.uint8))
    else:
        pictures = list(np.rint(levels * 65535 / (2**bits - 1)).astype(np.uint16))
    write(tmp_path / "part", format, [0, 1, 2], pictures=pictures)
    with av.open(str(tmp_path / "part")) as container:
        for frame, level in zip(container.decode(video=0), levels, strict=True):
            # FFmpeg calls these bytes blue, green, red, unused; PyAV reads no such arrays.
            rgb = _bytes_of(frame)[..., 2::-1] if bits == 8 else frame.to_ndarray()
            assert np.array_equal(rgb, level)


def _bytes_of(frame: av.VideoFrame) -> np.ndarray:
    (plane,) = frame.planes
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(frame.height, plane.line_size)
    return rows[:, : 4 * frame.width].reshape(frame.height, frame.width, 4)


_ENCODE = """
import os, pickle, sys
from fractions import Fraction
from pathlib import Path
os.sched_setaffinity(0, {int(cpu) for cpu in sys.argv[3].split(",")})
sys.path.insert(0, "tests")
from restore_batch.stages.media import Frame
from restore_batch.stages.video.write import PartWriter
from support.clips import numbered_picture
draw = numbered_picture((320, 240))
format = pickle.loads(Path(sys.argv[2]).read_bytes())
with PartWriter(Path(sys.argv[1]), format, Fraction(1, 25)) as writer:
    for number in range(30):
        writer.write(Frame(draw(number)), number, 1)
    writer.close()
"""


@pytest.mark.parametrize("codec", CODECS)
def test_the_bytes_do_not_depend_on_the_number_of_cores(codec: str, tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    root = Path(__file__).parents[3]
    (tmp_path / "format").write_bytes(pickle.dumps(format_of(codec, width=320, height=240)))
    for name, some in (("one", cores[:1]), ("all", cores)):
        cpus = ",".join(map(str, some))
        command = [
            sys.executable,
            "-c",
            _ENCODE,
            str(tmp_path / name),
            str(tmp_path / "format"),
            cpus,
        ]
        subprocess.run(command, cwd=root, check=True)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "all").read_bytes()


def test_a_frame_of_another_size_or_an_earlier_time_is_refused(tmp_path: Path) -> None:
    picture = Frame(numbered_picture((64, 48))(0))
    with PartWriter(tmp_path / "part", format_of("h264"), BASE_S) as writer:
        writer.write(picture, 10, 1)
        with pytest.raises(ValueError, match="does not follow"):
            writer.write(picture, 10, 1)
        with pytest.raises(ValueError, match="32x48 in a film of 64x48"):
            writer.write(Frame(picture.rgb_hwc[:, :32]), 11, 1)


def test_what_is_not_closed_leaves_no_file(tmp_path: Path) -> None:
    picture = Frame(numbered_picture((64, 48))(0))
    with (
        pytest.raises(RuntimeError, match="network"),
        PartWriter(tmp_path / "part", format_of("h264"), BASE_S) as writer,
    ):
        writer.write(picture, 0, 1)
        raise RuntimeError("the network failed")
    writer = PartWriter(tmp_path / "part", format_of("h264"), BASE_S)
    writer.write(picture, 0, 1)
    writer.abort()
    with pytest.raises(MediaError, match="without frames"):
        PartWriter(tmp_path / "part", format_of("h264"), BASE_S).close()
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_does_not_open_is_one_line_and_no_file(tmp_path: Path) -> None:
    broken = replace(format_of("hevc"), width=8, height=8)
    with pytest.raises(MediaError, match="libx265 cannot write 8x8 yuv420p") as caught:
        PartWriter(tmp_path / "part", broken, BASE_S)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_gpu_is_told_with_the_way_out(tmp_path: Path) -> None:
    from restore_batch.stages.video.encoders import nvenc_available

    if nvenc_available("h264"):
        pytest.skip("this machine encodes with NVENC")
    wish = VideoWish("h264", encoder="nvenc")
    format, _ = resolve_format(wish, replace(FACTS, width=256, height=256), 1, "a.mp4")
    with pytest.raises(MediaError, match=r"h264_nvenc cannot write .*choose encoder software"):
        PartWriter(tmp_path / "part", format, BASE_S)

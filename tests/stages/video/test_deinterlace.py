"""Interlaced pictures come out as full ones, wherever they are in a film, others as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import av.filter
import numpy as np
import pytest

from restore_batch.stages.video.colour.convert import FrameConverter
from restore_batch.stages.video.index import VideoIndex, index_video
from restore_batch.stages.video.types import ColourTags, VideoFrame

from support.clips import clip
from support.reading import SEGMENTATIONS, read, same, whole
from support.remux import copied


def combing(rgb_hwc: np.ndarray) -> float:
    """How a line differs from its neighbours, over what those do: above 1 where fields mix."""
    luma = rgb_hwc.astype(float).mean(axis=2)
    apart = np.abs(luma[1:-1] - (luma[:-2] + luma[2:]) / 2).mean()
    return float(apart / (np.abs(luma[2:] - luma[:-2]).mean() + 0.1))


def moving_edge(i: float) -> np.ndarray:
    picture = np.full((48, 64, 3), 40, np.uint8)
    for line in range(48):
        left = int(8 + 6 * (i + 0.5 * (line % 2)))
        picture[line, left : left + 12] = 220
    return picture


def test_fields_are_woven_where_the_film_says_it_is_interlaced(tmp_path: Path) -> None:
    film = clip(tmp_path / "i.mp4", frames=6, interlaced=True, picture=moving_edge)
    index = index_video(str(film))
    assert index.facts.field_order == "top-first"
    woven, raw = whole(film, index), whole(film, index, deinterlace="never")
    assert len(woven) == len(raw) == 6
    assert all(combing(frame.frame.rgb_hwc) > 1 for frame in raw)
    assert all(combing(frame.frame.rgb_hwc) < 0.5 for frame in woven)


def test_progressive_films_are_woven_only_on_request(tmp_path: Path) -> None:
    film = clip(tmp_path / "p.mp4", frames=6, picture=moving_edge)
    index = index_video(str(film))
    raw = whole(film, index, deinterlace="never")
    assert same(whole(film, index), raw)
    woven = whole(film, index, deinterlace="always")
    assert all(combing(frame.frame.rgb_hwc) < 0.5 < combing(old.frame.rgb_hwc)
               for frame, old in zip(woven, raw, strict=True))  # fmt: skip
    assert same(woven, read(film, index, 0.1, 1, deinterlace="always"))


@pytest.mark.parametrize("order", ["top-first", "bottom-first"])
def test_unmarked_pictures_are_woven_by_the_order_the_film_states(
    tmp_path: Path, order: str
) -> None:
    film = clip(tmp_path / "m.avi", codec="mjpeg", frames=5, picture=moving_edge)
    index = index_video(str(film))
    said = replace(index, facts=replace(index.facts, field_order=order))
    frames = read(film, said, 0.1, 1)
    assert same(frames, woven_by_ffmpeg(film, {"top-first": "tff", "bottom-first": "bff"}[order]))


RUN = 21
"""Frames of a film that are all interlaced or all not."""
_PICTURE_CODING = re.compile(rb"\x00\x00\x01\xb5[\x80-\x8f]....", re.DOTALL)


def of_mpeg2(path: Path, interlaced: Sequence[bool], b_frames: int) -> Path:
    """A film whose pictures say so one by one, as those of a DVD do."""
    count = RUN * len(interlaced)
    film = clip(
        path.with_suffix(".mkv"), codec="mpeg2video", frames=count, gop=8, b_frames=b_frames,
        interlaced=True, picture=lambda i: moving_edge(i % 7),
    )  # fmt: skip

    def marked(packet: av.Packet) -> bytes | None:
        if interlaced[round(packet.pts * packet.time_base * 25) // RUN]:
            return None
        # The flag progressive_frame of the picture coding extension (ISO/IEC 13818-2, 6.2.3.1).
        return _PICTURE_CODING.sub(
            lambda found: found[0][:-1] + bytes([found[0][-1] | 0x80]), bytes(packet)
        )

    return copied(film, path, replace=marked)


def of_h264(path: Path, interlaced: Sequence[bool], b_frames: int) -> Path:
    """A recording that changes its mode, one stream behind the other."""
    with path.open("wb") as file:
        for number, fields in enumerate(interlaced):
            begin = number * (RUN + 10)
            part = clip(
                path.with_name(f"part{path.suffix}"), frames=RUN, pts=range(begin, begin + RUN),
                gop=8, b_frames=b_frames, interlaced=fields, picture=lambda i: moving_edge(i % 7),
            )  # fmt: skip
            file.write(part.read_bytes())
    return path


@pytest.mark.parametrize("b_frames", [0, 2])
@pytest.mark.parametrize("interlaced", [(False, True), (False, True, False, True), (True, False)])
@pytest.mark.parametrize("made", [of_mpeg2, of_h264])
def test_pictures_are_woven_wherever_they_say_that_they_are_interlaced(
    made: Callable[[Path, Sequence[bool], int], Path],
    interlaced: Sequence[bool],
    b_frames: int,
    tmp_path: Path,
) -> None:
    film = made(tmp_path / "film.ts", interlaced, b_frames)
    index = index_video(str(film))
    assert index.facts.field_order == ("top-first" if interlaced[0] else "progressive")
    frames = whole(film, index)
    raw = whole(film, index, deinterlace="never")
    assert len(frames) == RUN * len(interlaced)
    assert not any(frame.fault for frame in frames)
    for number, (frame, old) in enumerate(zip(frames, raw, strict=True)):
        if interlaced[number // RUN]:
            assert combing(frame.frame.rgb_hwc) < combing(old.frame.rgb_hwc) / 20
        else:
            assert np.array_equal(frame.frame.rgb_hwc, old.frame.rgb_hwc)
    # For the very first that it weaves, FFmpeg does not look at the pictures around it.
    first = interlaced.index(True) * RUN
    witness = woven_by_ffmpeg(film, "auto", index, deint="interlaced")
    assert same(frames[first + 1 :], witness[first + 1 :])
    assert same(frames[:first], witness[:first])
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)


def woven_by_ffmpeg(
    film: Path, parity: str, index: VideoIndex | None = None, deint: str = "all"
) -> list[VideoFrame]:
    """The whole film through one filter, as a witness for what segments give."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream, time_base=stream.time_base),
            graph.add("bwdif", f"mode=send_frame:parity={parity}:deint={deint}"),
            graph.add("buffersink"),
        ).configure()
        convert = FrameConverter(ColourTags(), stream.codec_context.name)
        pictures = []
        for picture in [*container.decode(stream), None]:
            graph.vpush(picture)
            while True:
                try:
                    pictures.append(graph.vpull())
                except (BlockingIOError, EOFError):
                    break
        times = range(len(pictures)) if index is None else index.pts.tolist()
    return [
        VideoFrame(convert(picture), pts, 1) for pts, picture in zip(times, pictures, strict=True)
    ]

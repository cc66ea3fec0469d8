"""Folders of numbered pictures: found, read as a film, and written whole."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame
from restore_batch.stages.photo import read as photo_read
from restore_batch.stages.video.frame_folder import (
    FrameFolderWriter,
    FrameSequence,
    SequenceReader,
    find_sequence,
    index_frames,
)
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import VideoFrame

from support.clips import frame_number, numbered_picture

RATE = Fraction(24)
DRAW = numbered_picture((64, 48))
LOST = "cannot be decoded; its neighbour stands in"


def sequence(folder: Path, numbers: range | list[int], name: str = "scan_{:04}.png") -> Path:
    """Pictures that say their own number."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(DRAW(number)).save(folder / name.format(number))
    return folder


def found(folder: Path) -> FrameSequence:
    sequence = find_sequence(folder)
    assert sequence is not None
    return sequence


def read(
    found: FrameSequence, segment_s: float = 1e6, context: int = 0, **how: float
) -> list[VideoFrame]:
    index = index_frames(found, RATE)
    frames: list[VideoFrame] = []
    for segment in cut_segments(index, segment_s, 1 << 40, context):
        some = list(SequenceReader(found, index.facts, segment, **how))
        assert [frame.pts for frame in some] == list(segment.pts)
        frames += some[segment.before : len(some) - segment.after]
    return frames


def numbers(frames: list[VideoFrame]) -> list[int]:
    return [frame_number(frame.frame.rgb_hwc) for frame in frames]


@pytest.mark.parametrize(
    "name", ["frame_{:06}.png", "{}.jpg", "a1b{:03}.tif", "Film 2 {:04}.JPG", "x{:02}.jpeg"]
)
def test_pictures_that_differ_in_their_number_are_a_film(tmp_path: Path, name: str) -> None:
    sequence(tmp_path, range(8, 12), name)
    (tmp_path / "notes.txt").write_text("reel 3")
    (tmp_path / ".hidden_0001.png").write_bytes(b"")
    assert found(tmp_path) == FrameSequence(
        str(tmp_path), (8, 9, 10, 11), tuple(name.format(n) for n in range(8, 12))
    )


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["frame_1.png"],
        ["frame_1.png", "frame_2.jpg"],
        ["a_1.png", "b_2.png"],
        ["frame_1.png", "frame_01.png", "frame_2.png"],
        ["frame_1.png", "frame_2.png", "cover.png"],
        ["scan1.png", "scan20240131.png"],
    ],
)
def test_other_pictures_are_no_film(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert find_sequence(tmp_path) is None


@given(st.sets(st.integers(0, 40), min_size=2, max_size=12))
def test_a_sequence_counts_from_its_first_to_its_last_number(numbers: set[int]) -> None:
    names = tuple(f"{number}.png" for number in sorted(numbers))
    one = FrameSequence("folder", tuple(sorted(numbers)), names)
    assert one.count == max(numbers) - min(numbers) + 1
    assert one.missing == one.count - len(numbers)


def test_facts_are_those_of_a_film_of_pictures(tmp_path: Path) -> None:
    index = index_frames(found(sequence(tmp_path, range(5, 10))), Fraction(25, 2))
    facts = index.facts
    assert (facts.container, facts.codec, facts.pix_fmt) == ("frames", "png", "rgb24")
    assert (facts.upright_size, facts.bits, facts.rotation_deg) == ((64, 48), 8, 0)
    assert (facts.frame_count, facts.duration_s, facts.mean_fps) == (5, 0.4, 12.5)
    assert facts.time_base_s == Fraction(2, 25) and facts.warnings == ()
    assert facts.streams[facts.video_stream].kind == "video"
    assert index.pts.tolist() == index.keyframes.tolist() == [0, 1, 2, 3, 4]
    assert index.durations.tolist() == [1] * 5


def test_frames_come_in_order_and_alike_in_any_segments(tmp_path: Path) -> None:
    film = found(sequence(tmp_path, range(100, 130)))
    frames = read(film)
    assert numbers(frames) == list(range(100, 130))
    assert not any(frame.fault for frame in frames)
    for segment_s, context in ((0.2, 2), (0.05, 0), (0.5, 7)):
        for one, other in zip(frames, read(film, segment_s, context), strict=True):
            assert one.pts == other.pts
            assert np.array_equal(one.frame.rgb_hwc, other.frame.rgb_hwc)


def test_neighbours_stand_in_for_missing_and_unreadable_pictures(tmp_path: Path) -> None:
    film = found(sequence(tmp_path, [0, 1, 2, 5, 6, 8, 9]))
    (tmp_path / "scan_0000.png").write_bytes(b"no picture")
    (tmp_path / "scan_0006.png").write_bytes(b"")
    (tmp_path / "scan_0009.png").unlink()
    assert "3 of 10 numbers are missing" in index_frames(film, RATE).facts.warnings[0]
    for segment_s, context in ((1e6, 0), (0.05, 0), (0.1, 1)):
        frames = read(film, segment_s, context)
        assert numbers(frames) == [1, 1, 2, 2, 2, 5, 5, 5, 8, 8]
        assert [frame.fault for frame in frames] == [
            LOST,
            "",
            "",
            "number 3 is missing; its neighbour stands in",
            "number 4 is missing; its neighbour stands in",
            "",
            LOST,
            "number 7 is missing; its neighbour stands in",
            "",
            LOST,
        ]


def test_a_sequence_without_a_readable_picture_is_an_error(tmp_path: Path) -> None:
    film = found(sequence(tmp_path, range(3)))
    index = index_frames(film, RATE)
    (segment,) = cut_segments(index, 1e6, 1 << 40, 0)
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    with pytest.raises(MediaError, match="none of its pictures can be read"):
        index_frames(film, RATE)
    with pytest.raises(MediaError, match="none of its pictures can be read"):
        list(SequenceReader(film, index.facts, segment))


def test_a_frame_rate_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="frame rate above 0"):
        index_frames(found(sequence(tmp_path, range(3))), Fraction(0))


def test_pictures_take_size_and_depth_of_the_first(tmp_path: Path) -> None:
    sequence(tmp_path, range(3))
    Image.fromarray(numbered_picture((96, 80))(1)).save(tmp_path / "scan_0001.png")
    transparent = np.dstack([DRAW(2), np.full((48, 64), 9, np.uint8)])
    Image.fromarray(transparent).save(tmp_path / "scan_0002.png")
    frames = read(found(tmp_path))
    assert numbers(frames) == [0, 1, 2]
    assert {frame.frame.rgb_hwc.shape for frame in frames} == {(48, 64, 3)}
    assert [frame.fault for frame in frames] == ["", "is 96x80, not 64x48: scaled", ""]
    assert frames[2].frame.alpha_hw is None
    assert np.array_equal(frames[2].frame.rgb_hwc, DRAW(2))


def test_deep_pictures_stay_deep_and_grey_ones_grey(tmp_path: Path) -> None:
    deep = numbered_picture((64, 48), deep=True)
    writer = FrameFolderWriter(tmp_path / "deep")
    grey = FrameFolderWriter(tmp_path / "grey")
    for number in (1, 2):
        writer.write(Frame(deep(number)), number)
        level = np.repeat(deep(number)[..., :1], 3, axis=2)
        grey.write(Frame(level, grey=True), number)
    for folder, draw, pix_fmt in (("deep", deep, "rgb48le"), ("grey", None, "gray16le")):
        film = found(tmp_path / folder)
        assert index_frames(film, RATE).facts.pix_fmt == pix_fmt
        frames = read(film)
        assert [frame.frame.grey for frame in frames] == [draw is None] * 2
        assert all(frame.frame.rgb_hwc.dtype == np.uint16 for frame in frames)
        if draw is not None:
            assert np.array_equal(frames[1].frame.rgb_hwc, draw(2))


def test_pictures_above_the_limit_are_not_decoded(tmp_path: Path) -> None:
    film = found(sequence(tmp_path, range(3)))
    with pytest.raises(MediaError, match="none of its pictures"):
        read(film, max_megapixels=0.001)


# -- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_written_frames_are_read_again_as_a_film(tmp_path: Path, suffix: str) -> None:
    writer = FrameFolderWriter(tmp_path / "out", digits=6, suffix=suffix)
    for number in range(1, 4):
        writer.write(Frame(DRAW(number)), number)
    writer.close()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"frame_00000{number}{suffix}" for number in (1, 2, 3)
    ]
    frames = read(found(tmp_path / "out"))
    assert numbers(frames) == [1, 2, 3]
    off = np.abs(frames[1].frame.rgb_hwc.astype(int) - DRAW(2)).max()
    assert off == 0 if suffix != ".jpg" else off < 40


def test_writing_again_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    writer = FrameFolderWriter(tmp_path, digits=3)
    assert writer.write(Frame(DRAW(7)), 7) == ()
    first = writer.path(7).read_bytes()
    writer.write(Frame(DRAW(8)), 7)
    assert writer.path(7).read_bytes() != first
    writer.write(Frame(DRAW(7)), 7)
    assert writer.path(7).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ["frame_007.png"]


def test_depth_is_written_as_it_is_where_the_format_holds_it(tmp_path: Path) -> None:
    deep = Frame(numbered_picture((64, 48), deep=True)(1))
    png, jpg = FrameFolderWriter(tmp_path), FrameFolderWriter(tmp_path, suffix=".jpg")
    assert png.write(deep, 1) == ()
    assert photo_read.probe(str(png.path(1))).bits == 16
    (warning,) = jpg.write(deep, 1)
    assert "8 bits" in warning


def test_a_frame_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    writer = FrameFolderWriter(tmp_path, suffix=".jpg")
    writer.write(Frame(DRAW(1)), 1)
    before = writer.path(1).read_bytes()
    with pytest.raises(MediaError, match="too large for JPEG"):
        writer.write(Frame(np.zeros((1, 70000, 3), np.uint8)), 1)
    assert writer.path(1).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["frame_000001.jpg"]


def test_no_frames_are_written_in_unknown_formats(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        FrameFolderWriter(tmp_path, suffix=".gif")


def test_a_frame_of_which_some_is_missing_is_kept_and_said_to_be_damaged(tmp_path: Path) -> None:
    folder = sequence(tmp_path / "film", range(1, 4), "scan_{:04}.jpg")
    second = folder / "scan_0002.jpg"
    content = second.read_bytes()
    second.write_bytes(content[: -len(content) // 4] + b"\xff\xd9")
    before, damaged, after = (frame.fault for frame in read(found(folder)))
    assert (before, after) == ("", "")
    assert damaged.startswith("damaged: ")

"""Films in AVI, which has pictures in decoding order and no times."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from restore_batch.stages.video.index import index_video

from support import ffprobe
from support.clips import clip, decoded, frame_number
from support.films import checked_index
from support.reading import SEGMENTATIONS, numbers, read, same, whole
from support.remux import copied

# How DivX and XviD say in the user data that packets are packed; the test encoder says its name.
_SAYS_PACKED, _NAME = b"DivX503b1393p", re.compile(rb"Lavc[\d.]+")
_START = b"\0\0\1\xb6"
_B_PICTURE = 2  # vop_coding_type of ISO/IEC 14496-2, 6.3.5
_TIME_BITS = 5  # of vop_time_increment, at 25 frames a second


def packed(
    source: Path, target: Path, *, place: Callable[[int], int] = lambda n: n, runs: int = 1000
) -> Path:
    """Copy MPEG-4 as DivX and XviD write it: each first B-frame in the packet of the picture before
    it. ``place``: of a packet's number, its place in the AVI. ``runs``: of B-frames that are kept.
    """
    with av.open(str(source)) as old:
        template = old.streams.video[0]
        pictures = [packet for packet in old.demux(video=0) if packet.size]
        chunks: list[tuple[bytes, bool]] = []
        run: list[bytes] = []
        for packet in [*pictures, None]:
            content = b"" if packet is None else _NAME.sub(_SAYS_PACKED, bytes(packet))
            if content and _is_b(content):
                run.append(content)
                continue
            if run and runs:  # [P, B1, B2] → [P+B1, B2, not coded]
                runs -= 1
                first, is_key = chunks.pop()
                chunks += [(first + run[0], is_key), *((b, False) for b in run[1:])]
                chunks.append((_not_coded(first), False))
            run = []
            if packet is not None:
                chunks.append((content, packet.is_keyframe))
        with av.open(str(target), "w") as new:
            stream = new.add_stream_from_template(template)
            header = bytes(template.codec_context.extradata or b"")
            stream.codec_context.extradata = _NAME.sub(_SAYS_PACKED, header)
            for number, (content, is_key) in enumerate(chunks):
                chunk = av.Packet(content)
                chunk.pts = chunk.dts = place(number)
                chunk.time_base, chunk.duration, chunk.is_keyframe = Fraction(1, 25), 1, is_key
                chunk.stream = stream
                new.mux(chunk)
    return target


def _is_b(content: bytes) -> bool:
    return content[content.index(_START) + 4] >> 6 == _B_PICTURE


def _not_coded(like: bytes) -> bytes:
    """A predicted picture at the time of another that is the one before it: it stands where the
    second of a packet would have been."""
    header = like[like.index(_START) + 4 :][:4]
    bits = f"{int.from_bytes(header, 'big'):032b}"
    time = bits[2 : bits.index("0", 2) + 1 + 1 + _TIME_BITS + 1]  # seconds, then between markers
    bits = f"01{time}00"
    bits += "1" * (-len(bits) % 8)
    return _START + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("b_frames", [1, 2, 3])
def test_every_picture_of_packed_packets_is_a_frame(b_frames: int, tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.avi", codec="mpeg4", frames=60, b_frames=b_frames)
    film = packed(plain, tmp_path / "packed.avi")
    index = checked_index(film)
    assert index.count == 60
    assert "packets hold several pictures" in index.facts.warnings[0]
    assert set(index.durations.tolist()) == {1}
    frames = whole(film, index)
    assert not any(frame.fault for frame in frames)
    assert numbers(frames) == list(range(60))
    for frame, other in zip(frames, whole(plain, index_video(str(plain))), strict=True):
        assert np.array_equal(frame.frame.rgb_hwc, other.frame.rgb_hwc)
    assert all(same(frames, read(film, index, *cut)) for cut in SEGMENTATIONS)


def test_a_picture_that_repeats_the_one_before_is_none_that_is_lost(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.avi", codec="mpeg4", frames=60, b_frames=1)
    film = packed(plain, tmp_path / "packed.avi")

    def repeated(packet: av.Packet) -> bytes | None:
        return _not_coded(bytes(packet)) if packet.dts == 5 else None  # with its B-frame

    index = checked_index(copied(film, tmp_path / "still.avi", replace=repeated))
    assert index.count == 58
    (warning,) = index.facts.warnings
    assert "decoded once" in warning


def test_a_film_with_few_packed_packets_is_shown_at_an_even_pace(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.avi", codec="mpeg4", frames=120, b_frames=2)
    index = checked_index(packed(plain, tmp_path / "packed.avi", runs=1))
    assert index.count == 43
    assert index.packets is not None
    assert set(index.durations.tolist()) == {1}


def test_an_empty_place_behind_the_first_picture_makes_no_other_late(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.avi", codec="mpeg4", frames=40, b_frames=1)
    film = packed(plain, tmp_path / "packed.avi", place=lambda n: n + 2 if n else 0)
    index = checked_index(film)
    assert index.count == 40
    assert index.pts.tolist() == list(range(3, 43))
    seen = _seen(film)
    assert len(seen) > 30
    assert index.pts.tolist()[: len(seen)] == seen


GAPS: Sequence[int] = [*range(30), *range(37, 60), *range(62, 90)]


@pytest.mark.parametrize("pyramid", ["none", "normal"])
def test_frames_behind_places_left_empty_are_shown_when_they_were_taken(
    pyramid: str, tmp_path: Path
) -> None:
    film = clip(
        tmp_path / "gaps.avi",
        frames=len(GAPS),
        pts=GAPS,
        b_frames=3,
        options={"x264-params": f"b-pyramid={pyramid}"},
    )
    index = checked_index(film)
    assert index.packets is not None
    assert (index.pts - index.pts[0]).tolist() == GAPS
    seen = _seen(film)
    assert (np.diff(index.pts[: len(seen)]) == np.diff(seen)).all()
    assert [frame_number(rgb) for _, rgb in decoded(film)] == list(range(len(GAPS)))


def _seen(path: Path) -> list[int]:
    """When another program shows the frames, as far as it says."""
    stamps = (frame.get("best_effort_timestamp") for frame in ffprobe.probe(path)["frames"])
    return [int(stamp) for stamp in stamps if stamp is not None]

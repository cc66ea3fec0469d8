"""The first slice of an H.264 packet tells where decoding can start and what is half a frame."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.stages.video.headers.h264 import BitReader, H264Headers, H264Picture, nal_units

from support.clips import clip
from support.field_pictures import field_clip


def _pictures(path: Path) -> list[H264Picture]:
    with av.open(str(path)) as container:
        headers = H264Headers(container.streams.video[0].codec_context.extradata)
        found = [headers.read(bytes(packet)) for packet in container.demux(video=0) if packet.size]
    assert None not in found
    return [picture for picture in found if picture is not None]


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
@pytest.mark.parametrize(
    ("x264", "starts"),
    [("open-gop=0", [0, 10, 20]), ("open-gop=1", [0, 10, 20]), ("intra-refresh=1", [0])],
)
def test_decoding_starts_at_recovery_points_of_no_length(
    x264: str, starts: list[int], suffix: str, tmp_path: Path
) -> None:
    path = clip(tmp_path / f"a{suffix}", frames=30, gop=10, options={"x264-params": x264})
    pictures = _pictures(path)
    assert [i for i, picture in enumerate(pictures) if picture.starts] == starts
    assert {picture.field for picture in pictures} == {None}


def test_an_intra_picture_that_others_may_look_behind_does_not_start(tmp_path: Path) -> None:
    shots = np.random.default_rng(5).integers(0, 256, (2, 48, 64, 3), np.uint8)

    def two_shots(number: int) -> np.ndarray:
        return shots[int(number >= 15)]

    # A cut too soon after a keyframe gives an I picture without a recovery point.
    options = {"x264-params": "scenecut=40:min-keyint=30:keyint=60:ref=3"}
    path = clip(tmp_path / "a.mkv", frames=70, gop=60, picture=two_shots, options=options)
    with av.open(str(path)) as container:
        kinds = [frame.pict_type for frame in container.decode(video=0)]
    assert [i for i, kind in enumerate(kinds) if kind == PictureType.I] == [0, 15, 60]
    assert [i for i, picture in enumerate(_pictures(path)) if picture.starts] == [0, 60]


@pytest.mark.parametrize("pix_fmt", ["yuv422p10le", "yuv444p", "gray"])
def test_high_profiles_are_read_as_well(pix_fmt: str, tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", frames=12, gop=6, pix_fmt=pix_fmt, interlaced=True, b_frames=2)
    pictures = _pictures(path)
    assert [i for i, picture in enumerate(pictures) if picture.starts] == [0, 6]
    assert {picture.field for picture in pictures} == {
        None
    }  # x264 codes frames, macroblock-adaptive


def test_fields_alternate_and_share_the_number_of_their_frame(tmp_path: Path) -> None:
    pictures = _pictures(field_clip(tmp_path / "a.ts", frames=8))
    assert [picture.field for picture in pictures] == [0, 1] * 8
    assert [picture.frame_number for picture in pictures] == [f % 4 for f in range(8) for _ in "tb"]
    assert [i for i, picture in enumerate(pictures) if picture.starts] == [0, 8]


def test_a_progressive_sequence_rules_out_fields(tmp_path: Path) -> None:
    for name, interlaced in (("a.mp4", False), ("b.mp4", True)):
        with av.open(str(clip(tmp_path / name, frames=2, interlaced=interlaced))) as container:
            headers = H264Headers(container.streams.video[0].codec_context.extradata)
        assert headers.frames_only is not interlaced
    assert not H264Headers(None).frames_only


@given(st.binary(max_size=200), st.booleans())
def test_damage_is_never_an_error(data: bytes, with_lengths: bool) -> None:
    record = b"\x01\x64\0\x0a\xff\xe1" if with_lengths else None
    H264Headers(record).read(data)
    H264Headers(data)


@given(st.binary(min_size=7, max_size=200))
def test_a_damaged_record_is_never_an_error(record: bytes) -> None:
    H264Headers(b"\x01" + record)


def test_a_parameter_set_may_be_longer_than_the_units_of_packets(tmp_path: Path) -> None:
    with av.open(str(clip(tmp_path / "a.mp4", frames=2))) as container:
        record = bytearray(container.streams.video[0].codec_context.extradata or b"")
    size = int.from_bytes(record[6:8], "big")
    long = bytes(record[8 : 8 + size]) + bytes(300)
    # Lengths of one byte in packets, as small pictures have them; those of the record have two.
    record[4] = 0xFC
    changed = bytes(record[:6]) + len(long).to_bytes(2, "big") + long + bytes(record[8 + size :])
    assert H264Headers(changed).frames_only


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda unit: 0 not in unit)))
def test_units_are_found_in_both_forms(units: list[bytes]) -> None:
    annex_b = b"".join(b"\0\0\1" + unit for unit in units)
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert list(nal_units(annex_b, 0)) == units
    assert list(nal_units(lengths, 4)) == units


@given(st.lists(st.integers(0, 5000), min_size=1))
def test_exp_golomb_codes_are_read_back(values: list[int]) -> None:
    codes = "".join("0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}" for value in values)
    padded = codes + "0" * (-len(codes) % 8)
    payload = int(padded, 2).to_bytes(len(padded) // 8, "big")
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    bits = BitReader(bytes(escaped))
    assert [bits.golomb() for _ in values] == values

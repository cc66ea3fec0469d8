"""What Matroska says of a film: the shape of its pixels, with checksums that are right."""

from __future__ import annotations

import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from restore_batch.stages.video.format import VideoWish
from restore_batch.stages.video.headers.matroska import DISPLAY_ROOM, set_display

from support.clips import clip
from support.ffprobe import probe
from support.film_parts import in_parts


def test_square_pixels_and_others_are_said_by_matroska_itself(tmp_path: Path) -> None:
    for aspect in (Fraction(1), Fraction(128, 117), Fraction(3, 4)):
        original = clip(tmp_path / f"{aspect.numerator}.mp4", frames=3, sample_aspect=aspect)
        for codec in ("h264", "ffv1", "av1"):
            there = in_parts(original, tmp_path / codec, 1, VideoWish(codec, "mkv"))  # type: ignore[arg-type]
            result = tmp_path / f"{codec}.mkv"
            there.joined(result)
            (stream,) = probe(result)["streams"]
            assert Fraction(stream["sample_aspect_ratio"].replace(":", "/")) == aspect
            assert "title" not in stream["tags"]


def test_a_title_of_the_picture_survives_beside_its_display_size(tmp_path: Path) -> None:
    original = clip(tmp_path / "a.mkv", frames=3)
    with av.open(str(original)) as old, av.open(str(tmp_path / "b.mkv"), "w") as new:
        target = new.add_stream_from_template(old.streams.video[0], opaque=True)
        target.metadata["title"] = "Reel 1 ü"
        for packet in old.demux():
            if packet.dts is not None:
                packet.stream = target
                new.mux(packet)
    in_parts(tmp_path / "b.mkv", tmp_path / "parts").joined(tmp_path / "result.mkv")
    (stream,) = probe(tmp_path / "result.mkv")["streams"]
    assert stream["tags"]["title"] == "Reel 1 ü"
    with pytest.raises(ValueError, match="no single track has room"):
        set_display(tmp_path / "result.mkv", Fraction(1))
    with pytest.raises(ValueError, match="no single track has room"):
        set_display(original, Fraction(1))
    assert DISPLAY_ROOM.strip() == ""


def test_the_checksum_of_a_corrected_track_list_is_right(tmp_path: Path) -> None:
    """FFmpeg writes checksums and does not read them; the others show how they are counted."""
    in_parts(clip(tmp_path / "a.mkv", frames=3), tmp_path / "parts").joined(tmp_path / "b.mkv")
    data = (tmp_path / "b.mkv").read_bytes()
    checked = []
    for name, identifier in (("info", "1549a966"), ("tracks", "1654ae6b")):
        at = data.rindex(bytes.fromhex(identifier), 0, data.index(bytes.fromhex("1f43b675")))
        size, at = _vint(data, at + 4)
        crc, content = data[at : at + 6], data[at + 6 : at + size]
        assert crc[:2] == b"\xbf\x84"
        assert int.from_bytes(crc[2:], "little") == zlib.crc32(content)
        checked.append(name)
    assert checked == ["info", "tracks"]


def _vint(data: bytes, at: int) -> tuple[int, int]:
    """The size that stands at ``at``, and where it ends."""
    wide = 9 - data[at].bit_length()
    return int.from_bytes(data[at : at + wide], "big") - (1 << 7 * wide), at + wide

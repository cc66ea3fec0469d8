"""A file under the name of a photo that is none: one line says what it is and what to do."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from restore_batch.stages.photo.read import probe
from restore_batch.stages.video.probe import VIDEO_SUFFIXES

from support.photo_files import file, refused

# Muxer, codec, the suffix that is advised.
FILMS = [
    ("mp4", "mpeg4", ".mp4"),
    ("mov", "mpeg4", ".mov"),
    ("matroska", "mpeg4", ".mkv"),
    ("webm", "libvpx", ".mkv"),
    ("avi", "mpeg4", ".avi"),
    ("mpegts", "mpeg2video", ".ts"),
    ("mpeg", "mpeg2video", ".mpg"),
    ("mpeg2video", "mpeg2video", ".mpg"),
    ("asf", "wmv2", ".wmv"),
    ("flv", "flv1", ".flv"),
    ("ogg", "libvpx", ".ogv"),
    ("mxf", "mpeg2video", ".mxf"),
    ("yuv4mpegpipe", "wrapped_avframe", ".y4m"),
]


def film(path: Path, muxer: str, codec: str) -> None:
    options = {"mpegts_m2ts_mode": "0"} if muxer == "mpegts" else {}
    with av.open(str(path), "w", format=muxer, options=options) as output:
        stream = output.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 176, 144, "yuv420p"
        for number in range(12):
            pixels = np.full((144, 176, 3), number * 9, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        output.mux(stream.encode(None))


@pytest.mark.parametrize(("muxer", "codec", "suffix"), FILMS, ids=[film[0] for film in FILMS])
def test_a_film_under_the_name_of_a_photo_is_called_a_film(
    muxer: str, codec: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / "shot.jpg"
    film(path, muxer, codec)
    refused(str(path), rf"not a picture but a film .*; rename it to shot{suffix} to have it")
    assert suffix in VIDEO_SUFFIXES


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x76\x2f\x31\x01" + bytes(90), "OpenEXR, light of high dynamic range"),
        (b"#?RADIANCE\n", "Radiance, light of high dynamic range"),
        (b"II\xbc\x01" + bytes(90), "JPEG XR"),
        (b"%PDF-1.4\n", "PDF"),
        (b"PK\x03\x04" + bytes(90), "a ZIP archive"),
        (b"\x00\x00\x01\x00\x01\x00" + bytes(90), "an icon"),
    ],
)
def test_another_file_is_called_by_its_name(data: bytes, what: str, tmp_path: Path) -> None:
    refused(file(tmp_path, "a.png", data), f"not a picture but {what}; convert it")


def test_what_nothing_here_knows_is_unknown_data(tmp_path: Path) -> None:
    refused(file(tmp_path, "a.png", b"\x01\x00" * 99), "the content is unknown data")


def test_a_photo_is_still_a_photo(tmp_path: Path) -> None:
    pnm = file(tmp_path, "G.pgm", b"P5 188 20 255\n" + b"G" * 188 * 20)
    assert probe(pnm).container == "pnm"

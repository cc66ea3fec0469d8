"""AVIF: clean apertures, and what the properties of its primary image say."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from restore_batch.stages.photo.formats import iso_media
from restore_batch.stages.photo.raster import upright
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import write

from support import data
from support.photo_files import file, photo


def box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), name) + payload


def clap(width: int, height: int, right: tuple[int, int], below: tuple[int, int]) -> bytes:
    return struct.pack(">IIIIiIiI", width, 1, height, 1, *right, *below)


def with_aperture(avif: bytes, payload: bytes) -> bytes:
    """One more property of the only image: behind the others, and said to be essential."""
    at = avif.index(b"ipco") - 4
    size = int.from_bytes(avif[at : at + 4], "big")
    added = box(b"clap", payload)
    ipma_at = at + size
    ipma = bytearray(avif[ipma_at : ipma_at + int.from_bytes(avif[ipma_at : ipma_at + 4], "big")])
    assert ipma[4:8] == b"ipma"
    count_at = 8 + 8 + 2
    known = len(list(iso_media._boxes(avif[at + 8 : at + size])))
    ipma[count_at] += 1
    ipma.insert(count_at + ipma[count_at], 0x80 | (known + 1))
    ipma[:4] = len(ipma).to_bytes(4, "big")
    more = len(added) + 1
    out = bytearray(
        avif[:at] + (size + len(added)).to_bytes(4, "big") + avif[at + 4 : at + size] + added
        + ipma + avif[ipma_at + len(ipma) - 1 :]
    )  # fmt: skip
    for name in (b"meta", b"iprp"):
        place = out.index(name) - 4
        out[place : place + 4] = (int.from_bytes(out[place : place + 4], "big") + more).to_bytes(
            4, "big"
        )
    # The place of the pixels, the only extent of the only item.
    place = out.index(b"iloc") + 4 + 4 + 2 + 2 + 2 + 2 + 2
    before = int.from_bytes(out[place : place + 4], "big")
    out[place : place + 4] = (before + more).to_bytes(4, "big")
    return bytes(out)


def avif(samples: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "AVIF", quality=100, subsampling="4:4:4", **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("right", "below", "rows", "columns"),
    [
        ((0, 1), (0, 1), slice(10, 30), slice(15, 45)),
        ((-15, 1), (10, 1), slice(20, 40), slice(0, 30)),
        ((3, 2), (-1, 2), slice(10, 30), slice(16, 46)),
    ],
)
def test_a_clean_aperture_is_all_that_is_seen(
    right: tuple[int, int],
    below: tuple[int, int],
    rows: slice,
    columns: slice,
    tmp_path: Path,
) -> None:
    whole = file(tmp_path, "a.avif", avif(photo()))
    expected = read(whole, 1)[0].rgb_hwc[rows, columns]
    source = file(tmp_path, "b.avif", with_aperture(avif(photo()), clap(30, 20, right, below)))
    found = probe(source)
    assert (found.width, found.height) == (30, 20)
    frame, meta, _ = read(source, 1)
    assert np.array_equal(frame.rgb_hwc, expected)
    write(frame, meta, tmp_path / "c.avif")
    assert read(str(tmp_path / "c.avif"), 1)[0].rgb_hwc.shape == (20, 30, 3)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        clap(30, 20, (0, 0), (0, 1)),
        clap(61, 20, (0, 1), (0, 1)),
        clap(30, 20, (40, 1), (0, 1)),
        clap(0, 20, (0, 1), (0, 1)),
    ],
)
def test_an_impossible_aperture_hides_nothing(payload: bytes) -> None:
    assert iso_media.aperture(payload, 60, 40) is None


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_file_that_is_cut_off_says_nothing_wrong(cut: int) -> None:
    found = iso_media.item_properties(avif(photo())[:cut])
    assert found.get(b"nclx", b"") in {b"", struct.pack(">HHHB", 1, 13, 6, 128)}


def test_the_aperture_of_a_field_picture_is_kept() -> None:
    source = str(data.field() / "avif_clap.avif")
    assert (probe(source).width, probe(source).height) == (64, 48)
    assert read(source, 1)[0].rgb_hwc.shape == (48, 64, 3)


@given(st.binary(max_size=400))
def test_any_bytes_can_be_asked_for_properties(body: bytes) -> None:
    for name in (b"meta", b"iprp", b"ipco", b"ipma"):
        found = iso_media.item_properties(box(b"ftyp", b"avif") + box(name, bytes(4) + body))
        assert all(isinstance(payload, bytes) for payload in found.values())


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_the_aperture_is_of_the_picture_before_it_is_turned(
    orientation: int, tmp_path: Path
) -> None:
    said = Image.Exif()
    said[0x112] = orientation
    turned = avif(photo(), exif=said.tobytes())
    stored = read(file(tmp_path, "a.avif", avif(photo())), 1)[0].rgb_hwc
    source = file(tmp_path, "b.avif", with_aperture(turned, clap(30, 20, (-15, 1), (10, 1))))
    expected = upright(stored[20:40, :30], orientation)
    assert np.array_equal(read(source, 1)[0].rgb_hwc, expected)
    assert (probe(source).height, probe(source).width) == expected.shape[:2]


def test_of_an_animation_the_first_frame_is_restored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    first, *others = (
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)) for _ in range(3)
    )
    path = tmp_path / "a.avif"
    first.save(path, save_all=True, append_images=others, duration=100)
    # In a process of its own: a decoder that writes past its memory ends it, now or later.
    look = (
        "import sys; from restore_batch.stages.photo.read import read\n"
        "for _ in range(20): frame, _, said = read(sys.argv[1], 250)\n"
        "print(frame.rgb_hwc.shape, said)"
    )
    strict = {**os.environ, "MALLOC_CHECK_": "3", "MALLOC_PERTURB_": "165"}
    done = subprocess.run(
        [sys.executable, "-c", look, str(path)],
        capture_output=True,
        text=True,
        env=strict,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "(48, 64, 3)" in done.stdout
    assert "only the first of its 3 frames" in done.stdout
    assert np.array_equal(read(str(path), 250)[0].rgb_hwc, np.asarray(Image.open(path)))

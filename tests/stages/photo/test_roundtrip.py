"""What goes in comes out, bit for bit where nothing changed; OpenCV and tifffile bear witness."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write

COMMON = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def frames(draw: st.DrawFn, *, deep: bool = True) -> Frame:
    """Frames of any depth, grey or colour, with or without alpha, from 1x1 and 1xN on."""
    height, width = draw(st.sampled_from([(1, 1), (1, 37), (41, 1), (2, 3), (19, 23), (64, 50)]))
    dtype: type[np.unsignedinteger] = np.uint16 if deep and draw(st.booleans()) else np.uint8
    grey, alpha = draw(st.booleans()), draw(st.booleans())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = int(np.iinfo(dtype).max) + 1
    rgb = rng.integers(0, top, (height, width, 3)).astype(dtype)
    if grey:
        rgb = rgb[..., :1].repeat(3, axis=2)
    cover = rng.integers(0, top, (height, width)).astype(dtype) if alpha else None
    return Frame(rgb, cover, grey)


def _bits(frame: Frame) -> int:
    return frame.rgb_hwc.dtype.itemsize * 8


def _assert_same(found: Frame, frame: Frame) -> None:
    assert found.rgb_hwc.dtype == frame.rgb_hwc.dtype
    assert np.array_equal(found.rgb_hwc, frame.rgb_hwc)
    assert (found.alpha_hw is None) == (frame.alpha_hw is None)
    if found.alpha_hw is not None and frame.alpha_hw is not None:
        assert found.alpha_hw.dtype == frame.alpha_hw.dtype
        assert np.array_equal(found.alpha_hw, frame.alpha_hw)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@COMMON
@given(frame=frames())
def test_a_lossless_round_trip_is_bit_exact(frame: Frame, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("a" + suffix)
    assert write(frame, PhotoMeta("png", bits=_bits(frame)), path) == ()
    found, meta, warnings = read(str(path), 1)
    assert warnings == ()
    assert meta.bits == _bits(frame)
    assert found.grey == frame.grey
    _assert_same(found, frame)


@COMMON
@given(frame=frames(deep=False))
def test_a_lossless_webp_round_trip_is_bit_exact(frame: Frame, tmp_path: Path) -> None:
    meta = PhotoMeta("webp", quality_hint={"lossless": True})
    write(frame, meta, tmp_path / "a.webp")
    _assert_same(read(str(tmp_path / "a.webp"), 1)[0], frame)


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@COMMON
@given(frame=frames())
def test_every_tiff_compression_is_read_alike_by_tifffile(
    frame: Frame, compression: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    hint = {"tiff_compression": compression}
    write(frame, PhotoMeta("tiff", bits=_bits(frame), quality_hint=hint), path)
    found = np.atleast_3d(tifffile.imread(path).reshape(frame.height, frame.width, -1))
    colours = 1 if frame.grey else 3
    assert np.array_equal(found[..., :colours], frame.rgb_hwc[..., :colours])
    if frame.alpha_hw is not None:
        assert np.array_equal(found[..., -1], frame.alpha_hw)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opencv_reads_what_was_written(suffix: str, dtype: type, tmp_path: Path) -> None:
    top = int(np.iinfo(dtype).max) + 1
    rgb: np.ndarray = np.random.default_rng(0).integers(0, top, (7, 5, 3)).astype(dtype)
    path = tmp_path / ("a" + suffix)
    write(Frame(rgb), PhotoMeta("png", bits=8 * rgb.dtype.itemsize), path)
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    assert np.array_equal(found[..., ::-1], rgb)


@pytest.mark.slow
def test_a_100_megapixel_tiff_takes_less_than_two_copies_of_memory(tmp_path: Path) -> None:
    """Peak memory of a fresh process, in copies of the 303 MB picture beyond its imports."""
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (8700 // 100, 11600, 3), dtype=np.uint8)
    picture = np.tile(tile, (100, 1, 1))
    source = tmp_path / "large.tif"
    tifffile.imwrite(source, picture, photometric="rgb", compression="zlib", rowsperstrip=64)
    script = """
import resource, sys
from pathlib import Path
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before = peak()
frame, meta, _ = read(sys.argv[1], 200)
write(frame, meta, Path(sys.argv[2]))
print((peak() - before) / frame.nbytes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(source), str(tmp_path / "out.tif")],
        capture_output=True,
        check=True,
        text=True,
    )
    assert float(done.stdout) < 2
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), picture)

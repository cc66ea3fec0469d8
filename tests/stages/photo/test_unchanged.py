"""A picture that no network changed keeps its values, whatever colours its profile has."""

from __future__ import annotations

import pickle
import struct
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from restore_batch.jobs.units import Photo
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.media import Chunk, Frame, PhotoMeta
from restore_batch.stages.photo import colour, icc
from restore_batch.stages.photo.decode import Decode
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.raster import upright
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write

from support import data
from support.pixels import chunk_with_faces, face_at, smooth_picture

D65, D50 = (0.3127, 0.3290), (0.3457, 0.3585)
PROPHOTO = icc.rgb_profile((*D50, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), icc.power(1.8))
P3 = icc.rgb_profile((*D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060), icc.SRGB_CURVE)
ADOBE = bytes(imagecodecs.cms_profile("adobergb"))
NARROW = icc.rgb_profile((*D65, 0.50, 0.34, 0.30, 0.50, 0.20, 0.15), icc.power(2.0))
LINEAR = icc.rgb_profile((*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06), icc.power(1.0))
RGB = [ADOBE, P3, PROPHOTO, NARROW, LINEAR]
GREY = [icc.grey_profile(icc.power(gamma)) for gamma in (1.0, 1.8, 2.2)]


def noise(seed: int, height: int, width: int, channels: int, dtype: type) -> np.ndarray:
    top = int(np.iinfo(dtype).max)
    values = np.random.default_rng(seed).integers(0, top, (height, width, channels), endpoint=True)
    return values.astype(dtype)


def stored_as(path: Path, samples: np.ndarray, profile: bytes, orientation: int = 1) -> str:
    channels = samples.shape[2]
    tifffile.imwrite(
        path,
        samples[..., 0] if channels == 1 else samples,
        photometric="minisblack" if channels < 3 else "rgb",
        planarconfig="contig",
        iccprofile=profile,
        metadata=None,
        extrasamples=["unassalpha"] if channels in {2, 4} else None,
        extratags=[(tiff_tags.ORIENTATION, "H", 1, orientation, True)],
    )
    return str(path)


def stored_in(path: Path) -> np.ndarray:
    pixels = np.asarray(imagecodecs.imread(str(path)))
    return pixels if pixels.ndim == 3 else pixels[..., None]


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    kind=st.sampled_from(
        [(3, icc) for icc in RGB] + [(4, icc) for icc in RGB] + [(1, icc) for icc in GREY]
    ),
    orientation=st.integers(1, 8),
    suffix=st.sampled_from([".tif", ".png", ".jp2"]),
)
def test_a_picture_that_nothing_changed_comes_out_to_the_bit(
    seed: int,
    height: int,
    width: int,
    dtype: type,
    kind: tuple[int, bytes],
    orientation: int,
    suffix: str,
) -> None:
    channels, profile = kind
    samples = noise(seed, height, width, channels, dtype)
    if suffix == ".jp2":
        samples = samples[..., :3]
        suffix = ".png" if min(height, width) < 8 else suffix
    with TemporaryDirectory() as folder:
        source = stored_as(Path(folder) / "a.tif", samples, profile, orientation)
        chunk = Chunk(Photo(id="u", source=source, output="b", staging_dir=folder))
        (read_chunk,) = Decode(1)([chunk])
        assert isinstance(read_chunk, Chunk), read_chunk
        # It may travel between workers.
        chunk = pickle.loads(pickle.dumps(read_chunk, protocol=5))
        (enlarged,) = Upscale(None, 1)([chunk])
        (pasted,) = Paste(1)([enlarged])
        output = Path(folder) / ("b" + suffix)
        warnings = write(pasted.pasted[0], pasted.meta, output)
        assert (*chunk.warnings, *warnings) == ()
        expected = upright(samples, orientation)
        if suffix == ".jp2":
            coded = output.read_bytes()  # without its boxes: the decoder would apply the profile
            raw = np.asarray(imagecodecs.jpeg2k_decode(coded[coded.index(b"\xff\x4f\xff\x51") :]))
            raw = raw if raw.ndim == 3 else raw[..., None]
        else:
            raw = stored_in(output)
        assert raw.dtype == dtype
        assert np.array_equal(raw, expected)
        assert read(str(output), 1)[1].icc == profile


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    kind=st.sampled_from([(3, icc) for icc in RGB] + [(1, icc) for icc in GREY]),
    share=st.floats(0, 1),
)
def test_only_changed_pixels_are_converted(
    seed: int, dtype: type, kind: tuple[int, bytes], share: float
) -> None:
    channels, profile = kind
    samples = noise(seed, 12, 17, channels, dtype)
    managed = colour.to_srgb(samples, "grey" if channels == 1 else "rgb", profile)
    touched = np.random.default_rng(seed).random((12, 17)) < share
    finished = managed.rgb_hwc.copy()
    finished[touched] = np.where(finished[touched] > 32768, 20_000, 40_000)
    out = colour.restored_to_profile(finished, samples, profile)
    unchanged = ~touched
    assert np.array_equal(colour.full_depth(out)[unchanged], colour.full_depth(samples)[unchanged])
    assert not touched.any() or (colour.full_depth(out) != colour.full_depth(samples)).any()


@pytest.mark.parametrize("profile", [P3, ADOBE, PROPHOTO, GREY[1]])
def test_a_changed_colour_that_srgb_has_arrives_as_it_was_made(profile: bytes) -> None:
    """From muted colours to muted colours, nothing of the source's sticks to the result."""
    channels = 1 if profile in GREY else 3
    srgb = (smooth_picture(20, 30) // 3 + 80).astype(np.uint16) * 257
    if channels == 1:
        srgb[...] = srgb[..., :1]
    stored = colour.from_srgb(srgb, profile)
    before = colour.to_srgb(stored, "grey" if channels == 1 else "rgb", profile).rgb_hwc
    finished = before[::-1, ::-1].copy()
    out = colour.restored_to_profile(finished, stored, profile)
    again = colour.to_srgb(out, "grey" if channels == 1 else "rgb", profile).rgb_hwc
    assert np.abs(again.astype(int) - finished).max() < 257


def test_a_change_that_fades_out_leaves_no_edge() -> None:
    """A colour far outside sRGB, changed a little more from column to column."""
    stored = np.full((4, 200, 3), (0, 62_000, 0), np.uint16)
    before = colour.to_srgb(stored, "rgb", PROPHOTO).rgb_hwc
    fade = np.linspace(-600, 6000, 200).clip(0).astype(np.uint16)[:, None]
    out = colour.restored_to_profile(before - np.minimum(fade, before), stored, PROPHOTO)
    assert np.array_equal(out[:, :15], stored[:, :15])
    assert np.abs(np.diff(out.astype(int), axis=1)).max() < 257
    assert (out[:, -1] != stored[:, -1]).any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("profile", [ADOBE, P3, PROPHOTO])
def test_everything_outside_pasted_faces_keeps_its_values(
    profile: bytes, dtype: type, tmp_path: Path
) -> None:
    samples = noise(3, 300, 300, 3, dtype)
    frame, meta, _ = read(stored_as(tmp_path / "a.tif", samples, profile), 1)
    chunk = chunk_with_faces(frame, [face_at(100, 100, 100, 20)])
    (large,) = Upscale(None, 1)([replace(chunk, restored=(255 - chunk.crops[0],))])
    (done,) = Paste(1)([large])
    write(done.pasted[0], meta, tmp_path / "b.tif")
    changed = (stored_in(tmp_path / "b.tif") != samples).any(axis=2)
    pasted = (done.pasted[0].rgb_hwc != frame.rgb_hwc).any(axis=2)
    assert pasted.any()
    assert not (changed & ~pasted).any()
    assert changed[95:105, 95:105].mean() > 0.9
    y, x = np.nonzero(changed)
    assert np.hypot(y - 100, x - 100).max() < 72


def scanner_profile() -> bytes:
    """A profile that goes from values to Lab only, by a table of the eight corners."""
    corners = np.array(
        [[0, 128, 128], [20, 150, 60], [60, 40, 200], [70, 90, 100],
         [40, 200, 190], [50, 220, 40], [95, 110, 220], [100, 128, 128]]
    )  # fmt: skip
    lab = (corners * [652.8, 256, 256]).astype(">u2")
    ends = np.array([0, 65535] * 3, ">u2").tobytes()
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft2\0\0\0\0" + bytes([3, 3, 2, 0]) + identity + struct.pack(">HH", 2, 2)
    table += ends + lab.tobytes() + ends
    tags = {b"A2B0": table}
    made = bytearray(icc._profile(b"RGB ", tags))
    made[8:12], made[12:16], made[20:24] = bytes([2, 64, 0, 0]), b"scnr", b"Lab "
    return bytes(made)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_profile_that_can_only_be_read_stays_with_an_unchanged_picture(
    dtype: type, tmp_path: Path
) -> None:
    profile = scanner_profile()
    assert not colour.is_writable(profile)
    samples = noise(8, 20, 30, 3, dtype)
    frame, meta, warnings = read(stored_as(tmp_path / "a.tif", samples, profile), 1)
    assert warnings == ()
    assert frame.rgb_hwc.std() > 5000
    assert write(frame, meta, tmp_path / "b.tif") == ()
    assert np.array_equal(stored_in(tmp_path / "b.tif"), samples)
    assert read(str(tmp_path / "b.tif"), 1)[1].icc == profile

    changed = frame.rgb_hwc.copy()
    changed[3, 4] ^= 4096
    (warning,) = write(Frame(changed), meta, tmp_path / "c.tif")
    assert "read but not written" in warning
    again, other, _ = read(str(tmp_path / "c.tif"), 1)
    assert other.icc is not None
    assert colour.is_srgb(other.icc)
    expected = changed if dtype is np.uint16 else colour.to_8_bits(changed)
    assert np.array_equal(again.rgb_hwc, expected)


def test_a_flattened_or_enlarged_picture_takes_no_stored_value(tmp_path: Path) -> None:
    samples = noise(5, 20, 30, 4, np.uint8)
    frame, meta, _ = read(stored_as(tmp_path / "a.tif", samples, P3), 1)
    write(frame, meta, tmp_path / "b.jpg", quality=100)
    larger = Frame(np.repeat(frame.rgb_hwc, 2, axis=0), np.repeat(frame.alpha_hw, 2, axis=0))
    write(larger, meta, tmp_path / "b.tif")
    assert stored_in(tmp_path / "b.tif").shape == (40, 30, 4)
    flat = Frame(np.full_like(frame.rgb_hwc, 65535), np.zeros_like(frame.alpha_hw))
    write(flat, meta, tmp_path / "c.jpg")
    assert stored_in(tmp_path / "c.jpg").min() > 250


def test_fewer_bits_are_the_nearest_of_the_stored_values(tmp_path: Path) -> None:
    samples = noise(6, 20, 30, 3, np.uint16)
    frame, meta, _ = read(stored_as(tmp_path / "a.tif", samples, PROPHOTO), 1)
    write(frame, meta, tmp_path / "b.tif", bit_depth=8)
    assert np.array_equal(stored_in(tmp_path / "b.tif"), colour.to_8_bits(samples))


def test_two_equal_pictures_have_equal_metadata(tmp_path: Path) -> None:
    """The stored samples are no part of what metadata is compared by."""
    samples = noise(7, 8, 8, 3, np.uint8)
    source = stored_as(tmp_path / "a.tif", samples, P3)
    first, second = read(source, 1)[1], read(source, 1)[1]
    assert first.stored is not None
    assert first == second
    assert PhotoMeta("tiff").stored is None


@pytest.mark.parametrize("name", ["a98_8.png", "prophoto16.tif"])
def test_a_field_picture_comes_out_to_the_bit(name: str, tmp_path: Path) -> None:
    source = data.field() / name
    frame, meta, warnings = read(str(source), 1)
    assert warnings == ()
    assert write(frame, meta, tmp_path / name) == ()
    assert np.array_equal(stored_in(tmp_path / name), stored_in(source))

"""Colours: profiles applied, kept and undone; CMYK; broken profiles."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from restore_batch.stages.media import Frame
from restore_batch.stages.photo import colour
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write


def _rgb(height: int = 30, width: int = 50) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _profile(name: str) -> bytes:
    """A profile of every kind that archives have, made on the spot."""
    white = (0.3127, 0.3290, 1.0)
    if name == "adobergb":
        return bytes(imagecodecs.cms_profile("adobergb"))
    if name == "grey gamma 2.2":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=white, gamma=2.2))
    if name == "grey gamma 1.8":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=white, gamma=1.8))
    primaries = [0.68, 0.32, 1.0, 0.265, 0.69, 1.0, 0.15, 0.06, 1.0]
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=2.2))


def _muted(height: int = 60, width: int = 80) -> np.ndarray:
    """Every lightness, with colours that sRGB has too."""
    y, x = np.mgrid[0:height, 0:width]
    light = x * 255 / width
    tint = (y / height - 0.5) * 40 * np.minimum(light, 255 - light) / 128
    return np.stack([light + tint, light, light - tint], axis=-1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
@pytest.mark.parametrize("name", ["adobergb", "wide rgb"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profiled_picture_comes_back_in_its_own_profile(
    suffix: str, name: str, bits: int, tmp_path: Path
) -> None:
    icc = _profile(name)
    stored = _muted() if bits == 8 else _muted().astype(np.uint16) * 257
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, stored, photometric="rgb", iccprofile=icc, metadata=None)
    frame, meta, warnings = read(str(source), 1)
    assert warnings == ()
    assert meta.icc == icc
    expected = np.asarray(
        ImageCms.profileToProfile(
            Image.fromarray(_muted()),
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    )
    assert np.abs(frame.rgb_hwc / 257 - expected).max() <= 1.5
    assert np.abs(frame.rgb_hwc / 257 - _muted()).max() > 4
    output = tmp_path / ("b" + suffix)
    assert write(frame, meta, output) == ()
    if suffix == ".jp2":
        # Without its boxes: the decoder would apply the profile.
        coded = output.read_bytes()
        raw = np.asarray(imagecodecs.jpeg2k_decode(coded[coded.index(b"\xff\x4f\xff\x51") :]))
    else:
        raw = np.asarray(imagecodecs.imread(str(output)))
    assert raw.dtype == stored.dtype
    difference = np.abs(raw.astype(int) - stored)
    assert difference.max() <= (0 if bits == 8 else 24)
    assert read(str(output), 1)[1].icc == icc


@pytest.mark.parametrize("name", ["grey gamma 2.2", "grey gamma 1.8"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_a_grey_profile_is_applied_kept_and_undone(name: str, suffix: str, tmp_path: Path) -> None:
    icc = _profile(name)
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(16, axis=0)
    source = tmp_path / "a.tif"
    tifffile.imwrite(source, ramp, photometric="minisblack", iccprofile=icc, metadata=None)
    frame, meta, warnings = read(str(source), 1)
    assert warnings == ()
    assert frame.grey
    assert (np.ptp(frame.rgb_hwc, axis=2) == 0).all()
    assert np.abs(frame.rgb_hwc[..., 0] / 257 - ramp).max() > 2
    output = tmp_path / ("b" + suffix)
    write(frame, meta, output, quality=100 if suffix == ".jpg" else None)
    raw = np.asarray(imagecodecs.imread(str(output)))
    assert raw.ndim == 2
    assert np.abs(raw.astype(int) - ramp).max() <= (1 if suffix == ".jpg" else 0)
    assert read(str(output), 1)[1].icc == icc


def test_an_srgb_profile_leaves_every_pixel_untouched(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    other = bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for icc in (colour.srgb_profile(), other):
        assert colour.is_srgb(icc)
        Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=icc)
        frame, meta, _ = read(str(tmp_path / "a.png"), 1)
        assert np.array_equal(frame.rgb_hwc, rgb)
        write(frame, meta, tmp_path / "b.png")
        assert read(str(tmp_path / "b.png"), 1)[1].icc == icc
    assert not colour.is_srgb(_profile("adobergb"))


@pytest.mark.parametrize(
    "icc",
    [
        b"not a profile at all",
        colour.srgb_profile()[:200],
        colour.srgb_profile()[:16] + b"CMYK" + colour.srgb_profile()[20:],
    ],
)
def test_a_broken_profile_costs_a_warning_and_is_not_kept(icc: bytes, tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "a.png", icc_profile=icc)
    frame, meta, warnings = read(str(tmp_path / "a.png"), 1)
    assert any("colour profile" in warning for warning in warnings)
    assert meta.icc is None
    assert np.array_equal(frame.rgb_hwc, _rgb())


def test_colours_that_move_to_the_edge_of_srgb_are_announced(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", icc_profile=_profile("wide rgb"))
    frame, meta, warnings = read(str(tmp_path / "a.png"), 1)
    assert warnings == ()
    assert write(frame, meta, tmp_path / "b.tif") == ()
    larger = Frame(np.repeat(frame.rgb_hwc, 2, axis=1))
    for picture, name in ((larger, "b.tif"), (frame, "b.bmp")):
        assert "outside sRGB" in write(picture, meta, tmp_path / name)[-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_cmyk_tiff_has_natural_colours_and_leaves_as_srgb(dtype: type, tmp_path: Path) -> None:
    top = np.iinfo(dtype).max
    inks: np.ndarray = np.array(
        [[[0, 0, 0, 0], [top, 0, 0, 0], [0, top, top, 0], [0, 0, 0, top]]], dtype
    )
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated", metadata=None)
    frame, meta, _ = read(str(tmp_path / "a.tif"), 1)
    white, cyan, red, black = np.array([[1, 1, 1], [0, 1, 1], [1, 0, 0], [0, 0, 0]]) * top
    assert np.array_equal(frame.rgb_hwc[0], [white, cyan, red, black])
    assert meta.icc is not None
    assert colour.is_srgb(meta.icc)
    write(frame, meta, tmp_path / "b.tif")
    assert read(str(tmp_path / "b.tif"), 1)[1].icc == meta.icc


def test_an_adobe_cmyk_jpeg_is_not_a_negative(tmp_path: Path) -> None:
    """Pillow writes CMYK as Adobe does, inverted; the reader must undo just that."""
    white = Image.new("CMYK", (16, 16), (0, 0, 0, 0))
    white.save(tmp_path / "a.jpg", quality=95)
    assert read(str(tmp_path / "a.jpg"), 1)[0].rgb_hwc.min() > 250

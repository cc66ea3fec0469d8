"""Colour between a photo's own profile and sRGB, which the networks work in.

A profiled 8-bit photo becomes 16-bit sRGB on its way in, so that the way back to its own profile
finds the same 8-bit values again. Colours outside sRGB move to its edge for the networks; what no
network changed takes its stored values again (:func:`restored_to_profile`).

Source: ICC.1:2022 (profile header, section 7.2); relative colorimetric intent by Little CMS.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import imagecodecs
import numpy as np
from PIL import ImageCms

from restore_batch.stages.photo import icc as icc_numbers
from restore_batch.stages.rows import blocks_of_rows, by_rows

Space = Literal["grey", "rgb", "cmyk", "lab"]

_ICC_SPACES: dict[bytes, Space] = {b"GRAY": "grey", b"RGB ": "rgb", b"CMYK": "cmyk", b"Lab ": "lab"}
_CHANNELS: dict[Space, int] = {"grey": 1, "rgb": 3, "cmyk": 4, "lab": 3}
_LCMS: dict[Space, str] = {"grey": "gray", "rgb": "rgb", "cmyk": "cmyk", "lab": "lab"}
_RELATIVE_COLORIMETRIC = 1
# Little CMS's shortcut through a lookup table is four times as fast and wrong by up to 5/255 in
# the shadows, where old photos have much of their detail.
_NO_OPTIMISATION = 0x0100


class ColourError(ValueError):
    """A profile is damaged or cannot be used in the direction asked for."""


def _fixed_profile(space: Literal["sRGB", "LAB"]) -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes())
    # Little CMS stamps the time of creation, and equal photos must give equal files.
    profile[24:36] = bytes.fromhex("07d000010001000000000000")
    return bytes(profile)


@functools.cache
def srgb_profile() -> bytes:
    """An sRGB profile (IEC 61966-2-1), the same bytes every time."""
    return _fixed_profile("sRGB")


@functools.cache
def _lab_profile() -> bytes:
    return _fixed_profile("LAB")


def space_of(icc: bytes) -> Space | None:
    """The colour space of a profile's device side, or None when it is none we know."""
    return _ICC_SPACES.get(icc[16:20]) if icc[36:40] == b"acsp" else None


def _transform(
    samples: np.ndarray, source: tuple[bytes, Space], target: tuple[bytes, Space]
) -> np.ndarray:
    """(H, W, C) uint8 or uint16 to (H, W, C') of the same dtype. Raises ColourError."""
    given = samples[..., 0] if source[1] == "grey" else samples
    try:
        result = imagecodecs.cms_transform(
            np.ascontiguousarray(given),
            source[0],
            target[0],
            colorspace=_LCMS[source[1]],
            outcolorspace=_LCMS[target[1]],
            intent=_RELATIVE_COLORIMETRIC,
            flags=_NO_OPTIMISATION,
        )
    except imagecodecs.CmsError as error:
        raise ColourError(str(error)) from error
    return np.asarray(result).reshape(*samples.shape[:2], _CHANNELS[target[1]])


def full_depth(samples: np.ndarray) -> np.ndarray:
    """uint8 to uint16 over the full range (255 becomes 65535); uint16 as it is."""
    return samples if samples.dtype == np.uint16 else samples * np.uint16(257)


def to_8_bits(samples: np.ndarray) -> np.ndarray:
    """uint16 to the nearest uint8 (65535 becomes 255); uint8 as it is."""
    if samples.dtype == np.uint8:
        return samples
    # The quotient of the sum by 257 without leaving 32 bits.
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _test_colours(space: Space) -> np.ndarray:
    if space == "grey":
        return np.arange(0, 65536, 257, dtype=np.uint16).reshape(1, -1, 1)
    steps = np.linspace(0, 65535, 18).astype(np.uint16)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(18, -1, 3)


@functools.lru_cache(maxsize=16)
def is_srgb(icc: bytes) -> bool:
    """Whether a grey or RGB profile moves no colour by more than 1/255 from sRGB.

    Raises ColourError for a profile that cannot be read.
    """
    space = space_of(icc)
    if space not in {"grey", "rgb"}:
        return False
    colours = _test_colours(space)
    moved = _transform(colours, (icc, space), (srgb_profile(), "rgb"))
    return bool(np.abs(moved.astype(np.int32) - colours).max() <= 257)


@functools.lru_cache(maxsize=16)
def is_writable(icc: bytes) -> bool:
    """Whether sRGB can be converted to the profile (a scanner's may only go one way)."""
    space = space_of(icc)
    if space not in {"grey", "rgb"}:
        return False
    try:
        _transform(_test_colours("rgb"), (srgb_profile(), "rgb"), (icc, space))
    except ColourError:
        return False
    return True


@functools.lru_cache(maxsize=16)
def has_srgb_tones(icc: bytes) -> bool:
    """Whether an RGB profile moves no grey by more than 1/255 from sRGB."""
    ramp = np.repeat(_test_colours("grey"), 3, axis=2)
    moved = _transform(ramp, (icc, "rgb"), (srgb_profile(), "rgb"))
    return bool(np.abs(moved.astype(np.int32) - ramp).max() <= 257)


@dataclass(frozen=True)
class Managed:
    """A picture in sRGB. ``icc``: the profile to write with it, None for no profile. ``stored``:
    the samples in that profile, where ``rgb_hwc`` was converted from them; ``outside_srgb``: the
    share of their pixels with colours that sRGB has not."""

    rgb_hwc: np.ndarray
    icc: bytes | None
    stored: np.ndarray | None = None
    outside_srgb: float = 0.0


def to_srgb(samples: np.ndarray, space: Space, icc: bytes | None) -> Managed:
    """(H, W, C) uint8 or uint16 samples of ``space`` to sRGB (H, W, 3).

    ``icc`` is None or a profile with no :func:`problem`. Unprofiled and sRGB pictures come back as
    they are; others as uint16.
    """
    if space == "lab":
        return Managed(_from_lab(samples), srgb_profile())
    if space == "cmyk":
        rgb = _naive_cmyk(samples) if icc is None else _convert(samples, icc, "cmyk")
        return Managed(rgb, srgb_profile())
    return _grey_or_rgb(samples, space, icc)


def _grey_or_rgb(samples: np.ndarray, space: Space, icc: bytes | None) -> Managed:
    if icc is None or is_srgb(icc):
        return Managed(_three_channels(samples), icc)
    if space == "grey" and space_of(icc) == "rgb":
        if has_srgb_tones(icc):
            return Managed(_three_channels(samples), icc)
        return Managed(_decoded(_three_channels(samples), icc, neutral=True), None)
    rgb = _decoded(samples, icc, neutral=space == "grey")
    share = _share_outside(samples, rgb, icc) if is_writable(icc) else 0.0
    return Managed(rgb, icc, samples, share)


def _decoded(samples: np.ndarray, icc: bytes, *, neutral: bool) -> np.ndarray:
    rgb = _convert(samples, icc, space_of(icc) or "rgb")
    if neutral:
        # Rounding leaves neutral colours off by one in 65535.
        rgb[...] = rgb[..., 1:2]
    return rgb


def from_srgb(rgb_hwc: np.ndarray, icc: bytes) -> np.ndarray:
    """uint16 sRGB (H, W, 3) to the samples of a writable profile, (H, W, 1 or 3) uint16."""
    space = space_of(icc)
    assert space is not None
    return _transform(rgb_hwc, (srgb_profile(), "rgb"), (icc, space))


def between(samples: np.ndarray, icc: bytes, other: bytes) -> np.ndarray:
    """(H, W, C) samples of one profile to those of another of the same kind, uint16."""
    space = space_of(icc)
    assert space is not None
    return (
        samples if other == icc else _transform(full_depth(samples), (icc, space), (other, space))
    )


def is_unchanged(rgb_hwc: np.ndarray, stored: np.ndarray, icc: bytes) -> bool:
    """Whether finished uint16 sRGB (H, W, 3) is what its source, ``stored``, becomes in sRGB."""
    grey = stored.shape[2] == 1
    return all(
        np.array_equal(rgb_hwc[block], _decoded(stored[block], icc, neutral=grey))
        for block in blocks_of_rows(*rgb_hwc.shape[:2])
    )


def restored_to_profile(rgb_hwc: np.ndarray, stored: np.ndarray, icc: bytes) -> np.ndarray:
    """Finished uint16 sRGB (H, W, 3) to the profile in which its source was ``stored``.

    Pixels that are still what the source's samples become in sRGB are those samples again. Others
    are the samples plus the change: what sRGB could not hold stays, so that no edge shows where
    a change fades out. (H, W, 1 or 3), the dtype of ``stored`` or uint16.
    """
    before = _decoded(stored, icc, neutral=stored.shape[2] == 1)
    changed = (rgb_hwc != before).any(axis=2)
    if not changed.any():
        return stored
    samples = full_depth(stored).copy()
    after, was = (
        from_srgb(each[changed][None], icc)[0].astype(np.int32) for each in (rgb_hwc, before)
    )
    samples[changed] = np.clip(samples[changed] + (after - was), 0, 65535)
    return samples


def problem(icc: bytes, space: Space) -> str | None:
    """Why a profile cannot be used for a picture of ``space``, in words, or None."""
    found = space_of(icc)
    if found is None:
        return "its colour profile is damaged or of an unknown kind"
    # A grey photo with an RGB profile is wrong by the book but common, and has one meaning.
    if found != space and not (found == "rgb" and space == "grey"):
        return f"its colour profile is for {found}, the picture is {space}"
    try:
        if found == "cmyk":
            _transform(np.zeros((1, 1, 4), np.uint16), (icc, "cmyk"), (srgb_profile(), "rgb"))
        else:
            is_srgb(icc)
    except ColourError:
        return "its colour profile is damaged"
    return None


def _three_channels(samples: np.ndarray) -> np.ndarray:
    return samples if samples.shape[2] == 3 else np.repeat(samples, 3, axis=2)


def _convert(samples: np.ndarray, icc: bytes, space: Space) -> np.ndarray:
    height, width = samples.shape[:2]

    def step(rows: slice) -> np.ndarray:
        return _transform(full_depth(samples[rows]), (icc, space), (srgb_profile(), "rgb"))

    return by_rows(height, width, step, np.empty((height, width, 3), np.uint16))


def _naive_cmyk(samples: np.ndarray) -> np.ndarray:
    """Light left by four perfect inks: (1 - ink)(1 - black)."""
    height, width = samples.shape[:2]
    top = np.iinfo(samples.dtype).max

    def step(rows: slice) -> np.ndarray:
        left = top - samples[rows].astype(np.uint64)
        return ((left[..., :3] * left[..., 3:] + top // 2) // top).astype(samples.dtype)

    return by_rows(height, width, step, np.empty((height, width, 3), samples.dtype))


def _from_lab(samples: np.ndarray) -> np.ndarray:
    """16-bit ICC v4 encoding: L* over the full range, a* and b* plus 128 in steps of 1/257."""
    height, width = samples.shape[:2]

    def step(rows: slice) -> np.ndarray:
        lab = np.ascontiguousarray(samples[rows])
        return _transform(lab, (_lab_profile(), "lab"), (srgb_profile(), "rgb"))

    return by_rows(height, width, step, np.empty((height, width, 3), np.uint16))


def lab_under_d50(samples: np.ndarray, white_xyz: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint16 Lab in ICC's encoding of a picture under another white, to the Lab that its
    colours have when the eye is adapted to D50."""
    to_d50 = icc_numbers.adaptation(white_xyz).astype(np.float32)
    d50 = np.array(icc_numbers.D50, np.float32)

    def step(rows: slice) -> np.ndarray:
        lab = samples[rows].astype(np.float32)
        light, a, b = lab[..., 0] * (100 / 65535), lab[..., 1] / 257 - 128, lab[..., 2] / 257 - 128
        root = (light + 16) / 116
        roots = np.stack([root + a / 500, root, root - b / 200], axis=-1)
        xyz = np.where(roots > 6 / 29, roots**3, (roots - 4 / 29) * (3 * (6 / 29) ** 2))
        xyz = (xyz * white_xyz.astype(np.float32)) @ to_d50.T / d50
        cubic = np.cbrt(xyz)
        x, y, z = np.moveaxis(
            np.where(xyz > (6 / 29) ** 3, cubic, xyz / (3 * (6 / 29) ** 2) + 4 / 29), -1, 0
        )
        out = np.stack(
            [
                (116 * y - 16) * 655.35,
                (500 * (x - y) + 128) * 257,
                (200 * (y - z) + 128) * 257,
            ],
            axis=-1,
        )
        return np.clip(np.rint(out), 0, 65535).astype(np.uint16)

    return by_rows(samples.shape[0], samples.shape[1], step, np.empty_like(samples))


def _share_outside(samples: np.ndarray, rgb: np.ndarray, icc: bytes) -> float:
    """The share of pixels whose colours do not survive the way to sRGB and back."""
    skip = max(int((samples.shape[0] * samples.shape[1] / 65536) ** 0.5), 1)
    there = full_depth(samples[::skip, ::skip]).astype(np.int32)
    back = _transform(rgb[::skip, ::skip], (srgb_profile(), "rgb"), (icc, space_of(icc) or "rgb"))
    return float((np.abs(back - there).max(axis=2) > 4 * 257).mean())

"""High dynamic range to standard: PQ and HLG frames to BT.709 as a display of 100 cd/m² shows it.

Signal → light on the display (SMPTE ST 2084; ITU-R BT.2100, with HLG's system gamma 1.2 of a
display of 1000 cd/m²) → BT.709 primaries (ITU-R BT.2087) → tone curve → signal (inverse of
ITU-R BT.1886). Diffuse white is at 203 cd/m² (ITU-R BT.2408).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from restore_batch.stages.media import Frame
from restore_batch.stages.video.types import ColourTags

__all__ = ["TONE_CURVES", "tone_map"]

PEAK = 1000.0 / 203.0
"""Brightest light that keeps its detail, over diffuse white: what most films are mastered for."""

_PQ, _HLG = 16, 18
_BT709_PRIMARIES = 1
_SYSTEM_GAMMA = 1.2
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
# x and y of red, green and blue; both have the white of D65.
_BT2020_XY = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_BT709_XY = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_D65_XY = (0.3127, 0.3290)
_ROWS_AT_ONCE = 128


def _xyz_of_rgb(primaries_xy: tuple[tuple[float, float], ...]) -> np.ndarray:
    """(3, 3) float64: linear RGB to CIE XYZ, white to the luminance 1 (SMPTE RP 177)."""
    columns = np.array([(x / y, 1.0, (1.0 - x - y) / y) for x, y in primaries_xy]).T
    x, y = _D65_XY
    return columns * np.linalg.solve(columns, np.array([x / y, 1.0, (1.0 - x - y) / y]))


_BT2020_TO_BT709 = np.linalg.solve(_xyz_of_rgb(_BT709_XY), _xyz_of_rgb(_BT2020_XY)).astype("f4")


def _hable(x: np.ndarray) -> np.ndarray:
    """Filmic curve of J. Hable (GDC 2010, "Uncharted 2: HDR Lighting")."""

    def curve(light: np.ndarray | float) -> np.ndarray | float:
        a, b, c, d, e, f = 0.15, 0.50, 0.10, 0.20, 0.02, 0.30
        return (light * (a * light + c * b) + d * e) / (light * (a * light + b) + d * f) - e / f

    return np.asarray(curve(x) / curve(PEAK))


def _mobius(x: np.ndarray) -> np.ndarray:
    """Straight up to 0.3, then a hyperbola with no kink that reaches 1 at the peak."""
    knee = 0.3
    a = -(knee**2) * (PEAK - 1) / (knee**2 - 2 * knee + PEAK)
    b = (knee**2 - 2 * knee * PEAK + PEAK) / (PEAK - 1)
    bend = (b**2 + 2 * b * knee + knee**2) / (b - a) * (x + a) / (x + b)
    return np.where(x <= knee, x, bend)


def _reinhard(x: np.ndarray) -> np.ndarray:
    """Extended curve of Reinhard et al. 2002, equation 4."""
    return np.asarray(x * (1 + x / PEAK**2) / (1 + x))


_CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hable": _hable,
    "mobius": _mobius,
    "reinhard": _reinhard,
}
TONE_CURVES = tuple(_CURVES)


def tone_map(frame: Frame, colour: ColourTags, curve: str) -> Frame:
    """A PQ or HLG frame as BT.709 of the same dtype; ``colour``: what the frame is now.

    The largest of R, G and B goes through the curve and the others follow in proportion, so that
    hues stay. Primaries count as BT.2020 unless ``colour`` says BT.709. Raises ValueError for an
    unknown curve or a transfer that is neither PQ nor HLG.
    """
    if curve not in _CURVES:
        raise ValueError(f"tone curve {curve!r}: expected one of {', '.join(TONE_CURVES)}")
    light_of = _light_of_signal(colour.transfer, 8 * frame.rgb_hwc.itemsize)
    rgb_hwc = np.empty_like(frame.rgb_hwc)
    most = float(np.iinfo(rgb_hwc.dtype).max)
    for top in range(0, frame.height, _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        light = light_of[frame.rgb_hwc[rows]]
        if colour.transfer == _HLG:
            light *= np.power(light @ _BT2020_LUMA, _SYSTEM_GAMMA - 1.0)[..., None] * PEAK
        if colour.primaries != _BT709_PRIMARIES:
            light = np.asarray(cv2.transform(light, _BT2020_TO_BT709))
        # Colours outside of BT.709 have negative parts: there is no light less than none.
        light = np.maximum(light, 0.0)
        brightest = np.clip(light.max(axis=2), 1e-6, PEAK)
        light *= (_CURVES[curve](brightest) / np.maximum(light.max(axis=2), 1e-6))[..., None]
        signal = np.power(np.clip(light, 0.0, 1.0), np.float32(1 / 2.4))
        rgb_hwc[rows] = np.rint(signal * most)
    return replace(frame, rgb_hwc=rgb_hwc)


def _light_of_signal(transfer: int, bits: int) -> np.ndarray:
    """Float32 table over the values of ``bits`` bits.

    PQ: light of the display over diffuse white. HLG: light of the scene, 1 for the peak.
    """
    signal = np.linspace(0.0, 1.0, 2**bits)
    if transfer == _PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        root = signal ** (1 / m2)
        light = (np.maximum(root - c1, 0.0) / (c2 - c3 * root)) ** (1 / m1) * 10000.0 / 203.0
    elif transfer == _HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        raise ValueError(f"transfer {transfer} is neither PQ (16) nor HLG (18)")
    return light.astype(np.float32)

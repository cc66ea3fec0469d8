"""R'G'B' to luma and colour difference and back, as numbers; and where the differences lie.

A matrix here is (3, 4) float64, to be applied to a column (a, b, c, 1); the equations are those
of ITU-T H.273. Sample values are those of 16-bit samples that hold the source's bits at the top:
an 8-bit 235 is 235 * 256.

Chroma goes from every pixel to the few samples of 4:2:0 and its kin. Those of a row lie on its
first, third, fifth … pixel, and midway between two rows: what H.264, HEVC, MPEG-2 and AV1 mean
where nothing is said (chroma sample type 0 of H.273, figure 1), and what every player assumes.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from restore_batch.errors import MediaError

UNSPECIFIED = 2
_IDENTITY, _YCGCO = 0, 8
_BT601, _BT709 = 6, 1
_HD_LINES = 720
# MatrixCoefficients → (K_R, K_B), H.273 table 4.
_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    # Constant luminance needs linear light; its luma weights are those of 9, and so is what
    # FFmpeg and players make of it.
    10: (0.2627, 0.0593),
}
_NAMES = {11: "Y'D'ZD'X", 12: "chromaticity-derived", 13: "chromaticity-derived", 14: "ICtCp",
          15: "IPT-C2", 16: "YCgCo-Re", 17: "YCgCo-Ro"}  # fmt: skip


def stated_matrix(matrix: int, height: int) -> int:
    """``matrix``, or the usual one for a picture of ``height`` lines where it is not stated.

    Unspecified (2), reserved (3), or identity (0, which is none for Y'CbCr samples): BT.601
    below 720 lines, BT.709 from there on, as players do.
    """
    if matrix in (_IDENTITY, UNSPECIFIED, 3):
        return _BT601 if height < _HD_LINES else _BT709
    return matrix


def difference_matrix(matrix: int) -> np.ndarray:
    """(3, 3) float64: R'G'B' in [0, 1] to Y' in [0, 1] and two differences in [-0.5, 0.5].

    The differences are Cb and Cr (equations 38 to 40), or Cg and Co (47 to 49). Raises MediaError
    for code points that are no linear transform of R'G'B'.
    """
    if matrix == _YCGCO:
        return np.array([(0.25, 0.5, 0.25), (-0.25, 0.5, -0.25), (0.5, 0.0, -0.5)])
    if matrix not in _WEIGHTS:
        name = _NAMES.get(matrix, "reserved")
        raise MediaError(
            f"its colour matrix is {matrix} of H.273 ({name}), which is not supported; "
            "expected BT.601, BT.709, BT.2020 or the like; convert it first"
        )
    red, blue = _WEIGHTS[matrix]
    luma = np.array([red, 1.0 - red - blue, blue])
    cb = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 * (1.0 - blue))
    cr = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 * (1.0 - red))
    return np.stack([luma, cb, cr])


def to_samples(matrix: int, *, full: bool, bits: int) -> np.ndarray:
    """From R'G'B' in [0, 65535] to samples of ``bits`` bits at the top of 16."""
    spans, zeros = _quantisation(full=full, bits=bits)
    linear = spans[:, None] * difference_matrix(matrix) / 65535.0
    return np.concatenate([linear, zeros[:, None]], axis=1)


def from_samples(
    matrix: int, *, full: bool, bits: int, luma_peak: float | None = None
) -> np.ndarray:
    """From samples of ``bits`` bits at the top of 16 to R'G'B' in [0, 65535].

    ``luma_peak``: the 16-bit luma of white of full range, where a converter put it elsewhere
    than the bits say.
    """
    spans, zeros = _quantisation(full=full, bits=bits)
    if luma_peak is not None:
        spans[0] = luma_peak
    linear = 65535.0 * np.linalg.inv(difference_matrix(matrix)) / spans[None, :]
    return np.concatenate([linear, -(linear @ zeros)[:, None]], axis=1)


def _quantisation(*, full: bool, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Size of a unit and sample value of zero, each for luma and both differences.

    H.273 equations 20 to 25 (limited) and 29 to 31 (full), in 16ths of ``bits``.
    """
    peak = float((2**bits - 1) << (16 - bits))
    spans = (peak, peak, peak) if full else (219.0 * 256, 224.0 * 256, 224.0 * 256)
    zeros = (0.0 if full else 16.0 * 256, 128.0 * 256, 128.0 * 256)
    return np.array(spans), np.array(zeros)


# -- chroma ---
def reduce_chroma(plane_hw: np.ndarray, columns: int, rows: int) -> np.ndarray:
    """(H, W) uint16 to (⌈H/rows⌉, ⌈W/columns⌉) uint16; ``columns``, ``rows``: 1, 2 or 4.

    The kernel is the Catmull-Rom cubic stretched by the ratio (Keys 1981, a = -1/2): the lowpass
    that goes with bicubic enlargement. Beyond the border the last sample is repeated.
    """
    if columns > 1:
        kernel, anchor = _kernel(columns, centred=False)
        plane_hw = _filtered(plane_hw, kernel[None, :], (anchor, 0))[:, ::columns]
    if rows > 1:
        kernel, anchor = _kernel(rows, centred=True)
        plane_hw = _filtered(plane_hw, kernel[:, None], (0, anchor))[::rows]
    return np.ascontiguousarray(plane_hw)


def _filtered(plane_hw: np.ndarray, kernel: np.ndarray, anchor: tuple[int, int]) -> np.ndarray:
    filtered = cv2.filter2D(
        np.ascontiguousarray(plane_hw),
        cv2.CV_16U,
        kernel,
        anchor=anchor,
        borderType=cv2.BORDER_REPLICATE,
    )
    return np.asarray(filtered)


@cache
def _kernel(ratio: int, *, centred: bool) -> tuple[np.ndarray, int]:
    """Taps (float32, sum 1) and which of them lies on the first pixel of a group of ``ratio``."""
    centre = (ratio - 1) / 2 if centred else 0.0
    places = np.arange(-2 * ratio, 3 * ratio)
    taps = _catmull_rom(np.abs(places - centre) / ratio)
    inside = np.flatnonzero(taps)
    taps, places = taps[inside[0] : inside[-1] + 1], places[inside[0] : inside[-1] + 1]
    return (taps / taps.sum()).astype(np.float32), int(np.flatnonzero(places == 0)[0])


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    near = 1.5 * t**3 - 2.5 * t**2 + 1.0
    far = -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    return np.where(t < 1.0, near, np.where(t < 2.0, far, 0.0))

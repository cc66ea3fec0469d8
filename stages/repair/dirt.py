"""Dirt on film: what is in one frame and in neither of its neighbours, along the motion.

A speck, a hair or a dropout lies on one frame. There, the frame differs from both neighbours the
same way, while these agree with each other. Three things look like that and are none: edges that
the motion estimate misses by a pixel or two, things that move fast, and rain. So a pixel must lie
outside of all that the neighbours show *around* its place; what is found again elsewhere in both
neighbours is a thing; and many parallel streaks are rain. What comes again in frames farther away
is told in :mod:`.again`.

Sources: the spike detection index, Kokaram 1998, "Motion Picture Restoration", chapter 6; its form
by rank order, Nadenau and Mitra 1997, "Blotch and Scratch Detection in Image Sequences Based on
Rank Ordered Differences"; optical flow, Kroeger et al. 2016, "Fast Optical Flow using Dense Inverse
Search" (arXiv:1603.03590).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.repair.mask import grown, reaching

_FLOW_CELL_PX = 8
_AROUND_PX = 5
_LEAST_SPIKE = 14.0  # levels of 255
_OVER_NOISE = 5.0
_AGREE = 0.6  # of the spike: how far the neighbours may be from each other
_LARGEST_SHARE = 0.012
"""Of the frame: more is a flash, or motion that was not understood."""
_LEAST_AREA_PX = 3
NEAR_PX = 2
"""What is no farther away is in the same place."""
_WIDEST_SHARE, _WIDEST_LEAST_PX = 0.05, 18
_SEARCH_SHARE = 0.07
_FOUND_AGAIN = 0.75
_CERTAINLY_FOUND = 0.88
_STREAKS = 8
_SLENDER = 2.5
_PARALLEL_DEG = 15.0
_PARALLEL_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Three frames of one shot and size, rgb_hwc uint8 or uint16: the middle one is repaired."""

    before: np.ndarray
    frame: np.ndarray
    after: np.ndarray


@dataclass(frozen=True, eq=False)
class Spot:
    """A place that is other than in both neighbours. ``part``: its rows and columns; ``inside``:
    its pixels in there, (h, w) bool; ``luma``: their median, in [0, 255]; ``is_light``: whether it
    is lighter than in the neighbours; ``may_be_dirt``: that it is neither too small nor too large,
    is no rain, and is not found again in a neighbour."""

    part: tuple[slice, slice]
    inside: np.ndarray
    luma: float
    is_light: bool
    may_be_dirt: bool

    @cached_property
    def area(self) -> int:
        """In pixels."""
        return int(self.inside.sum())

    @cached_property
    def middle_xy(self) -> np.ndarray:
        """(2,) float64, in pixels of the frame."""
        rows, columns = self.part
        y, x = np.nonzero(self.inside)
        return np.array([x.mean() + columns.start, y.mean() + rows.start])


@dataclass(frozen=True, eq=False)
class Spots:
    """``mask``: all of a frame together, (H, W) bool; ``each``: one by one."""

    mask: np.ndarray
    each: tuple[Spot, ...]

    @cached_property
    def near(self) -> np.ndarray:
        """The mask with what is beside it, (H, W) bool: each of the frames around asks for it."""
        return grown(self.mask, NEAR_PX)


@dataclass(frozen=True, eq=False)
class Aligned:
    """A neighbour moved to where the middle frame has it, as bright as that: ``rgb_hwc`` and its
    luma, (H, W) float32 in [0, 255]. ``flow``: (H, W, 2), from the middle frame to it in pixels."""

    rgb_hwc: np.ndarray
    luma: np.ndarray
    flow: np.ndarray


def luma_of(rgb_hwc: np.ndarray) -> np.ndarray:
    """(H, W) uint8."""
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(to_uint8(rgb_hwc)), cv2.COLOR_RGB2GRAY))


def aligned(
    frame: np.ndarray, luma: np.ndarray, neighbour: np.ndarray, flow: np.ndarray | None = None
) -> Aligned:
    """A neighbour along the motion. ``luma``: of ``frame``, (H, W) uint8; ``flow``: to it, where
    that is known."""
    other = luma_of(neighbour)
    flow = motion(luma, other) if flow is None else flow
    moved, moved_luma = along(neighbour, flow), along(other, flow)
    # Old film flickers: what is slow over the frame is no dirt.
    sigma_px = max(luma.shape) / 16
    light = _slow(luma, sigma_px) - _slow(moved_luma, sigma_px)
    peak = float(np.iinfo(frame.dtype).max)
    bright = moved.astype(np.float32) + light[..., None] * (peak / 255)
    return Aligned(
        np.clip(np.rint(bright), 0, peak).astype(frame.dtype),
        moved_luma.astype(np.float32) + light,
        flow,
    )


def along(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """A picture, (H, W) or (H, W, C), with everything where the motion to it, (H, W, 2) in pixels,
    begins."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    where = (x + flow[..., 0], y + flow[..., 1])
    moved = cv2.remap(picture, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved)


def find_spots(frames: Neighbours, before: Aligned, after: Aligned, luma: np.ndarray) -> Spots:
    """What of the middle frame both its neighbours lack, and what of it may be dirt as far as these
    three frames tell. ``luma``: of the middle one, (H, W) uint8."""
    spikes = _spikes(luma.astype(np.float32), before.luma, after.luma)
    if spikes.mean() > _LARGEST_SHARE:
        return Spots(np.zeros_like(spikes), ())
    beside = luma - (before.luma + after.luma) / 2
    count, labels, stats, _ = cv2.connectedComponentsWithStats(spikes.astype(np.uint8))
    specks = [_speck(labels, stats, label) for label in range(1, count)]
    rain = _parallel(specks)
    widest = max(_WIDEST_SHARE * max(luma.shape), _WIDEST_LEAST_PX)
    others = [(luma_of(frames.before), before.flow), (luma_of(frames.after), after.flow)]
    spots = []
    for speck in specks:
        part = (
            slice(speck.top, speck.top + speck.height),
            slice(speck.left, speck.left + speck.width),
        )
        inside = labels[part] == speck.label
        may_be_dirt = (
            stats[speck.label, cv2.CC_STAT_AREA] >= _LEAST_AREA_PX
            and min(speck.width, speck.height) <= widest
            and speck.label not in rain
            and not _moves(luma, others, speck)
        )
        is_light = bool(beside[part][inside].mean() > 0)
        own = float(np.median(luma[part][inside]))
        spots.append(Spot(part, inside, own, is_light, may_be_dirt))
    return Spots(spikes, tuple(spots))


def _moves(
    luma: np.ndarray, others: Sequence[tuple[np.ndarray, np.ndarray]], speck: _Speck
) -> bool:
    """Whether it is found again elsewhere in the neighbours."""
    found = [_found_again(luma, other, flow, speck) for other, flow in others]
    return min(found) > _FOUND_AGAIN or max(found) > _CERTAINLY_FOUND


def motion(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Motion from one luma to the other, (H, W, 2) float32; smooth enough that a speck, which is
    in one of them only, does not bend it."""
    height, width = first.shape
    if min(height, width) < 32:
        return np.zeros((height, width, 2), np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    empty = np.zeros((height, width, 2), np.float32)
    flow = np.asarray(dis.calc(first, second, empty), np.float32)
    cells = (max(1, width // _FLOW_CELL_PX), max(1, height // _FLOW_CELL_PX))
    coarse = cv2.resize(flow, cells, interpolation=cv2.INTER_AREA)
    calm = np.stack([cv2.medianBlur(np.ascontiguousarray(coarse[..., i]), 5) for i in (0, 1)], 2)
    return np.asarray(cv2.resize(calm, (width, height), interpolation=cv2.INTER_LINEAR))


def _slow(luma: np.ndarray, sigma_px: float) -> np.ndarray:
    height, width = luma.shape
    size = (max(1, width // 8), max(1, height // 8))
    # The median takes away specks, which would darken what is around them.
    small = cv2.medianBlur(cv2.resize(luma, size, interpolation=cv2.INTER_AREA), 5)
    blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), max(sigma_px / 8, 0.5))
    return np.asarray(cv2.resize(blurred, (width, height), interpolation=cv2.INTER_LINEAR))


def _spikes(luma: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where the frame is outside of all that both neighbours show around a place."""
    window = np.ones((_AROUND_PX, _AROUND_PX), np.uint8)
    highest = np.maximum(cv2.dilate(before, window), cv2.dilate(after, window))
    lowest = np.minimum(cv2.erode(before, window), cv2.erode(after, window))
    spike = np.maximum(luma - highest, lowest - luma)
    noise = 1.4826 * float(np.median(np.abs(luma - (before + after) / 2)))
    least = max(_LEAST_SPIKE, _OVER_NOISE * noise)
    whole = np.abs(luma - (before + after) / 2)
    agree = np.abs(before - after) < _AGREE * whole
    sure = (spike > least / 2) & (whole > least) & agree
    # The rest of a speck: as different, if not outside of all that is near.
    likely = (whole > 0.6 * least) & agree
    return reaching(sure, likely)


@dataclass(frozen=True)
class _Speck:
    label: int
    left: int
    top: int
    width: int
    height: int
    slenderness: float
    angle_deg: float


def _speck(labels: np.ndarray, stats: np.ndarray, label: int) -> _Speck:
    left, top, width, height = (int(v) for v in stats[label, :4])
    y, x = np.nonzero(labels[top : top + height, left : left + width] == label)
    spread = np.cov(np.stack([x, y])) if len(x) > 2 else np.eye(2)
    values, axes = np.linalg.eigh(spread + 0.08 * np.eye(2))
    angle = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])) % 180)
    return _Speck(label, left, top, width, height, float(np.sqrt(values[1] / values[0])), angle)


def _parallel(specks: list[_Speck]) -> set[int]:
    """The slender ones, where there are many and most of them go one way: rain, snow."""
    slender = [speck for speck in specks if speck.slenderness > _SLENDER]
    if len(slender) < _STREAKS:
        return set()
    doubled = np.exp(2j * np.radians([speck.angle_deg for speck in slender]))
    middle = np.angle(doubled.mean())
    apart = np.degrees(np.abs(np.angle(doubled * np.exp(-1j * middle)))) / 2
    if (apart < _PARALLEL_DEG).mean() < _PARALLEL_SHARE:
        return set()
    return {speck.label for speck in specks}


def _found_again(luma: np.ndarray, other: np.ndarray, flow: np.ndarray, speck: _Speck) -> float:
    """How well a speck with a little around it is found in a neighbour, somewhere else than at its
    own place: the best normalised correlation in [-1, 1]."""
    height, width = luma.shape
    edge = 3
    top, bottom = max(0, speck.top - edge), min(height, speck.top + speck.height + edge)
    left, right = max(0, speck.left - edge), min(width, speck.left + speck.width + edge)
    pattern = luma[top:bottom, left:right]
    dx, dy = flow[(top + bottom) // 2, (left + right) // 2]
    reach = round(max(16, _SEARCH_SHARE * width))
    y0, x0 = int(np.clip(top + dy, 0, height - 1)), int(np.clip(left + dx, 0, width - 1))
    above, below = max(0, y0 - reach), min(height, y0 + (bottom - top) + reach)
    first, last = max(0, x0 - reach), min(width, x0 + (right - left) + reach)
    area = other[above:below, first:last]
    if area.shape[0] < pattern.shape[0] or area.shape[1] < pattern.shape[1]:
        return 1.0  # at a border a thing may have left the frame
    scores = cv2.matchTemplate(area, pattern, cv2.TM_CCOEFF_NORMED)
    return float(scores.max())

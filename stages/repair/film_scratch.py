"""Scratches along a film: thin vertical lines that stand still while the picture moves.

A projector or camera scratches the film as it runs, so the line goes through the whole frame at
one place, frame after frame, or wanders slowly. A post or the edge of a door goes through the
whole frame as well; but it moves as the picture does. So a line is followed through the frames
around, and counts where its places do not go along with the picture's; where the camera stands
still that cannot be told.

Source: Kokaram 1996, "Detection and removal of line scratches in degraded motion picture
sequences": horizontal profiles of columns; that the picture must move is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from restore_batch.stages.repair.dirt import along

WINDOW_FRAMES = 6
"""Frames on each side that say whether a line stands still."""
_BANDS = 8
_LOWEST_BANDS = 0.4
"""Quantile of the bands: in the others the line must be as strong or stronger."""
_SIDE_PX = 4
_SIDE_OVER_WIDTH = 1 / 240
_BORDER = 0.03
"""Of the width: there the gate's edge, with the light around it, stands still on any film."""
_SIDES_APART = 1.5  # of the contrast of a line: beyond it the picture goes on
_LEAST_NOISE = 0.5  # levels of 255
_SEEN, _SEEN_AGAIN = 3.5, 2.0
"""Over the noise of a frame's columns; those without a line have less than 1.5."""
_MOST_LINES = 4
"""In a frame: more are a fence or a blind, of which one post is easily taken for another."""
_WANDERS_PX = 1.5  # from frame to frame
_MOST_UNSEEN = 2  # frames
_LEAST_SEEN = 0.6
"""Of the frames: a post of a fence can come to the place of another every second frame."""
_FEWEST_FRAMES = 5
_LEAST_MOTION_PX = 0.8
"""Standard deviation of where the picture is: less says nothing."""
_GOES_ALONG = 0.8
"""Pixels that a line moves for each that the picture does: 0 on the film, 1 in the scene. It must
be less with certainty."""
_HARDLY_GOES, _EXPLAINED = 0.25, 0.8
"""A line that goes along more than so far, and of whose motion more than so much (of the variance)
is the picture's, is nearer or farther than the rest of the picture."""
_CERTAIN = 1.5  # standard errors
_LEFT_LEVELS, _LEFT_SHARE = 12.0, 0.5
"""Of the difference between two frames, what may be left after the motion: more was not understood,
as where the camera is thrown round."""
_OF_PEAK = 0.4


@dataclass(frozen=True, eq=False)
class Columns:
    """What the columns of a frame show. ``lighter``, ``darker``: (W,) float32, by how much they
    stand out from both sides from top to bottom, over the noise. ``shift``: (W,) float32, how far
    to the right their picture was one frame before, in pixels. ``followed``: whether that motion
    explains how the frame differs from the one before."""

    lighter: np.ndarray
    darker: np.ndarray
    shift: np.ndarray
    followed: bool = True


def columns_of(
    luma: np.ndarray, before: np.ndarray | None = None, to_before: np.ndarray | None = None
) -> Columns:
    """``luma``: (H, W) uint8; ``before``: the same of the frame before in the same shot, and
    ``to_before``: (H, W, 2), the motion to it in pixels; None where there is none."""
    height, width = luma.shape
    shift = np.zeros(width) if to_before is None else np.median(to_before[..., 0], axis=0)
    size = (width, min(_BANDS, height))
    bands = cv2.resize(luma.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    side = side_px(width)
    padded = np.pad(bands, ((0, 0), (side, side)), mode="edge")
    left, right = padded[:, : -2 * side], padded[:, 2 * side :]
    contrast = bands - (left + right) / 2
    noise = max(1.4826 * float(np.median(np.abs(contrast))), _LEAST_NOISE)
    lighter, darker = (
        np.quantile(
            np.where(np.abs(left - right) < _SIDES_APART * sign * contrast, sign * contrast, 0.0),
            _LOWEST_BANDS,
            axis=0,
        )
        / noise
        for sign in (1.0, -1.0)
    )
    return Columns(
        lighter.astype(np.float32),
        darker.astype(np.float32),
        shift.astype(np.float32),
        before is None or to_before is None or _explains(to_before, luma, before),
    )


def find_lines(window: Sequence[Columns], index: int) -> np.ndarray:
    """Columns with a scratch in frame ``index`` of consecutive frames of one shot, (W,) bool."""
    gone = _gone(window, index)
    found = np.zeros(gone.shape[1], bool)
    if not all(each.followed for each in window):
        return found
    near = range(max(index - _MOST_UNSEEN, 0), min(index + _MOST_UNSEEN + 1, len(window)))
    for kind in ("lighter", "darker"):
        strengths = [getattr(each, kind) for each in window]
        if max(len(_peaks(each, _SEEN_AGAIN)) for each in strengths) > _MOST_LINES:
            continue
        for start in near:
            for x in _peaks(strengths[start], _SEEN):
                places = _followed(strengths, gone[:, x], start, x)
                if index in places and _stands(places, gone[:, x]):
                    found |= _around(strengths[index], places[index])
    return np.asarray(cv2.dilate(found[None].astype(np.uint8), np.ones((1, 3)))[0]).astype(bool)


def side_px(width: int) -> int:
    """How far beside a line the picture goes on."""
    return max(_SIDE_PX, round(width * _SIDE_OVER_WIDTH))


def _gone(window: Sequence[Columns], index: int) -> np.ndarray:
    """Where the picture of each column is in every frame, (N, W) pixels to the right."""
    gone = np.zeros((len(window), len(window[index].shift)), np.float32)
    for i in range(index - 1, -1, -1):
        gone[i] = gone[i + 1] + window[i + 1].shift
    for i in range(index + 1, len(window)):
        gone[i] = gone[i - 1] - window[i].shift
    return gone


def _explains(to_before: np.ndarray, luma: np.ndarray, before: np.ndarray) -> bool:
    moved = along(before, to_before)
    left, plain = (float(cv2.absdiff(luma, other).mean()) for other in (moved, before))
    return left < max(_LEFT_LEVELS, _LEFT_SHARE * plain)


def _peaks(strength: np.ndarray, least: float) -> list[int]:
    """Columns of lines that stand out so far and from what is beside them."""
    highest = cv2.dilate(strength[None], np.ones((1, 2 * side_px(len(strength)) + 1)))[0]
    border = max(round(_BORDER * len(strength)), side_px(len(strength)))
    inside = slice(border, len(strength) - border)
    at = np.flatnonzero(((strength >= highest) & (strength > least))[inside]) + border
    return [int(x) for x in at]


def _followed(
    strengths: Sequence[np.ndarray], gone: np.ndarray, start: int, x: int
) -> dict[int, float]:
    """Frame to place of the line that is at ``x`` in frame ``start``, whether it stays or goes with
    the picture (``gone`` (N,)); between frames in which it is seen also where it is not. None where
    it is seen in few of them."""
    places = {start: float(x)}
    seen = 1
    for step in (1, -1):
        last, i = start, start + step
        while 0 <= i < len(strengths) and abs(i - last) <= _MOST_UNSEEN + 1:
            went = float(gone[i] - gone[last])
            reach = _WANDERS_PX * abs(i - last)
            place = _seen_again(
                strengths[i],
                places[last] + min(went, 0) - reach,
                places[last] + max(went, 0) + reach,
            )
            if place is not None:
                for between in range(last + step, i, step):
                    share = (between - last) / (i - last)
                    places[between] = places[last] + share * (place - places[last])
                places[i], last = place, i
                seen += 1
            i += step
    return places if seen >= _LEAST_SEEN * len(places) else {}


def _seen_again(strength: np.ndarray, low: float, high: float) -> float | None:
    """The place of the strongest line from ``low`` to ``high``, None where there is none."""
    first, end = max(round(low), 0), min(round(high) + 1, len(strength))
    if first >= end:
        return None
    x = first + int(strength[first:end].argmax())
    if strength[x] < _SEEN_AGAIN:
        return None
    about = slice(max(x - 1, 0), x + 2)
    return float(np.average(np.arange(len(strength))[about], weights=strength[about]))


def _stands(places: dict[int, float], gone: np.ndarray) -> bool:
    frames = sorted(places)
    if len(frames) < _FEWEST_FRAMES:
        return False
    line = np.array([places[i] for i in frames])
    picture = gone[frames].astype(np.float64)
    line, picture = line - line.mean(), picture - picture.mean()
    motion = float(picture.std())
    if motion < _LEAST_MOTION_PX:
        return False
    slope = float((line * picture).mean()) / motion**2
    # A line that wanders is not somewhere else in each frame: half of them count.
    apart = float((line - slope * picture).std())
    error = apart / (motion * np.sqrt(len(frames) / 2))
    goes = abs(slope) > _HARDLY_GOES and apart**2 < (1 - _EXPLAINED) * float(line.var())
    return not goes and slope + _CERTAIN * error < _GOES_ALONG


def _around(strength: np.ndarray, place: float) -> np.ndarray:
    """The columns of a line, (W,) bool."""
    middle, side = round(place), side_px(len(strength))
    found = np.zeros(len(strength), bool)
    for x in range(max(middle - side, 0), min(middle + side + 1, len(strength))):
        found[x] = x == middle or strength[x] > max(_OF_PEAK * strength[middle], _SEEN_AGAIN)
    return found

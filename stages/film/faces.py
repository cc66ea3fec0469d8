"""The faces of a segment, steady from frame to frame.

One pass over the frames of a segment and its context; no picture is kept. Whatever is found for a
frame depends on the frame and its neighbours within the context alone, so it is the same in
whatever segment the frame is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from restore_batch.models.base import Face
from restore_batch.stages.faces.grain import level_around
from restore_batch.stages.faces.steady.follow import CONTEXT_FRAMES, SteadyFaces
from restore_batch.stages.faces.steady.grain_levels import steady_grain
from restore_batch.stages.film.looks import LOOK_REACH, Search
from restore_batch.stages.geometry import DegenerateFaceError, to_uint8
from restore_batch.stages.media import Frame
from restore_batch.stages.video.types import VideoFrame

FACE_CONTEXT_FRAMES = CONTEXT_FRAMES + LOOK_REACH
"""Frames on each side of a segment that must be decoded, so that its result is the same however
the film is divided: those whose faces matter, and those that say where to look in them."""


@dataclass(frozen=True)
class FilmFaces:
    """The faces of every frame that was read, in pixels of the upright frame.

    ``tracks``: a number for each face, the same while it is the same face. ``cuts``: whether the
    frame begins a new shot. ``faults``: (position,
    why) of frames in which faces could not be looked for.
    """

    faces: tuple[tuple[Face, ...], ...]
    tracks: tuple[tuple[int, ...], ...]
    cuts: tuple[bool, ...]
    faults: tuple[tuple[int, str], ...] = ()


def find_faces(
    frames: Iterable[VideoFrame],
    first: int,
    search: Search,
    pool: Executor,
    *,
    pixel_aspect: float,
    steady: bool,
    ahead: int,
) -> FilmFaces:
    """Look for faces in every frame and follow them.

    ``first``: number in the film of the first of ``frames``. ``pixel_aspect``: of the frames
    before ``search`` prepares them. ``steady``: link faces to tracks, bridge short gaps, and
    smooth the landmarks; without it every frame stands alone.
    """
    follower = SteadyFaces()
    found: list[tuple[Face, ...]] = []
    faults: list[tuple[int, str]] = []
    for position, one in enumerate(search.frames(frames, first, pool, ahead)):
        found.append(one.faces)
        if one.fault:
            faults.append((position, one.fault))
        if steady:
            follower.push(one.rgb_hwc, one.faces, cut=one.cut)
    if steady:
        tracked = steady_grain(follower.tracks())
        found = [tuple(t.face for t in some) for some in tracked]
        tracks = tuple(tuple(t.track for t in some) for some in tracked)
        cuts = follower.cuts
    else:
        tracks = tuple(tuple(range(len(some))) for some in found)
        cuts = (False,) * len(found)
    upright = tuple(tuple(_unsquare(face, pixel_aspect) for face in some) for some in found)
    return FilmFaces(upright, tracks, cuts, tuple(faults))


def square(frame: Frame, pixel_aspect: float) -> Frame:
    """The frame in 8 bits and square pixels: what detectors were trained on."""
    rgb = to_uint8(frame.rgb_hwc)
    if pixel_aspect == 1:
        return replace(frame, rgb_hwc=rgb, alpha_hw=None)
    width = max(1, round(frame.width * pixel_aspect))
    how = cv2.INTER_AREA if pixel_aspect < 1 else cv2.INTER_CUBIC
    return Frame(np.asarray(cv2.resize(rgb, (width, frame.height), interpolation=how)))


def with_grain(face: Face, frame: Frame, pixel_aspect: float) -> Face:
    """``face`` of a frame in square pixels, with the level of the grain in the frame itself."""
    try:
        level = level_around(frame.rgb_hwc, _unsquare(face, pixel_aspect))
    except DegenerateFaceError:
        return face
    return replace(face, grain=level)


def _unsquare(face: Face, pixel_aspect: float) -> Face:
    if pixel_aspect == 1:
        return face
    left, top, right, bottom = face.box_xyxy
    back = np.array([1 / pixel_aspect, 1.0])
    return replace(
        face,
        box_xyxy=(left / pixel_aspect, top, right / pixel_aspect, bottom),
        landmarks_xy=(face.landmarks_xy * back).astype(np.float32),
    )

"""The index of a film: when every frame is shown, and at which frames decoding can start.

One pass over the packets, none of them decoded, tells it for most files. Where their timestamps
are missing or cannot be true (an AVI has pictures in decoding order and no times), the film is
decoded once and its frames are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.video.packets import (
    NO_TIME,
    PacketTable,
    clock,
    presentation_order,
    read_packets,
    refuse_restart,
)
from restore_batch.stages.video.probe import (
    examine,
    open_video,
    video_stream,
)
from restore_batch.stages.video.types import VideoFacts

# Times that only ever rise in decoding order are true if no pictures swap places, and made up if
# some do. Which it is shows within so many packets.
_PROBED_PACKETS = 250
# Share of wrong times up to which the others are believed: made-up ones are wrong by the third.
_FEW = 0.05
_LONGEST_PICTURE_S = 24 * 3600


@dataclass(frozen=True, eq=False)
class VideoIndex:
    """Every frame of a film in order of presentation; arrays of int64.

    ``pts``, ``durations``: (N,) in units of ``facts.time_base_s``; ``pts`` rises strictly, and a
    frame lasts until the next one is shown. ``keyframes``: (K,) numbers of the frames from which
    decoding can start: every frame from there on comes out right. (The *leading* pictures of an
    open group, stored behind its keyframe and shown before it, need an earlier keyframe.)
    ``packets``: (N,) the frames' packets by their number in file order, where timestamps cannot
    tell packets apart; else None.
    """

    facts: VideoFacts
    pts: np.ndarray
    durations: np.ndarray
    keyframes: np.ndarray
    packets: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.pts)


def index_video(source: str, max_megapixels: float = float("inf")) -> VideoIndex:
    """Index the first film of a local video file; its ``facts`` are counted, not estimated.

    Not frames are: packets that an edit list discards, leading pictures at the very start of a
    file (they refer to pictures that were cut away), second fields, pictures that are never shown
    (alternate references of VP8 and VP9), and a last picture of which a part is missing.

    Raises MediaError, one line that names the file, what was expected and what to do: not a
    video, no film in it, frames larger than ``max_megapixels``, nothing that can be decoded, a
    clock that restarts within the file.
    """
    found = examine(source, max_megapixels)
    facts = found.facts
    with open_video(source) as container:
        stream = video_stream(container, source)
        table = read_packets(container, stream, source)
        reorders = stream.codec_context.reorder_depth > 0
    refuse_restart(table, source)
    warnings = list(facts.warnings)
    step = max(1, round(1 / (facts.mean_fps * facts.time_base_s)))
    shown, doubt = _trusted(table, reorders, source, facts.container)
    lost = 0
    if doubt:
        order = _decoded_order(source)
        order = order[shown[order]]
        warnings.append(f"{doubt}: it was decoded once to count its frames")
    else:
        order, lost = _in_order(table, shown, found.first_pts)
    if not len(order):
        raise MediaError(
            f"{source}: holds no picture that is shown; expected a film; copy it again"
        )
    if lost:
        which = "first picture" if lost == 1 else f"first {lost} pictures"
        warnings.append(
            f"its {which} cannot be decoded and {'is' if lost == 1 else 'are'} left out"
        )
    pts, last = table.pts[order], int(table.durations[order[-1]])
    if last * facts.time_base_s > _LONGEST_PICTURE_S:
        last = 0
    if doubt:
        pts, last = _repaired(pts, table.dts[order], step), 0
    # The packets' own durations are steps of decoding order in MP4, and absent elsewhere.
    durations = np.diff(pts, append=pts[-1] + (last if last > 0 else _usual(pts, step)))
    duration_s = float((pts[-1] + durations[-1] - pts[0]) * facts.time_base_s)
    if table.cut_off:
        warnings.append(_cut_off(duration_s, table.promised_s))
    return VideoIndex(
        facts=replace(
            facts,
            frame_count=len(pts),
            duration_s=duration_s,
            mean_fps=len(pts) / duration_s,
            warnings=tuple(warnings),
        ),
        pts=pts,
        durations=durations,
        keyframes=_keyframes(order, table.starts),
        packets=None if np.array_equal(pts, table.pts[order]) else order,
    )


def _trusted(
    table: PacketTable, reorders: bool, source: str, container: str
) -> tuple[np.ndarray, str]:
    """Which packets give frames, (P,) bool; and why their presentation times cannot be used.

    The reason is empty where they can. Decodes the beginning of the film where that may decide.
    """
    pts, shown = table.pts, table.shown
    untimed = np.flatnonzero(shown & (pts == NO_TIME))
    if len(untimed):
        # Matroska cannot say times before zero: leading pictures of a cut film have none.
        if untimed[-1] < _PROBED_PACKETS // 2:
            shown = shown.copy()
            shown[np.setdiff1d(untimed, _decoded_order(source, _PROBED_PACKETS))] = False
        if np.any(pts[shown] == NO_TIME):
            return shown, "its packets have no presentation times"
    steps = np.diff(pts[shown])
    if np.any(np.diff(np.sort(pts[shown])) == 0):
        return shown, "several of its pictures have the same presentation time"
    if reorders and np.all(steps > 0) and len(steps):
        swapped = container == "avi" or np.any(np.diff(_decoded_order(source, _PROBED_PACKETS)) < 0)
        return shown, "its presentation times are in decoding order" if swapped else ""
    return shown, ""


def _decoded_order(source: str, limit: int | None = None) -> np.ndarray:
    """:func:`presentation_order` of a file, (N,) int64."""
    with open_video(source) as container:
        return presentation_order(container, video_stream(container, source), limit)


def _in_order(
    table: PacketTable, shown: np.ndarray, first_pts: int | None
) -> tuple[np.ndarray, int]:
    """Numbers of the packets in order of presentation; and how many before them are lost.

    Pictures shown before the first that comes out of the decoder are no frames. Those stored
    behind it are its leading pictures, the others come from a group whose keyframe is missing.
    """
    order = np.flatnonzero(shown)
    order = order[np.argsort(table.pts[order])]
    first = 0 if first_pts is None else int(np.searchsorted(table.pts[order], first_pts))
    kept = order[first:]
    return kept, int(np.sum(order[:first] < kept[0])) if len(kept) else 0


def _repaired(pts: np.ndarray, dts: np.ndarray, step: int) -> np.ndarray:
    """Strictly rising times for frames in order of presentation whose own are missing or wrong.

    Own times are kept where most are known and in order; else decoding times are handed out in
    order from the first frame's time on, as players do with AVI; else frames come every ``step``,
    so that the first time that is known holds.
    """
    known = pts != NO_TIME
    places = np.arange(len(pts))
    swaps = np.count_nonzero(np.diff(pts[known]) < 0)
    if 2 * np.count_nonzero(known) > len(pts) and swaps <= _FEW * len(pts):
        zero = pts[known][0]
        own = np.rint(np.interp(places, places[known], (pts[known] - zero).astype(float)))
        times = zero + own.astype(np.int64)
    elif np.all(dts != NO_TIME):
        times = np.sort(dts) + (pts[0] - dts.min() if known[0] else 0)
    else:
        times = places * step
        if np.any(known):  # the sound beside it counts from the same zero
            times = times + (pts - times)[known][0]
    return np.maximum.accumulate(times - places) + places


def _usual(pts: np.ndarray, step: int) -> int:
    """The median time between two frames; ``step`` where there is only one."""
    return int(np.median(np.diff(pts))) if len(pts) > 1 else step


def _keyframes(order: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Frames from which decoding can start: nothing stored before one is shown after it."""
    number_of_packet = np.full(len(starts), -1, np.int64)
    number_of_packet[order] = np.arange(len(order))
    shown_before = np.maximum.accumulate(number_of_packet)
    latest = starts & (number_of_packet >= 0) & (number_of_packet == shown_before)
    return number_of_packet[latest]


def _cut_off(duration_s: float, promised_s: float) -> str:
    promise = f" of {clock(promised_s)}" if promised_s > duration_s else ""
    return f"it is cut off: {clock(duration_s)}{promise} can be read, the rest is missing"

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
# It has packets that say there is nothing new to show.
_SKIPPING = "mpeg4"
# Why a film's own times are not those of its frames, none of them.
_SWAPPED = "its presentation times are in decoding order"
_PACKED = "its packets hold several pictures each"


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
        depth = stream.codec_context.reorder_depth
    refuse_restart(table, source)
    warnings = list(facts.warnings)
    step = max(1, round(1 / (facts.mean_fps * facts.time_base_s)))
    shown, doubt = _trusted(table, depth > 0, source, facts.container)
    lost = 0
    if doubt:
        order, refused = _decoded_order(source)
        order = order[shown[order]]
        warnings.append(f"{doubt}: it was decoded once to count its frames")
        missed = np.setdiff1d(refused if facts.codec == _SKIPPING else np.flatnonzero(shown), order)
        warnings += _left_out(table, missed, order)
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
        if doubt in (_SWAPPED, _PACKED):
            pts[1:] = NO_TIME
        pts, last = _repaired(pts, table.dts[order], depth, step), 0
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
    if table.packed:
        return shown, _PACKED
    untimed = np.flatnonzero(shown & (pts == NO_TIME))
    if len(untimed):
        # Matroska cannot say times before zero: leading pictures of a cut film have none.
        if untimed[-1] < _PROBED_PACKETS // 2:
            shown = shown.copy()
            shown[np.setdiff1d(untimed, _decoded_order(source, _PROBED_PACKETS)[0])] = False
        if np.any(pts[shown] == NO_TIME):
            return shown, "its packets have no presentation times"
    steps = np.diff(pts[shown])
    if np.any(np.diff(np.sort(pts[shown])) == 0):
        return shown, "several of its pictures have the same presentation time"
    if not reorders or not len(steps) or np.any(steps <= 0):
        return shown, ""
    swapped = container == "avi" or _swaps(_decoded_order(source, _PROBED_PACKETS)[0])
    return shown, _SWAPPED if swapped else ""


def _swaps(order: np.ndarray) -> bool:
    return bool(np.any(np.diff(order) < 0))


def _decoded_order(source: str, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """:func:`presentation_order` of a file, the same on every machine."""
    with open_video(source) as container:
        found = presentation_order(container, video_stream(container, source), limit)
    if len(found[1]):
        with open_video(source) as container:
            stream = video_stream(container, source)
            found = presentation_order(container, stream, limit, one_thread=True)
    return found


def _left_out(table: PacketTable, missed: np.ndarray, order: np.ndarray) -> list[str]:
    """What to say of the packets that give no frame though they should.

    Leading pictures of a cut film are no loss: those stored behind the first frame that are shown
    before it.
    """
    if not len(order):
        return []
    pts, first = table.pts, order[0]
    missed = missed[missed < len(pts)]
    leading = (missed > first) & (pts[missed] < pts[first]) & (pts[missed] != NO_TIME)
    lost = missed[~leading]
    if not len(lost):
        return []
    when = ""
    if NO_TIME not in (pts[first], pts[lost[0]]):
        when = f", the first after {clock(float(pts[lost[0]] - pts[first]) * table.tick_s)}"
    count = len(lost) + len(order)
    verb = "is" if len(lost) == 1 else "are"
    return [f"{len(lost)} of its {count} pictures cannot be decoded and {verb} left out{when}"]


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


def _repaired(pts: np.ndarray, dts: np.ndarray, late: int, step: int) -> np.ndarray:
    """Strictly rising times for frames in order of presentation whose own are missing or wrong.

    Own times are kept where most are known and in order; else frames get decoding times, from the
    first frame's time on, as players do with AVI; else they come every ``step``, so that the first
    time that is known holds. ``dts``: of the frames' packets. ``late``: how many frames a decoder
    holds back.
    """
    known = pts != NO_TIME
    places = np.arange(len(pts))
    swaps = np.count_nonzero(np.diff(pts[known]) < 0)
    if 2 * np.count_nonzero(known) > len(pts) and swaps <= _FEW * len(pts):
        zero = pts[known][0]
        own = np.rint(np.interp(places, places[known], (pts[known] - zero).astype(float)))
        times = zero + own.astype(np.int64)
    elif np.all(dts != NO_TIME):
        times = _as_decoded(dts, late, step)
        times += (pts[0] if known[0] else dts.min()) - times[0]
    else:
        times = places * step
        if np.any(known):  # the sound beside it counts from the same zero
            times = times + (pts - times)[known][0]
    return np.maximum.accumulate(times - places) + places


def _as_decoded(dts: np.ndarray, late: int, step: int) -> np.ndarray:
    """When a decoder gives frames that holds ``late`` of them back.

    Where pictures are missing, a packet's time jumps so many frames before its own frame's does.
    """
    times = np.sort(dts)
    behind = times[-1] + _usual(times, step) * np.arange(1, late + 1)
    return np.concatenate([times, behind])[late:]


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

"""Reading the frames of a range of a film, upright and in order, whatever state it is in.

Every frame that was promised comes out, with its own time. What a frame looks like depends on
the film alone, not on the range it is read in: decoding begins at a keyframe from which it
comes out right, and where a neighbour is needed (for deinterlacing, or to stand in for a frame
that is lost) decoding begins earlier rather than do without.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from typing import Literal, cast

import av
import av.error
import cv2
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.stages.media import Frame
from restore_batch.stages.video.colour.convert import FrameConverter, refuse_hdr
from restore_batch.stages.video.colour.tone_map import tone_map
from restore_batch.stages.video.deinterlace import DecodedPicture, deinterlaced, fields_to_weave
from restore_batch.stages.video.first_picture import coded_aspect
from restore_batch.stages.video.headers.captions import captions_of
from restore_batch.stages.video.limits import largest_picture, limit_pictures
from restore_batch.stages.video.packets import packets_of, range_packets
from restore_batch.stages.video.probe import open_video
from restore_batch.stages.video.random_access import PacketRoles
from restore_batch.stages.video.types import FrameRange, UntimedRange, VideoFacts, VideoFrame
from restore_batch.stages.video.uniform import LOST_FRAME, conform_to_first, misshapen

__all__ = ["FrameRangeReader"]

_CLOCKWISE = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
# With more than one, what a decoder makes up for damaged pictures is different every time.
_THREADS = 1
_FIRST_STEP_BACK_S = 2
# Places of pictures that are no frames of the range: one shown earlier, one of the decoder's own.
_BEFORE, _NO_FRAME = -1, -2


class FrameRangeReader:
    """The frames of a range, context included: exactly ``len(frame_range.pts)``, one at a time.

    Each iteration decodes anew. Frames are R'G'B' (:class:`FrameConverter`), turned upright once,
    of the film's size and depth. ``deinterlace``: see :func:`fields_to_weave`. ``tonemap``: a
    curve of :mod:`restore_batch.stages.video.colour.tone_map`, for films of high dynamic range.

    A frame that cannot be decoded is replaced by the good one before it, at the film's beginning
    by the one after it; its ``fault`` says so. Used as they are, with a fault, are damaged frames,
    those of the same group behind a lost one, and those of another size than the film's first.
    (What a decoder makes up for missing parts of a damaged picture may depend on where it began,
    and so on the range; nothing else does.)

    Raises MediaError, one line that names the file: not readable, no picture that can be decoded,
    unknown colours, high dynamic range without ``tonemap``.
    """

    def __init__(
        self,
        source: str,
        facts: VideoFacts,
        frame_range: FrameRange,
        *,
        deinterlace: Literal["auto", "always", "never"] = "auto",
        tonemap: str | None = None,
    ) -> None:
        refuse_hdr(facts, tonemap, source)
        self._source = source
        self._facts = facts
        self._range = frame_range
        self._places = {pts: place for place, pts in enumerate(frame_range.pts)}
        self._aspect = facts.coded_aspect or facts.sample_aspect
        self._fields = fields_to_weave(facts, deinterlace)
        interlaced = self._fields != "marked" or facts.field_order != "progressive"
        self._weaves_from_the_start = self._fields is not None and interlaced
        self._tonemap = tonemap if facts.colour.hdr else None

    def __iter__(self) -> Iterator[VideoFrame]:
        start: FrameRange | None = self._range
        if self._weaves_from_the_start and _starts_with_its_first(self._range):
            # The first frame is woven with the one before it.
            start = self._earlier(self._range) or self._range
        while start is not None:
            with closing(self._run(start)) as frames:
                first = next(frames, None)
                if first is not None:
                    yield first
                    yield from frames
                    return
            start = self._earlier(start)
        raise MediaError(
            f"{self._source}: none of its pictures can be decoded ({self._facts.codec}); "
            "expected a video that plays; copy it again from where it came"
        )

    def _run(self, start: FrameRange) -> Generator[VideoFrame]:
        """The frames, decoded from where ``start`` says; none at all if it has to be earlier."""
        convert = FrameConverter(self._facts.colour, self._facts.codec)
        count = len(self._range.pts)
        done = 0
        before: DecodedPicture | None = None  # the last one that is not the range's
        good: Frame | None = None
        with closing(self._pictures(start)) as pictures:
            for decoded in pictures:
                place = self._place(decoded)
                if place == _BEFORE:
                    before = decoded
                if place < done:
                    continue
                if decoded.woven and good is None and _lacks_one_before(start, self._range):
                    return
                frame, fault = self._finished(convert, decoded)
                if place > done and good is None:
                    if before is None and _can_start_earlier(start):
                        return
                    good = frame if before is None else self._finished(convert, before)[0]
                for lost in range(done, place):
                    yield self._video_frame(lost, cast(Frame, good), LOST_FRAME)
                if place >= count:
                    return
                yield self._video_frame(place, frame, fault, decoded.captions)
                good, done = frame, place + 1
                if done == count:
                    return
        # The film ended before the range did.
        if good is None and before is not None:
            good, _ = self._finished(convert, before)
        if good is not None:
            for lost in range(done, count):
                yield self._video_frame(lost, good, LOST_FRAME)

    def _video_frame(
        self, place: int, frame: Frame, fault: str, captions: bytes = b""
    ) -> VideoFrame:
        pts, duration = self._range.pts[place], self._range.durations[place]
        return VideoFrame(frame, pts, duration, fault, captions)

    def _place(self, decoded: DecodedPicture) -> int:
        """Which frame of the range this is; their number for a later one, or negative."""
        frames, pts = self._range, decoded.pts
        if pts is None:
            return _NO_FRAME
        if pts in self._places:
            return self._places[pts]
        if isinstance(frames, UntimedRange):
            number = frames.pts[0] - 1 - pts  # of the packet; see range_packets
            first, last = min(frames.packets), max(frames.packets)
        else:
            number, first, last = pts, frames.pts[0], frames.pts[-1]
        if first <= number <= last:
            return _NO_FRAME
        return _BEFORE if number < first else len(frames.pts)

    # -- decoding ---
    def _pictures(self, start: FrameRange) -> Generator[DecodedPicture]:
        pictures = self._decoded(start)
        with closing(pictures):
            yield from pictures if self._fields is None else deinterlaced(pictures, self._fields)

    def _decoded(self, start: FrameRange) -> Generator[DecodedPicture]:
        """Every picture that the decoder gives from ``start`` on, in order of presentation."""
        with open_video(self._source) as container:
            stream = cast(av.VideoStream, container.streams[self._facts.video_stream])
            stream.codec_context.thread_count = _THREADS
            limit_pictures(stream, largest_picture(self._facts.width * self._facts.height))
            packets = range_packets(container, stream, start)
            doubtful: set[int] = set()
            aspects: dict[int | None, Fraction] = {}
            group_broken = False
            try:
                for packet in chain(packets, (None,)):
                    if packet is not None:
                        group_broken = group_broken and not packet.is_keyframe
                        if group_broken and packet.pts is not None:
                            doubtful.add(packet.pts)
                    try:
                        pictures = stream.decode(packet)
                    except av.error.FFmpegError:
                        # This picture is lost. What builds on it may come out wrong in silence.
                        group_broken = True
                        continue
                    aspect = coded_aspect(stream)
                    if packet is not None and packet.pts is not None and aspect is not None:
                        aspects[packet.pts] = aspect
                    for picture in pictures:
                        yield DecodedPicture(
                            picture,
                            picture.pts,
                            _damage(picture, doubtful),
                            captions_of(picture),
                            aspects.pop(picture.pts, None),
                        )
            except OSError as error:
                raise MediaError(f"{self._source}: cannot be read: {error.strerror}") from error

    def _earlier(self, start: FrameRange) -> FrameRange | None:
        """The same frames, decoded from one keyframe earlier; None at the film's beginning."""
        if not _can_start_earlier(start):
            return None
        if isinstance(start, UntimedRange):
            return replace(start, start_packet=0)
        return replace(start, seek_pts=self._keyframe_before(cast(int, start.seek_pts)))

    def _keyframe_before(self, pts: int) -> int | None:
        """Time of the last keyframe shown before ``pts``; None if none is found."""
        with open_video(self._source) as container:
            stream = cast(av.VideoStream, container.streams[self._facts.video_stream])
            begin = stream.start_time or 0
            step = max(1, round(_FIRST_STEP_BACK_S / self._facts.time_base_s))
            target = pts
            while target > begin:
                target, step = max(begin, target - step), step * 4
                try:
                    container.seek(target, stream=stream)
                except av.error.FFmpegError:
                    return None
                found = _last_start(container, stream, pts)
                if found is not None:
                    return found
        return None

    # -- finishing ---
    def _finished(self, convert: FrameConverter, decoded: DecodedPicture) -> tuple[Frame, str]:
        """The upright frame of the film's size and depth, and what is wrong with it."""
        facts, picture = self._facts, decoded.picture
        try:
            frame = convert(picture)
        except MediaError as error:
            raise MediaError(f"{self._source}: {error}") from error
        size = facts.width, facts.height
        rgb_hwc, fault = conform_to_first(frame.rgb_hwc, size, facts.bits)
        stored = (picture.width, picture.height), decoded.aspect or self._aspect
        shape = misshapen(*stored, size, self._aspect)
        if facts.rotation_deg:
            rgb_hwc = np.asarray(cv2.rotate(rgb_hwc, _CLOCKWISE[facts.rotation_deg]))
        frame = replace(frame, rgb_hwc=rgb_hwc)
        if self._tonemap is not None:
            frame = tone_map(frame, facts.colour, self._tonemap)
        return frame, "; ".join(filter(None, (decoded.damage, fault, shape)))


def _damage(picture: av.VideoFrame, doubtful: set[int]) -> str:
    """What to say of a picture, '' if nothing is known to be wrong with it."""
    lost_before = picture.pts in doubtful
    if picture.pts is not None:
        doubtful.discard(picture.pts)
    if picture.is_corrupt:
        return "is damaged; shown as far as it could be decoded"
    return "may be damaged: one that it may build on is lost" if lost_before else ""


def _last_start(
    container: av.container.InputContainer, stream: av.VideoStream, pts: int
) -> int | None:
    """Time of the last packet shown before ``pts`` that decoding can start at, reading on."""
    roles = PacketRoles(stream)
    found = None
    for packet in packets_of(container, stream):
        if packet.pts is None or packet.is_discard:
            continue
        behind = packet.dts is not None and packet.dts > pts
        if behind or (packet.is_keyframe and packet.pts >= pts):
            break
        if roles(packet).starts and packet.pts < pts:
            found = packet.pts
    return found


def _starts_with_its_first(frame_range: FrameRange) -> bool:
    """Whether the range's first frame is the first that decoding gives."""
    if isinstance(frame_range, UntimedRange):
        return frame_range.packets[0] == frame_range.start_packet
    return frame_range.seek_pts == frame_range.pts[0]


def _lacks_one_before(start: FrameRange, frames: FrameRange) -> bool:
    """Whether decoding begins at the first of ``frames``, and could begin earlier."""
    return start is frames and _starts_with_its_first(frames) and _can_start_earlier(frames)


def _can_start_earlier(start: FrameRange) -> bool:
    if isinstance(start, UntimedRange):
        return start.start_packet > 0
    return start.seek_pts is not None

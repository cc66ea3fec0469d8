"""Encoding restored frames to a part: one segment's picture, waiting to be joined to the others.

A part is an MP4 or MOV file of one closed piece of video: it decodes on its own from its first
frame, and its packets can follow those of any other part of the same film. Nothing in it depends
on the time, the machine's load or its number of cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.video.reformatter import ColorRange

from restore_batch.errors import MediaError
from restore_batch.files import naming, settle
from restore_batch.stages.media import Artifact, Frame
from restore_batch.stages.video.colour.convert import to_av_frame
from restore_batch.stages.video.headers.captions import CAPTION_CODECS, with_captions
from restore_batch.stages.video.types import ColourTags, VideoFormat

__all__ = ["PartWriter", "tag_colour"]

# A decoder of these holds back at most so many pictures (ITU-T H.264, A.3.1; H.265, A.4.2).
_MOST_REORDERED = {"h264": 16, "hevc": 16}


class PartWriter:
    """Encodes frames in order of presentation to ``path``, one packet for each.

    ``time_base_s``: unit of the timestamps. The file counts them from its first frame, so that
    those of any film fit, and keeps each exactly. As a context manager it aborts what was not
    closed.

    Encoders see frames as numbered at a constant rate, whatever their times: none of them needs
    to cope with odd time bases or gaps. The times are put back onto the packets.
    """

    def __init__(self, path: Path, format: VideoFormat, time_base_s: Fraction) -> None:
        """Raises MediaError where the encoder does not open."""
        self._path = path
        self._format = format
        self._base = time_base_s
        self._pts: list[int] = []
        self._durations: list[int] = []
        self._captions: dict[int, bytes] = {}
        self._packets = 0
        self._closed = False
        self._output = av.open(
            str(path.absolute()),  # "a:b.part" alone would be a protocol named a
            "w",
            format="mov" if format.codec == "prores" else "mp4",
            # Without the muxer's version and without dates.
            container_options={"fflags": "+bitexact"},
        )
        try:
            self._stream = self._open_encoder()
        except (av.FFmpegError, ValueError) as error:
            self.abort()
            raise MediaError(_refusal(format, error)) from error
        except BaseException:
            self.abort()
            raise

    def _open_encoder(self) -> av.VideoStream:
        options = dict(self._format.options)
        rate = Fraction(options.pop("framerate"))
        if self._format.encoder == "libsvtav1":
            os.environ.setdefault("SVT_LOG", "1")  # else it writes a page to the terminal
        stream = self._output.add_stream(self._format.encoder, rate=rate, options=options)
        if not isinstance(stream, av.VideoStream):
            raise ValueError("not an encoder of video")
        context = stream.codec_context
        context.width, context.height = self._format.width, self._format.height
        context.pix_fmt = self._format.pix_fmt
        context.time_base = 1 / rate
        context.sample_aspect_ratio = self._format.sample_aspect
        tag_colour(context, self._format.colour)
        stream.time_base = Fraction(1, self._base.denominator)
        context.open()
        return stream

    def write(self, frame: Frame, pts: int, duration: int, captions: bytes = b"") -> None:
        """Encode one frame of the format's size. ``pts``, ``duration``: in ``time_base_s``.
        ``captions``: closed captions that belong to it, kept where the codec takes them.

        Raises ValueError for another size or a time that is not after the last, MediaError
        where the encoder or the disk fails.
        """
        if (frame.width, frame.height) != (self._format.width, self._format.height):
            raise ValueError(
                f"a frame of {frame.width}x{frame.height} in a film of "
                f"{self._format.width}x{self._format.height}"
            )
        if self._pts and pts <= self._pts[-1]:
            raise ValueError(f"frame at {pts} does not follow the one at {self._pts[-1]}")
        picture = to_av_frame(frame, self._format.pix_fmt, self._format.colour)
        picture.pts = len(self._pts)
        picture.time_base = self._stream.codec_context.time_base
        if captions and self._format.codec in CAPTION_CODECS:
            self._captions[len(self._pts)] = captions
        self._pts.append(pts)
        self._durations.append(duration)
        try:
            self._mux(self._stream.encode(picture))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(_refusal(self._format, error)) from error

    def close(self) -> Artifact:
        """Finish the file and force it to the disk. Raises MediaError; the file is then gone."""
        try:
            if not self._pts:
                raise MediaError(f"{self._path.name}: a part without frames")
            self._mux(self._stream.encode(None))
            with naming(self._path):
                self._output.close()
            if self._packets != len(self._pts):
                raise MediaError(
                    f"{self._format.encoder} returned {self._packets} packets for "
                    f"{len(self._pts)} frames"
                )
            size_bytes, sha256 = settle(self._path)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise MediaError(_refusal(self._format, error)) from error
        except BaseException:
            self.abort()
            raise
        self._closed = True
        width, height = self._format.width, self._format.height
        return Artifact(str(self._path), size_bytes, sha256, width, height)

    def abort(self) -> None:
        """Give up: nothing is left on the disk."""
        with contextlib.suppress(av.FFmpegError, OSError, ValueError):
            self._output.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self.abort()

    def _mux(self, packets: Iterable[av.Packet]) -> None:
        for packet in packets:
            number = packet.pts
            if number is None:
                raise MediaError(f"{self._format.encoder} returned a packet without a number")
            packet.time_base = Fraction(1, self._base.denominator)
            packet.pts = self._ticks(number)
            # Not the encoder's: x265 returns uninitialised memory for films of a frame or two.
            packet.dts = self._ticks(self._packets - _MOST_REORDERED.get(self._format.codec, 0))
            packet.duration = self._durations[number] * self._base.numerator
            captions = self._captions.pop(number, b"")
            with naming(self._path):
                self._output.mux_one(with_captions(self._format.codec, packet, captions))
            self._packets += 1

    def _ticks(self, number: int) -> int:
        """Time of a frame since the first, in the file's units. Frames below zero lie ahead of
        the film: that is when the first packets are decoded."""
        first = self._pts[0]
        ticks = number if number < 0 else self._pts[number] - first
        return ticks * self._base.numerator


def tag_colour(context: av.VideoCodecContext, colour: ColourTags) -> None:
    """Write the code points of ``colour`` into a stream's parameters."""
    context.color_primaries = colour.primaries
    context.color_trc = colour.transfer
    context.colorspace = colour.matrix
    if colour.full_range is not None:
        context.color_range = ColorRange.JPEG if colour.full_range else ColorRange.MPEG


def _refusal(format: VideoFormat, error: Exception) -> str:
    """FFmpeg's reason, which does not say what it was to do."""
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    hint = "; choose encoder software" if format.encoder.endswith("_nvenc") else ""
    return (
        f"{format.encoder} cannot write {format.width}x{format.height} {format.pix_fmt}: "
        f"{reason}{hint}"
    )

"""What is known of a video before and while its frames are restored: frozen, picklable, plain."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from restore_batch.stages.media import Frame

StreamKind = Literal["video", "audio", "subtitle", "attachment", "data"]
FieldOrder = Literal["progressive", "top-first", "bottom-first"]

FRAME_FOLDER = "frames"
"""``VideoFacts.container`` of a folder of pictures, which has no streams beside them."""


@dataclass(frozen=True)
class StreamFacts:
    """One stream of the source. ``index``: its number in the file; ``codec``: FFmpeg's name."""

    index: int
    kind: StreamKind
    codec: str
    language: str = ""
    title: str = ""


@dataclass(frozen=True)
class ColourTags:
    """Colour description as the code points of ITU-T H.273; 2 means unspecified.

    ``full_range``: None where the source does not say.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    full_range: bool | None = None

    @property
    def hdr(self) -> bool:
        """Whether the transfer is PQ (16, SMPTE ST 2084) or HLG (18, ARIB STD-B67)."""
        return self.transfer in (16, 18)


@dataclass(frozen=True)
class VideoFacts:
    """What the first video stream of a file is.

    ``container``: mp4, mov, mkv, webm, avi, mpeg, mpegts, frames or FFmpeg's own name.
    ``width``, ``height``: of the stored picture, before rotation. ``rotation_deg``: clockwise
    turn (0, 90, 180, 270) that shows it upright. ``sample_aspect``: width of a stored pixel over
    its height, 1 where the source does not say. ``bits``: of a component. ``time_base_s``: unit
    of the timestamps. ``duration_s``: end of the last frame minus start of the first.
    ``chapters``: how many. ``captions``: its first picture brings closed captions.
    ``warnings``: what is odd about the file, a line each. ``coded_aspect``: ``sample_aspect`` by
    the first picture itself, of which the container may say another; None where it says nothing.
    """

    container: str
    codec: str
    pix_fmt: str
    width: int
    height: int
    rotation_deg: int
    sample_aspect: Fraction
    bits: int
    field_order: FieldOrder
    colour: ColourTags
    time_base_s: Fraction
    frame_count: int
    duration_s: float
    mean_fps: float
    streams: tuple[StreamFacts, ...]
    video_stream: int
    chapters: int = 0
    captions: bool = False
    warnings: tuple[str, ...] = ()
    coded_aspect: Fraction | None = None

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) of a decoded frame once it is turned upright."""
        turned = self.rotation_deg in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    @property
    def upright_aspect(self) -> Fraction:
        """Width of a pixel of the upright frame over its height."""
        turned = self.rotation_deg in (90, 270)
        return 1 / self.sample_aspect if turned else self.sample_aspect


@dataclass(frozen=True)
class FrameRange:
    """A run of frames of a film, with the context that has to be read around it.

    ``number``: among the ranges that a film is cut into. ``pts`` and ``durations`` are those of
    every frame that must be read, in order of presentation and in units of the source's time
    base: ``before`` frames of context, the range's own frames, ``after`` frames of context.
    ``first``: number of the first own frame within the film. ``seek_pts``: where decoding has to
    begin so that every frame of ``pts`` comes out right (a keyframe at or before the first of
    them); None: the start of the file.
    """

    number: int
    first: int
    pts: tuple[int, ...]
    durations: tuple[int, ...]
    before: int
    after: int
    seek_pts: int | None

    @property
    def own_count(self) -> int:
        return len(self.pts) - self.before - self.after


@dataclass(frozen=True)
class UntimedRange(FrameRange):
    """A range of a film whose timestamps do not tell its packets apart.

    ``packets``: number in file order of the packet behind each of ``pts``. ``start_packet``:
    number of the packet at which decoding begins.
    """

    packets: tuple[int, ...] = ()
    start_packet: int = 0


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One upright decoded frame. ``fault``: why it stands in for one that could not be read, or
    what is wrong with it. ``captions``: closed captions that came with it, as
    ``headers.captions`` gives them."""

    frame: Frame
    pts: int
    duration: int
    fault: str = ""
    captions: bytes = b""


@dataclass(frozen=True)
class VideoFormat:
    """How the picture of a result is encoded, every choice made.

    ``codec``: h264, hevc, av1, ffv1 or prores. ``encoder``: FFmpeg's name (libx264,
    h264_nvenc …). ``container``: mp4, mkv or mov. ``width``, ``height``: of the upright result.
    """

    codec: str
    encoder: str
    pix_fmt: str
    options: tuple[tuple[str, str], ...]
    container: str
    width: int
    height: int
    sample_aspect: Fraction
    colour: ColourTags
    bits: int

"""The ``video`` section of a job: how films are read, kept steady and written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from restore_batch.jobs.path_options import Text
from restore_batch.jobs.section import Section


class Video(Section):
    """How films are read, kept steady and written."""

    codec: Literal["auto", "h264", "hevc", "av1", "ffv1", "prores"] = "auto"
    """Coding of the picture: h264 plays everywhere; ffv1 is lossless, for the archive; prores
    is for editing; auto: h264, and hevc for originals of more than 8 bits."""

    container: Literal["keep", "mp4", "mkv", "mov"] = "keep"
    """File format of the results; keep: that of the original where it can be written, else mkv
    (mov for prores)."""

    crf: Annotated[int, Field(ge=0, le=63)] | None = None
    """Constant quality of h264, hevc and av1, lower is better; null: visually lossless."""

    preset: Text | None = None
    """Speed of the encoder, in its own words (slow, medium, fast …; 0 to 13 for av1); null:
    the encoder's middle."""

    pixel_format: Text | None = None
    """Pixel format of the result in FFmpeg's words, such as yuv422p10le; null: bits and chroma
    of the original as far as the codec holds them."""

    frame_rate: Annotated[float, Field(gt=0, le=1000)] = 24.0
    """Frames a second of an input of numbered pictures, such as reel/frame_%06d.png."""

    bit_depth: Literal["keep", 8, 10] = "keep"
    """Bits of a component; keep: those of the original as far as the codec holds them."""

    encoder: Literal["software", "nvenc"] = "software"
    """nvenc: the encoder of an NVIDIA GPU: much faster, larger files, and not the same bytes on
    every machine."""

    output: Literal["file", "frames"] = "file"
    """file: a film with its sound; frames: a folder of numbered PNG pictures."""

    audio: Literal["copy", "transcode", "drop"] = "copy"
    """copy: sound as it is in the original, to the bit; transcode: encoded anew where the
    container does not hold its codec; drop: none."""

    deinterlace: Literal["auto", "always", "never"] = "auto"
    """Whether fields are woven into full frames (bwdif, a frame for a frame); auto: where the
    original says that it is interlaced."""

    tonemap: Literal["hable", "mobius", "reinhard"] | None = None
    """Curve that brings high dynamic range (PQ, HLG) to a standard one; null: such films are
    refused, since the networks would spoil them."""

    steady: bool = True
    """Whether faces are followed from frame to frame and their alignment smoothed, so that
    restored faces do not tremble."""

    deflicker: bool = False
    """Whether what restoration adds to a face is averaged over neighbouring frames too."""

    preview_s: Annotated[float, Field(gt=0, le=600)] | None = None
    """Restore only so many seconds of each film, where the most faces are; null: all of it.
    `restore-batch run JOB --preview 3s` sets it, beside another output."""

    segment_s: Annotated[float, Field(ge=0.2, le=600)] = 4.0
    """About how many seconds of film are restored and committed together: what a killed run
    loses at most."""

    @field_validator("deflicker")
    @classmethod
    def _filters_along_tracks(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("steady") is False:
            raise ValueError("it needs the tracks of steady faces: set video.steady to true")
        return value

    @field_validator("crf")
    @classmethod
    def _quality_of_a_lossy_codec(cls, value: int | None, info: ValidationInfo) -> int | None:
        codec = info.data.get("codec")
        if value is not None and codec in ("ffv1", "prores"):
            raise ValueError(f"{codec} has no constant quality: remove crf")
        if value is not None and codec in ("h264", "hevc") and value > 51:
            raise ValueError(f"{codec} takes 0 to 51")
        return value

    @field_validator("container")
    @classmethod
    def _container_holds_the_codec(cls, value: str, info: ValidationInfo) -> str:
        codec = info.data.get("codec")
        if (value, codec) in (("mp4", "prores"), ("mp4", "ffv1")):
            raise ValueError(f"{value} does not hold {codec}: use mov or mkv")
        return value

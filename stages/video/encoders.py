"""The encoders of a film's picture: what each can take, and the options it is given.

A part must have the same bytes whichever machine encodes it and however busy that is. The bytes
of x264 and x265 depend on the number of threads, so it is fixed; those of SVT-AV1, FFV1 and
ProRes do not. The macroblock tree of x264 is left out: core 165 with AVX-512 gives other bytes
from run to run where the width is no multiple of 128 (seen at 320 and 720). Without it, files are
about a tenth larger at equal PSNR.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av

__all__ = ["Encoder", "encoder_of", "nvenc_available"]

Options = dict[str, str]

# Seeking decodes at most this much; twice as long would save about one percent of the bytes.
_KEYFRAME_S = 2
_X26X_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)
_PRORES_PROFILES = ("proxy", "lt", "standard", "hq", "4444", "4444xq")
_NVENC_PRESETS = tuple(f"p{number}" for number in range(1, 8))


@dataclass(frozen=True)
class Encoder:
    """One encoder of FFmpeg.

    ``name``: FFmpeg's. ``pixel_formats``: depth in bits → the default format of that depth, in
    rising order. ``sides_px``: smallest and largest width or height. ``crf``: default quality,
    None where there is no such thing; ``crf_option``: what FFmpeg calls it. ``odd_sizes``:
    whether subsampled chroma may cover an odd width or height. ``fixed``: options that are
    always the same.
    """

    codec: str
    name: str
    pixel_formats: Mapping[int, str]
    sides_px: tuple[int, int]
    presets: tuple[str, ...] = ()
    preset: str | None = None
    preset_option: str = "preset"
    crf: int | None = None
    worst_crf: int = 51
    crf_option: str = "crf"
    odd_sizes: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def depths(self) -> tuple[int, ...]:
        """Bits of a component that it can write, rising."""
        return tuple(self.pixel_formats)

    def every_pixel_format(self) -> tuple[str, ...]:
        """Every pixel format that it takes, but for alpha, floats and the deprecated yuvj."""
        formats = av.Codec(self.name, "w").video_formats or ()
        return tuple(
            f.name
            for f in formats
            if not any(part.is_alpha for part in f.components)
            and f.components
            and "f" not in f.name.removesuffix("le")
            and not f.name.startswith("yuvj")
        )

    def check_size(self, width: int, height: int) -> None:
        """Raise ValueError for a picture that the encoder does not take."""
        least, most = self.sides_px
        if min(width, height) < least or max(width, height) > most:
            raise ValueError(
                f"{width}x{height} cannot be written by {self.name} ({least} to {most} pixels "
                "a side); choose another scale or codec"
            )

    def options(
        self, crf: int | None, preset: str | None, rate: Fraction, size: tuple[int, int]
    ) -> Options:
        """FFmpeg's options for a film of ``rate`` frames a second. Raises ValueError."""
        if crf is not None and self.crf is None:
            raise ValueError(f"{self.codec} has no crf: leave it out")
        if crf is not None and not 0 <= crf <= self.worst_crf:
            raise ValueError(f"crf {crf}: {self.name} takes 0 (best) to {self.worst_crf}")
        if preset is not None and preset not in self.presets:
            known = ", ".join(self.presets) or "none"
            raise ValueError(f"preset {preset!r}: {self.name} knows {known}")
        chosen: Options = {}
        if speed := preset or self.preset:
            chosen[self.preset_option] = speed
        if self.crf is not None:
            chosen[self.crf_option] = str(self.crf if crf is None else crf)
            chosen["g"] = str(max(1, round(_KEYFRAME_S * rate)))
        if self.name == "ffv1":
            chosen["slices"] = _ffv1_slices(size)
        return {**chosen, **self.fixed}


_SOFTWARE = (
    # CRF 17: where differences stop being seen side by side.
    Encoder(
        codec="h264",
        name="libx264",
        pixel_formats={8: "yuv420p", 10: "yuv420p10le"},
        sides_px=(1, 16384),
        presets=_X26X_PRESETS,
        preset="medium",
        crf=17,
        fixed={
            "threads": "4",
            "thread_type": "frame",
            "x264-params": "open-gop=0:lookahead-threads=1:mbtree=0",
        },
    ),
    Encoder(
        codec="hevc",
        name="libx265",
        pixel_formats={8: "yuv420p", 10: "yuv420p10le"},
        sides_px=(16, 16384),
        presets=_X26X_PRESETS,
        preset="medium",
        crf=18,
        fixed={"x265-params": "open-gop=0:pools=4:frame-threads=2:info=0:log-level=error"},
    ),
    # Refresh type 2: every keyframe starts a closed group of pictures.
    Encoder(
        codec="av1",
        name="libsvtav1",
        pixel_formats={8: "yuv420p", 10: "yuv420p10le"},
        sides_px=(4, 16384),
        presets=tuple(str(number) for number in range(14)),
        preset="6",
        crf=20,
        worst_crf=63,
        odd_sizes=True,
        fixed={"svtav1-params": "lp=2:irefresh-type=2"},
    ),
    # RGB: what the networks made is kept to the last bit. Version 3 of RFC 9043 with checksums
    # and nothing but keyframes is what archives ask for.
    Encoder(
        codec="ffv1",
        name="ffv1",
        pixel_formats={8: "bgr0", 10: "gbrp10le", 12: "gbrp12le", 16: "gbrp16le"},
        sides_px=(1, 65535),
        odd_sizes=True,
        fixed={"level": "3", "g": "1", "coder": "1", "context": "1", "slicecrc": "1"},
    ),
    # Editors expect the vendor mark of the first maker of this format.
    Encoder(
        codec="prores",
        name="prores_ks",
        pixel_formats={10: "yuv422p10le"},
        sides_px=(1, 65535),
        presets=_PRORES_PROFILES,
        preset="hq",
        preset_option="profile",
        odd_sizes=True,
        fixed={"vendor": "apl0"},
    ),
)


def _nvenc(codec: str, depths: Mapping[int, str], most_px: int, cq: int) -> Encoder:
    return Encoder(
        codec=codec,
        name=f"{codec}_nvenc",
        pixel_formats=depths,
        sides_px=(192, most_px),
        presets=_NVENC_PRESETS,
        preset="p5",
        crf=cq,
        crf_option="cq",
        fixed={"tune": "hq", "rc": "vbr", "b": "0"},
    )


_NVENC = (
    _nvenc("h264", {8: "yuv420p"}, 4096, 19),
    _nvenc("hevc", {8: "yuv420p", 10: "p010le"}, 8192, 20),
    _nvenc("av1", {8: "yuv420p", 10: "p010le"}, 8192, 24),
)


def encoder_of(codec: str, *, nvenc: bool = False) -> Encoder:
    """The encoder of a codec, in software or on an NVIDIA GPU. Raises ValueError."""
    table = _NVENC if nvenc else _SOFTWARE
    found = next((encoder for encoder in table if encoder.codec == codec), None)
    if found is None:
        known = ", ".join(encoder.codec for encoder in table)
        where = "NVENC" if nvenc else "the software encoders"
        raise ValueError(f"{where} cannot write {codec} (known: {known})")
    return found


@functools.cache
def nvenc_available(codec: str) -> bool:
    """Whether this machine's GPU and driver can encode ``codec``: tried out with one frame."""
    try:
        encoder = encoder_of(codec, nvenc=True)
        context = cast(av.VideoCodecContext, av.CodecContext.create(encoder.name, "w"))
        context.width, context.height, context.pix_fmt = 256, 256, encoder.pixel_formats[8]
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        frame = av.VideoFrame(256, 256, context.pix_fmt)
        frame.pts = 0
        return bool([*context.encode(frame), *context.encode(None)])
    except (ValueError, av.FFmpegError):
        return False


def _ffv1_slices(size: tuple[int, int]) -> str:
    """Slices decode in parallel and limit what a damaged byte can cost; FFmpeg takes few counts."""
    if min(size) < 16:
        return "1"
    return "4" if size[0] * size[1] < 640 * 480 else "16"

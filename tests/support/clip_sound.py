"""The sound and subtitle streams of test clips: tones with a beat, lines that say their time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition

__all__ = ["LANGUAGES", "add_audio", "add_subtitles", "beats"]

LANGUAGES = ("eng", "deu", "fra", "jpn")
_RATE_HZ = 48000
_BEAT_S = 0.5
# Container suffix → how it stores text subtitles; everywhere else as SubRip.
_TEXT_CODEC = {".mp4": "mov_text", ".mov": "mov_text", ".m4v": "mov_text", ".webm": "webvtt"}


def beats(duration_s: float, pitch_hz: float, rate_hz: int = _RATE_HZ) -> np.ndarray:
    """A quiet tone that is loud for 60 ms every half second: (N,) float32 in [-1, 1]."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    loud = np.where(time_s % _BEAT_S < 0.06, 0.6, 0.1)
    return (loud * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)


def add_audio(
    output: OutputContainer,
    codecs: Sequence[str],
    begin_s: Fraction,
    duration_s: Fraction,
    tones: bool,
) -> list[av.Packet]:
    """A mono stream for every codec, a fifth apart, each in a language of its own."""
    packets: list[av.Packet] = []
    for number, codec in enumerate(codecs):
        # FFmpeg's own Vorbis encoder counts as experimental and knows stereo only.
        options = {"strict": "experimental"} if codec == "vorbis" else {}
        stream = cast(av.AudioStream, output.add_stream(codec, rate=_RATE_HZ, options=options))
        layout = "stereo" if codec == "vorbis" else "mono"
        stream.codec_context.layout = layout
        stream.codec_context.thread_count = 1
        _label(stream, number, f"Sound {number + 1}")
        wave = beats(float(duration_s), 330.0 * 1.5**number)
        wave = wave if tones else np.zeros_like(wave)
        if codec == "vorbis":
            wave = np.repeat(wave[None], 2, axis=0)
        samples = np.atleast_2d(np.rint(wave * 32767).astype(np.int16))
        first = round(begin_s * _RATE_HZ)
        for start in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, "s16p", layout)
            frame.sample_rate, frame.time_base = _RATE_HZ, Fraction(1, _RATE_HZ)
            frame.pts = first + start
            packets += stream.encode(frame)
        packets += stream.encode(None)
    return packets


def add_subtitles(
    output: OutputContainer, suffix: str, count: int, begin_s: Fraction, end_s: Fraction
) -> list[av.Packet]:
    """``count`` text streams with a line every half second."""
    codec = _TEXT_CODEC.get(suffix, "subrip")
    packets = []
    for number in range(count):
        stream = output.add_mux_stream(codec, time_base=Fraction(1, 1000))
        _label(stream, number, f"Text {number + 1}")
        for line, start_ms in enumerate(range(round(begin_s * 1000), round(end_s * 1000), 500)):
            packets.append(_text(codec, f"Line {line + 1} of {LANGUAGES[number]}", start_ms))
            packets[-1].stream = stream
    return packets


def _text(codec: str, line: str, start_ms: int) -> av.Packet:
    data = line.encode()
    if codec == "mov_text":  # a text sample begins with its length
        data = len(data).to_bytes(2, "big") + data
    packet = av.Packet(data)
    packet.pts = packet.dts = start_ms
    packet.duration = 400
    packet.time_base = Fraction(1, 1000)
    packet.is_keyframe = True
    return packet


def _label(stream: av.stream.Stream, number: int, title: str) -> None:
    stream.metadata["language"] = LANGUAGES[number]
    stream.metadata["title"] = title
    stream.disposition = Disposition.default if number == 0 else Disposition(0)

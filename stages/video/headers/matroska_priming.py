"""Telling Matroska how many of a sound's first samples are not to be heard.

Encoders of sound begin with priming samples. MP4 skips them by an edit list, Matroska by the
CodecDelay element (RFC 9559, section 5.1.4.1.25), which FFmpeg writes from a stream parameter
that its MP4 reader leaves empty and PyAV does not let us set. FFmpeg's Matroska reader does set
it, so a stream with the right parameter is read from a Matroska header made here.
"""

from __future__ import annotations

import io
import struct

import av
from av.container import InputContainer

__all__ = ["CODEC_IDS", "primed_audio"]

# Codecs that are primed in MP4 files → what Matroska calls them. Opus has its own field.
CODEC_IDS = {
    "aac": "A_AAC",
    "mp3": "A_MPEG/L3",
    "mp2": "A_MPEG/L2",
    "ac3": "A_AC3",
    "eac3": "A_EAC3",
}
_NANOSECONDS = 10**9


def primed_audio(stream: av.AudioStream, samples: int) -> InputContainer:
    """A container whose only stream is like ``stream``, with ``samples`` of priming.

    The codec must be one of ``CODEC_IDS``. The caller closes the container.
    """
    context = stream.codec_context
    delay_ns = round(samples * _NANOSECONDS / context.sample_rate)
    audio = _element("B5", struct.pack(">d", context.sample_rate))
    audio += _element("9F", _number(context.channels))
    entry = b"".join(
        (
            *(_element("D7", _number(1)), _element("73C5", _number(1))),  # track number and UID
            _element("83", _number(2)),  # kind: sound
            _element("86", CODEC_IDS[context.codec.canonical_name].encode()),
            _element("63A2", context.extradata) if context.extradata else b"",
            _element("56AA", _number(delay_ns)),
            _element("E1", audio),
        )
    )
    # One tick of a Matroska clock is usually a million nanoseconds.
    info = _element("1549A966", _element("2AD7B1", _number(1_000_000)))
    tracks = _element("1654AE6B", _element("AE", entry))
    # Its reader stops only at the first cluster.
    cluster = _element("1F43B675", _element("E7", _number(0)))
    kind = (
        _element("4282", b"matroska") + _element("4287", _number(4)) + _element("4285", _number(2))
    )
    file = _element("1A45DFA3", kind) + _element("18538067", info + tracks + cluster)
    return av.open(io.BytesIO(file), "r", format="matroska")


def _element(identifier: str, content: bytes) -> bytes:
    """An EBML element (RFC 8794) whose size takes eight bytes."""
    return bytes.fromhex(identifier) + (len(content) | 1 << 56).to_bytes(8, "big") + content


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")

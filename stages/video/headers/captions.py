"""Closed captions inside the frames of a film (ATSC A/53 part 4, CEA-608 and CEA-708).

FFmpeg's decoders hand them over beside each picture, whether they came in the user data of MPEG-2
or in messages of H.264, HEVC and AV1. PyAV cannot hand them on to an encoder, so the message that
holds them is put into the packets it returns (ANSI/SCTE 128-1, section 8.1; ITU-T H.264, annex D;
AV1 bitstream specification, section 5.8.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import av
from av.sidedata.sidedata import SideData, Type

__all__ = ["CAPTION_CODECS", "captions_lost", "captions_of", "with_captions"]

CAPTION_CODECS = frozenset({"av1", "h264", "hevc"})
"""Codecs of a result that take them."""

# The header of a unit of messages, and which kinds of unit hold a picture.
_MESSAGES = {"h264": b"\x06", "hevc": b"\x4e\x01"}
_START = b"\0\0\0\1"
# user_data_registered_itu_t_t35 of H.264 and HEVC; METADATA_TYPE_ITUT_T35 of AV1.
_REGISTERED = 4
_METADATA_OBU = 5 << 3 | 2  # which says its size
_ATSC_CAPTIONS = b"\xb5\x00\x31GA94\x03"
_PROCESS, _MARKER = 0x40, b"\xff"
# Three bytes each: kind, and two of the caption. The count has five bits.
_MOST_TRIPLETS = 31
_TRAILING = b"\x80"


def captions_of(picture: av.VideoFrame) -> bytes:
    """``cc_data`` of a decoded picture: three bytes for every pair of caption bytes; else empty."""
    try:
        sides = tuple(cast(Iterable[SideData], picture.side_data))
    except ValueError:  # of a kind that PyAV does not know
        return b""
    return b"".join(bytes(side) for side in sides if side.type is Type.A53_CC)


def captions_lost(codec: str) -> str:
    """A line about a film whose captions a result in ``codec`` does not take."""
    fitting = ", ".join(sorted(CAPTION_CODECS))
    return f"closed captions inside its frames are not kept in {codec}; these take them: {fitting}"


def with_captions(codec: str, packet: av.Packet, captions: bytes) -> av.Packet:
    """The packet of an encoder (Annex B or OBUs with sizes), ``captions`` before its picture."""
    if not captions:
        return packet
    data = bytes(packet)
    if codec == "av1":
        at, message = _frame_at(data), _metadata(captions)
    else:
        at, message = _picture_at(codec, data), _START + _unit(codec, captions)
    longer = av.Packet(data[:at] + message + data[at:])
    longer.pts, longer.dts, longer.time_base = packet.pts, packet.dts, packet.time_base
    longer.duration, longer.stream = packet.duration, packet.stream
    longer.is_keyframe = packet.is_keyframe
    return longer


def _messages(captions: bytes) -> Iterator[bytes]:
    """As many as these captions take, each shorter than 128 bytes."""
    for first in range(0, len(captions), 3 * _MOST_TRIPLETS):
        some = captions[first : first + 3 * _MOST_TRIPLETS]
        head = bytes([_PROCESS | len(some) // 3, 0])
        yield _ATSC_CAPTIONS + head + some + _MARKER


def _unit(codec: str, captions: bytes) -> bytes:
    """A NAL unit of all messages."""
    messages = (bytes([_REGISTERED, len(each)]) + each for each in _messages(captions))
    return _MESSAGES[codec] + _escaped(b"".join(messages) + _TRAILING)


def _metadata(captions: bytes) -> bytes:
    """An OBU with its size for each message."""
    units = (bytes([_REGISTERED]) + each + _TRAILING for each in _messages(captions))
    return b"".join(bytes([_METADATA_OBU, len(each)]) + each for each in units)


def _frame_at(data: bytes) -> int:
    """Where the first OBU lies that is neither a temporal delimiter nor a sequence header."""
    at = 0
    while at < len(data) and data[at] >> 3 & 15 in (1, 2):
        place, size, shift = at + 1 + (data[at] >> 2 & 1), 0, 0
        while data[place] & 0x80:
            size, shift, place = size | (data[place] & 0x7F) << shift, shift + 7, place + 1
        at = place + 1 + (size | data[place] << shift)
    return at


def _escaped(content: bytes) -> bytes:
    """With a 3 after every two zeros that a start code could be seen in (7.4.1)."""
    done, zeros = bytearray(), 0
    for byte in content:
        if zeros == 2 and byte <= 3:
            done.append(3)
            zeros = 0
        done.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(done)


def _picture_at(codec: str, data: bytes) -> int:
    """Where the start code of the first unit lies that holds a part of the picture."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        kind = data[at + 3] & 31 if codec == "h264" else data[at + 3] >> 1 & 63
        if 1 <= kind <= 5 if codec == "h264" else kind < 32:
            return at - 1 if at and data[at - 1] == 0 else at
        at = data.find(b"\0\0\1", at + 3)
    return 0

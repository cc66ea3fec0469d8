"""The parameter sets of H.264 and HEVC, when the parts of a film do not share them.

A container keeps one set for the whole stream. Parts that were encoded by different versions of
an encoder, or with other settings after a resume, have different ones; then each keyframe must
bring those of its part (ISO/IEC 14496-15: sample entries avc3 and hev1).
"""

from __future__ import annotations

from collections.abc import Iterator

import av

__all__ = ["IN_BAND_TAGS", "parameter_sets", "with_parameter_sets"]

IN_BAND_TAGS = {"h264": "avc3", "hevc": "hev1"}
_HVCC_ARRAYS_AT = 22


def parameter_sets(codec: str, configuration: bytes) -> bytes:
    """The NAL units of an MP4 configuration record, each behind its length in four bytes.

    ``configuration``: an AVCDecoderConfigurationRecord or HEVCDecoderConfigurationRecord. FFmpeg
    writes samples with lengths of four bytes, so these bytes can stand before any of them.
    """
    units = _avc_units(configuration) if codec == "h264" else _hevc_units(configuration)
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


def with_parameter_sets(packet: av.Packet, sets: bytes) -> av.Packet:
    """The packet, behind ``sets`` if it is a keyframe and there are any."""
    if not sets or not packet.is_keyframe:
        return packet
    longer = av.Packet(sets + bytes(packet))
    longer.is_keyframe = True
    return longer


def _avc_units(record: bytes) -> Iterator[bytes]:
    # Five bytes of profile and level, the number of SPS in five bits, later that of the PPS.
    at = 5
    for mask in (0x1F, 0xFF):
        count, at = record[at] & mask, at + 1
        for _ in range(count):
            unit, at = _unit(record, at)
            yield unit


def _hevc_units(record: bytes) -> Iterator[bytes]:
    arrays, at = record[_HVCC_ARRAYS_AT], _HVCC_ARRAYS_AT + 1
    for _ in range(arrays):
        count, at = int.from_bytes(record[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            unit, at = _unit(record, at)
            yield unit


def _unit(record: bytes, at: int) -> tuple[bytes, int]:
    """The NAL unit whose length stands at ``at``, and where the next thing begins."""
    start = at + 2
    end = start + int.from_bytes(record[at:start], "big")
    return record[start:end], end

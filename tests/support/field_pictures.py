"""An interlaced H.264 film whose two fields are packets of their own, as broadcasters code them.

No encoder at hand writes field pictures, so the few syntax elements of a picture made of
uncompressed macroblocks (I_PCM) are written out here (ITU-T H.264, 7.3).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

__all__ = ["field_clip"]

_WIDTH, _HEIGHT = 64, 64
_IDR_EVERY = 4
_FIELDS_A_SECOND = 50


def field_clip(path: Path, frames: int = 8) -> Path:
    """Write ``frames`` interlaced frames, top field first, 64 by 64, 25 a second; returns path.

    Every fourth frame is a keyframe. The luma of field f is flat, 16 + 5 f.
    """
    clock = Fraction(1, 90000)
    with av.open(str(path), "w") as output:
        stream = output.add_mux_stream("h264", rate=25, width=_WIDTH, height=_HEIGHT)
        stream.time_base = clock
        for number in range(2 * frames):
            packet = av.Packet(_field(number))
            packet.pts = packet.dts = 90000 + number * 90000 // _FIELDS_A_SECOND
            packet.duration = 90000 // _FIELDS_A_SECOND
            packet.time_base = clock
            packet.is_keyframe = number % (2 * _IDR_EVERY) == 0
            packet.stream = stream
            output.mux(packet)
    return path


def _field(number: int) -> bytes:
    """The access unit of one field, in Annex B form."""
    frame, bottom = divmod(number, 2)
    place = frame % _IDR_EVERY
    idr = place == 0 and not bottom
    units = [_nal(9, "111" + "10000")]  # access unit delimiter
    if idr:
        units += [_nal(7, _sequence()), _nal(8, _picture_set())]
    bits = _ue(0) + _ue(7) + _ue(0)  # first macroblock, I slices only, picture parameter set 0
    bits += f"{place:04b}" + "1" + str(bottom)  # frame_num, field_pic_flag, bottom_field_flag
    bits += _ue(frame // _IDR_EVERY % 2) if idr else ""
    bits += f"{2 * place + bottom:08b}"  # pic_order_cnt_lsb
    bits += "00" if idr else "0"  # dec_ref_pic_marking
    bits += _ue(0) + _ue(1)  # slice_qp_delta, no deblocking
    luma = np.full(256, 16 + 5 * number, np.uint8).tobytes()
    block = luma + np.full(128, 128, np.uint8).tobytes()
    data = b""
    for _ in range(_WIDTH // 16 * (_HEIGHT // 32)):
        bits += _ue(25)  # I_PCM
        bits += "0" * (-len(bits) % 8)
        data, bits = data + _bytes(bits) + block, ""
    units.append(_nal(5 if idr else 1, "", data))
    return b"".join(units)


def _sequence() -> str:
    bits = f"{77:08b}{0:08b}{30:08b}" + _ue(0)  # Main profile, level 3
    bits += _ue(0) + _ue(0) + _ue(4)  # 4 bits of frame_num, order type 0, 8 bits of order count
    bits += _ue(2) + "0" + _ue(_WIDTH // 16 - 1) + _ue(_HEIGHT // 32 - 1)
    return bits + "0" + "0" + "1" + "0" + "0"  # fields allowed, no MBAFF, direct 8×8, no crop, VUI


def _picture_set() -> str:
    bits = _ue(0) + _ue(0) + "0" + "0" + _ue(0) + _ue(0) + _ue(0) + "0" + "00"
    return bits + _ue(0) + _ue(0) + _ue(0) + "1" + "0" + "0"  # deblocking control present


def _nal(kind: int, bits: str, data: bytes = b"") -> bytes:
    """A NAL unit with start code and stop bit; three bytes in a row are kept from looking so."""
    bits += "1"
    payload = data + _bytes(bits + "0" * (-len(bits) % 8))
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(byte)
    return b"\0\0\0\1" + bytes([0x60 | kind if kind != 9 else kind]) + bytes(escaped)


def _ue(value: int) -> str:
    """Unsigned Exp-Golomb code (9.1)."""
    code = f"{value + 1:b}"
    return "0" * (len(code) - 1) + code


def _bytes(bits: str) -> bytes:
    return int(bits, 2).to_bytes(len(bits) // 8, "big") if bits else b""

"""What the headers of one H.264 packet say: can decoding start here, and is it half a frame.

Containers flag as keyframes also pictures from which an intra refresh only begins, and an AVI
without an index flags everything; an interlaced film may hold the two fields of a frame in packets
of their own. Only the headers tell. Syntax: ITU-T H.264 (08/2021), 7.3; a few bytes a packet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_SLICE, _PARTITION_A, _IDR, _SEI, _SPS, _PPS = 1, 2, 5, 6, 7, 8
_RECOVERY_POINT = 6
_INTRA_SLICES = frozenset({2, 4, 7, 9})  # I and SI; from 5 on: all slices of the picture
# Profiles whose sequence parameter set has chroma_format_idc and scaling matrices (7.3.2.1.1).
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})


@dataclass(frozen=True)
class H264Picture:
    """The first slice of a packet.

    ``starts``: every frame shown from here on can be decoded when decoding begins here.
    ``field``: the parity of a field, None for a frame. ``frame_number``: ``frame_num``, the same
    for the two fields of a frame.
    """

    starts: bool
    field: int | None
    frame_number: int


@dataclass(frozen=True)
class _Sequence:
    frame_number_bits: int
    frames_only: bool
    separate_planes: bool
    intra_only: bool


class H264Headers:
    """Reads packets in decoding order and remembers their parameter sets.

    ``extradata``: of the stream, an ``avcC`` record, Annex B or nothing.
    """

    def __init__(self, extradata: bytes | None) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._pictures: dict[int, int] = {}
        self._length_size = 0
        if extradata and extradata[0] == 1 and len(extradata) > 6:
            self._length_size = (extradata[4] & 3) + 1
            self._read_record(extradata)
        elif extradata:
            self.read(extradata)

    @property
    def frames_only(self) -> bool:
        """Whether every sequence seen so far rules out fields in packets of their own."""
        return bool(self._sequences) and all(s.frames_only for s in self._sequences.values())

    def read(self, data: bytes) -> H264Picture | None:
        """The picture that ``data``, a packet or its beginning, starts; None without one."""
        return self._read_units(nal_units(data, self._length_size))

    def _read_units(self, units: Iterable[bytes]) -> H264Picture | None:
        recovery: int | None = None
        for unit in units:
            kind = unit[0] & 31
            try:
                if kind == _SPS:
                    self._add_sequence(unit)
                elif kind == _PPS:
                    bits = BitReader(unit[1:])
                    self._pictures[bits.golomb()] = bits.golomb()
                elif kind == _SEI:
                    recovery = _recovery_point(unit, recovery)
                elif kind in (_SLICE, _PARTITION_A, _IDR):
                    return self._picture(unit, kind == _IDR, recovery)
            except IndexError:  # damaged: the decoder will say what it makes of it
                return None
        return None

    def _read_record(self, record: bytes) -> None:
        """Parameter sets of an ``avcC`` record (ISO/IEC 14496-15, 5.3.3.1)."""
        sequences, place = record[5] & 31, 6
        for _ in range(sequences):
            place = self._read_entry(record, place)
        if place < len(record):
            pictures, place = record[place], place + 1
            for _ in range(pictures):
                place = self._read_entry(record, place)

    def _read_entry(self, record: bytes, place: int) -> int:
        size = int.from_bytes(record[place : place + 2], "big")
        unit = record[place + 2 : place + 2 + size]
        self._read_units([unit] if unit else [])
        return place + 2 + size

    def _picture(self, unit: bytes, idr: bool, recovery: int | None) -> H264Picture:
        bits = BitReader(unit[1:40])
        bits.golomb()  # first_mb_in_slice
        intra = bits.golomb() in _INTRA_SLICES
        sequence = self._sequences.get(self._pictures.get(bits.golomb(), -1))
        starts = idr or (intra and recovery == 0)
        if sequence is None:
            return H264Picture(starts, None, 0)
        starts = starts or (intra and sequence.intra_only)
        if sequence.separate_planes:
            bits.take(2)
        number = bits.take(sequence.frame_number_bits)
        field = None
        if not sequence.frames_only and bits.take(1):
            field = bits.take(1)
        return H264Picture(starts, field, number)

    def _add_sequence(self, unit: bytes) -> None:
        bits = BitReader(unit[1:])
        profile, constraints = bits.take(8), bits.take(8)
        bits.take(8)  # level_idc
        number = bits.golomb()
        separate = False
        if profile in _HIGH_PROFILES:
            chroma_format = bits.golomb()
            separate = chroma_format == 3 and bool(bits.take(1))
            bits.golomb()  # bit_depth_luma_minus8
            bits.golomb()  # bit_depth_chroma_minus8
            bits.take(1)  # qpprime_y_zero_transform_bypass_flag
            if bits.take(1):
                _skip_scaling_lists(bits, 12 if chroma_format == 3 else 8)
        frame_number_bits = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()  # log2_max_pic_order_cnt_lsb_minus4
        elif order == 1:
            bits.take(1)  # delta_pic_order_always_zero_flag
            bits.golomb()  # offset_for_non_ref_pic
            bits.golomb()  # offset_for_top_to_bottom_field
            for _ in range(bits.golomb()):
                bits.golomb()  # offset_for_ref_frame
        bits.golomb()  # max_num_ref_frames
        bits.take(1)  # gaps_in_frame_num_value_allowed_flag
        bits.golomb()  # pic_width_in_mbs_minus1
        bits.golomb()  # pic_height_in_map_units_minus1
        frames_only = bool(bits.take(1))
        # Intra profiles: CAVLC 4:4:4 Intra, and High 10, 4:2:2 and 4:4:4 with constraint_set3.
        intra_only = profile == 44 or (profile in (110, 122, 244) and bool(constraints & 0x10))
        self._sequences[number] = _Sequence(frame_number_bits, frames_only, separate, intra_only)


class BitReader:
    """Bits of a NAL unit's payload, without the emulation prevention bytes (7.4.1).

    Reading past the end raises IndexError.
    """

    def __init__(self, payload: bytes) -> None:
        data = payload.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits as an unsigned number."""
        self._left -= count
        if self._left < 0:
            raise IndexError("past the end of a NAL unit")
        return (self._value >> self._left) & ((1 << count) - 1)

    def golomb(self) -> int:
        """The next Exp-Golomb code (9.1), unsigned; a signed one is read past in the same way."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def nal_units(data: bytes, length_size: int) -> Iterator[bytes]:
    """The NAL units of a packet, not empty; ``length_size``: bytes of their lengths, 0 in Annex B.

    The last one may be cut where ``data`` is only the beginning of a packet.
    """
    if length_size:
        place = 0
        while place + length_size < len(data):
            size = int.from_bytes(data[place : place + length_size], "big")
            place += length_size
            if size:
                yield data[place : place + size]
            place += size
        return
    start = data.find(b"\0\0\1")
    while start >= 0:
        stop = data.find(b"\0\0\1", start + 3)
        unit = data[start + 3 : stop if stop >= 0 else len(data)]
        if unit:
            yield unit
        start = stop


def _recovery_point(unit: bytes, before: int | None) -> int | None:
    """``recovery_frame_cnt`` of an SEI unit (D.1.8), else ``before``."""
    data = unit[1:].replace(b"\0\0\3", b"\0\0")
    place = 0
    while place + 2 < len(data):
        kind, place = _sum_of_bytes(data, place)
        size, place = _sum_of_bytes(data, place)
        if kind == _RECOVERY_POINT:
            return BitReader(data[place : place + size]).golomb()
        place += size
    return before


def _sum_of_bytes(data: bytes, place: int) -> tuple[int, int]:
    """A number written as bytes of 255 and a last smaller one, and the place behind it."""
    total = 0
    while data[place] == 255:
        total, place = total + 255, place + 1
    return total + data[place], place + 1


def _skip_scaling_lists(bits: BitReader, count: int) -> None:
    for index in range(count):
        if not bits.take(1):
            continue
        last = following = 8
        for _ in range(16 if index < 6 else 64):
            if following:
                code = bits.golomb()
                delta = (code + 1) // 2 if code % 2 else -(code // 2)
                following = (last + delta) % 256
            last = following or last

"""Which packets give a frame of their own, and at which of them decoding can start.

The container's word alone is not enough: an AVI without an index calls every packet of some codecs
a keyframe, H.264 streams call the beginning of an intra refresh one, and VP8, VP9 and interlaced
H.264 have packets that show nothing new. The codec's own headers decide where they are read here.
"""

from __future__ import annotations

from dataclasses import dataclass

import av

from restore_batch.stages.video.headers.h264 import H264Headers, H264Picture, nal_units

# Enough for parameter sets, captions and the first slice header of a packet that is no keyframe.
_HEADER_BYTES = 4096
_INTRA_PICTURE = 1  # picture_coding_type of ISO/IEC 13818-2, 6.3.9
# Microsoft's MPEG-4 relatives begin a picture with its type in so many bits, zero for intra.
_TYPE_BITS = {"msmpeg4v2": 2, "msmpeg4v3": 2, "wmv1": 2, "wmv2": 1}
# Of these FFmpeg's own AVI reader looks at the pictures.
_CHECKED_IN_AVI = frozenset({"mpeg4", "ffv1"})
_IRAP = range(16, 24)  # nal_unit_type of ITU-T H.265, table 7-1
_VOP = b"\0\0\1\xb6"  # vop_start_code of ISO/IEC 14496-2, 6.2.1


@dataclass(frozen=True)
class PacketRole:
    """``shown``: the packet gives a frame. ``starts``: decoding can begin at this packet, and
    every frame shown from its own on comes out right. ``second_field``: it completes the frame
    of the packet before it."""

    shown: bool
    starts: bool
    second_field: bool = False


class PacketRoles:
    """Tells the role of every packet of one stream, given in decoding order.

    ``packed``: a packet so far held several pictures, as DivX and XviD write B-frames into an AVI:
    the packet's times are not those of its pictures.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self.packed = False
        self._codec = stream.codec_context.codec.canonical_name
        extradata = stream.codec_context.extradata
        self._h264 = H264Headers(extradata) if self._codec == "h264" else None
        self._length_size = _hevc_length_size(extradata) if self._codec == "hevc" else 0
        self._open_field: H264Picture | None = None
        self._avi = stream.container.format.name == "avi"
        self._intra_only = stream.codec_context.codec.intra_only

    @property
    def trusts_keyframe_flags(self) -> bool:
        """Whether a container that calls every packet a keyframe is to be believed."""
        checked = ("h264", "hevc", "vp8", "vp9", "mpeg1video", "mpeg2video", *_TYPE_BITS)
        known = self._codec in checked or self._codec in _CHECKED_IN_AVI
        return self._intra_only or known or not self._avi

    def __call__(self, packet: av.Packet) -> PacketRole:
        if self._h264 is not None:
            return self._h264_role(self._h264, packet)
        if self._codec == "mpeg4" and not self.packed:
            self.packed = bytes(packet).count(_VOP) > 1
        shown = True
        if self._codec in ("vp8", "vp9"):
            shown = _vp8_shows(packet) if self._codec == "vp8" else _vp9_shows(packet)
        return PacketRole(shown, shown and packet.is_keyframe and self._starts(packet))

    def _starts(self, packet: av.Packet) -> bool:
        """Whether a packet that the container calls a keyframe is one, by its header."""
        if self._codec == "hevc":
            return _hevc_starts(bytes(packet), self._length_size)
        if self._codec in ("mpeg1video", "mpeg2video"):
            return _mpeg_starts(bytes(packet))
        if self._codec in _TYPE_BITS:
            return _first_byte(packet) >> (8 - _TYPE_BITS[self._codec]) == 0
        return True

    def _h264_role(self, headers: H264Headers, packet: av.Packet) -> PacketRole:
        if packet.is_keyframe:
            picture = headers.read(bytes(packet))
        elif headers.frames_only:
            picture = None
        else:
            picture = headers.read(bytes(memoryview(packet)[:_HEADER_BYTES]))
        first, self._open_field = self._open_field, None
        if picture is None or picture.field is None:
            return PacketRole(True, packet.is_keyframe and picture is not None and picture.starts)
        if first is not None and _pair(first, picture):
            return PacketRole(shown=False, starts=False, second_field=True)
        self._open_field = picture
        return PacketRole(True, packet.is_keyframe and picture.starts)


def _pair(first: H264Picture, second: H264Picture) -> bool:
    """Whether the second field completes the frame of the first (7.4.1.2.4)."""
    return first.field != second.field and first.frame_number == second.frame_number


def _first_byte(packet: av.Packet) -> int:
    return memoryview(packet)[0]


def _vp8_shows(packet: av.Packet) -> bool:
    """``show_frame`` of the frame tag (RFC 6386, 9.1)."""
    return bool(_first_byte(packet) >> 4 & 1)


def _vp9_shows(packet: av.Packet) -> bool:
    """Whether one of the frames of a packet is shown (VP9 bitstream specification, 6.2, annex B).

    A superframe always ends with a frame that is shown.
    """
    if memoryview(packet)[-1] & 0xE0 == 0xC0:
        return True
    first = _first_byte(packet)
    profile = first >> 5 & 1 | first >> 3 & 2  # profile_low_bit, then profile_high_bit
    shift = 2 if profile == 3 else 3  # a reserved bit follows in profile 3
    if first >> shift & 1:  # show_existing_frame
        return True
    return bool(first >> (shift - 2) & 1)


def _hevc_length_size(extradata: bytes | None) -> int:
    """Bytes of a NAL unit's length by the ``hvcC`` record, 0 in Annex B."""
    if extradata is None or len(extradata) < 23 or extradata.startswith((b"\0\0\1", b"\0\0\0\1")):
        return 0
    return (extradata[21] & 3) + 1


def _hevc_starts(data: bytes, length_size: int) -> bool:
    kinds = (unit[0] >> 1 & 63 for unit in nal_units(data, length_size))
    return next((kind in _IRAP for kind in kinds if kind < 32), False)


def _mpeg_starts(data: bytes) -> bool:
    """Whether the first picture header is an I-picture's."""
    header = data.find(b"\0\0\1\0")
    return 0 <= header < len(data) - 5 and data[header + 5] >> 3 & 7 == _INTRA_PICTURE

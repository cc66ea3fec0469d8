"""Photo files of a few megabytes that ask for gigabytes, or for no end of work.

Each maker gives a whole file. Most hold a good picture, so that what is beside it is what costs.
"""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable, Mapping

import imagecodecs
import numpy as np
from PIL import Image

from restore_batch.stages.photo.metadata.png_chunks import SIGNATURE, chunk

from support.photo_files import encoded, photo

Maker = Callable[[], bytes]
_TIMES = 80


@functools.cache
def _zeros(size: int, value: bytes = b"\0") -> bytes:
    """Deflated, a thousandth of ``size``."""
    packer, block = zlib.compressobj(9), value * (1 << 20)
    start = packer.compress(b"") or b"x\xda"
    # Flushed like this a block stands for itself, and can be repeated as it is.
    first = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    repeated = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    check = 1
    for _ in range(size >> 20):
        check = zlib.adler32(block, check)
    start = b"" if first.startswith(start) else start
    count = (size >> 20) - 1
    return b"".join((start, first, repeated * count, b"\x03\0", check.to_bytes(4, "big")))


def _header(width: int, height: int, bits: int = 8, colour: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


def _png(*chunks: tuple[bytes, bytes], behind: bytes = b"") -> bytes:
    """A good picture with these chunks before its pixels."""
    data = encoded(Image.fromarray(photo()), "PNG")
    at = len(SIGNATURE) + 25
    return data[:at] + b"".join(chunk(*each) for each in chunks) + data[at:] + behind


def png_texts(name: bytes) -> bytes:
    """64 MiB a chunk, and no two with the same key."""
    packed = _zeros(64 << 20, b"x")
    between = b"\0\0" if name == b"zTXt" else b"\0\1\0\0\0"
    return _png(*((name, b"key%d" % n + between + packed) for n in range(_TIMES)))


def png_one_text(name: bytes, key: bytes) -> bytes:
    packed = _zeros(4 << 30, b"a")
    return _png((name, key + (b"\0\0" if name == b"zTXt" else b"\0\1\0\0\0") + packed))


def png_same_key() -> bytes:
    return _png(*[(b"tEXt", b"Comment\0" + b"x")] * 90_000)


def png_wide_characters() -> bytes:
    text = zlib.compress("\U0001f4a3".encode() * (15 << 20), 9)
    return _png(*((b"iTXt", b"k%d\0\1\0\0\0" % n + text) for n in range(20)))


def png_digits() -> bytes:
    """A raw profile of two digits and a space each."""
    packed = zlib.compress(b"\niptc\n 99999\n" + b"1c " * (60 << 20 >> 2), 9)
    return _png(*[(b"zTXt", b"Raw profile type iptc\0\0" + packed)] * 20)


def png_frames() -> bytes:
    frame = chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(4))
    data = _png((b"acTL", struct.pack(">II", 2**31 - 1, 0)))
    return data[:-12] + frame * 60_000 + data[-12:]


def png_deflated_pixels() -> bytes:
    body = _zeros(4 << 30)
    return SIGNATURE + b"".join(
        chunk(*each) for each in (_header(60, 40), (b"IDAT", body), (b"IEND", b""))
    )


def _jpeg(*segments: tuple[int, bytes], behind: bytes = b"", **options: object) -> bytes:
    data = encoded(Image.fromarray(photo()), "JPEG", **options)
    written = (struct.pack(">BBH", 0xFF, m, len(p) + 2) + p for m, p in segments)
    return data[:2] + b"".join(written) + data[2:] + behind


_XMP, _MORE_XMP = b"http://ns.adobe.com/xap/1.0/\0", b"http://ns.adobe.com/xmp/extension/\0"


def _packet(inner: bytes, attributes: bytes = b"") -> bytes:
    rdf = b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    meta = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    description = b'<rdf:Description rdf:about=""' + attributes + b">" + inner
    return meta + rdf + description + b"</rdf:Description></rdf:RDF></x:xmpmeta>"


def _long_xmp(inner: bytes) -> bytes:
    """In the main packet its link, in as many further segments as it takes its extension."""
    guid = b"0123456789ABCDEF" * 2
    link = b' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + guid + b'"'
    parts = [(0xE1, _XMP + _packet(b"", link))]
    for at in range(0, len(inner), 65000):
        place = guid + struct.pack(">II", len(inner), at)
        parts.append((0xE1, _MORE_XMP + place + inner[at : at + 65000]))
    return _jpeg(*parts)


def jpeg_extended_xmp() -> bytes:
    return _long_xmp(_packet(b"<a>" + b"x" * (200 << 20) + b"</a>"))


def jpeg_xmp_starts() -> bytes:
    """Each start of a list looks for an end that never comes."""
    return _long_xmp(b"<rdf:RDF>" * (3 << 20 >> 3))


def jpeg_xmp_blanks() -> bytes:
    blanks = b" " * (5 << 20)
    return _long_xmp(_packet(b"<a" + blanks + b"b='1'" + blanks + b"/>" + blanks))


def jpeg_xmp_names() -> bytes:
    return _long_xmp(_packet(b"<a>" + b"a" * (8 << 20) + b"</a>"))


def jpeg_xmp_depth() -> bytes:
    """Every element inherits the names of those around it."""
    spaces = b"".join(b' xmlns:n%d="u%d"' % (n, n) for n in range(2000))
    return _long_xmp(_packet(b"<a>" * 20_000 + b"</a>" * 20_000, spaces))


def jpeg_xmp_promises() -> bytes:
    """A hundred thousand things to cut out, each with a prefix of its own."""
    gain = b"http://ns.adobe.com/hdr-gain-map/1.0/"
    each = (b'<p%d:a xmlns:p%d="%s">x</p%d:a>' % (n, n, gain, n) for n in range(100_000))
    return _long_xmp(_packet(b"".join(each)))


def jpeg_xmp_entities() -> bytes:
    doctype = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    for before, after in zip(b"abcdefghi", b"bcdefghij", strict=True):
        doctype += b'<!ENTITY %c "%s">' % (after, b"&%c;" % before * 10)
    return _jpeg((0xE1, _XMP + doctype + b"]>" + _packet(b"&j;")))


def jpeg_segments(marker: int, start: bytes) -> bytes:
    return _jpeg(*[(marker, start.ljust(65000, b"x"))] * 3000)


def jpeg_small_segments() -> bytes:
    return _jpeg(*[(0xEC, b"Ducky")] * 2_000_000)


def jpeg_garbage() -> bytes:
    data = _jpeg()
    return data[:20] + bytes(40 << 20) + data[20:]


def jpeg_pictures_behind() -> bytes:
    return _jpeg(behind=b"\xff\xd8\xff\xd9" * (5 << 20))


def jpeg_samsung() -> bytes:
    rows = struct.pack("<HHII", 0, 0, 16, 16) * 1_000_000
    body = bytes(16) + b"SEFH" + struct.pack("<II", 1, 1_000_000) + rows
    return _jpeg(behind=body + struct.pack("<I", len(body) - 16) + b"SEFT")


def exif(entries: list[tuple[int, int, int, bytes]], tail: bytes = b"", link: int = 0) -> bytes:
    table = b"".join(struct.pack("<HHI", *row[:3]) + row[3].ljust(4, b"\0") for row in entries)
    start = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return start + table + struct.pack("<I", link) + tail


def _at(place: int) -> bytes:
    return struct.pack("<I", place)


def exif_circle() -> bytes:
    """Main and EXIF directory are each other's, and a thumbnail is to be cut off."""
    block = exif([(34665, 4, 1, _at(8)), (274, 3, 1, b"\6\0")], link=38)
    block += struct.pack("<H", 2) + struct.pack("<HHII", 513, 4, 1, 70)
    block += struct.pack("<HHII", 514, 4, 1, 60_000) + bytes(10_000)
    return _jpeg((0xE1, b"Exif\0\0" + block))


def exif_shared_values() -> bytes:
    """Four thousand tags of the same fifty kilobytes."""
    rows = [(1000 + n, 7, 12_000, _at(50_000)) for n in range(4000)]
    return _jpeg((0xE1, (b"Exif\0\0" + exif(rows, bytes(14_000)))[:65000]))


# --- TIFF --------------------------------------------------------------------------------------


def _tiff(entries: Mapping[int, tuple[int, int, bytes]], data: bytes = b"", link: int = 0) -> bytes:
    """One page whose values of more than four bytes lie in ``data``, which starts at byte 8."""
    table = b"".join(
        struct.pack("<HHI", code, *entries[code][:2]) + entries[code][2].ljust(4, b"\0")
        for code in sorted(entries)
    )
    data += b"\0" * (len(data) % 2)
    page = struct.pack("<H", len(entries)) + table + struct.pack("<I", link)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + page


def _grey(width: int, height: int, compression: int, **others: object) -> dict:
    number = struct.Struct("<I").pack
    return {
        256: (4, 1, number(width)),
        257: (4, 1, number(height)),
        258: (3, 1, b"\x08\0"),
        259: (3, 1, struct.pack("<H", compression)),
        262: (3, 1, b"\1\0"),
        277: (3, 1, b"\1\0"),
        278: (4, 1, number(height)),
    }


def tiff_packed_strip(compression: int, packed: bytes) -> bytes:
    entries = _grey(60, 40, compression)
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(len(packed)))}
    return _tiff(entries, packed)


def tiff_overlapping_strips() -> bytes:
    """Sixty thousand strips, each of the same four megabytes."""
    rows, packed = 60_000, _zeros(4 << 30)
    entries = _grey(60, rows, 8)
    data = packed + _at(8) * rows + _at(len(packed)) * rows
    entries[278] = (4, 1, _at(1))
    entries[273] = (4, rows, _at(8 + len(packed)))
    entries[279] = (4, rows, _at(8 + len(packed) + 4 * rows))
    return _tiff(entries, data)


def tiff_shared_tags() -> bytes:
    body = bytes(4 << 20)
    entries = _grey(60, 40, 1)
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(2400))}
    entries |= {30_000 + n: (7, len(body), _at(8)) for n in range(4000)}
    return _tiff(entries, body)


def tiff_wide_tags(code: int) -> bytes:
    """One tag with a value for each of sixteen million."""
    entries = _grey(60, 40, 1)
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(2400)), code: (3, 16 << 20, _at(8))}
    return _tiff(entries, b"\x08\0" * (16 << 20))


def tiff_many_strips() -> bytes:
    """Eight million strips, though one would do."""
    count = 8 << 20
    entries = _grey(60, 40, 1)
    entries |= {273: (4, count, _at(8)), 279: (4, count, _at(8))}
    return _tiff(entries, _at(8) * count)


def tiff_pages() -> bytes:
    """Ten thousand pages of four thousand tags, which overlap."""
    entries, step = 4000, 64
    pages = 9_900
    body = bytearray(8 + pages * step + entries * 12 + 64)
    body[:8] = b"II*\0" + struct.pack("<I", 8)
    # A byte pattern that reads as a count of 4,000 at each page, and links that go on.
    for index in range(pages):
        at = 8 + index * step
        struct.pack_into("<H", body, at, entries)
        struct.pack_into("<I", body, at + 2 + entries * 12, at + step)
    return bytes(body)


def tiff_circle() -> bytes:
    entries = _grey(60, 40, 1) | {273: (4, 1, _at(8)), 279: (4, 1, _at(2400))}
    data = bytes(2400)
    return _tiff(entries, data, link=8 + len(data))


def tiff_large_tile() -> bytes:
    packed = zlib.compress(bytes(100), 9)
    entries = _grey(60, 40, 8)
    del entries[278]
    entries |= {322: (4, 1, _at(60_000)), 323: (4, 1, _at(60_000))}
    entries |= {324: (4, 1, _at(8)), 325: (4, 1, _at(len(packed)))}
    return _tiff(entries, packed)


def tiff_large_inside(compression: int, picture: bytes) -> bytes:
    """A strip of 60x40 pixels that is a picture of hundreds of millions."""
    entries = _grey(60, 40, compression)
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(len(picture)))}
    return _tiff(entries, picture)


def _large(encode: Callable[..., bytes], **options: object) -> bytes:
    return bytes(encode(np.zeros((20_000, 30_000), np.uint8), **options))


def _large_webp() -> bytes:
    return bytes(imagecodecs.webp_encode(np.zeros((16_000, 16_000, 3), np.uint8), method=0))


def _jpeg_of_any_size() -> bytes:
    data = bytearray(encoded(Image.fromarray(photo()[..., 0]), "JPEG"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def tiff_channels() -> bytes:
    """Every channel shares one strip of zeros."""
    entries = _grey(15_000, 15_000, 8)
    entries[277] = (3, 1, struct.pack("<H", 60))
    packed = _zeros(64 << 20)
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(len(packed)))}
    return _tiff(entries, packed)


def tiff_old_jpeg_tags() -> bytes:
    """For libtiff: tags that share megabytes beside pixels that only it reads."""
    bits = struct.pack("<3H", 8, 8, 8)
    body = bits + bytes(4 << 20)
    entries = _grey(60, 40, 6)
    entries |= {258: (3, 3, _at(8)), 277: (3, 1, b"\3\0")}
    entries[262] = (3, 1, b"\6\0")
    entries |= {273: (4, 1, _at(8)), 279: (4, 1, _at(2400))}
    entries |= {40_000 + n: (7, len(body), _at(8)) for n in range(400)}
    return _tiff(entries, body)


# --- boxes -------------------------------------------------------------------------------------


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def _jp2(*boxes: bytes, picture: np.ndarray | None = None) -> bytes:
    codestream = bytes(
        imagecodecs.jpeg2k_encode(photo() if picture is None else picture, codecformat="j2k")
    )
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    header = box(b"ihdr", struct.pack(">IIHBBBB", 40, 60, 3, 7, 7, 0, 0))
    header += box(b"colr", b"\1\0\0" + struct.pack(">I", 16))
    return start + box(b"jp2h", header) + b"".join(boxes) + box(b"jp2c", codestream)


def jp2_nested() -> bytes:
    body = b""
    for _ in range(30_000):
        body = box(b"res ", body)
    return _jp2(body)


def jp2_palette() -> bytes:
    """One channel that its palette makes 255."""
    codestream = bytes(
        imagecodecs.jpeg2k_encode(np.zeros((12_000, 12_000), np.uint8), codecformat="j2k")
    )
    start = b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    header = box(b"ihdr", struct.pack(">IIHBBBB", 12_000, 12_000, 1, 7, 7, 0, 0))
    header += box(b"colr", b"\1\0\0" + struct.pack(">I", 17))
    header += box(b"pclr", struct.pack(">HB", 1, 255) + b"\7" * 255 + b"\0" * 255)
    header += box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, n) for n in range(255)))
    return start + box(b"jp2h", header) + box(b"jp2c", codestream)


def jp2_components() -> bytes:
    """A header of 16,384 channels before the data of one."""
    siz = struct.pack(">HIIIIIIIIH", 0, 15_000, 15_000, 0, 0, 15_000, 15_000, 0, 0, 16_384)
    siz += b"\7\1\1" * 16_384
    return b"\xff\x4f\xff\x51" + struct.pack(">H", (len(siz) + 2) & 0xFFFF) + siz


def _jxl(*boxes: bytes) -> bytes:
    codestream = bytes(imagecodecs.jpegxl_encode(photo(), lossless=True))
    codestream = codestream if codestream[:2] == b"\xff\x0a" else _codestream_of(codestream)
    start = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return start + b"".join(boxes) + box(b"jxlc", codestream)


def _codestream_of(data: bytes) -> bytes:
    at = data.index(b"jxlc")
    return data[at + 4 : at - 4 + int.from_bytes(data[at - 4 : at], "big")]


def jxl_brob() -> bytes:
    packed = bytes(imagecodecs.brotli_encode(bytes(1 << 30), level=5))
    return _jxl(*[box(b"brob", b"xml " + packed)] * 20)


def _webp(*chunks: tuple[bytes, bytes]) -> bytes:
    coded = encoded(Image.fromarray(photo()), "WEBP", lossless=True)[12:]
    size = (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + b"\x2c\0\0\0" + size + coded
    body += b"".join(n + struct.pack("<I", len(d)) + d + bytes(len(d) % 2) for n, d in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_frames() -> bytes:
    frame = bytes(6) + (9).to_bytes(3, "little") * 2 + bytes(4)
    coded = encoded(Image.fromarray(photo(10, 10)), "WEBP", lossless=True)[12:]
    each = b"ANMF" + struct.pack("<I", len(frame + coded)) + frame + coded
    size = (15_999).to_bytes(3, "little") * 2
    body = b"VP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + size
    body += b"ANIM" + struct.pack("<I", 6) + bytes(6) + each * 20_000
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _gif(*blocks: bytes, behind: bytes = b"") -> bytes:
    data = encoded(Image.fromarray(photo()), "GIF")
    at = 13 + (3 << ((data[10] & 7) + 1))
    return data[:at] + b"".join(blocks) + data[at:-1] + behind + b";"


def _blocks(label: int, data: bytes) -> bytes:
    parts = (data[at : at + 255] for at in range(0, len(data), 255))
    return bytes((0x21, label)) + b"".join(bytes((len(p),)) + p for p in parts) + b"\0"


def gif_frames() -> bytes:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    return _gif(behind=frame * 1_000_000)


def gif_large_frame() -> bytes:
    """A frame that is larger than its screen."""
    frame = b"," + struct.pack("<4H", 0, 0, 65_535, 65_535) + b"\0\2\2D\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + bytes(6) + frame + b";"


def _avif(*boxes: bytes) -> bytes:
    return encoded(Image.fromarray(photo()), "AVIF") + b"".join(boxes)


def avif_shared_extents() -> bytes:
    """EXIF of a thousand pieces, each of them the same megabyte."""
    return _with_extents(encoded(Image.fromarray(photo()), "AVIF", exif=exif([(274, 3, 1, b"\1")])))


def heic_shared_extents() -> bytes:
    import pillow_heif

    buffer = io.BytesIO()
    block = exif([(274, 3, 1, b"\1")])
    pillow_heif.encode("RGB", (60, 40), photo().tobytes(), buffer, exif=block)
    return _with_extents(buffer.getvalue())


def _with_extents(data: bytes) -> bytes:
    """The last item's place replaced by 4,000 of a megabyte behind the file."""
    at = data.index(b"iloc") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    version, sizes = data[at + 8], data[at + 12]
    base = data[at + 13] >> 4
    step = 6 + 2 * bool(version) + base
    count = int.from_bytes(data[at + 14 : at + 16], "big")
    assert sizes == 0x44
    assert version < 2
    growth = 3999 * 8
    place = len(data) + growth + 64
    rows, row = [], at + 16
    for item in range(count):
        head, extents = data[row : row + step - 2], data[row + step - 2 : row + step]
        number = int.from_bytes(extents, "big")
        assert number == 1
        offset, length = struct.unpack_from(">II", data, row + step)
        if item < count - 1:
            shift = growth if not (version and head[3] & 1) else 0
            rows.append(head + extents + struct.pack(">II", offset + shift, length))
        else:
            method = bytes(2) if version else b""
            head = head[:2] + method + head[2 + len(method) :]
            many = struct.pack(">II", place, 1 << 20) * 4000
            rows.append(head + struct.pack(">H", 4000) + many)
        row += step + 8
    meta_at = data.index(b"meta") - 4
    meta = int.from_bytes(data[meta_at : meta_at + 4], "big")
    head = data[:meta_at] + struct.pack(">I", meta + growth) + data[meta_at + 4 : at]
    table = struct.pack(">I", size + growth) + data[at + 4 : at + 16] + b"".join(rows)
    return head + table + data[at + size :] + box(b"free", bytes(2 << 20))


def avif_endless_properties() -> bytes:
    """Four thousand million owners of properties, of which none is in the file."""
    data = encoded(Image.fromarray(photo()), "AVIF")
    at = data.index(b"ipma")
    return data[: at + 8] + b"\xff\xff\xff\xff" + data[at + 12 :]


def psd(
    resources: bytes = b"", mode: int = 3, data: bytes | None = None, version: int = 1
) -> bytes:
    start = b"8BPS" + struct.pack(">H6xHIIHH", version, 3, 40, 60, 8, mode)
    pixels = b"\0\0" + photo().transpose(2, 0, 1).tobytes() if data is None else data
    layers = bytes(8 if version == 2 else 4)
    return start + bytes(4) + struct.pack(">I", len(resources)) + resources + layers + pixels


def psd_packed_rows() -> bytes:
    """A row of 60 samples that unpacks to gigabytes."""
    row = b"\x81\0" * (16 << 20)
    lengths = struct.pack(">I", len(row)) + bytes(4 * 119)
    return psd(data=b"\0\1" + lengths + row, version=2)


def psd_resources() -> bytes:
    each = b"8BIM" + struct.pack(">HHI", 1060, 0, 0)
    return psd(each * (8 << 20))


def psd_claims() -> bytes:
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 40, 60, 8, 3) + b"\xff\xff\xff\xff" * 4


def bmp_large_run() -> bytes:
    """Run-length data that would fill four gigabytes."""
    data = bytearray(encoded(Image.fromarray(photo()[..., 0]), "BMP"))
    data[30:34] = struct.pack("<I", 1)
    return bytes(data[:1078]) + b"\xff\x01" * (16 << 20)


def bmp_profile() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 124, 60, 40, 1, 24, 0, 0, 0, 0, 0, 0)
    head += bytes(16) + b"DEBM" + bytes(48) + struct.pack("<IIII", 0, 124, 0xFFFFFFF0, 0)
    return b"BM" + struct.pack("<I4xI", 138 + 7200, 138) + head.ljust(124, b"\0") + bytes(7200)


BOMBS: Mapping[str, Maker] = {
    "png zTXt": lambda: png_texts(b"zTXt"),
    "png iTXt": lambda: png_texts(b"iTXt"),
    "png one zTXt": lambda: png_one_text(b"zTXt", b"Comment"),
    "png XMP": lambda: png_one_text(b"iTXt", b"XML:com.adobe.xmp"),
    "png iCCP": lambda: _png((b"iCCP", b"p\0\0" + _zeros(4 << 30))),
    "png raw profile": png_digits,
    "png one key": png_same_key,
    "png wide characters": png_wide_characters,
    "png chunks without end": lambda: _png(*[(b"teSt", b"")] * 300_000),
    "png unknown chunks": lambda: _png(*[(b"teSt", bytes(3 << 20))] * 60),
    "png frames": png_frames,
    "png pixels": png_deflated_pixels,
    "png pictures behind": lambda: _png(behind=b"\xff\xd8\xff\xe0" * (4 << 20)),
    "png boxes behind": lambda: _png(behind=(b"\0\0\0\x08ftyp") * (1 << 20)),
    "jpeg comments": lambda: jpeg_segments(0xFE, b""),
    "jpeg APP12": lambda: jpeg_segments(0xEC, b"Ducky"),
    "jpeg Photoshop": lambda: jpeg_segments(0xED, b"Photoshop 3.0\0"),
    "jpeg unknown": lambda: jpeg_segments(0xE9, b"what"),
    "jpeg small segments": jpeg_small_segments,
    "jpeg extended XMP": jpeg_extended_xmp,
    "jpeg XMP starts": jpeg_xmp_starts,
    "jpeg XMP blanks": jpeg_xmp_blanks,
    "jpeg XMP names": jpeg_xmp_names,
    "jpeg XMP depth": jpeg_xmp_depth,
    "jpeg XMP promises": jpeg_xmp_promises,
    "jpeg XMP entities": jpeg_xmp_entities,
    "jpeg garbage before": jpeg_garbage,
    "jpeg pictures behind": jpeg_pictures_behind,
    "jpeg Samsung trailer": jpeg_samsung,
    "exif circle": exif_circle,
    "exif shared values": exif_shared_values,
    "tiff deflate": lambda: tiff_packed_strip(8, _zeros(4 << 30)),
    "tiff zstd": lambda: tiff_packed_strip(50000, bytes(imagecodecs.zstd_encode(bytes(1 << 30)))),
    "tiff lzma": lambda: tiff_packed_strip(34925, bytes(imagecodecs.lzma_encode(bytes(1 << 30)))),
    "tiff lzw": lambda: tiff_packed_strip(5, bytes(imagecodecs.lzw_encode(bytes(1 << 28)))),
    "tiff packbits": lambda: tiff_packed_strip(32773, b"\x81\0" * (16 << 20)),
    "tiff fax": lambda: tiff_packed_strip(4, bytes(8 << 20)),
    "tiff overlapping strips": tiff_overlapping_strips,
    "tiff shared tags": tiff_shared_tags,
    "tiff wide bits": lambda: tiff_wide_tags(258),
    "tiff wide extra samples": lambda: tiff_wide_tags(338),
    "tiff wide sub-directories": lambda: tiff_wide_tags(330),
    "tiff many strips": tiff_many_strips,
    "tiff pages": tiff_pages,
    "tiff circle": tiff_circle,
    "tiff tile": tiff_large_tile,
    "tiff jpeg inside": lambda: tiff_large_inside(7, _jpeg_of_any_size()),
    "tiff jpeg 2000 inside": lambda: tiff_large_inside(34712, _large(imagecodecs.jpeg2k_encode)),
    "tiff png inside": lambda: tiff_large_inside(34933, _large(imagecodecs.png_encode, level=1)),
    "tiff webp inside": lambda: tiff_large_inside(50001, _large_webp()),
    "tiff channels": tiff_channels,
    "tiff old jpeg": tiff_old_jpeg_tags,
    "jp2 nested boxes": jp2_nested,
    "jp2 boxes without end": lambda: _jp2(box(b"xml ", b"") * 1_000_000),
    "jp2 XML": lambda: _jp2(*[box(b"xml ", bytes(30 << 20))] * 8),
    "jp2 palette": jp2_palette,
    "jp2 components": jp2_components,
    "jxl brob": jxl_brob,
    "jxl boxes without end": lambda: _jxl(box(b"xml ", b"") * 1_000_000),
    "webp chunks without end": lambda: _webp(*[(b"what", b"")] * 1_000_000),
    "webp EXIF": lambda: _webp((b"EXIF", bytes(200 << 20))),
    "webp frames": webp_frames,
    "gif comments": lambda: _gif(*[_blocks(0xFE, b"x" * (16 << 20))] * 5),
    "gif small blocks": lambda: _gif(b"\x21\xfe" + b"\1x" * (8 << 20) + b"\0"),
    "gif extensions": lambda: _gif(_blocks(0xFF, b"WHATEVER1.0") * 500_000),
    "gif frames": gif_frames,
    "gif large frame": gif_large_frame,
    "avif boxes without end": lambda: _avif(box(b"what", b"") * 1_000_000),
    "avif shared extents": avif_shared_extents,
    "avif endless properties": avif_endless_properties,
    "heic shared extents": heic_shared_extents,
    "psd packed rows": psd_packed_rows,
    "psd resources": psd_resources,
    "psd claims": psd_claims,
    "pnm comments": lambda: b"P6\n" + b"# endless\n" * (8 << 20) + b"60 40\n255\n" + bytes(7200),
    "pnm samples": lambda: b"P2\n60 40\n255\n" + b"1 " * (100 << 20),
    "pnm one number": lambda: b"P2\n60 40\n255\n" + b"1" * (100 << 20),
    "bmp runs": bmp_large_run,
    "bmp profile": bmp_profile,
}

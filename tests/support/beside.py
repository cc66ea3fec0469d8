"""Files that hold more than a picture, made of a plain one."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.metadata import png_chunks
from restore_batch.stages.photo.read import read
from restore_batch.stages.photo.write import write
from tests.support.photo_files import LIMIT, encoded, file, photo

JPEG = encoded(Image.fromarray(photo()), "JPEG")
PNG = encoded(Image.fromarray(photo()), "PNG")
SMALL = encoded(Image.fromarray(photo(16, 24)), "JPEG")
GCAMERA = ' xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
HDRGM = ' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
XMP_PREFIX = b"http://ns.adobe.com/xap/1.0/\x00"
FILM = (
    struct.pack(">I4s", 24, b"ftyp")
    + b"isom\x00\x00\x02\x00isommp41"
    + struct.pack(">I4s", 108, b"mdat")
    # What looks like the start of another file is not one inside a box.
    + (b"\xff\xd8\xff\xe0 ftyp").ljust(100, b"\x07")
)
JUMBF = struct.pack(">I4s", 46, b"jumb") + b"\x00\x00\x00\x1ejumdc2pa" + bytes(12) + b"\x03c2pa\x00"
C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")


def packet(attributes: str = "", inside: str = "", rest: str = "") -> bytes:
    """An XMP packet that says a source of its own beside what is given."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta'
        ' xmlns:x="adobe:ns:meta/">\n <rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n  <rdf:Description'
        ' rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="box 7 &amp; 8"'
        f"{attributes}>{inside}</rdf:Description>{rest}\n </rdf:RDF>\n</x:xmpmeta>"
        '\n                    \n<?xpacket end="w"?>'
    ).encode()


CONTAINER = (
    ' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    ' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
)


def directory(*semantics: str) -> str:
    """The directory of a file that holds more than its picture."""
    items = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg"'
        f' Item:Semantic="{each}" Item:Length="9"/></rdf:li>'
        for each in ("Primary", *semantics)
    )
    return f"<Container:Directory><rdf:Seq>{items}</rdf:Seq></Container:Directory>"


def with_segments(jpeg: bytes, *segments: tuple[int, bytes]) -> bytes:
    """``jpeg`` with these markers and payloads in front."""
    parts = (struct.pack(">BBH", 0xFF, kind, len(body) + 2) + body for kind, body in segments)
    return jpeg[:2] + b"".join(parts) + jpeg[2:]


def with_xmp(jpeg: bytes, xmp: bytes) -> bytes:
    return with_segments(jpeg, (0xE1, XMP_PREFIX + xmp))


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """``png`` with these chunks behind its header."""
    added = b"".join(png_chunks.chunk(*each) for each in chunks)
    return png[:33] + added + png[33:]


def segments_of(jpeg: bytes) -> list[tuple[int, bytes]]:
    """Marker and payload of each segment before the first scan."""
    found, at = [], 2
    while jpeg[at + 1] != 0xDA:
        size = int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.append((jpeg[at + 1], jpeg[at + 4 : at + 2 + size]))
        at += 2 + size
    return found


def chunks_of(png: bytes) -> list[tuple[bytes, bytes]]:
    """Name and payload of each chunk but the pixels."""
    return [each for each in png_chunks.chunks(png) if each[0] != b"IDAT"]


def resource(number: int, data: bytes, name: bytes = b"") -> bytes:
    """One Photoshop image resource."""
    title = bytes((len(name),)) + name
    title += b"\x00" * (len(title) % 2)
    head = b"8BIM" + struct.pack(">H", number) + title + struct.pack(">I", len(data))
    return head + data + b"\x00" * (len(data) % 2)


def samsung_trailer(**blocks: bytes) -> bytes:
    """What phones of Samsung write behind a picture."""
    body, places = b"", []
    for name, data in blocks.items():
        places.append((len(body), 8 + len(name) + len(data)))
        body += struct.pack("<HHI", 0, 0x0A30, len(name)) + name.encode() + data
    table = b"SEFH" + struct.pack("<II", 107, len(places))
    for at, size in places:
        table += struct.pack("<HHII", 0, 0x0A30, len(body) - at, size)
    return body + table + struct.pack("<I", len(table)) + b"SEFT"


def box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, name) + body


def deflated(text: bytes) -> bytes:
    return zlib.compress(text)


def exiftool(path: Path, *options: str) -> dict[str, Any]:
    """What ExifTool finds in a file, by group and tag."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    command = [tool, "-json", "-n", "-a", "-G1", *options, str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return dict(found)


def xmp_of(jpeg: bytes) -> bytes:
    (found,) = [b for m, b in segments_of(jpeg) if m == 0xE1 and b.startswith(XMP_PREFIX)]
    return found.removeprefix(XMP_PREFIX)


class Restored:
    def __init__(self, path: Path, meta: PhotoMeta, warnings: tuple[str, ...]) -> None:
        self.path, self.meta, self.warnings = path, meta, warnings
        self.content = path.read_bytes()

    def says(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.warnings)


def restored(folder: Path, name: str, content: bytes, target: str = "", scale: int = 1) -> Restored:
    """The file read and written back, untouched or enlarged."""
    source = file(folder, name, content)
    frame, meta, warnings = read(source, LIMIT)
    path = folder / (target or f"result_{name}")
    pixels = frame.rgb_hwc.repeat(scale, 0).repeat(scale, 1)
    warnings += write(Frame(pixels, grey=frame.grey), meta, path)
    return Restored(path, meta, warnings)

"""What lies in the boxes, chunks and tags of the other formats is kept or named."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
import tifffile
from PIL import Image

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.metadata import iso_extras, tiff_tags
from restore_batch.stages.photo.read import probe
from restore_batch.stages.photo.write import write
from tests.support import beside
from tests.support.beside import (
    FILM,
    box,
    restored,
)
from tests.support.photo_files import encoded, photo


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
@pytest.mark.parametrize(
    ("added", "words"),
    [
        (box(b"mpvd", FILM), ("short film", "132 bytes")),
        (FILM, ("short film", "132 bytes")),
        (box(b"uuid", beside.C2PA_UUID + b"\x00\x00\x00\x00manifest\x00"), ("credentials",)),
        (box(b"uuid", bytes(range(16)) + b"x"), ("uuid 000102", "17 bytes")),
        (box(b"sefd", bytes(9)), ("'sefd'", "9 bytes")),
        (b"junk behind it", ("14 bytes behind",)),
    ],
)
def test_boxes_beside_the_picture_are_said(
    suffix: str, added: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    try:
        write(Frame(photo()), PhotoMeta("png"), tmp_path / f"p{suffix}")
    except Exception as error:
        pytest.skip(f"no encoder for {suffix}: {error}")
    content = (tmp_path / f"p{suffix}").read_bytes() + added
    done = restored(tmp_path, f"a{suffix}", content)
    assert len(done.warnings) == 1
    assert done.says("not kept", *words)
    assert probe(str(tmp_path / f"a{suffix}")).notes == done.warnings


def _items(*kinds: tuple[bytes, bytes, str]) -> bytes:
    """A meta box of items 2, 3 … beside picture 1: type, how linked to it, auxiliary type."""
    rows = [(1, b"hvc1"), *((n, kind) for n, (kind, _, _) in enumerate(kinds, 2))]
    infe = b"".join(
        box(b"infe", b"\x02\x00\x00\x00" + struct.pack(">HH4s", n, 0, kind) + b"\x00\x00")
        for n, kind in rows
    )
    links = b"".join(
        box(link, struct.pack(">HHH", n, 1, 1)) for n, (_, link, _) in enumerate(kinds, 2) if link
    )
    types = [(n, each[2]) for n, each in enumerate(kinds, 2) if each[2]]
    ipco = b"".join(box(b"auxC", bytes(4) + urn.encode() + b"\x00") for _, urn in types)
    ipma = struct.pack(">II", 0, len(types))
    for place, (n, _) in enumerate(types, 1):
        ipma += struct.pack(">HBB", n, 1, 0x80 | place)
    iprp = box(b"iprp", box(b"ipco", ipco) + box(b"ipma", ipma))
    iinf = box(b"iinf", struct.pack(">IH", 0, len(rows)) + infe)
    return box(b"ftyp", b"heic\x00\x00\x00\x00") + box(
        b"meta", bytes(4) + iinf + box(b"iref", bytes(4) + links) + iprp
    )


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ((b"hvc1", b"thmb", ""), ["thumbnail"]),
        ((b"hvc1", b"auxl", "urn:mpeg:hevc:2015:auxid:1"), []),
        ((b"hvc1", b"auxl", "urn:mpeg:hevc:2015:auxid:2"), ["depth map"]),
        ((b"hvc1", b"auxl", "urn:com:apple:photo:2020:aux:hdrgainmap"), ["HDR gain map"]),
        (
            (b"hvc1", b"auxl", "urn:com:apple:photo:2018:aux:portraiteffectsmatte"),
            ["auxiliary picture 'portraiteffectsmatte'"],
        ),
        ((b"tmap", b"dimg", ""), ["HDR gain map"]),
        ((b"Exif", b"cdsc", ""), []),
        ((b"odd ", b"", ""), ["item 'odd '"]),
    ],
)
def test_items_beside_the_picture_are_listed(
    item: tuple[bytes, bytes, str], what: list[str]
) -> None:
    found = iso_extras.extras(io.BytesIO(_items(item)))
    assert [extra.what.rstrip() for extra in found] == [each.rstrip() for each in what]


def test_a_damaged_list_of_items_is_said() -> None:
    broken = box(b"ftyp", b"heic") + box(b"meta", bytes(4) + box(b"iref", b""))
    (extra,) = iso_extras.extras(io.BytesIO(broken))
    assert "damaged" in extra.left_out


def test_webp_chunks_beside_the_picture_are_said(tmp_path: Path) -> None:
    plain = encoded(Image.fromarray(photo()), "WEBP")
    added = b"C2PA\x04\x00\x00\x00abcd" + b"oddX\x03\x00\x00\x00abc\x00"
    size = struct.pack("<I", len(plain) - 8 + len(added))
    done = restored(tmp_path, "a.webp", b"RIFF" + size + plain[8:] + added + FILM)
    assert done.says("content credentials")
    assert done.says("'oddX'")
    assert done.says("short film")


def test_gif_extensions_and_cp1252_comments(tmp_path: Path) -> None:
    plain = encoded(Image.fromarray(photo()[..., 0]), "GIF", comment=b"Gro\xdfmutter \x96 1931")
    odd = b"\x21\xff\x0bADOBE:IR1.0\x03abc\x00"
    done = restored(tmp_path, "a.gif", plain[:-1] + odd + b";", "a.png")
    assert done.says("GIF extension 'ADOBE:IR1.0'")
    assert len(done.warnings) == 1
    assert beside.exiftool(done.path)["PNG:Comment"] == "Großmutter – 1931"


def test_credentials_and_small_pages_of_a_tiff_are_said(tmp_path: Path) -> None:
    credentials = tiff_tags.block(
        tiff_tags.Tree({tiff_tags.CREDENTIALS: tiff_tags.raw(beside.JUMBF)}, {}, {}, {})
    )
    write(Frame(photo()), PhotoMeta("tiff", exif=credentials), tmp_path / "plain.tif")
    assert beside.JUMBF not in (tmp_path / "plain.tif").read_bytes()

    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tags = [(tiff_tags.CREDENTIALS, 7, len(beside.JUMBF), beside.JUMBF, True)]
        tiff.write(photo(), photometric="rgb", extratags=tags)
        tiff.write(photo(8, 8), photometric="rgb", subfiletype=1)
    done = restored(tmp_path, "b.tif", (tmp_path / "a.tif").read_bytes())
    assert done.says("content credentials")
    assert done.says("1 smaller picture")
    assert beside.JUMBF not in done.content


def test_jpeg_2000_boxes_are_kept_or_said(tmp_path: Path) -> None:
    write(Frame(photo()), PhotoMeta("png"), tmp_path / "p.jp2")
    plain = (tmp_path / "p.jp2").read_bytes()
    at = plain.index(b"jp2c") - 4
    xml, c2pa = box(b"xml ", b"<mods>box 7</mods>"), box(b"jumb", beside.JUMBF[8:])
    odd = box(b"odd ", b"?")
    done = restored(tmp_path, "a.jp2", plain[:at] + xml + c2pa + odd + plain[at:])
    assert xml in done.content
    assert done.says("content credentials")
    assert done.says("'odd '")
    assert restored(tmp_path, "b.jp2", done.content, "b.png").says("PNG cannot hold", "xml")


def test_the_xmp_of_a_gif_is_kept(tmp_path: Path) -> None:
    plain = encoded(Image.fromarray(photo()[..., 0]), "GIF")
    behind = bytes((1, *range(255, -1, -1), 0))
    block = b"\x21\xff\x0bXMP DataXMP" + beside.packet() + behind
    done = restored(tmp_path, "a.gif", plain[:-1] + block + b";", "a.png")
    assert done.warnings == ()
    assert done.meta.xmp == beside.packet()
    assert beside.packet() in done.content


def test_credentials_of_a_gif_are_said(tmp_path: Path) -> None:
    plain = encoded(Image.fromarray(photo()[..., 0]), "GIF")
    credentials = b"\x21\xff\x0bC2PA_GIF\x01\x00\x00\x03abc\x00"
    assert restored(tmp_path, "a.gif", plain[:-1] + credentials + b";", "a.png").says("credentials")

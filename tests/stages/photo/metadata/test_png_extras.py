"""What lies in the chunks of a PNG file is kept or named."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from restore_batch.stages.photo.metadata import png_chunks
from restore_batch.stages.photo.read import probe
from tests.support import beside
from tests.support.beside import (
    PNG,
    restored,
)
from tests.support.photo_files import encoded


def test_png_texts_keep_their_languages_and_their_bytes(tmp_path: Path) -> None:
    chunks = [
        (b"tEXt", b"Description\x00Gr\xfc\xdfe"),
        (b"tEXt", b"Description\x00second"),
        (b"zTXt", b"Comment\x00\x00" + beside.deflated(b"z text")),
        (b"iTXt", b"Title\x00\x00\x00de\x00Titel\x00" + "Straße – 1931".encode()),
        (b"iTXt", b"Title\x00\x01\x00fr\x00Titre\x00" + beside.deflated(b"Rue")),
    ]
    done = restored(tmp_path, "a.png", beside.with_chunks(PNG, *chunks))
    assert done.warnings == ()
    assert [each for each in beside.chunks_of(done.content) if each[0].endswith(b"Xt")] == chunks
    assert done.meta.text["Description"] == "Grüße\nsecond"


@pytest.mark.parametrize("name", ["iptc", "IPTC profile"])
def test_records_in_text_are_read_whatever_the_profile_is_called(name: str, tmp_path: Path) -> None:
    records = b"\x1c\x02\x69\x00\x04Head"
    body = beside.resource(0x0404, records) + beside.resource(0x040A, b"\x01")
    text = f"\n{name}\n{len(body):8d}\n{body.hex()}\n".encode()
    chunk = (b"zTXt", b"Raw profile type iptc\x00\x00" + beside.deflated(text))
    done = restored(tmp_path, "a.png", beside.with_chunks(PNG, chunk))
    assert done.warnings == ()
    assert done.meta.iptc == records
    assert any("copyright flag" in extra.what for extra in done.meta.extras)


def test_png_chunks_that_are_safe_to_copy_are_copied(tmp_path: Path) -> None:
    chunks = [(b"prVt", b"private"), (b"oFFs", struct.pack(">iiB", 5, 6, 1))]
    done = restored(tmp_path, "a.png", beside.with_chunks(PNG, *chunks), scale=2)
    assert done.warnings == ()
    assert [each for each in beside.chunks_of(done.content) if each in chunks] == chunks


@pytest.mark.parametrize(
    ("name", "payload", "words"),
    [
        (b"sBIT", b"\x05\x06\x05", ("sBIT",)),
        (b"tIME", b"\x07\xd1\x02\x03\x04\x05\x06", ("tIME", "2001-02-03 04:05:06")),
        (b"pCAL", b"x\x00" + bytes(8) + b"\x01\x02m\x000\x001", ("pCAL",)),
        (b"sCAL", b"\x011\x001", ("sCAL",)),
        (b"caBX", beside.JUMBF, ("content credentials",)),
        (b"prVT", b"private", ("prVT", "7 bytes")),
        (b"tEXt", b"Raw profile type exif\x00\nexif\n 3\nzz", ("Raw profile type exif",)),
    ],
)
def test_png_chunks_that_have_become_untrue_are_left_out_and_named(
    name: bytes, payload: bytes, words: tuple[str, ...], tmp_path: Path
) -> None:
    done = restored(tmp_path, "a.png", beside.with_chunks(PNG, (name, payload)))
    assert done.says("not kept", *words)
    assert (name, payload) not in beside.chunks_of(done.content)
    assert probe(str(tmp_path / "a.png")).notes == done.warnings


def test_a_png_offset_in_pixels_does_not_outlive_a_change_of_size(tmp_path: Path) -> None:
    content = beside.with_chunks(PNG, (b"oFFs", struct.pack(">iiB", 5, 6, 0)))
    assert restored(tmp_path, "a.png", content).warnings == ()
    assert restored(tmp_path, "b.png", content, scale=2).says("oFFs", "another size")


@pytest.mark.parametrize(
    ("mode", "payload", "expected"),
    [
        ("RGB", b"\x00\x01\x00\x02\x00\x03", b"\x00\x01\x00\x02\x00\x03"),
        ("L", b"\x00\x09", b"\x00\x09"),
        ("1", b"\x00\x01", b"\x00\xff"),
        ("P", b"\x01", b"\x00\x04\x00\x05\x00\x06"),
    ],
)
def test_a_png_background_stays_the_colour_it_is(
    mode: str, payload: bytes, expected: bytes, tmp_path: Path
) -> None:
    picture = Image.new(mode, (8, 8), 1 if mode == "P" else None)
    if mode == "P":
        picture.putpalette([9, 9, 9, 4, 5, 6])
    content = encoded(picture, "PNG")
    before = content.index(b"IDAT") - 4
    chunk = png_chunks.chunk(b"bKGD", payload)
    done = restored(tmp_path, "a.png", content[:before] + chunk + content[before:])
    assert (b"bKGD", expected) in beside.chunks_of(done.content)

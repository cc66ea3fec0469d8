"""Pictures say which networks made them, and above all where a face is nobody's."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.jobs.units import Photo
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.media import Chunk, FaceRecord, Frame, PhotoMeta
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.provenance import IMAGINED_SOURCE_TYPE, Provenance, stamped
from restore_batch.stages.photo.read import read

from support.pixels import chunk_with_faces, face_at, smooth_picture

GFPGAN = Provenance("restore-batch 1.0", faces="gfpgan-1.4", background="realesrgan-x4plus")
PULSE = Provenance("restore-batch 1.0", faces="pulse", imagined_by="pulse")
FACE = FaceRecord((10, 10, 40, 40), ((0, 0),) * 5, 0.9)
LEFT_ALONE = replace(FACE, restored=False)
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MM = 'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"'
EVT = 'xmlns:stEvt="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#"'
EXT = 'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
TITLE = "<dc:title>Aunt Ada &amp; the cat</dc:title>"


def packet(inner: str, attributes: str = "") -> bytes:
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta'
        f' xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}"><rdf:Description'
        f' rdf:about="uuid:7" xmlns:dc="http://purl.org/dc/elements/1.1/" {attributes}>{inner}'
        '</rdf:Description></rdf:RDF></x:xmpmeta>   \n  <?xpacket end="w"?>'
    ).encode()


def history(*events: str) -> str:
    items = "".join(f'<rdf:li stEvt:action="{event}"/>' for event in events)
    return f"<xmpMM:History><rdf:Seq>{items}</rdf:Seq></xmpMM:History>"


def exiftool(path: Path) -> dict[str, Any]:
    """What ExifTool finds, and that it finds nothing wrong."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    command = [tool, "-json", "-n", "-G1", "-warning", "-error", "-all", str(path)]
    (found,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    faults = {k: v for k, v in found.items() if k.endswith((":Warning", ":Error"))}
    assert not faults
    return dict(found)


def encoded(
    path: Path, made_by: Provenance | None, meta: PhotoMeta | None = None, *faces: FaceRecord
) -> Chunk:
    unit = Photo(id="u", source="s", output=path.name, staging_dir=str(path.parent))
    frame = Frame(np.full((48, 64, 3), 90, np.uint8))
    known = meta or PhotoMeta("jpeg")
    chunk = Chunk(unit, pasted=(frame,), meta=known, records=(tuple(faces),))
    (done,) = Encode(provenance=made_by)([chunk])
    assert isinstance(done, Chunk), done
    assert done.artifact is not None
    Path(done.artifact.staged_path).rename(path)
    return done


# --- what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".jp2", ".avif"])
def test_imagined_faces_are_said_in_every_container(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    done = encoded(path, PULSE, None, FACE)
    assert not done.warnings
    found = exiftool(path)
    assert found["XMP-iptcExt:DigitalSourceType"] == IMAGINED_SOURCE_TYPE
    assert "imagined faces (pulse)" in str(found["XMP-xmpMM:HistoryParameters"])
    assert "imagined faces (pulse)" in found["IFD0:ImageHistory"]
    assert found["IFD0:Software"] == "restore-batch 1.0"
    if suffix == ".png":
        assert "imagined faces (pulse)" in found["PNG:PNGWarning"]


def test_a_container_that_cannot_say_it_is_warned_of(tmp_path: Path) -> None:
    assert "XMP" in encoded(tmp_path / "a.bmp", PULSE, None, FACE).warnings[0]
    assert not encoded(tmp_path / "b.bmp", GFPGAN, None, FACE).warnings


def test_restored_faces_are_named_but_not_called_imagined(tmp_path: Path) -> None:
    encoded(tmp_path / "a.jpg", GFPGAN, None, FACE)
    found = exiftool(tmp_path / "a.jpg")
    assert found["XMP-xmpMM:HistorySoftwareAgent"] == "restore-batch 1.0"
    said = found["XMP-xmpMM:HistoryParameters"]
    assert said == "faces: gfpgan-1.4; background: realesrgan-x4plus"
    assert not [key for key in found if "DigitalSourceType" in key or "ImageHistory" in key]


@pytest.mark.parametrize("faces", [(), (LEFT_ALONE,)], ids=["no face", "a face left alone"])
def test_a_face_model_that_did_nothing_is_not_named(faces: tuple[FaceRecord, ...]) -> None:
    assert stamped(PhotoMeta("png"), PULSE, faces, text_entries=True) == (PhotoMeta("png"), ())
    meta, _ = stamped(PhotoMeta("jpeg"), GFPGAN, faces)
    assert b"gfpgan" not in (meta.xmp or b"")
    assert b"background: realesrgan-x4plus" in (meta.xmp or b"")


def test_equal_pictures_get_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        encoded(tmp_path / name, PULSE, PhotoMeta("png", xmp=packet(TITLE)), FACE)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


# --- what the source said stays ----------------------------------------------------------------


def test_the_sources_packet_is_kept_and_its_history_continued() -> None:
    source = packet(TITLE + history("created", "cropped"), f"{MM} {EVT}")
    meta, warnings = stamped(PhotoMeta("jpeg", xmp=source), GFPGAN, [FACE])
    assert not warnings
    assert meta.xmp is not None
    assert TITLE.encode() in meta.xmp
    root = ElementTree.fromstring(meta.xmp[meta.xmp.index(b"<x:") : meta.xmp.rindex(b"<?")])
    actions = [
        value
        for entry in root.iter(f"{{{RDF}}}li")
        for name, value in entry.attrib.items()
        if name.endswith("action")
    ]
    assert actions == ["created", "cropped", "edited"]


def test_a_picture_restored_twice_says_so_twice(tmp_path: Path) -> None:
    encoded(tmp_path / "a.jpg", GFPGAN, None, FACE)
    _, meta, _ = read(str(tmp_path / "a.jpg"), 1)
    encoded(tmp_path / "b.jpg", PULSE, meta, FACE)
    found = exiftool(tmp_path / "b.jpg")
    assert found["XMP-xmpMM:HistoryAction"] == ["edited", "edited"]
    assert found["XMP-iptcExt:DigitalSourceType"] == IMAGINED_SOURCE_TYPE


@pytest.mark.parametrize(
    "form",
    [
        ("", f'{EXT} Iptc4xmpExt:DigitalSourceType="http://x.test/negativeFilm"'),
        (
            "<Iptc4xmpExt:DigitalSourceType>http://x.test/negativeFilm"
            "</Iptc4xmpExt:DigitalSourceType>",
            EXT,
        ),
        ('<Iptc4xmpExt:DigitalSourceType rdf:resource="http://x.test/negativeFilm"/>', EXT),
    ],
    ids=["attribute", "element", "resource"],
)
def test_a_source_type_that_became_false_is_replaced_and_quoted(
    form: tuple[str, str], tmp_path: Path
) -> None:
    source = PhotoMeta("jpeg", xmp=packet(*form))
    encoded(tmp_path / "a.jpg", PULSE, source, FACE)
    found = exiftool(tmp_path / "a.jpg")
    assert found["XMP-iptcExt:DigitalSourceType"] == IMAGINED_SOURCE_TYPE
    assert "before: http://x.test/negativeFilm" in found["XMP-xmpMM:HistoryParameters"]
    kept, _ = stamped(source, GFPGAN, [FACE])
    assert b"http://x.test/negativeFilm" in (kept.xmp or b"")
    assert IMAGINED_SOURCE_TYPE.encode() not in (kept.xmp or b"")


@pytest.mark.parametrize(
    "damaged",
    [
        b"<x:xmpmeta><rdf:RDF>",
        b"\xff\xfe<\x00x\x00",
        b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        b"<x/>",
        packet(TITLE).replace(b"Ada", b"Ad\xe9"),
    ],
)
def test_a_damaged_packet_is_left_as_it_is_and_said_so(damaged: bytes) -> None:
    meta, warnings = stamped(PhotoMeta("jpeg", xmp=damaged), PULSE, [FACE])
    assert meta.xmp == damaged
    assert "not noted" in warnings[0]
    assert meta.exif is not None, "it still says so elsewhere"


def block_of(*texts: tuple[int, str], order: str = "<") -> bytes:
    tags = {code: tiff_tags.raw(text.encode() + b"\x00", 2) for code, text in texts}
    exif = {tiff_tags.MAKER_NOTE: tiff_tags.raw(b"maker\x00" + bytes(range(50)))}
    return tiff_tags.block(tiff_tags.Tree(tags, exif, {}, {}))


def test_an_exif_block_keeps_every_byte_and_its_own_software(tmp_path: Path) -> None:
    before = block_of((271, "Leica"), (305, "ScanTool 3"), (0x9213, "scanned 1998"))
    meta, _ = stamped(PhotoMeta("jpeg", exif=before), PULSE, [FACE])
    assert meta.exif is not None
    changed = bytearray(meta.exif[: len(before)])
    changed[4:8] = before[4:8]
    assert bytes(changed) == before, "maker notes point to places that must not move"
    main = tiff_tags.tree(io.BytesIO(meta.exif)).main
    assert main[305].data == b"ScanTool 3\x00"
    assert main[0x9213].data.startswith(b"scanned 1998; restore-batch 1.0: contains imagined")
    encoded(tmp_path / "a.jpg", PULSE, PhotoMeta("jpeg", exif=before), FACE)
    if shutil.which("exiftool"):
        done = subprocess.run(
            ["exiftool", "-s3", "-Make", str(tmp_path / "a.jpg")], capture_output=True, check=True
        )
        assert done.stdout.strip() == b"Leica"


@given(st.lists(st.sampled_from([270, 271, 272, 305, 306, 315, 0x9213]), unique=True))
def test_every_tag_of_the_source_is_found_after_the_note(codes: list[int]) -> None:
    before = block_of(*((code, f"value {code}") for code in codes))
    meta, _ = stamped(PhotoMeta("jpeg", exif=before), PULSE, [FACE])
    found = tiff_tags.tree(io.BytesIO(meta.exif or b""))
    for code in codes:
        assert found.main[code].data.startswith(f"value {code}".encode())
    assert found.exif[tiff_tags.MAKER_NOTE].data.startswith(b"maker")
    assert b"imagined" in found.main[0x9213].data


def test_a_damaged_exif_block_costs_nothing() -> None:
    meta, _ = stamped(PhotoMeta("jpeg", exif=b"II*\x00\xff\xff\xff\x00"), PULSE, [FACE])
    assert meta.exif == b"II*\x00\xff\xff\xff\x00"
    assert b"imagined" in (meta.xmp or b"")


# --- in the records ----------------------------------------------------------------------------


def pasted(stage: Paste) -> Chunk:
    faces = [face_at(100, 100, 80), face_at(210, 200, 60)]
    chunk = chunk_with_faces(Frame(smooth_picture(300, 300)), faces)
    (large,) = Upscale(None, 1)([replace(chunk, restored=(255 - chunk.crops[0],))])
    assert isinstance(large, Chunk)
    (done,) = stage([large])
    assert isinstance(done, Chunk), done
    return done


def test_the_records_and_a_warning_say_that_faces_are_imagined() -> None:
    done = pasted(Paste(1, imagined_by="pulse"))
    assert [r.note for r in done.records[0]] == [
        "imagined by pulse: not the person in the picture"
    ] * 2
    assert done.warnings == ("2 faces are imagined by pulse: not the people in the picture",)


def test_nothing_is_called_imagined_that_is_not_in_the_picture() -> None:
    for stage in (Paste(1), Paste(1, strength=0, imagined_by="pulse")):
        done = pasted(stage)
        assert not done.warnings
        assert not any(record.note for record in done.records[0])

"""An XMP packet promises nothing that the result lacks, and keeps all else to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo.metadata import tiff_tags
from restore_batch.stages.photo.read import probe
from restore_batch.stages.photo.write import write
from tests.support import beside, data
from tests.support.beside import (
    CONTAINER,
    FILM,
    GCAMERA,
    HDRGM,
    JPEG,
    PNG,
    directory,
    packet,
    restored,
)
from tests.support.photo_files import photo

PLAIN = packet()
PROMISES = [
    pytest.param(
        packet(f'{GCAMERA} GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'),
        "short film",
        id="motion photo",
    ),
    pytest.param(
        packet(f"{GCAMERA}\n   GCamera:MicroVideo='1'\n   GCamera:MicroVideoOffset='9'"),
        "short film",
        id="micro video",
    ),
    pytest.param(
        packet(GCAMERA, "<GCamera:MotionPhoto>1</GCamera:MotionPhoto>"), "short film", id="element"
    ),
    pytest.param(
        packet(' xmlns:odd="http://ns.google.com/photos/1.0/camera/" odd:MotionPhoto="1"'),
        "short film",
        id="another prefix",
    ),
    pytest.param(
        packet(HDRGM + CONTAINER + ' hdrgm:Version="1.0"', directory("GainMap")),
        "HDR gain map",
        id="Ultra HDR",
    ),
    pytest.param(packet(CONTAINER, directory("MotionPhoto")), "short film", id="directory"),
    pytest.param(
        packet(' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="self#jumbf=c2pa"'),
        "content credentials",
        id="provenance",
    ),
    pytest.param(
        packet(
            ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:g="http://ns.adobe.com/xap/1.0/g/img/"',
            '<xmp:Thumbnails><rdf:Alt><rdf:li g:image="/9j/4AAQ"/></rdf:Alt></xmp:Thumbnails>',
        ),
        "thumbnail",
        id="thumbnail",
    ),
]


@pytest.mark.parametrize(("xmp", "word"), PROMISES)
def test_a_promise_is_taken_out_of_the_packet_and_nothing_else(
    xmp: bytes, word: str, tmp_path: Path
) -> None:
    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp))
    assert beside.xmp_of(done.content) == PLAIN
    assert done.says(word)
    assert probe(str(tmp_path / "a.jpg")).notes == done.warnings


@pytest.mark.parametrize("empty", ["<Container:Directory/>", "<Container:Directory />\n\t"])
def test_a_promise_without_content_takes_nothing_of_what_follows(
    empty: str, tmp_path: Path
) -> None:
    title = "<dc:title>a &gt; b</dc:title>"
    done = restored(
        tmp_path, "a.jpg", beside.with_xmp(JPEG, packet(CONTAINER, f"{title}{empty}{title}"))
    )
    kept = empty.partition(">")[2]
    # A prefix that nothing uses any more is not declared, one that was never used is.
    declared = CONTAINER[CONTAINER.index(" xmlns:Item") :]
    assert beside.xmp_of(done.content) == packet(declared, f"{title}{kept}{title}")
    assert done.says("further pictures")


def test_what_else_the_camera_says_stays(tmp_path: Path) -> None:
    said = f'{GCAMERA} GCamera:BurstID="7"'
    xmp = packet(f'{said} GCamera:MotionPhoto="1"')
    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + FILM)
    assert beside.xmp_of(done.content) == packet(said)
    found = beside.exiftool(done.path)
    assert found["XMP-GCamera:BurstID"] in {7, "7"}
    assert "XMP-GCamera:MotionPhoto" not in found


def test_promises_in_extended_xmp_are_taken_out_too(tmp_path: Path) -> None:
    long = f"<dc:description>{'x' * 70_000}</dc:description>"
    xmp = packet(f'{GCAMERA} GCamera:MotionPhoto="1"', long)
    write(Frame(photo()), PhotoMeta("jpeg", xmp=xmp), tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    assert b"xmp/extension/" in content
    done = restored(tmp_path, "b.jpg", content)
    found = beside.exiftool(done.path)
    assert found["XMP-dc:Description"] == "x" * 70_000
    assert "XMP-GCamera:MotionPhoto" not in found
    assert done.says("short film")


@pytest.mark.parametrize("value", ["Bequest of A. Miller, 1931", "https://archive.example/box/7"])
def test_a_provenance_that_is_no_credential_stays(value: str, tmp_path: Path) -> None:
    terms = ' xmlns:dcterms="http://purl.org/dc/terms/"'
    xmp = packet(terms, f"<dcterms:provenance>{value}</dcterms:provenance>")
    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp))
    assert beside.xmp_of(done.content) == xmp
    assert done.warnings == ()


def test_a_link_to_a_provenance_goes_with_the_credentials_it_leads_to(tmp_path: Path) -> None:
    terms = ' xmlns:dcterms="http://purl.org/dc/terms/"'
    xmp = packet(f'{terms} dcterms:provenance="https://cloud.example/manifests/7"')
    content = beside.with_chunks(
        PNG, (b"caBX", beside.JUMBF), (b"iTXt", b"XML:com.adobe.xmp\x00\x00\x00\x00\x00" + xmp)
    )
    done = restored(tmp_path, "a.png", content)
    assert done.meta.xmp == PLAIN
    assert [line for line in done.warnings if "credentials" in line] == list(done.warnings)


def test_a_damaged_packet_stays_and_is_said_where_it_may_promise(tmp_path: Path) -> None:
    xmp = packet(f'{GCAMERA} GCamera:MotionPhoto="1"').replace(b"</rdf:RDF>", b"</rdf:RD>")
    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, xmp) + FILM)
    assert done.says("XMP", "damaged")
    assert beside.xmp_of(done.content) == xmp


@pytest.mark.parametrize(
    ("name", "word", "gone"),
    [
        ("ultrahdr_mpf.jpg", "HDR gain map", ("hdrgm", "Container", "MPF0")),
        ("ultrahdr_nompf.jpg", "HDR gain map", ("hdrgm", "Container")),
        ("motion.jpg", "short film", ("MotionPhoto", "Container")),
        ("motion.heic", "short film", ("MotionPhoto",)),
        ("c2pa_app11.jpg", "content credentials", ("JUMBF", "provenance")),
        ("c2pa_cabx.png", "content credentials", ("JUMBF", "provenance")),
    ],
)
def test_reported_files_promise_nothing_that_they_lack(
    name: str, word: str, gone: tuple[str, ...], tmp_path: Path
) -> None:
    done = restored(tmp_path, name, (data.field() / name).read_bytes())
    assert done.says(word)
    found = " ".join(beside.exiftool(done.path))
    assert not [part for part in gone if part in found]


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_depth_map_in_the_packet_stays_unless_the_picture_is_turned(
    orientation: int, tmp_path: Path
) -> None:
    depth = ' xmlns:GDepth="http://ns.google.com/photos/1.0/depthmap/" GDepth:Data="iVBORw0KGgo="'
    block = tiff_tags.block(tiff_tags.Tree({}, {}, {}, {}), {274: tiff_tags.short(orientation)})
    content = beside.with_segments(JPEG, (0xE1, b"Exif\x00\x00" + block))
    done = restored(tmp_path, "a.jpg", beside.with_xmp(content, packet(depth)))
    turned = orientation == 6
    assert beside.xmp_of(done.content) == packet("" if turned else depth)
    assert done.says("depth map") is turned


def test_a_panorama_keeps_its_place_on_the_sphere_when_it_is_enlarged(tmp_path: Path) -> None:
    def places(scale: int) -> bytes:
        pano = ' xmlns:GPano="http://ns.google.com/photos/1.0/panorama/"'
        return packet(
            f'{pano} GPano:FullPanoWidthPixels="{600 * scale}" GPano:PoseHeadingDegrees="90"',
            f"<GPano:CroppedAreaTopPixels>{7 * scale}</GPano:CroppedAreaTopPixels>",
        )

    done = restored(tmp_path, "a.jpg", beside.with_xmp(JPEG, places(1)), scale=2)
    assert beside.xmp_of(done.content) == places(2)

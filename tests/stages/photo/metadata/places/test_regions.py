"""Regions that a packet of XMP names lie on the same pixels once a picture was turned and sized."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from restore_batch.stages.photo.metadata.places import regions
from restore_batch.stages.photo.metadata.places.geometry import Change
from restore_batch.stages.photo.raster import upright
from tests.support.beside import packet

WHY = "the picture was turned upright"
ORIENTATIONS = range(1, 9)
GROUP = "http://www.metadataworkinggroup.com/schemas/regions/"
MICROSOFT = "http://ns.microsoft.com/photo/1.2/"
PRESS = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
NAMESPACES = (
    f' xmlns:mwg-rs="{GROUP}" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"'
    ' xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"'
    f' xmlns:MP="{MICROSOFT}" xmlns:MPRI="{MICROSOFT}t/RegionInfo#"'
    f' xmlns:MPReg="{MICROSOFT}t/Region#"'
    f' xmlns:Iptc4xmpExt="{PRESS}" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:apple-fi="http://ns.apple.com/faceinfo/1.0/"'
)
Box = tuple[int, int, int, int]


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[int, int], Box]:
    """The size of a picture, and left, top, right and bottom of something in it."""
    width, height = draw(st.integers(2, 40)), draw(st.integers(2, 40))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    right, bottom = draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))
    return (width, height), (left, top, right, bottom)


def painted(size: tuple[int, int], box: Box) -> np.ndarray:
    left, top, right, bottom = box
    picture = np.zeros(size[::-1], np.uint8)
    picture[top:bottom, left:right] = 1
    return picture


def box_of(picture: np.ndarray) -> Box:
    rows, columns = np.nonzero(picture.any(1))[0], np.nonzero(picture.any(0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def said(value: Fraction | float) -> str:
    return f"{float(value):.12f}"


def structure(name: str, fields: dict[str, str], form: str) -> str:
    """A structure in one of the ways in which XMP may be written."""
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    attributes = "".join(f'\n   {key}="{value}"' for key, value in fields.items())
    return {
        "elements": f'<{name} rdf:parseType="Resource">{inner}</{name}>',
        "attributes": f"<{name}{attributes}/>",
        "described": f"<{name}>\n<rdf:Description{attributes} />\n</{name}>",
        "described in elements": f"<{name}><rdf:Description>{inner}</rdf:Description></{name}>",
    }[form]


FORMS = st.sampled_from(["elements", "attributes", "described", "described in elements"])


def group(areas: str, size: tuple[int, int], form: str = "attributes", beside: str = "") -> str:
    sizes = {"stDim:w": str(size[0]), "stDim:h": str(size[1]), "stDim:unit": "pixel"}
    return (
        '<mwg-rs:Regions rdf:parseType="Resource">'
        f"{structure('mwg-rs:AppliedToDimensions', sizes, form)}<mwg-rs:RegionList><rdf:Bag>"
        f'<rdf:li><rdf:Description mwg-rs:Name="Oma" mwg-rs:Type="Face"{beside}>{areas}'
        "</rdf:Description></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    )


def area(size: tuple[int, int], box: Box, form: str = "attributes") -> str:
    (width, height), (left, top, right, bottom) = size, box
    fields = {
        "stArea:x": said(Fraction(left + right, 2 * width)),
        "stArea:y": said(Fraction(top + bottom, 2 * height)),
        "stArea:w": said(Fraction(right - left, width)),
        "stArea:h": said(Fraction(bottom - top, height)),
        "stArea:unit": "normalized",
    }
    return structure("mwg-rs:Area", fields, form)


def microsoft(size: tuple[int, int], box: Box, form: str = "elements") -> str:
    (width, height), (left, top, right, bottom) = size, box
    rectangle = (
        said(Fraction(*each))
        for each in ((left, width), (top, height), (right - left, width), (bottom - top, height))
    )
    fields = {"MPReg:PersonDisplayName": "Oma", "MPReg:Rectangle": ", ".join(rectangle)}
    return (
        f'<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>'
        f"{structure('rdf:li', fields, form)}</rdf:Bag></MPRI:Regions></MP:RegionInfo>"
    )


def press(fields: dict[str, str], form: str = "elements", inside: str = "") -> str:
    named = {f"Iptc4xmpExt:{key}": value for key, value in fields.items()}
    boundary = structure("Iptc4xmpExt:RegionBoundary", named, form)
    if inside:
        boundary = boundary.replace("</Iptc4xmpExt:RegionBoundary>", f"{inside}\\g<0>", 1)
        boundary = boundary.replace("\\g<0>", "</Iptc4xmpExt:RegionBoundary>")
    return (
        '<Iptc4xmpExt:ImageRegion><rdf:Bag><rdf:li rdf:parseType="Resource"><Iptc4xmpExt:Name>'
        '<rdf:Alt><rdf:li xml:lang="x-default">Oma</rdf:li></rdf:Alt></Iptc4xmpExt:Name>'
        f"{boundary}</rdf:li></rdf:Bag></Iptc4xmpExt:ImageRegion>"
    )


def values(xmp: bytes, name: str) -> list[str]:
    """What is said by the local name of an element or attribute, in order."""
    found = []
    for element in ElementTree.fromstring(xmp.strip()).iter():
        for key, value in element.attrib.items():
            if key.rpartition("}")[2] == name:
                found.append(value)
        if element.tag.rpartition("}")[2] == name:
            found.append((element.text or "").strip())
    return found


def number(xmp: bytes, name: str) -> float:
    (value,) = values(xmp, name)
    return float(value)


def numbers(xmp: bytes, *names: str) -> list[float]:
    return [number(xmp, name) for name in names]


def moved(inside: str, change: Change) -> tuple[bytes, tuple[str, ...]]:
    xmp, gone = regions.moved(packet(NAMESPACES, inside), change, WHY)
    ElementTree.fromstring(xmp.strip())
    return xmp, tuple(extra.what for extra in gone)


def after(size: tuple[int, int], orientation: int) -> Change:
    width, height = size
    return Change.upright(orientation, (height, width) if orientation >= 5 else size)


def in_pixels(change: Change, centre: list[float], sides: list[float]) -> list[float]:
    wide, high = change.after
    return [
        (centre[0] - sides[0] / 2) * wide, (centre[1] - sides[1] / 2) * high,
        (centre[0] + sides[0] / 2) * wide, (centre[1] + sides[1] / 2) * high,
    ]  # fmt: skip


@settings(deadline=None)
@given(boxes(), st.sampled_from(ORIENTATIONS), FORMS)
def test_a_face_of_the_working_group_lies_on_its_pixels(
    found: tuple[tuple[int, int], Box], orientation: int, form: str
) -> None:
    size, box = found
    change = after(size, orientation)
    xmp, gone = moved(group(area(size, box, form), size, form), change)
    assert not gone
    here = in_pixels(change, numbers(xmp, "x", "y"), areas_of(xmp))
    assert here == pytest.approx(box_of(upright(painted(size, box), orientation)), abs=1e-6)
    assert tuple(dimensions(xmp)) == change.after


def areas_of(xmp: bytes) -> list[float]:
    """Width and height of the only area."""
    return [float(values(xmp, name)[-1]) for name in "wh"]


def dimensions(xmp: bytes) -> list[int]:
    return [int(values(xmp, name)[0]) for name in "wh"]


@settings(deadline=None)
@given(boxes(), st.sampled_from(ORIENTATIONS), FORMS)
def test_a_person_of_microsofts_lies_on_their_pixels(
    found: tuple[tuple[int, int], Box], orientation: int, form: str
) -> None:
    size, box = found
    change = after(size, orientation)
    xmp, gone = moved(microsoft(size, box, form), change)
    (rectangle,) = values(xmp, "Rectangle")
    left, top, width, height = map(float, rectangle.split(", "))
    here = in_pixels(change, [left + width / 2, top + height / 2], [width, height])
    assert here == pytest.approx(box_of(upright(painted(size, box), orientation)), abs=1e-6)
    assert not gone


@settings(deadline=None)
@given(boxes(), st.sampled_from(ORIENTATIONS), FORMS, st.integers(1, 3))
def test_a_rectangle_of_the_press_in_pixels_lies_on_them_turned_and_enlarged(
    found: tuple[tuple[int, int], Box], orientation: int, form: str, scale: int
) -> None:
    (size, (left, top, right, bottom)) = found
    fields = {
        "rbShape": "rectangle", "rbUnit": "pixel", "rbX": str(left), "rbY": str(top),
        "rbW": str(right - left), "rbH": str(bottom - top),
    }  # fmt: skip
    turn = after(size, orientation)
    xmp, gone = moved(press(fields, form), turn)
    larger = turn.after[0] * scale, turn.after[1] * scale
    xmp, more = regions.moved(xmp, Change.sized(turn.after, larger), WHY)
    assert not gone and not more
    x, y, width, height = numbers(xmp, "rbX", "rbY", "rbW", "rbH")
    picture = upright(painted(*found), orientation).repeat(scale, 0).repeat(scale, 1)
    assert (x, y, x + width, y + height) == box_of(picture)


@given(boxes(), st.sampled_from(ORIENTATIONS), st.booleans())
def test_a_polygon_keeps_its_corners_and_their_order(
    found: tuple[tuple[int, int], Box], orientation: int, in_elements: bool
) -> None:
    (size, (left, top, right, bottom)) = found
    corners = [(left, top), (right, top), (right, bottom)]
    form = "elements" if in_elements else "attributes"
    vertices = "".join(
        structure(
            "rdf:li",
            {
                "Iptc4xmpExt:rbX": said(Fraction(x, size[0])),
                "Iptc4xmpExt:rbY": said(Fraction(y, size[1])),
            },
            form,
        )
        for x, y in corners
    )
    listed = f"<Iptc4xmpExt:rbVertices><rdf:Seq>{vertices}</rdf:Seq></Iptc4xmpExt:rbVertices>"
    change = after(size, orientation)
    fields = {"rbShape": "polygon", "rbUnit": "relative"}
    xmp, gone = moved(press(fields, inside=listed), change)
    here = [
        (float(x) * change.after[0], float(y) * change.after[1])
        for x, y in zip(values(xmp, "rbX"), values(xmp, "rbY"), strict=True)
    ]
    l, t, r, b = box_of(upright(painted(*found), orientation))  # noqa: E741
    assert not gone
    for x, y in here:
        assert min(abs(x - l), abs(x - r)) < 1e-6
        assert min(abs(y - t), abs(y - b)) < 1e-6
    assert math.dist(here[0], here[1]) == pytest.approx(right - left)
    assert math.dist(here[1], here[2]) == pytest.approx(bottom - top)


@given(boxes(), st.sampled_from(ORIENTATIONS))
def test_a_circle_stays_as_large_though_its_measure_is_the_width(
    found: tuple[tuple[int, int], Box], orientation: int
) -> None:
    size, (left, top, right, bottom) = found
    fields = {
        "rbShape": "circle", "rbUnit": "relative",
        "rbX": said(Fraction(left + right, 2 * size[0])),
        "rbY": said(Fraction(top + bottom, 2 * size[1])),
        "rbRx": said(Fraction(right - left, 2 * size[0])),
    }  # fmt: skip
    change = after(size, orientation)
    xmp, gone = moved(press(fields), change)
    turned = box_of(upright(painted(*found), orientation))
    assert not gone
    assert number(xmp, "rbRx") * change.after[0] == pytest.approx((right - left) / 2, abs=1e-6)
    assert number(xmp, "rbX") * change.after[0] == pytest.approx((turned[0] + turned[2]) / 2)
    assert number(xmp, "rbY") * change.after[1] == pytest.approx((turned[1] + turned[3]) / 2)


@pytest.mark.parametrize("listed", [True, False], ids=["as a list", "as text"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_subject_is_the_same_pixel(orientation: int, listed: bool) -> None:
    size, box = (40, 30), (7, 4, 8, 5)
    text = "<rdf:Seq><rdf:li>7</rdf:li><rdf:li>4</rdf:li></rdf:Seq>" if listed else "7 4"
    xmp, gone = moved(
        f"<exif:SubjectLocation>{text}</exif:SubjectLocation>", after(size, orientation)
    )
    at = re.findall(rb"\d+", xmp[xmp.index(b"SubjectLocation>") :].split(b"</exif:Sub")[0])
    assert tuple(map(int, at)) == box_of(upright(painted(size, box), orientation))[:2]
    assert not gone


def test_all_but_the_numbers_keeps_its_bytes() -> None:
    inside = (
        group(area((40, 30), (4, 6, 12, 12), "described"), (40, 30), beside="\n  a:b='c>d'")
        + "<!-- > -->\r\n\t<dc:title>x &lt; y</dc:title>"
        + microsoft((40, 30), (4, 6, 12, 12))
    )
    before = packet(NAMESPACES + ' xmlns:a="x:y"', inside)
    now, _ = regions.moved(before, after((40, 30), 6), WHY)
    digits = re.compile(rb"\d+(?:\.\d+)?")
    assert digits.sub(b"0", now) == digits.sub(b"0", before)
    assert now != before


def test_namespaces_count_and_not_their_prefixes() -> None:
    inside = group(area((40, 30), (4, 6, 12, 12)), (40, 30))
    other = inside.replace("mwg-rs:", "r:").replace("stArea:", "s:").replace("stDim:", "d:")
    names = (
        NAMESPACES.replace(":mwg-rs=", ":r=").replace(":stArea=", ":s=").replace(":stDim=", ":d=")
    )
    now, _ = regions.moved(packet(names, other), after((40, 30), 6), WHY)
    same, _ = moved(inside, after((40, 30), 6))
    assert numbers(now, "x", "y") == numbers(same, "x", "y") != [0.2, 0.3]
    foreign, gone = regions.moved(
        packet(NAMESPACES.replace(GROUP, "x:y"), inside), after((40, 30), 6), WHY
    )
    assert (foreign, gone) == (packet(NAMESPACES.replace(GROUP, "x:y"), inside), ())


def test_regions_of_another_picture_that_a_packet_tells_of_stay() -> None:
    of_source = (
        '<xmpMM:DerivedFrom xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" rdf:parseType="Resource">'
        f"{group(area((40, 30), (4, 6, 12, 12)), (40, 30))}</xmpMM:DerivedFrom>"
    )
    assert moved(of_source, after((40, 30), 6)) == (packet(NAMESPACES, of_source), ())


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_regions_that_were_taken_from_the_upright_picture_are_not_turned_again(
    orientation: int,
) -> None:
    upright_size, box = (30, 40), (3, 4, 9, 20)
    inside = group(area(upright_size, box), upright_size) + microsoft(upright_size, box)
    change = Change.upright(orientation, upright_size)
    assert moved(inside, change) == (packet(NAMESPACES, inside), ())
    larger, _ = moved(inside, Change(orientation, (40, 30), (60, 80)))
    assert dimensions(larger) == [60, 80]
    assert numbers(larger, "x", "y") == [0.2, 0.3]


def test_what_others_say_of_the_stored_picture_is_turned_beside_them() -> None:
    inside = group(area((30, 40), (3, 4, 9, 20)), (30, 40)) + microsoft((40, 30), (20, 3, 30, 9))
    xmp, _ = moved(inside, Change.upright(6, (30, 40)))
    (rectangle,) = values(xmp, "Rectangle")
    assert [float(each) for each in rectangle.split(", ")] == pytest.approx([0.7, 0.5, 0.2, 0.25])


def test_lightroom_measures_as_stored_though_it_states_the_size_as_shown() -> None:
    inside = group(area((40, 30), (4, 6, 12, 12)), (30, 40), beside=' mwg-rs:Rotation="-1.41981"')
    xmp, gone = moved(inside, Change.upright(6, (30, 40)))
    assert numbers(xmp, "x", "y") == pytest.approx([0.7, 0.2])
    assert dimensions(xmp) == [30, 40]
    assert values(xmp, "Rotation") == ["0.15099"]
    assert not gone


@pytest.mark.parametrize(
    ("orientation", "rotation", "roll", "yaw"),
    [
        (1, "-1.57080", "270", "45"), (2, "1.57080", "90", "315"), (3, "1.57079", "90", "45"),
        (4, "-1.57079", "270", "315"), (5, "0.00000", "0", "315"), (6, "0.00000", "0", "45"),
        (7, "3.14159", "180", "315"), (8, "-3.14159", "180", "45"),
    ],
)  # fmt: skip
def test_the_angle_of_a_head_turns_with_it(
    orientation: int, rotation: str, roll: str, yaw: str
) -> None:
    phone = (
        '<mwg-rs:Extensions rdf:parseType="Resource"><apple-fi:AngleInfoRoll>270'
        "</apple-fi:AngleInfoRoll><apple-fi:AngleInfoYaw>45</apple-fi:AngleInfoYaw>"
        "<apple-fi:FaceID>7</apple-fi:FaceID></mwg-rs:Extensions>"
    )
    inside = group(
        area((40, 30), (4, 6, 12, 12)) + phone, (40, 30), beside=' mwg-rs:Rotation="-1.57080"'
    )
    xmp, gone = moved(inside, after((40, 30), orientation))
    (radians,) = values(xmp, "Rotation")
    distance = abs(float(radians) - float(rotation)) % (2 * math.pi)
    assert min(distance, 2 * math.pi - distance) < 3e-5
    assert values(xmp, "AngleInfoRoll") == [roll]
    assert values(xmp, "AngleInfoYaw") == [yaw]
    assert values(xmp, "FaceID") == ["7"]
    assert not gone


BROKEN = [
    group('<mwg-rs:Area stArea:x="a" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1"/>', (40, 30)),
    group('<mwg-rs:Area stArea:x="NaN" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1"/>', (40, 30)),
    group('<mwg-rs:Area stArea:x="0.1" stArea:w="0.1" stArea:h="0.1"/>', (40, 30)),
    group('<mwg-rs:Area stArea:x="1" stArea:y="2" stArea:unit="inch"/>', (40, 30)),
    group('<mwg-rs:Area stArea:x="99" stArea:y="2" stArea:unit="pixel"/>', (40, 30)),
    group("<mwg-rs:Area>0.1 0.2</mwg-rs:Area>", (40, 30)),
    microsoft((40, 30), (4, 6, 12, 12)).replace(",", ";"),
    microsoft((40, 30), (4, 6, 12, 12)).replace("0.", "0,"),
    press({"rbShape": "rectangle", "rbX": "1", "rbY": "1", "rbW": "1", "rbH": "1"}),
    press({"rbShape": "star", "rbUnit": "relative", "rbX": "1", "rbY": "1"}),
    press({"rbShape": "polygon", "rbUnit": "relative", "rbVertices": ""}),
    press({"rbShape": "circle", "rbUnit": "relative", "rbX": "0.1", "rbY": "0.1"}),
]


@pytest.mark.parametrize("inside", BROKEN)
def test_a_region_that_cannot_be_followed_is_left_out_and_said_by_its_name(inside: str) -> None:
    kept = "<dc:title>kept</dc:title>"
    xmp, gone = moved(inside + kept, after((40, 30), 6))
    assert gone == ("region of 'Oma'",)
    assert xmp == packet(NAMESPACES, kept)


def test_the_others_of_a_list_stay() -> None:
    good = f'<rdf:Description mwg-rs:Name="Opa">{area((40, 30), (4, 6, 12, 12))}</rdf:Description>'
    inside = BROKEN[0].replace("</rdf:Bag>", f"\n  <rdf:li>{good}</rdf:li></rdf:Bag>")
    xmp, gone = moved(inside, after((40, 30), 6))
    assert gone == ("region of 'Oma'",)
    assert values(xmp, "Name") == ["Opa"]
    assert dimensions(xmp) == [30, 40]


def test_regions_that_are_not_listed_as_they_should_be_are_left_out() -> None:
    inside = (
        '<MP:RegionInfo><MPRI:Regions MPReg:Rectangle="0, 0, 1, 1">a</MPRI:Regions></MP:RegionInfo>'
    )
    assert moved(inside, after((40, 30), 3)) == (packet(NAMESPACES, ""), ("regions in its XMP",))


@pytest.mark.parametrize("text", ["", "7", "7 x", "7 400", "1 2 3 4 5", "-1 4", "7.5 4"])
def test_a_subject_that_cannot_be_followed_is_left_out(text: str) -> None:
    inside = f"<exif:SubjectArea>{text}</exif:SubjectArea>"
    assert moved(inside, after((40, 30), 6)) == (
        packet(NAMESPACES, ""),
        ("subject area in its XMP",),
    )


@pytest.mark.parametrize("inside", BROKEN[:3] + BROKEN[6:8])
def test_shares_of_the_picture_stay_as_they_are_where_it_is_only_enlarged(inside: str) -> None:
    xmp, gone = moved(inside, Change.sized((40, 30), (80, 60)))
    assert not gone
    sizes = packet(NAMESPACES, inside).replace(b'w="40"', b'w="80"').replace(b'h="30"', b'h="60"')
    assert xmp == sizes


def test_persons_without_a_place_stay() -> None:
    inside = microsoft((40, 30), (4, 6, 12, 12))
    inside = re.sub("<MPReg:Rectangle>.*</MPReg:Rectangle>", "", inside)
    assert moved(inside, after((40, 30), 6)) == (packet(NAMESPACES, inside), ())


@pytest.mark.parametrize("end", ["<", "</dc:title>", "\xa0<!DOCTYPE a>"])
def test_a_damaged_packet_stays_as_it_is_and_that_is_said(end: str) -> None:
    xmp = packet(NAMESPACES, group(area((40, 30), (4, 6, 12, 12)), (40, 30)) + end)
    now, gone = regions.moved(xmp, after((40, 30), 6), WHY)
    assert now == xmp
    assert [extra.left_out for extra in gone] == ["it is damaged and stays as it is"]


def test_a_packet_of_a_million_regions_is_not_followed() -> None:
    listed = "<rdf:li/>" * 200_000
    inside = (
        f"<MP:RegionInfo><MPRI:Regions><rdf:Bag>{listed}</rdf:Bag></MPRI:Regions></MP:RegionInfo>"
    )
    now, gone = regions.moved(packet(NAMESPACES, inside), after((40, 30), 6), WHY)
    assert now == packet(NAMESPACES, inside)
    assert len(gone) == 1


@settings(deadline=None)
@example(b"<", 0)
@given(st.binary(max_size=6), st.integers(0, 10_000))
def test_any_damage_to_a_packet_leaves_one_that_is_as_good_as_it_was(noise: bytes, at: int) -> None:
    whole = packet(
        NAMESPACES,
        group(area((40, 30), (4, 6, 12, 12)), (40, 30)) + microsoft((40, 30), (4, 6, 12, 12)),
    )
    at %= len(whole)
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    now, _ = regions.moved(damaged, after((40, 30), 6), WHY)
    try:
        ElementTree.fromstring(damaged.strip())
    except ElementTree.ParseError:
        return
    ElementTree.fromstring(now.strip())

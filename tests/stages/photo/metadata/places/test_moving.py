"""Files whose metadata tell of places: they are right in the result too; ExifTool bears witness."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from restore_batch.stages.photo.raster import upright
from tests.support import beside

WIDTH, HEIGHT = 96, 64
BOX = 8, 16, 32, 48
"""Left, top, right and bottom of what is red, as stored; on the blocks of a JPEG."""
REGION = [
    "-XMP-mwg-rs:RegionInfo={AppliedToDimensions={W=96,H=64,Unit=pixel},RegionList=[{Area={"
    "X=0.208333333,Y=0.5,W=0.25,H=0.5,Unit=normalized},Name=Oma,Type=Face}]}",
    "-XMP-MP:RegionInfoMP={Regions=[{PersonDisplayName=Oma,Rectangle=0.083333333|, 0.25|, 0.25|,"
    " 0.5}]}",
    "-XMP-iptcExt:ImageRegion=[{RegionBoundary={RbShape=rectangle,RbUnit=pixel,RbX=8,RbY=16,RbW=24,"
    "RbH=32},Name=Oma}]",
    "-ExifIFD:SubjectArea=20 32 24 32",
    "-ExifIFD:SubjectLocation=20 32",
    "-XMP-exif:SubjectArea=20",
    "-XMP-exif:SubjectArea=32",
    "-XMP-exif:SubjectArea=24",
    "-XMP-exif:SubjectArea=32",
    "-XMP-dc:Title=kept",
]
INVERSE = {6: 8, 8: 6}


def picture() -> np.ndarray:
    rgb_hwc = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    left, top, right, bottom = BOX
    rgb_hwc[top:bottom, left:right] = (220, 10, 10)
    return rgb_hwc


def with_places(folder: Path, name: str, orientation: int, *more: str) -> bytes:
    """A photo in the format of its name in which ExifTool has said where the red is."""
    tool = shutil.which("exiftool")
    if tool is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    path = folder / f"source_{name}"
    if path.suffix == ".heic":
        heif = pytest.importorskip("pillow_heif")
        # Stored lying, and turned upright by whoever decodes it.
        shown = Image.fromarray(upright(picture(), orientation))
        stored = Image.fromarray(upright(np.asarray(shown), INVERSE.get(orientation, orientation)))
        exif = Image.Exif()
        exif[274] = orientation
        heif.from_pillow(stored).save(path, exif=exif.tobytes(), quality=95)
    else:
        Image.fromarray(picture()).save(path, **({"quality": 95} if "jp" in name else {}))
    tag = f"-IFD0:Orientation#={orientation}"
    command = [tool, "-q", "-overwrite_original", tag, *REGION, *more, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_bytes()


def red(path: Path) -> tuple[int, int, int, int]:
    """Where the red is in a result: left, top, right and bottom."""
    if path.suffix == ".heic":
        rgb_hwc = np.asarray(pytest.importorskip("pillow_heif").open_heif(path))
    else:
        rgb_hwc = np.asarray(Image.open(path).convert("RGB"))
    is_red = (rgb_hwc[..., 0] > 150) & (rgb_hwc[..., 1] < 100)
    rows, columns = np.nonzero(is_red.any(1))[0], np.nonzero(is_red.any(0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def centred(middle: list[float], sides: list[float]) -> list[float]:
    return [
        middle[0] - sides[0] / 2, middle[1] - sides[1] / 2,
        middle[0] + sides[0] / 2, middle[1] + sides[1] / 2,
    ]  # fmt: skip


def told(path: Path, size: tuple[int, int]) -> dict[str, list[float]]:
    """The rectangles in pixels that a file tells of, by who tells, and the size stated."""
    found: dict[str, Any] = beside.exiftool(path, "-struct")
    group = found["XMP-mwg-rs:RegionInfo"]
    area = {
        key: float(value) for key, value in group["RegionList"][0]["Area"].items() if key in "XYWH"
    }
    assert group["RegionList"][0]["Name"] == "Oma"
    person = found["XMP-MP:RegionInfoMP"]["Regions"][0]
    left, top, width, height = map(float, person["Rectangle"].split(", "))
    press = found["XMP-iptcExt:ImageRegion"][0]
    x, y, w, h = (float(press["RegionBoundary"][f"Rb{key}"]) for key in "XYWH")
    subject = list(map(float, str(found["ExifIFD:SubjectArea"]).split()))
    in_xmp = list(map(float, found["XMP-exif:SubjectArea"]))
    wide, high = size
    middle = [float(each) + 0.5 for each in str(found["ExifIFD:SubjectLocation"]).split()]
    assert found["XMP-dc:Title"] == "kept"
    return {
        "group": centred(
            [area["X"] * wide, area["Y"] * high], [area["W"] * wide, area["H"] * high]
        ),
        "microsoft": [left * wide, top * high, (left + width) * wide, (top + height) * high],
        "press": [x, y, x + w, y + h],
        "exif": centred([each + 0.5 for each in subject[:2]], subject[2:]),
        "xmp": centred([each + 0.5 for each in in_xmp[:2]], in_xmp[2:]),
        "location": centred(middle, subject[2:]),
        "size": [float(group["AppliedToDimensions"][key]) for key in "WH"],
    }


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.heic"])
def test_all_that_a_file_says_of_places_lies_on_the_same_pixels(
    name: str, orientation: int, scale: int, tmp_path: Path
) -> None:
    content = with_places(tmp_path, name, orientation)
    try:
        done = beside.restored(tmp_path, name, content, scale=scale)
    except Exception as error:
        if name == "a.heic":
            pytest.skip(f"no HEIF encoder: {error}")
        raise
    wide, high = (WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH)
    size = wide * scale, high * scale
    found = told(done.path, size)
    assert found.pop("size") == list(size)
    here = red(done.path)
    for teller, rectangle in found.items():
        # EXIF's middle is a whole pixel: of an even number of them, one beside the middle.
        near = 1.01 * scale if teller in {"exif", "xmp", "location"} else 0.01
        assert rectangle == pytest.approx(here, abs=near), teller
    assert done.warnings == ()


def test_the_name_of_whom_a_region_cannot_be_followed_is_said(tmp_path: Path) -> None:
    wrong = "-XMP-MP:RegionInfoMP={Regions=[{PersonDisplayName=Opa,Rectangle=here}]}"
    outside = "-ExifIFD:SubjectArea=2000 3000"
    done = beside.restored(tmp_path, "a.jpg", with_places(tmp_path, "a.jpg", 6, wrong, outside))
    why = "its place cannot be followed, and the picture was turned upright"
    assert done.warnings == (f"not kept: subject area in its EXIF block, region of 'Opa': {why}",)
    found = beside.exiftool(done.path, "-struct")
    assert "XMP-MP:RegionInfoMP" not in found
    assert "ExifIFD:SubjectArea" not in found
    assert found["XMP-mwg-rs:RegionInfo"]["RegionList"][0]["Name"] == "Oma"


def test_places_do_not_change_where_nothing_does(tmp_path: Path) -> None:
    content = with_places(tmp_path, "a.jpg", 1)
    done = beside.restored(tmp_path, "a.jpg", content)
    assert beside.xmp_of(done.content) == beside.xmp_of(content)


def test_a_photo_with_more_regions_than_can_be_named_says_how_many(tmp_path: Path) -> None:
    item = '<rdf:li><rdf:Description MPReg:PersonDisplayName="{}" MPReg:Rectangle="x"/></rdf:li>'
    namespace = "http://ns.microsoft.com/photo/1.2/"
    xmp = beside.packet(
        f' xmlns:MP="{namespace}" xmlns:MPRI="{namespace}t/RegionInfo#"'
        f' xmlns:MPReg="{namespace}t/Region#"',
        '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>'
        + "".join(map(item.format, range(200)))
        + "</rdf:Bag></MPRI:Regions></MP:RegionInfo>",
    )
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(picture()).save(buffer, "JPEG", exif=exif.tobytes())
    done = beside.restored(tmp_path, "a.jpg", beside.with_xmp(buffer.getvalue(), xmp))
    assert len(done.warnings) == 2
    assert done.says("180 places more")
    assert beside.xmp_of(done.content).count(b"MPReg:Rectangle") == 0

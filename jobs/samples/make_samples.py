"""Make the sample archive: modern pictures, aged like prints in a shoe box.

    python jobs/samples/make_samples.py [folder]

The sources come with scikit-image and are free of copyright (README.md beside this file). All
chance is seeded: the same pixels come out every time. The pictures are small on purpose, for
networks that take minutes a megapixel on a CPU.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from degrade import (
    blur,
    dyes,
    fade,
    grain,
    grey,
    load,
    mount,
    resize,
    store,
    tone,
    vignette,
    wear,
)
from PIL import Image, ImageCms

SEPIA = ((46, 32, 24), (238, 222, 190))
SELENIUM = ((38, 34, 38), (232, 228, 220))
PAPER = (233, 223, 200)


@dataclass(frozen=True)
class Sample:
    """One file: its pixels as stored, (H, W) or (H, W, 3) uint8, and how they are written."""

    filename: str
    pixels: np.ndarray
    save: dict[str, Any] = field(default_factory=dict)


def samples() -> Iterator[Sample]:
    """All pictures of the archive."""
    from skimage import data

    portrait = load(data.astronaut())
    photographer = load(data.camera())
    launch = load(data.rocket())

    yield Sample("portrait_print.jpg", portrait_print(portrait), {"quality": 78})
    yield Sample("portrait_grey.jpg", portrait_grey(portrait), {"quality": 82})
    yield Sample("portrait_faded.png", portrait_faded(portrait), {"optimize": True})
    yield Sample("album_page.jpg", album_page(portrait, photographer), {"quality": 85})
    yield Sample("launch_pad.tif", launch_pad(launch), {"compression": "tiff_adobe_deflate"})
    yield scanned_sideways(portrait)
    yield Sample("scratched_negative.jpg", scratched_negative(photographer), {"quality": 88})


def portrait_print(portrait: np.ndarray) -> np.ndarray:
    """A sepia print: soft, grainy, yellowed, a little scratched."""
    rng = np.random.default_rng(1912)
    face = resize(portrait[0:300, 92:342], (200, 240))
    face = grain(vignette(blur(face, 1.3), 0.25), rng, 0.034)
    face = tone(fade(grey(face), 0.06, 0.95), *SEPIA)
    return store(mount(wear(face, rng, scratches=4, specks=16), 8, PAPER))


def portrait_grey(portrait: np.ndarray) -> np.ndarray:
    """A newspaper agency's print: one channel, coarse grain."""
    rng = np.random.default_rng(1938)
    face = blur(resize(grey(portrait)[10:280, 100:340], (208, 234)), 1.1)
    return store(wear(grain(fade(face, 0.08, 0.92), rng, 0.042), rng, scratches=1, specks=8))


def portrait_faded(portrait: np.ndarray) -> np.ndarray:
    """A colour print of the 1970s: the cyan dye has gone, red and yellow are left."""
    rng = np.random.default_rng(1974)
    face = blur(resize(portrait[0:320, 80:350], (216, 256)), 1.2)
    face = fade(dyes(face, cyan=0.55, magenta=0.8, yellow=0.95), 0.1, 0.94)
    return store(grain(face, rng, 0.03))


def album_page(portrait: np.ndarray, photographer: np.ndarray) -> np.ndarray:
    """A page scanned whole: four small prints on black card, faces of 40 to 60 pixels."""
    rng = np.random.default_rng(1951)
    page = np.full((296, 392, 3), 0.16) + 0.012 * rng.standard_normal((296, 392, 1))
    page = blur(page, 0.6)
    prints = (
        (14, 16, portrait[0:300, 80:340], (130, 150), SEPIA, 0.8),
        (206, 24, portrait[0:512, 0:512, :][:, ::-1], (150, 150), SELENIUM, 0.6),
        (30, 196, np.dstack([photographer[20:270, 0:490]] * 3), (150, 77), SELENIUM, 0.7),
        (238, 204, portrait[20:190, 110:370], (116, 76), SEPIA, 0.7),
    )
    for left, top, source, size, colours, radius_px in prints:
        small = grain(fade(grey(blur(resize(source, size), radius_px)), 0.05, 0.95), rng, 0.035)
        print_ = mount(wear(tone(small, *colours), rng, scratches=0, specks=4), 5, PAPER)
        height, width = print_.shape[:2]
        page[top : top + height, left : left + width] = print_
    return store(page)


def launch_pad(launch: np.ndarray) -> np.ndarray:
    """A slide without a face: soft, grainy, gone magenta."""
    rng = np.random.default_rng(1969)
    scene = blur(resize(launch[40:427, 60:640], (270, 180)), 0.7)
    scene = fade(dyes(scene, cyan=0.8, magenta=0.95, yellow=0.9), 0.04, 0.97)
    return store(grain(scene, rng, 0.018))


def scanned_sideways(portrait: np.ndarray) -> Sample:
    """A scan that lies on its side, with the metadata that must survive."""
    rng = np.random.default_rng(1986)
    face = blur(resize(portrait[0:400, 40:360], (176, 220)), 0.9)
    face = grain(fade(dyes(face, cyan=0.85, magenta=0.9, yellow=0.7), 0.05, 0.95), rng, 0.03)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: to be turned clockwise for viewing
    exif[0x010E] = "Portrait, sample archive of restore-batch"
    exif[0x8298] = "Public domain (NASA)"
    exif[0x010F] = "restore-batch"
    return Sample(
        "scanned_sideways.jpg",
        np.ascontiguousarray(np.rot90(store(face))),
        {"quality": 80, "dpi": (300, 300), "exif": exif, "icc_profile": srgb_profile()},
    )


def scratched_negative(photographer: np.ndarray) -> np.ndarray:
    """A negative that was pulled through a dusty gate: opaque scratches and dust."""
    rng = np.random.default_rng(1947)
    scene = blur(resize(photographer[:, 40:512], (270, 292)), 0.6)
    scene = grain(fade(scene, 0.05, 0.9), rng, 0.02)
    worn = wear(
        scene, rng, scratches=14, specks=70, tint=0.99, scratch_opacity=1.1, speck_opacity=0.95
    )
    return store(worn)


def srgb_profile() -> bytes:
    """An sRGB profile without the time of its making."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes.fromhex("07b200010001000000000000")  # 1970-01-01 00:00:00
    return bytes(profile)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    for sample in samples():
        path = folder / sample.filename
        Image.fromarray(sample.pixels).save(path, **sample.save)
        height, width = sample.pixels.shape[:2]
        print(f"{path}  {width}x{height}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

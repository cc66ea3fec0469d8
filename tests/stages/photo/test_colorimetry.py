"""What the colours of a source mean, wherever its file says so, and where they go."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from restore_batch.errors import MediaError
from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo import colour, icc
from restore_batch.stages.photo.colorimetry import Stated, meaning
from restore_batch.stages.photo.metadata import png_chunks, tiff_tags
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import write

from support import data
from support.photo_files import file, photo, refused

P3, SRGB, PQ, HLG = 12, 13, 16, 18
_TO_XYZ = {
    "srgb": [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]],
    "p3": [[0.4866, 0.2657, 0.1982], [0.2290, 0.6917, 0.0793], [0.0000, 0.0451, 1.0439]],
    "adobe": [[0.5767, 0.1856, 0.1882], [0.2974, 0.6273, 0.0753], [0.0270, 0.0707, 0.9911]],
}


def in_srgb(light: np.ndarray, space: str) -> np.ndarray:
    """Linear light of a space with a D65 white as sRGB values of 0 to 255, by the standards'."""
    matrix = np.linalg.inv(np.array(_TO_XYZ["srgb"])) @ np.array(_TO_XYZ[space])
    light = np.clip(light @ matrix.T, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def light_of(values: np.ndarray) -> np.ndarray:
    """Linear light of sRGB's curve."""
    v = values / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def muted(height: int = 40, width: int = 60) -> np.ndarray:
    """Colours that every space here has."""
    return (photo(height, width) * 0.4 + 70).astype(np.uint8)


def png(samples: np.ndarray, **chunks: bytes) -> bytes:
    """A PNG file whose colours these chunks tell."""
    plain = bytes(imagecodecs.png_encode(samples))
    added = b"".join(png_chunks.chunk(name.encode(), body) for name, body in chunks.items())
    return plain[:33] + added + plain[33:]


def gama(gamma: float) -> bytes:
    return round(gamma * 100_000).to_bytes(4, "big")


def chrm(*places: float) -> bytes:
    return struct.pack(">8i", *(round(value * 100_000) for value in places))


ADOBE = chrm(0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)


def heif(samples: np.ndarray, primaries: int, transfer: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    if not pillow_heif.libheif_info()["HEIF"]:
        pytest.skip("pillow-heif was built without an encoder")
    buffer = io.BytesIO()
    pillow_heif.encode(
        "RGB", (samples.shape[1], samples.shape[0]), samples.tobytes(), buffer,
        quality=100, chroma="444", save_nclx_profile=True, color_primaries=primaries,
        transfer_characteristics=transfer, matrix_coefficients=6, full_range_flag=1,
    )  # fmt: skip
    return buffer.getvalue()


def avif(samples: np.ndarray, primaries: int, transfer: int) -> bytes:
    """Pillow says sRGB in the box of colours; here it says something else."""
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    plain = buffer.getvalue()
    said = b"nclx" + struct.pack(">HH", 1, SRGB)
    assert plain.count(said) == 1
    return plain.replace(said, b"nclx" + struct.pack(">HH", primaries, transfer))


def seen(path: Path) -> np.ndarray:
    """A file's pixels as Pillow and Little CMS show them, 8 bits."""
    with Image.open(path) as picture:
        profile = picture.info.get("icc_profile")
        if profile is None:
            return np.asarray(picture.convert("RGB"))
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        plain = picture if picture.mode == "L" else picture.convert("RGB")
        shown = ImageCms.profileToProfile(
            plain, opened, ImageCms.createProfile("sRGB"), renderingIntent=1, outputMode="RGB"
        )
        return np.asarray(shown)


def frame_of(source: str) -> np.ndarray:
    rgb = read(source, 1)[0].rgb_hwc
    return rgb / (257 if rgb.dtype == np.uint16 else 1)


# -- the container says it ------------------------------------------------------------------------
STATED = {
    "p3 by cICP": (
        lambda values: png(values, cICP=bytes([P3, SRGB, 0, 1])),
        lambda values: in_srgb(light_of(values), "p3"),
    ),
    "linear by gAMA": (
        lambda values: png(values, gAMA=gama(1.0)),
        lambda values: in_srgb(values / 255, "srgb"),
    ),
    "old Macintosh by gAMA": (
        lambda values: png(values, gAMA=gama(1 / 1.8)),
        lambda values: in_srgb((values / 255) ** 1.8, "srgb"),
    ),
    "like Adobe RGB by gAMA and cHRM": (
        lambda values: png(values, gAMA=gama(1 / 2.2), cHRM=ADOBE),
        lambda values: in_srgb((values / 255) ** 2.2, "adobe"),
    ),
    "narrow range by cICP": (
        lambda values: png(values, cICP=bytes([1, SRGB, 0, 0])),
        lambda values: in_srgb(light_of(np.clip((values - 16.0) / 219 * 255, 0, 255)), "srgb"),
    ),
    "narrow range P3 by cICP": (
        lambda values: png(values, cICP=bytes([P3, SRGB, 0, 0])),
        lambda values: in_srgb(light_of(np.clip((values - 16.0) / 219 * 255, 0, 255)), "p3"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("said", STATED)
def test_what_a_png_says_of_its_colours_holds_for_networks_and_outputs(
    said: str, suffix: str, tmp_path: Path
) -> None:
    make, expected = STATED[said]
    values = muted()
    source = file(tmp_path, "a.png", make(values))
    assert np.abs(frame_of(source) - expected(values)).max() < 0.7
    output = tmp_path / ("b" + suffix)
    frame, meta, warnings = read(source, 1)
    assert warnings == ()
    write(frame, meta, output)
    # Rounding to 8 bits shows where sRGB has next to nothing of a primary.
    off = np.abs(frame_of(str(output)) - expected(values))
    assert off.mean() < 0.5
    assert off.max() < 5
    if suffix != ".png":  # Pillow reads no such chunk
        assert np.abs(seen(output) - expected(values)).mean() < 0.7
    else:
        head = png_chunks.head(png_chunks.chunks(output.read_bytes()))
        before = png_chunks.head(png_chunks.chunks(Path(source).read_bytes()))
        assert head.icc is None
        assert head.colour_chunks == before.colour_chunks
        assert np.array_equal(np.asarray(imagecodecs.imread(str(output))), values)


@pytest.mark.parametrize("make", [avif, heif])
@pytest.mark.parametrize("suffix", ["same", ".jpg", ".png", ".bmp"])
def test_nclx_says_what_the_colours_of_avif_and_heif_are(make, suffix: str, tmp_path: Path) -> None:
    name = make.__name__
    source = file(tmp_path, f"a.{name}", make(muted(), P3, SRGB))
    expected = in_srgb(light_of(muted()), "p3")
    assert np.abs(frame_of(source) - expected).mean() < 1
    assert np.abs(expected - muted()).mean() > 3
    output = tmp_path / ("b." + name if suffix == "same" else "b" + suffix)
    frame, meta, _ = read(source, 1)
    write(frame, meta, output, quality=100 if suffix in {"same", ".jpg"} else None)
    # Twice lossy.
    assert np.abs(frame_of(str(output)) - expected).mean() < 2
    assert (read(str(output), 1)[1].icc is None) == (suffix == ".bmp")


@pytest.mark.parametrize("make", [avif, heif])
@pytest.mark.parametrize("transfer", [1, 2, 6, SRGB, 14])
def test_the_curves_of_television_are_shown_as_srgb(make, transfer: int, tmp_path: Path) -> None:
    source = file(tmp_path, "a", make(muted(), 1, transfer))
    frame, meta, warnings = read(source, 1)
    assert frame.rgb_hwc.dtype == np.uint8
    assert meta.icc is None
    assert warnings == ()


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("kind", ["avif", "heif", "png", "profile"])
def test_a_picture_of_high_dynamic_range_is_refused(
    kind: str, transfer: int, tmp_path: Path
) -> None:
    pattern = r"high dynamic range \(" + ("PQ" if transfer == PQ else "HLG")
    if kind == "profile":
        profile = icc._profile(b"GRAY", {b"cicp": b"cicp\0\0\0\0" + bytes([9, transfer, 0, 1])})
        Image.fromarray(muted()).save(tmp_path / "a", "PNG", icc_profile=profile)
        refused(str(tmp_path / "a"), pattern)
        return
    make = {
        "avif": lambda: avif(muted(), 9, transfer),
        "heif": lambda: heif(muted(), 9, transfer),
        "png": lambda: png(muted(), cICP=bytes([9, transfer, 0, 1])),
    }[kind]
    source = file(tmp_path, "a", make())
    refused(source, pattern)
    with pytest.raises(MediaError, match=pattern):  # the plan says so already
        probe(source)


def test_the_gamma_that_stands_for_srgb_moves_no_value(tmp_path: Path) -> None:
    srgb = chrm(0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    for chunks in ({"gAMA": gama(0.45455)}, {"gAMA": gama(0.45455), "cHRM": srgb}):
        source = file(tmp_path, "a.png", png(photo(), **chunks))
        frame, meta, _ = read(source, 1)
        assert np.array_equal(frame.rgb_hwc, photo())
        assert meta.icc is None


@pytest.mark.parametrize(
    "chunks",
    [
        {"gAMA": gama(0.0)},
        {"gAMA": gama(5000.0)},
        {"gAMA": b"\0"},
        {"cHRM": bytes(32)},
        {"cHRM": chrm(0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)},
        {"cICP": bytes([77, 99, 0, 1])},
        {"cICP": b"\x0c"},
    ],
)
def test_numbers_that_mean_no_colours_are_read_as_srgb(
    chunks: dict[str, bytes], tmp_path: Path
) -> None:
    frame, meta, _ = read(file(tmp_path, "a.png", png(photo(), **chunks)), 1)
    assert np.array_equal(frame.rgb_hwc, photo())
    assert meta.icc is None


def test_a_grey_png_of_another_gamma_has_the_right_tones_everywhere(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(16, axis=0)
    source = file(tmp_path, "a.png", png(ramp, gAMA=gama(1.0)))
    expected = in_srgb(np.repeat(ramp[..., None], 3, axis=2) / 255, "srgb")
    assert np.abs(frame_of(source) - expected).max() < 0.7
    for suffix in (".png", ".tif", ".jpg", ".webp"):
        output = tmp_path / ("b" + suffix)
        frame, meta, _ = read(source, 1)
        write(frame, meta, output, quality=100 if suffix == ".jpg" else None)
        assert np.abs(frame_of(str(output)) - expected).max() < 3
        assert suffix == ".webp" or np.asarray(Image.open(output)).ndim == 2


# -- a BMP says it --------------------------------------------------------------------------------
def bmp(samples: np.ndarray, space: int, *, profile: bytes = b"", calibrated: bytes = b"") -> bytes:
    """A BMP with a header of version 5."""
    height, width = samples.shape[:2]
    rows = samples[::-1, :, ::-1].reshape(height, -1)
    pixels = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4))).tobytes()
    header = struct.pack("<IiiHHIIiiII", 124, width, height, 1, 24, 0, len(pixels), 0, 0, 0, 0)
    header += bytes(16) + struct.pack("<I", space) + calibrated.ljust(48, b"\0")
    header += struct.pack("<IIII", 4, 124 + len(pixels), len(profile), 0)
    size = 14 + len(header) + len(pixels) + len(profile)
    start = struct.pack("<2sIHHI", b"BM", size, 0, 0, 14 + len(header))
    return start + header + pixels + profile


def test_the_profile_of_a_bmp_is_applied(tmp_path: Path) -> None:
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    data = bmp(muted(), int.from_bytes(b"MBED", "big"), profile=adobe)
    source = file(tmp_path, "a.bmp", data)
    expected = in_srgb((muted() / 255) ** (563 / 256), "adobe")
    frame, meta, _ = read(source, 1)
    assert np.abs(frame.rgb_hwc / 257 - expected).max() < 0.7
    assert "cannot hold a colour profile" in write(frame, meta, tmp_path / "b.bmp")[0]
    assert np.abs(frame_of(str(tmp_path / "b.bmp")) - expected).max() < 1
    assert write(frame, meta, tmp_path / "b.png") == ()
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), muted())


def test_a_bmp_says_primaries_and_gamma(tmp_path: Path) -> None:
    xyz = np.array(_TO_XYZ["adobe"]).T.ravel()
    calibrated = struct.pack(
        "<9I3I", *(round(v * (1 << 30)) for v in xyz), *[round(2.2 * 65536)] * 3
    )
    source = file(tmp_path, "a.bmp", bmp(muted(), 0, calibrated=calibrated))
    expected = in_srgb((muted() / 255) ** 2.2, "adobe")
    assert np.abs(frame_of(source) - expected).max() < 1


@pytest.mark.parametrize(
    "space", [0, int.from_bytes(b"sRGB", "big"), int.from_bytes(b"Win ", "big")]
)
def test_a_bmp_that_says_nothing_is_srgb(space: int, tmp_path: Path) -> None:
    frame, meta, _ = read(file(tmp_path, "a.bmp", bmp(muted(), space)), 1)
    assert np.array_equal(frame.rgb_hwc, muted())
    assert meta.icc is None


def test_the_smallest_bmp_is_srgb(tmp_path: Path) -> None:
    """A header of OS/2 ends long before anything is said of colours."""
    pixel = struct.pack("<2sIHHI", b"BM", 30, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 1, 1, 24)
    frame, meta, _ = read(file(tmp_path, "a.bmp", pixel + bytes([30, 20, 230, 0])), 1)
    assert frame.rgb_hwc.tolist() == [[[230, 20, 30]]]
    assert meta.icc is None


# -- EXIF says it ---------------------------------------------------------------------------------
def exif(space: int, index: bytes = b"") -> bytes:
    interop = {1: tiff_tags.raw(index + b"\0", 2)} if index else {}
    return tiff_tags.block(tiff_tags.Tree({}, {0xA001: tiff_tags.short(space)}, {}, interop))


@pytest.mark.parametrize(
    ("block", "adobe"),
    [
        (exif(0xFFFF, b"R03"), True),
        (exif(2), True),
        (exif(0xFFFF, b"R98"), False),
        (exif(0xFFFF), False),
        (exif(1, b"R03"), False),
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".pnm"])
def test_exif_says_adobe_rgb(block: bytes, adobe: bool, suffix: str, tmp_path: Path) -> None:
    Image.fromarray(muted()).save(
        tmp_path / "a.jpg", quality=100, subsampling=0, exif=b"Exif\0\0" + block
    )
    stored = np.asarray(Image.open(tmp_path / "a.jpg"))
    expected = in_srgb((stored / 255) ** (563 / 256), "adobe") if adobe else stored
    frame, meta, _ = read(str(tmp_path / "a.jpg"), 1)
    assert np.abs(frame_of(str(tmp_path / "a.jpg")) - expected).max() < 0.7
    output = tmp_path / ("b" + suffix)
    write(frame, meta, output, quality=100 if suffix in {".jpg", ".webp"} else None)
    assert np.abs(frame_of(str(output)) - expected).mean() < 1.5


def test_exif_says_srgb_where_its_colours_were_converted(tmp_path: Path) -> None:
    """A grey picture has a profile that a WebP, which has three channels, cannot take."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(16, axis=0)
    Image.fromarray(ramp).save(
        tmp_path / "a.jpg", quality=100, exif=b"Exif\0\0" + exif(0xFFFF, b"R03")
    )
    frame, meta, _ = read(str(tmp_path / "a.jpg"), 1)
    write(frame, meta, tmp_path / "b.webp", quality=100)
    assert np.abs(frame_of(str(tmp_path / "b.webp")) - frame.rgb_hwc / 257).max() < 4


# -- who is believed ------------------------------------------------------------------------------
def test_the_first_that_says_the_colours_is_believed() -> None:
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    p3 = Stated(cicp=(P3, SRGB), gamma=1.0)
    block = exif(0xFFFF, b"R03")
    assert meaning(adobe, p3, block, "rgb", 8).icc == adobe
    by_cicp = meaning(None, p3, block, "rgb", 8)
    assert by_cicp.made
    broken = meaning(b"broken", p3, block, "rgb", 8)
    assert broken.icc == by_cicp.icc
    assert "damaged" in broken.warnings[0]
    linear = meaning(None, Stated(gamma=1.0), block, "rgb", 8)
    assert linear.icc != by_cicp.icc
    assert linear.elsewhere is None
    assert meaning(None, Stated(srgb=True, gamma=1.0), block, "rgb", 8).icc is None
    by_exif = meaning(None, Stated(), block, "rgb", 8)
    assert by_exif.icc is not None
    assert by_exif.icc == by_exif.elsewhere
    assert meaning(None, p3, block, "cmyk", 8).icc is None


def test_a_made_profile_is_that_of_little_cms() -> None:
    made = meaning(None, Stated(), exif(2), "rgb", 8).icc
    assert made is not None
    values = photo().astype(np.uint16) * 257
    theirs = colour.to_srgb(values, "rgb", bytes(imagecodecs.cms_profile("adobergb"))).rgb_hwc
    ours = colour.to_srgb(values, "rgb", made).rgb_hwc
    assert np.abs(theirs.astype(int) - ours).max() < 0.6 * 257
    assert made == meaning(None, Stated(), exif(2), "rgb", 8).icc
    ImageCms.ImageCmsProfile(io.BytesIO(made))


# -- grey with an RGB profile ---------------------------------------------------------------------
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("gamma", [1.8, 2.2])
def test_a_grey_picture_keeps_the_tones_of_an_rgb_profile(
    suffix: str, gamma: float, tmp_path: Path
) -> None:
    profile = icc.rgb_profile(
        (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), icc.power(gamma)
    )
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(16, axis=0)
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=profile)
    frame, meta, (warning,) = read(str(tmp_path / "a.png"), 1)
    assert "RGB colour profile does not fit" in warning
    expected = in_srgb((np.repeat(ramp[..., None], 3, axis=2) / 255) ** gamma, "srgb")
    assert np.abs(frame.rgb_hwc / 257 - expected).max() < 0.7
    output = tmp_path / ("b" + suffix)
    write(frame, meta, output, quality=100 if suffix == ".jpg" else None)
    assert np.abs(frame_of(str(output)) - expected).max() < 2.5
    if suffix in {".png", ".tif"}:
        assert np.array_equal(np.asarray(imagecodecs.imread(str(output))), ramp)


def test_an_rgb_profile_of_srgb_tones_stays_beside_grey_where_it_can(tmp_path: Path) -> None:
    profile = icc.rgb_profile((0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06), icc.SRGB_CURVE)
    grey = photo()[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png", icc_profile=profile)
    frame, meta, warnings = read(str(tmp_path / "a.png"), 1)
    assert warnings == ()
    assert np.array_equal(frame.rgb_hwc[..., 0], grey)
    assert write(frame, meta, tmp_path / "b.tif") == ()
    assert read(str(tmp_path / "b.tif"), 1)[1].icc == profile
    (warning,) = write(frame, meta, tmp_path / "b.png")
    assert "RGB profile beside grey" in warning
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.png")), grey)


# -- Lab ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("white", [(0.3127, 0.3290), (0.3457, 0.3585), None])
def test_a_lab_tiff_is_read_under_the_white_that_it_names(
    dtype: type, white: tuple[float, float] | None, tmp_path: Path
) -> None:
    values = muted()
    place = np.array(white or (0.3457, 0.3585))
    x, y = place
    under = np.array([x / y, 1, (1 - x - y) / y])
    d65 = np.array([0.3127 / 0.3290, 1, 0.3583 / 0.3290])
    adapt = np.linalg.inv(icc.adaptation(under)) @ icc.adaptation(d65)
    xyz = light_of(values) @ np.array(_TO_XYZ["srgb"]).T @ adapt.T / under
    roots = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    fx, fy, fz = np.moveaxis(roots, -1, 0)
    lab = np.stack([(116 * fy - 16), 500 * (fx - fy), 200 * (fy - fz)], axis=-1)
    steps = np.array([2.55, 1, 1] if dtype is np.uint8 else [655.35, 256, 256])
    signed = np.rint(lab * steps).astype(np.int32).astype(dtype)
    tag = [] if white is None else [(318, "2I", 2, _rationals(white), True)]
    tifffile.imwrite(tmp_path / "a.tif", signed, photometric="cielab", metadata=None, extratags=tag)
    shown = frame_of(str(tmp_path / "a.tif"))
    assert np.abs(shown - values).mean() < (1 if dtype is np.uint8 else 0.1)


def _rationals(values: tuple[float, float]) -> tuple[int, ...]:
    return tuple(part for value in values for part in (round(value * 10_000), 10_000))


# -- files as people have them --------------------------------------------------------------------
def field(name: str) -> str:
    return str(data.field() / name)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".avif", ".png"])
@pytest.mark.parametrize(
    ("name", "srgb"),
    [
        ("gama10.png", (244, 79, 96)),
        ("cicp_p3.png", (251, 0, 0)),
        ("avif_nclx_p3.avif", (251, 0, 0)),
    ],
)
def test_a_field_picture_is_seen_as_before(
    name: str, srgb: tuple[int, ...], suffix: str, tmp_path: Path
) -> None:
    frame, meta, _ = read(field(name), 1)
    assert np.abs(frame.rgb_hwc[2, 2] / 257 - srgb).max() < 1
    write(frame, meta, tmp_path / ("a" + suffix))
    assert np.abs(frame_of(str(tmp_path / ("a" + suffix)))[2, 2] - srgb).max() < 3
    if suffix != ".png":
        assert np.abs(seen(tmp_path / ("a" + suffix))[2, 2].astype(int) - srgb).max() < 3


def test_a_field_picture_of_high_dynamic_range_is_refused() -> None:
    refused(field("avif_pq.avif"), "high dynamic range")


def test_metadata_made_by_hand_keeps_its_profile_in_every_format(tmp_path: Path) -> None:
    adobe = bytes(imagecodecs.cms_profile("adobergb"))
    frame = read(file(tmp_path, "a.png", png(muted())), 1)[0]
    for suffix in (".png", ".tif"):
        write(frame, PhotoMeta("jpeg", icc=adobe), tmp_path / ("b" + suffix))
        assert read(str(tmp_path / ("b" + suffix)), 1)[1].icc == adobe

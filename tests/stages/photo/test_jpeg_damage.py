"""A JPEG's scans are counted before they are decoded: each is a pass over the whole picture. A
lossless one is not looked through on a small scale, which its decoder does not know."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.photo.read import probe, read

from support.cost import cost_of
from support.photo_files import LIMIT, encoded, file, photo, refused

SCAN, END = b"\xff\xda", b"\xff\xd9"


def with_scans(jpeg: bytes, count: int) -> bytes:
    """``jpeg`` with its last scan again and again, until there are ``count``."""
    at = jpeg.rindex(SCAN)
    return jpeg[:-2] + jpeg[at:-2] * (count - jpeg.count(SCAN)) + END


@pytest.mark.parametrize("progressive", [True, False])
def test_a_jpeg_of_thousands_of_scans_is_refused_before_it_is_decoded(
    tmp_path: Path, progressive: bool
) -> None:
    data = encoded(Image.fromarray(photo(64, 64)), "JPEG", progressive=progressive)
    path = file(tmp_path, "scans.jpg", with_scans(data, 3000))
    assert probe(path).width == 64
    with pytest.raises(MediaError) as refused:
        read(path, LIMIT)
    assert str(refused.value) == (
        f"{path}: its picture comes in more than 100 scans, to keep its readers busy; expected at"
        " most 100: save it anew with another program"
    )


def test_as_many_scans_as_any_encoder_writes_are_read(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(photo(64, 64)), "JPEG", progressive=True)
    frame, _, _ = read(file(tmp_path, "scans.jpg", with_scans(data, 100)), LIMIT)
    assert frame.width == 64
    with pytest.raises(MediaError, match="scans"):
        read(file(tmp_path, "more.jpg", with_scans(data, 101)), LIMIT)


# Large: what is written behind the end of an array must end the process, and not only harm it.
NOISE = np.random.default_rng(8).integers(0, 1 << 16, (1200, 1600, 3), np.uint16)


def lossless(bits: int, channels: int, noise: np.ndarray = NOISE) -> bytes:
    samples = noise[..., 0] if channels == 1 else noise
    if bits <= 8:
        samples = samples.astype(np.uint8)
    samples = samples >> (samples.itemsize * 8 - bits)
    return bytes(imagecodecs.jpeg8_encode(samples, lossless=True, bitspersample=bits))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [7, 8, 12, 16])
def test_a_lossless_jpeg_is_read_to_the_bit(bits: int, channels: int, tmp_path: Path) -> None:
    data = lossless(bits, channels)
    assert b"\xff\xc3" in data
    source = file(tmp_path, "a.jpg", data)
    expected = imagecodecs.jpeg_decode(data)
    assert expected.dtype == (np.uint8 if bits <= 8 else np.uint16)

    def compared() -> str:
        frame, meta, warnings = read(source, LIMIT)
        assert (meta.bits, warnings, frame.grey) == (bits, (), channels == 1)
        full = np.iinfo(expected.dtype).max
        scaled = np.rint(expected.astype(float) * full / ((1 << bits) - 1)).astype(expected.dtype)
        stored = frame.rgb_hwc if channels == 3 else frame.rgb_hwc[..., 0]
        return f"{np.array_equal(stored, scaled)}"

    assert cost_of(compared, tmp_path / "said.txt").said == "True"


@pytest.mark.parametrize("options", [{}, {"planarconfig": "separate"}, {"tile": (400, 400)}])
def test_a_tiff_of_lossless_jpegs_is_read_to_the_bit(
    options: dict[str, object], tmp_path: Path
) -> None:
    path, samples = tmp_path / "a.tif", NOISE.astype(np.uint8)
    if "planarconfig" in options:
        samples = np.moveaxis(samples, -1, 0)
    tifffile.imwrite(
        path,
        samples,
        photometric="rgb",
        compression="jpeg",
        compressionargs={"lossless": True},
        **options,
    )
    assert b"\xff\xc3" in path.read_bytes()

    def said() -> str:
        frame, _, warnings = read(str(path), LIMIT)
        return f"{np.array_equal(frame.rgb_hwc, NOISE.astype(np.uint8))} {warnings}"

    assert cost_of(said, tmp_path / "said.txt").said == "True ()"


def _in_tiff() -> bytes:
    whole = io.BytesIO()
    tifffile.imwrite(
        whole,
        photo()[..., 0],
        photometric="minisblack",
        compression="jpeg",
        compressionargs={"lossless": True},
    )
    return whole.getvalue()


@pytest.mark.parametrize("inside", ["JPEG", "TIFF"])
def test_a_lossless_jpeg_without_its_tables_is_refused(inside: str, tmp_path: Path) -> None:
    whole = _in_tiff() if inside == "TIFF" else lossless(16, 1, NOISE[:240, :320])
    assert whole.count(b"\xff\xc4") == 1
    for other in (b"\xff\xc8", b"\xff\xce"):
        source = file(tmp_path, "a.jpg", whole.replace(b"\xff\xc4", other))

        def said(source: str = source) -> str:
            refused(source, f"not supported {inside} file")
            return "refused"

        assert cost_of(said, tmp_path / "said.txt").said == "refused"


def test_a_lossless_jpeg_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = lossless(8, 1)
    source = file(tmp_path, "a.jpg", whole[: len(whole) // 2])

    def said() -> str:
        refused(source, "cut off")
        return "refused"

    assert cost_of(said, tmp_path / "said.txt").said == "refused"


@pytest.mark.parametrize("kind", ["baseline", "grey", "progressive", "cmyk", "lossless", "16 bits"])
def test_a_jpeg_whose_frame_header_is_changed_ends_no_process(kind: str, tmp_path: Path) -> None:
    noise = NOISE[:240, :320]
    picture = Image.fromarray(noise.astype(np.uint8))
    modes = {"grey": "L", "cmyk": "CMYK"}
    lossless_bits = {"lossless": 8, "16 bits": 16}
    if kind in lossless_bits:
        data = lossless(lossless_bits[kind], 1, noise)
    else:
        converted = picture.convert(modes.get(kind, "RGB"))
        data = encoded(converted, "JPEG", progressive=kind == "progressive")
    (at,) = [at for at in (data.find(bytes((0xFF, 0xC0 + n, 0))) for n in range(4)) if at >= 0]
    rng = np.random.default_rng(5)
    headers = [(frame, bits) for frame in range(0xC0, 0xD0) for bits in (data[at + 4], 8, 2, 16)]

    def tried() -> str:
        counted = {"read": 0, "refused": 0}
        for number, (frame, bits) in enumerate(headers * 3):
            changed = bytearray(data)
            changed[at + 1], changed[at + 4] = frame, bits
            if number >= len(headers):  # components, their number and sampling too
                changed[at + 9 + rng.integers(10)] = rng.choice([0, 1, 2, 3, 4, 0x11, 0x22, 0x41])
            try:
                read(file(tmp_path, "a.jpg", bytes(changed)), LIMIT)
                counted["read"] += 1
            except MediaError:
                counted["refused"] += 1
        return " ".join(name for name, count in counted.items() if count)

    assert cost_of(tried, tmp_path / "said.txt").said == "read refused"

"""Encoding: containers, defaults, what cannot be held, and the artifact that is handed over."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, JpegImagePlugin

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Photo
from restore_batch.stages.media import Artifact, Chunk, Failure, Frame, PhotoMeta
from restore_batch.stages.photo.encode import Encode
from restore_batch.stages.photo.metadata import jpeg_segments
from restore_batch.stages.photo.read import probe, read
from restore_batch.stages.photo.write import suffix_for, write

SUFFIXES = [".jpg", ".png", ".tif", ".webp", ".avif", ".jp2", ".bmp", ".heic"]


def _rgb(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _deep(height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, (height, width, 3), dtype=np.uint16)


def _can_write(suffix: str) -> None:
    if suffix == ".heic" and suffix_for("heif", "keep", suffix) != ".heic":
        pytest.skip("no HEIF encoder in pillow-heif")


def _unit(folder: Path, output: str) -> Photo:
    return Photo(id="u1", source="in.png", output=output, staging_dir=str(folder / "new" / "tmp"))


def _encode(frame: Frame, meta: PhotoMeta, folder: Path, output: str, **options: object) -> Chunk:
    chunk = Chunk(_unit(folder, output), meta=meta, pasted=(frame,))
    (done,) = Encode(**options)([chunk])
    assert isinstance(done, Chunk), done
    return done


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_artifact_tells_size_and_checksum_of_the_file(suffix: str, tmp_path: Path) -> None:
    _can_write(suffix)
    done = _encode(Frame(_rgb()), PhotoMeta("png"), tmp_path, "album/out" + suffix)
    assert isinstance(done.artifact, Artifact)
    content = Path(done.artifact.staged_path).read_bytes()
    assert done.artifact.staged_path == str(done.unit.staged_path)
    assert done.artifact.sha256 == hashlib.sha256(content).hexdigest()
    assert done.artifact.size_bytes == len(content)
    assert (done.artifact.width, done.artifact.height) == (60, 40)
    frame, _, _ = read(done.artifact.staged_path, 1)
    assert np.abs(frame.rgb_hwc.astype(int) - _rgb()).mean() < 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_input_gives_equal_bytes(suffix: str, tmp_path: Path) -> None:
    _can_write(suffix)
    meta = PhotoMeta("png", dpi=(300.0, 300.0), text={"Comment": "x"})
    files = []
    for name in ("a", "b"):
        write(Frame(_rgb(200, 300)), meta, tmp_path / (name + suffix))
        files.append((tmp_path / (name + suffix)).read_bytes())
    assert files[0] == files[1]


def test_a_failed_write_leaves_no_partial_file(tmp_path: Path) -> None:
    """A row function that fails halfway, as a codec or a full disk would."""

    class Torn(np.ndarray):
        def __getitem__(self, key: Any) -> Any:
            if isinstance(key, slice) and key.start and key.start > 500:
                raise OSError("No space left on device")
            return super().__getitem__(key)

    torn = np.zeros((4000, 500, 3), np.uint8).view(Torn)
    chunk = Chunk(_unit(tmp_path, "a.tif"), meta=PhotoMeta("tiff"), pasted=(Frame(torn),))
    (failure,) = Encode()([chunk])
    assert isinstance(failure, Failure)
    assert "No space left" in failure.message
    assert "\n" not in failure.message
    assert list((tmp_path / "new" / "tmp").iterdir()) == []


def test_a_chunk_without_a_picture_fails_alone(tmp_path: Path) -> None:
    whole = Chunk(_unit(tmp_path, "a.png"), meta=PhotoMeta("png"), pasted=(Frame(_rgb()),))
    bad, good = Encode()([Chunk(_unit(tmp_path, "a.png")), whole])
    assert isinstance(bad, Failure)
    assert isinstance(good, Chunk)


def test_a_suffix_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"cannot write '\.psd'"):
        write(Frame(_rgb()), PhotoMeta("png"), tmp_path / "a.psd")


def test_a_picture_too_large_for_its_container_is_refused_by_name(tmp_path: Path) -> None:
    wide = np.zeros((1, 16384, 3), np.uint8)
    with pytest.raises(MediaError, match="too large for WebP"):
        write(Frame(wide), PhotoMeta("png"), tmp_path / "a.webp")


@pytest.mark.parametrize(
    ("container", "wanted", "original", "expected"),
    [
        ("jpeg", "keep", ".JPG", ".JPG"),
        ("jpeg", "keep", ".jpeg", ".jpeg"),
        ("jpeg", "keep", ".png", ".jpg"),
        ("jpeg", "keep", "", ".jpg"),
        ("png", "keep", ".PNG", ".PNG"),
        ("tiff", "keep", ".tiff", ".tiff"),
        ("gif", "keep", ".gif", ".png"),
        ("raw", "keep", ".nef", ".tif"),
        ("jpeg2000", "keep", ".j2k", ".jp2"),
        ("bmp", "keep", ".bmp", ".bmp"),
        ("tiff", "png", ".tif", ".png"),
        ("jpeg", "jpeg", ".JPG", ".JPG"),
        ("heif", "avif", ".heic", ".avif"),
        ("png", "webp", ".png", ".webp"),
    ],
)
def test_the_suffix_follows_the_content(
    container: str, wanted: str, original: str, expected: str
) -> None:
    assert suffix_for(container, wanted, original) == expected  # type: ignore[arg-type]


def test_heif_becomes_jpeg_where_it_cannot_be_written() -> None:
    assert suffix_for("heif", "keep", ".HEIC") in {".HEIC", ".jpg"}


# Depth


def test_16_bits_are_rounded_to_8_and_not_cut(tmp_path: Path) -> None:
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, axis=2)
    write(Frame(every), PhotoMeta("tiff", bits=16), tmp_path / "a.png", bit_depth=8)
    found = read(str(tmp_path / "a.png"), 1)[0].rgb_hwc
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.round(every / 257).astype(np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jp2"])
def test_8_bits_widened_to_16_are_the_same_colours(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("a" + suffix)
    assert write(Frame(_rgb()), PhotoMeta("png"), path, bit_depth=16) == ()
    found = read(str(path), 1)[0].rgb_hwc
    assert np.array_equal(found, _rgb().astype(np.uint16) * 257)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".bmp"])
def test_16_bits_into_an_8_bit_container_is_said(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / ("a" + suffix)
    warnings = write(Frame(_deep()), PhotoMeta("tiff", bits=16), path)
    assert any("8 bits a channel, not 16" in warning for warning in warnings)
    assert probe(str(path)).bits == 8


def test_an_8_bit_frame_of_a_16_bit_source_is_written_with_16_bits(tmp_path: Path) -> None:
    write(Frame(_rgb()), PhotoMeta("tiff", bits=16), tmp_path / "a.tif")
    assert probe(str(tmp_path / "a.tif")).bits == 16


def test_a_16_bit_frame_of_an_8_bit_source_is_written_with_8_bits(tmp_path: Path) -> None:
    write(Frame(_deep()), PhotoMeta("png", bits=8), tmp_path / "a.png")
    assert probe(str(tmp_path / "a.png")).bits == 8


# Channels


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".avif", ".jp2", ".bmp", ".heic"])
def test_a_grey_frame_is_written_with_one_channel(suffix: str, tmp_path: Path) -> None:
    _can_write(suffix)
    grey = _rgb()[..., :1].repeat(3, axis=2)
    path = tmp_path / ("a" + suffix)
    write(Frame(grey, grey=True), PhotoMeta("png"), path)
    assert read(str(path), 1)[0].grey


def test_a_grey_original_stays_grey_even_if_a_network_tinted_it(tmp_path: Path) -> None:
    write(Frame(_rgb(), grey=True), PhotoMeta("png"), tmp_path / "a.png")
    found = np.asarray(Image.open(tmp_path / "a.png"))
    assert np.abs(found.astype(int) - np.asarray(Image.fromarray(_rgb()).convert("L"))).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif", ".jp2", ".heic"])
@pytest.mark.parametrize("grey", [False, True])
def test_transparency_is_kept_where_the_container_has_it(
    suffix: str, grey: bool, tmp_path: Path
) -> None:
    _can_write(suffix)
    alpha = _rgb()[..., 0]
    rgb = alpha[..., None].repeat(3, axis=2) if grey else _rgb()
    path = tmp_path / ("a" + suffix)
    meta = PhotoMeta("png", quality_hint={"lossless": True})
    assert write(Frame(rgb, alpha, grey), meta, path) == ()
    assert probe(str(path)).has_alpha
    found = read(str(path), 1)[0]
    assert found.alpha_hw is not None
    assert np.abs(found.alpha_hw.astype(int) - alpha).mean() < 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_transparency_is_flattened_over_white_and_said(
    suffix: str, dtype: type, tmp_path: Path
) -> None:
    top = int(np.iinfo(dtype).max)
    red: np.ndarray = np.zeros((16, 16, 3), dtype)
    red[..., 0] = top
    alpha: np.ndarray = np.full((16, 16), top // 2, dtype)
    alpha[:8] = 0
    path = tmp_path / ("a" + suffix)
    warnings = write(Frame(red, alpha), PhotoMeta("png"), path, quality=100)
    assert any("flattened over white" in warning for warning in warnings)
    found = read(str(path), 1)[0].rgb_hwc.astype(int)
    assert np.abs(found[2, 2] - [255, 255, 255]).max() <= 2
    assert np.abs(found[13, 13] - [255, 128, 128]).max() <= 3


# Defaults of an archive


def _head(path: Path) -> jpeg_segments.JpegHead:
    return jpeg_segments.head(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize(("source", "expected"), [(60, 95), (97, 97), (None, 95)])
def test_a_jpeg_is_written_at_95_or_better(
    source: int | None, expected: int, tmp_path: Path
) -> None:
    meta = PhotoMeta("jpeg", quality_hint={"jpeg_quality": source})
    write(Frame(_rgb()), meta, tmp_path / "a.jpg")
    picture = JpegImagePlugin.JpegImageFile(tmp_path / "a.jpg")
    assert jpeg_segments.estimated_quality(_head(tmp_path / "a.jpg").tables) == expected
    assert [sampling[1:3] for sampling in picture.layer] == [(1, 1)] * 3


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 95, 99, 100])
def test_the_quality_of_a_jpeg_is_read_from_its_tables(quality: int, tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "a.jpg", quality=quality)
    assert jpeg_segments.estimated_quality(_head(tmp_path / "a.jpg").tables) == quality
    write(Frame(_rgb()), PhotoMeta("jpeg"), tmp_path / "b.jpg", quality=quality)
    assert jpeg_segments.estimated_quality(_head(tmp_path / "b.jpg").tables) == quality


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_progressive_only_if_its_source_was(progressive: bool, tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "a.jpg", progressive=progressive)
    frame, meta, _ = read(str(tmp_path / "a.jpg"), 1)
    write(frame, meta, tmp_path / "b.jpg")
    assert _head(tmp_path / "b.jpg").progressive is progressive


def test_a_grainy_picture_is_no_trouble_for_optimised_tables(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    write(Frame(noise), PhotoMeta("png"), tmp_path / "a.jpg", quality=100)
    assert read(str(tmp_path / "a.jpg"), 3)[0].width == 1500


@pytest.mark.parametrize(
    ("source", "expected"),
    [(None, "NONE"), ("lzw", "LZW"), ("zlib", "ADOBE_DEFLATE"), ("packbits", "ADOBE_DEFLATE")],
)
def test_a_tiff_keeps_its_lossless_compression(
    source: str | None, expected: str, tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", _rgb(), photometric="rgb", compression=source)
    frame, meta, _ = read(str(tmp_path / "a.tif"), 1)
    write(frame, meta, tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        page: Any = tiff.pages[0]
        assert page.compression.name == expected
        assert page.predictor == (1 if source is None else 2)
        assert np.array_equal(tiff.asarray(), _rgb())


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_is_lossless_if_its_source_was(lossless: bool, tmp_path: Path) -> None:
    Image.fromarray(_rgb()).save(tmp_path / "a.webp", lossless=lossless)
    frame, meta, _ = read(str(tmp_path / "a.webp"), 1)
    write(frame, meta, tmp_path / "b.webp")
    assert (b"VP8L" in (tmp_path / "b.webp").read_bytes()[:40]) is lossless
    write(frame, meta, tmp_path / "c.webp", quality=50)
    assert b"VP8L" not in (tmp_path / "c.webp").read_bytes()[:40]


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".avif", ".jp2", ".heic"])
def test_quality_decides_the_size(suffix: str, tmp_path: Path) -> None:
    _can_write(suffix)
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    sizes = []
    for quality in (20, 90):
        path = tmp_path / f"{quality}{suffix}"
        write(Frame(noise), PhotoMeta("png"), path, quality=quality)
        sizes.append(path.stat().st_size)
    assert sizes[0] < 0.8 * sizes[1]


def test_jpeg_2000_is_reversible(tmp_path: Path) -> None:
    write(Frame(_deep()), PhotoMeta("jpeg2000", bits=16), tmp_path / "a.jp2")
    assert np.array_equal(imagecodecs.jpeg2k_decode((tmp_path / "a.jp2").read_bytes()), _deep())
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.jp2")).shape, (40, 60, 3))


def test_a_tiff_of_many_strips_is_read_alike_by_other_readers(tmp_path: Path) -> None:
    rgb = _deep(900, 700)
    write(Frame(rgb), PhotoMeta("tiff", bits=16), tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages[0].dataoffsets) > 2
        assert np.array_equal(tiff.asarray(), rgb)
    eight = _rgb(900, 700)
    write(Frame(eight), PhotoMeta("tiff"), tmp_path / "b.tif")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "b.tif")), eight)

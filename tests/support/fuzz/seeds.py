"""Good files of every kind, small enough to be read in milliseconds.

Generated, and those of the test data (``RESTORE_BATCH_PHOTOS`` and so on) where it is there.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from support.data import ROOT

_LARGEST = 200_000
_XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="x"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
_PHOTO_SUFFIXES = {
    ".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".tif": "tiff", ".tiff": "tiff",
    ".webp": "webp", ".jp2": "jpeg2000", ".jxl": "jpegxl", ".avif": "avif", ".heic": "heif",
    ".psd": "psd", ".ppm": "pnm", ".gif": "gif", ".bmp": "bmp", ".dng": "raw", ".mpo": "other",
}  # fmt: skip
_FILM_SUFFIXES = {
    ".mp4": "mp4", ".mov": "mp4", ".mkv": "mkv", ".avi": "avi", ".ts": "ts", ".mpg": "mpg",
    ".webm": "webm", ".flv": "other", ".dv": "other", ".h264": "other", ".ogv": "other",
}  # fmt: skip
Named = tuple[str, bytes]
"""Suffix and content."""


@cache
def seeds(reader: str) -> tuple[Named, ...]:
    """The good files of a reader."""
    kind, _, name = reader.partition(" ")
    if kind in ("photo", "film"):
        suffixes = _PHOTO_SUFFIXES if kind == "photo" else _FILM_SUFFIXES
        made = _photos() if kind == "photo" else _films()
        every = (*made, *_given(frozenset(suffixes)))
        return tuple(found for found in every if suffixes[found[0]] == name)
    return tuple(_OTHERS[reader]())


@cache
def _given(suffixes: frozenset[str]) -> tuple[Named, ...]:
    """The test data, where it is there: copied pictures and films of others."""
    found = []
    for variable in ("PHOTOS", "FIELD", "FACES", "VIDEO"):
        default = ROOT.parent / "shared" / variable.lower()
        folder = Path(os.environ.get(f"RESTORE_BATCH_{variable}") or default)
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes)
        small = [p for p in files if 0 < p.stat().st_size <= _LARGEST]
        found += [(p.suffix.lower(), p.read_bytes()) for p in small[:: 1 + len(small) // 60]]
    return tuple(found)


@cache
def _photos() -> tuple[Named, ...]:
    return tuple(_made_photos())


def _made_photos() -> Iterator[Named]:
    """Every format that can be written here, in several layouts, with all it says beside."""
    import imagecodecs
    import tifffile

    rgb = _picture()
    picture, deep = Image.fromarray(rgb), rgb.astype(np.uint16) * 257
    grey, alpha = picture.convert("L"), picture.convert("RGBA")
    exif = picture.getexif()
    exif[274], exif[271], exif[306] = 6, "maker", "1950:06:01 12:00:00"
    exif.get_ifd(0x8769)[0x9003] = "1950:06:01 12:00:00"
    said = {"exif": exif, "icc_profile": _icc()}
    yield ".jpg", _saved(picture, "JPEG", **said, xmp=_XMP, comment=b"a comment", dpi=(300, 300))
    yield ".jpg", _saved(picture, "JPEG", progressive=True, subsampling=0)
    yield ".jpg", _saved(picture.convert("CMYK"), "JPEG")
    yield ".jpg", _saved(grey, "JPEG", restart_marker_rows=1)
    yield ".png", _saved(picture, "PNG", **said, pnginfo=_texts())
    yield ".png", _saved(alpha, "PNG")
    yield ".png", _saved(picture.quantize(16), "PNG", transparency=3)
    yield ".png", imagecodecs.png_encode(deep)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        yield ".tif", _saved(picture, "TIFF", **said, compression=compression)
    yield ".tif", _saved(grey.convert("1"), "TIFF", compression="group4")
    for options in ({"tile": (16, 16)}, {"bigtiff": True}, {"planarconfig": "separate"}):
        file = io.BytesIO()
        shaped = deep if "planarconfig" not in options else np.moveaxis(deep, -1, 0)
        tifffile.imwrite(file, shaped, photometric="rgb", **options)  # type: ignore[arg-type]
        yield ".tif", file.getvalue()
    yield ".webp", _saved(picture, "WEBP", **said, xmp=_XMP)
    yield ".webp", _saved(alpha, "WEBP", lossless=True)
    yield ".gif", _saved(picture.quantize(64), "GIF", comment=b"a comment")
    yield ".bmp", _saved(picture, "BMP")
    yield ".bmp", _saved(picture.quantize(16), "BMP")
    yield ".ppm", _saved(picture, "PPM")
    yield ".ppm", b"P7\nWIDTH 4\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(24)
    yield ".ppm", b"P3\n# words\n2 2\n255\n" + b"1 2 3 " * 4
    yield ".ppm", b"P4\n9 3\n" + bytes(6)
    yield ".jp2", _saved(picture, "JPEG2000")
    yield ".jp2", imagecodecs.jpeg2k_encode(deep, level=0)
    yield ".jxl", imagecodecs.jpegxl_encode(rgb, lossless=True)
    yield ".jxl", imagecodecs.jpegxl_encode(rgb, level=70, usecontainer=True)
    yield ".avif", imagecodecs.avif_encode(rgb, speed=10)
    yield ".psd", _psd(rgb)
    yield ".mpo", _saved(picture, "MPO", save_all=True, append_images=[picture])
    yield ".dng", _sensor()
    try:
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(picture).save(file, exif=exif.tobytes(), xmp=_XMP)
        yield ".heic", file.getvalue()
    except ImportError:
        pass


def _picture() -> np.ndarray:
    y, x = np.mgrid[0:32, 0:48]
    channels = [x * 5, y * 7, (x * y) % 256]
    return np.stack(channels, axis=-1).astype(np.uint8)


def _saved(picture: Image.Image, container: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, container, **options)
    return file.getvalue()


def _icc() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _texts() -> object:
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Comment", "words " * 20, zip=True)
    texts.add_itxt("XML:com.adobe.xmp", _XMP.decode(), lang="en")
    texts.add(b"gAMA", struct.pack(">I", 45455))
    return texts


def _psd(rgb: np.ndarray) -> bytes:
    height, width, _ = rgb.shape
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, height, width, 8, 3)
    resource = b"8BIM" + struct.pack(">HxxI", 0x0404, 8) + b"\x1c\x02\x05\x00\x03abc"
    layers = struct.pack(">I", 0)
    planes = np.moveaxis(rgb, -1, 0).tobytes()
    return (
        head + struct.pack(">I", 0) + struct.pack(">I", len(resource)) + resource + layers
        + struct.pack(">H", 0) + planes
    )  # fmt: skip


def _sensor() -> bytes:
    """A camera raw: the mosaic of a sensor in a TIFF with the tags of a DNG."""
    import tifffile

    file = io.BytesIO()
    mosaic = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True), (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True), (50708, "s", 0, "camera", True),
    ]  # fmt: skip
    tifffile.imwrite(file, mosaic, photometric=32803, extratags=tags)
    return file.getvalue()


@cache
def _films() -> tuple[Named, ...]:
    return tuple(_made_films())


def _made_films() -> Iterator[Named]:
    from support.clips import clip

    kinds: Mapping[str, dict[str, object]] = {
        "b.mp4": {"b_frames": 2, "audio": ["aac"], "chapters": 2},
        "mjpeg.mov": {"codec": "mjpeg"},
        "hevc.mp4": {"codec": "libx265"},
        "ffv1.mkv": {"codec": "ffv1", "subtitles": 1, "attachments": 1, "chapters": 1},
        "h264.mkv": {"b_frames": 2, "audio": ["libopus"]},
        "mpeg4.avi": {"codec": "mpeg4", "audio": ["mp3"]},
        "h264.avi": {},
        "h264.ts": {"b_frames": 2, "audio": ["mp2"]},
        "mpeg2.ts": {"codec": "mpeg2video", "interlaced": True},
        "mpeg2.mpg": {"codec": "mpeg2video", "b_frames": 2},
        "vp8.webm": {"codec": "libvpx"},
        "vp9.webm": {"codec": "libvpx-vp9"},
        "h264.flv": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, options in kinds.items():
            path = Path(folder) / name
            clip(path, frames=8, size=(64, 48), gop=4, **options)  # type: ignore[arg-type]
            yield path.suffix, path.read_bytes()


# -- all else -----------------------------------------------------------------------------------


def _jobs() -> Iterator[Named]:
    for path in sorted((ROOT / "jobs").glob("*.yaml")):
        yield ".yaml", path.read_bytes()
    yield ".yaml", b"inputs: [a]\noutput: b\nbase: &b {strength: 1}\nrestore: {<<: *b}\n"


def _recipes() -> Iterator[Named]:
    for path in sorted((ROOT / "jobs" / "train").glob("*.yaml")):
        yield ".yaml", path.read_bytes()


def _state() -> dict[str, object]:
    import torch

    return {"body.0.weight": torch.arange(24.0).reshape(2, 3, 2, 2), "body.0.bias": torch.ones(2)}


def _pickles() -> Iterator[Named]:
    import torch

    for options in ({}, {"_use_new_zipfile_serialization": False}):
        file = io.BytesIO()
        torch.save({"params_ema": _state(), "epoch": 3}, file, **options)  # type: ignore[arg-type]
        yield ".pth", file.getvalue()
    yield ".pkl", pickle.dumps({"state_dict": {"a": [1, 2, 3]}})
    yield ".pt", pickle.dumps(os.getcwd)  # what calls something must be refused


def _safetensors() -> Iterator[Named]:
    from safetensors.torch import save

    yield ".safetensors", save(_state(), {"card": json.dumps({"name": "x"})})  # type: ignore[arg-type]


def _ncnn() -> Iterator[Named]:
    lines = (
        "7767517", "4 4", "Input data 0 1 data",
        "Convolution conv0 1 1 data a 0=2 1=3 4=1 5=1 6=54",
        "PReLU prelu 1 1 a b 0=2", "Convolution conv1 1 1 b c 0=3 1=3 4=1 5=1 6=54",
    )  # fmt: skip
    text = "\n".join(lines).encode()
    numbers = b"".join(
        bytes(4) + np.ones(54, "<f4").tobytes() + np.ones(outputs + extra, "<f4").tobytes()
        for outputs, extra in ((2, 2), (3, 0))
    )
    yield ".pair", len(text).to_bytes(4, "little") + text + numbers


def _arrays() -> Iterator[Named]:
    import lz4.frame

    from restore_batch.models.weights.packages import package_file

    path = package_file("mtcnn", "mtcnn/assets/weights/pnet.lz4")
    assert path is not None
    packed = path.read_bytes()
    yield from ((".lz4", packed), (".lz4", lz4.frame.decompress(packed)))


def _records() -> Iterator[Named]:
    record = {
        "card": "x", "licence": "y", "origin": "z", "origin_url": "", "origin_size_bytes": 3,
        "origin_sha256": "ab", "published": None, "date": "2026-01-01", "sha256": "cd",
        "size_bytes": 3, "mtime_ns": 4,
    }  # fmt: skip
    yield ".json", json.dumps(record).encode()


def _manifests() -> Iterator[Named]:
    from restore_batch.jobs.manifest import FOLDER, Manifest

    from support.ledger import do, do_fail, photo

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Manifest.open(folder) as manifest:
            manifest.begin_run("0", "job.yaml", {"inputs": ["a"]}, [{"name": "m"}], 3)
            manifest.note_source("/in/done.png", "1 2", "ab", {"width": 3}, "probe")
            do(manifest, photo(folder, "done.png"), 2)
            do_fail(manifest, photo(folder, "failed.png"))
            manifest.start(photo(folder, "begun.png"), "source")
        yield ".sqlite", (folder / FOLDER / "manifest.sqlite").read_bytes()


def _h264() -> Iterator[Named]:
    import av

    for suffix, data in _films():
        if suffix in (".mp4", ".ts"):
            with av.open(io.BytesIO(data)) as film:
                stream = film.streams.video[0]
                if stream.codec_context.name == "h264":
                    packets = b"".join(bytes(packet) for packet in film.demux(stream))
                    yield ".h264", (stream.codec_context.extradata or b"") + packets


def _matroska() -> Iterator[Named]:
    return (found for found in seeds("film mkv") if found[0] == ".mkv")


_OTHERS: Mapping[str, Callable[[], Iterator[Named]]] = {
    "job file": _jobs,
    "training recipe": _recipes,
    "h264 headers": _h264,
    "matroska times": _matroska,
    "ncnn": _ncnn,
    "pickle": _pickles,
    "safetensors": _safetensors,
    "joblib": _arrays,
    "record of weights": _records,
    "manifest": _manifests,
}

"""Opening a photo wherever it is, and telling by its first bytes what it is.

The name never decides: a JPEG called ``.png`` is a JPEG. Local files are opened read-only; URLs
(``s3://``, ``https://``, ``memory://`` …) go through fsspec.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

from restore_batch.errors import MediaError
from restore_batch.stages.photo.metadata import tiff_tags

Container = Literal["jpeg", "png", "tiff", "webp", "bmp", "jpeg2000", "avif", "heif", "gif", "raw"]

TITLES: dict[str, str] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "webp": "WebP",
    "bmp": "BMP",
    "jpeg2000": "JPEG 2000",
    "avif": "AVIF",
    "heif": "HEIF",
    "gif": "GIF",
    "raw": "camera raw",
}

_MAGIC: tuple[tuple[bytes, Container], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51", "jpeg2000"),
    # Camera raws that are not TIFF by their first bytes: Fujifilm, Olympus, Panasonic, Sigma.
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\x00", "raw"),
    (b"FOVb", "raw"),
)
_TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"mif2"}


@contextmanager
def open_source(source: str) -> Iterator[BinaryIO]:
    """A seekable read-only file; raises MediaError when ``source`` cannot be opened."""
    if "://" not in source:
        try:
            file: BinaryIO = Path(source).open("rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise MediaError(f"{source}: cannot be opened: {error.strerror or error}") from error
        with file:
            yield file
        return
    import fsspec

    try:
        remote = fsspec.open(source, "rb").open()
    except ImportError as error:
        scheme = source.partition("://")[0]
        extra = ' (pip install "restore-batch[s3]")' if scheme in {"s3", "s3a"} else ""
        raise MediaError(f"{source}: no support for {scheme}://{extra}: {error}") from error
    except Exception as error:  # every file system has errors of its own
        raise MediaError(f"{source}: cannot be opened: {one_line(error)}") from error
    with remote:
        yield remote


@contextmanager
def decoding(source: str, container: str) -> Iterator[None]:
    """Turn whatever a codec raises about a bad file into one line that names the file."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:  # damaged sizes ask for absurd amounts, too
        raise MediaError(f"{source}: not enough memory to decode it") from error
    except Exception as error:  # codecs raise SyntaxError, OSError, ValueError, struct.error …
        raise MediaError(
            f"{source}: damaged or not supported {TITLES[container]} file: {one_line(error)}"
        ) from error


def one_line(error: Exception) -> str:
    """The message of ``error`` without line breaks; its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def in_memory(file: BinaryIO) -> bytes:
    """The whole content of ``file``."""
    file.seek(0)
    return file.read()


def size_of(file: BinaryIO) -> int:
    """Size in bytes."""
    return file.seek(0, io.SEEK_END)


def sniff(file: BinaryIO, source: str) -> Container:
    """The container by content; raises MediaError for what is not a known picture."""
    file.seek(0)
    head = file.read(64)
    if not head:
        raise MediaError(f"{source}: the file is empty (0 bytes)")
    for magic, container in _MAGIC:
        if head.startswith(magic):
            return container
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return _iso_brand(file, head, source)
    if head[:4] in _TIFF_MAGIC:
        return "raw" if head[8:10] == b"CR" or _is_raw_tiff(file) else "tiff"
    kind = "text" if head.isascii() and b"\x00" not in head else "unknown data"
    raise MediaError(
        f"{source}: not a picture: the content is {kind} (known are {', '.join(TITLES.values())})"
    )


def _iso_brand(file: BinaryIO, head: bytes, source: str) -> Container:
    length = min(max(int.from_bytes(head[:4], "big"), 16), 1024)
    file.seek(8)
    listed = file.read(length - 8)
    brands = {listed[i : i + 4] for i in range(0, len(listed), 4)}
    major = head[8:12]
    if major == b"crx ":
        return "raw"
    if major in {b"avif", b"avis"} or brands & {b"avif", b"avis"}:
        return "avif"
    if brands & _HEIF_BRANDS:
        return "heif"
    raise MediaError(f"{source}: not a picture: an ISO media file of brand {major!r}")


def _is_raw_tiff(file: BinaryIO) -> bool:
    """Whether a TIFF holds sensor values (colour filter array or linear raw) anywhere."""
    try:
        return tiff_tags.holds_sensor_data(file)
    except tiff_tags.TagError:
        return False

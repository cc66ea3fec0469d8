"""Opening a photo wherever it is, and saying in one line why it cannot be read.

Local files are opened read-only; URLs (``s3://``, ``https://``, ``memory://`` …) go through fsspec.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from restore_batch.errors import MediaError
from restore_batch.files import open_regular

AWAY = "away://"
"""How the name of a file begins that is read in parts from another machine. It can be read as often
as a local one, and from any place in it."""


@contextmanager
def open_source(source: str) -> Iterator[BinaryIO]:
    """A seekable read-only file; raises MediaError when ``source`` cannot be opened, or is a pipe,
    a device or a folder."""
    if "://" not in source:
        try:
            file = open_regular(source)
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
def decoding(source: str, title: str) -> Iterator[None]:
    """Turn whatever a codec raises about a bad file of a format called ``title`` into one line that
    names the file."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:  # damaged sizes ask for absurd amounts, too
        raise MediaError(f"{source}: not enough memory to decode it") from error
    except Exception as error:  # codecs raise SyntaxError, OSError, ValueError, struct.error …
        raise MediaError(
            f"{source}: damaged or not supported {title} file: {one_line(error)}"
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

"""Small pictures as files, and how a file that is refused must be reported."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from restore_batch.errors import MediaError
from restore_batch.stages.photo.read import read

LIMIT = 50.0
"""Megapixels; far more than any picture here."""


def photo(height: int = 40, width: int = 60) -> np.ndarray:
    """A smooth coloured picture that lossy codecs keep well."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def encoded(picture: Image.Image, container: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, container, **options)
    return buffer.getvalue()


def file(folder: Path, name: str, data: bytes) -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def refused(source: str, pattern: str, limit: float = LIMIT) -> None:
    """Both the error's text and its form: one line that starts with the file."""
    with pytest.raises(MediaError, match=pattern) as caught:
        read(source, limit)
    message = str(caught.value)
    assert message.startswith(source)
    assert "\n" not in message

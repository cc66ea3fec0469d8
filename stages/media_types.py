"""The media type of a file by its name, as IANA registers it."""

from __future__ import annotations

from pathlib import PurePath

UNKNOWN = "application/octet-stream"
_SUFFIXES = {
    "image/avif": "avif",
    "image/bmp": "bmp dib",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif hif",
    "image/jp2": "jp2",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/jpx": "jpx jpf",
    "image/jxl": "jxl",
    "image/png": "png",
    "image/tiff": "tif tiff",
    "image/vnd.adobe.photoshop": "psd psb",
    "image/webp": "webp",
    "image/x-portable-anymap": "pnm pbm pgm ppm",
    "application/json": "json",
    "application/xml": "xml",
    "application/yaml": "yaml yml",
    "text/csv": "csv",
    "video/matroska": "mkv",
    "video/mp4": "mp4 m4v",
    "video/mpeg": "mpg mpeg vob",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-msvideo": "avi",
}
_TYPES = {f".{suffix}": kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}


def media_type_of(name: str) -> str:
    """That of a file called ``name``, or of a URL; :data:`UNKNOWN` where none is registered."""
    return _TYPES.get(PurePath(name).suffix.lower(), UNKNOWN)

"""Paths among a job's options: what ``~``, ``$SCANS``, a relative path and a URL mean.

Paths are resolved while a job is validated: against ``base_dir`` of the validation context, else
the working directory.
"""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

__all__ = [
    "File", "Folder", "Input", "ModelOrPath", "Output", "Place", "Text", "as_written", "is_url",
]  # fmt: skip

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*(::[A-Za-z][A-Za-z0-9+.\-]*)*://")
_VARIABLE = re.compile(r"\$(?:(\$)|([A-Za-z_]\w*)|\{([^}]*)\})")
_STORES = ("s3", "s3a")
"""That results can go to."""
_WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param")


def is_url(text: str) -> bool:
    """Whether ``text`` names something for fsspec (``s3://…``) rather than a local path."""
    return _URL.match(text) is not None


def as_written(path: str) -> str:
    """How a job file says a local path, or a URL, that is to be taken as it is."""
    return path if is_url(path) else path.replace("$", "$$")


def _expand(text: str) -> str:
    """``~`` and ``$NAME`` or ``${NAME}`` filled in; ``$$`` stands for a dollar sign.

    Raises ValueError for a variable that is not set: a path that silently keeps ``$SCANS``
    would be a folder of that name.
    """
    if "\0" in text:
        raise ValueError("a path cannot hold a NUL character")

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        name = match[2] or match[3]
        if name not in os.environ:
            raise ValueError(f"the environment variable {name!r} is not set (write $$ for a $)")
        return os.environ[name]

    try:
        return str(Path(_VARIABLE.sub(value, text)).expanduser())
    except RuntimeError:
        raise ValueError(f"there is no home folder for {text!r}") from None


def _base_dir(info: ValidationInfo) -> Path:
    return Path((info.context or {}).get("base_dir", "")).absolute()


def _absolute(text: str, info: ValidationInfo) -> str:
    return os.path.normpath(_base_dir(info) / _expand(text))


def _input(value: str, info: ValidationInfo) -> str:
    if is_url(value):
        return value
    path = _absolute(value, info)
    if glob.has_magic(value) and not os.path.lexists(path):
        # Only what the user wrote is a pattern, not brackets in the name of the job's folder.
        return os.path.normpath(Path(glob.escape(str(_base_dir(info)))) / _expand(value))
    return path


def _place(value: str, info: ValidationInfo) -> str:
    return value if is_url(value) else _absolute(value, info)


def _folder(value: Any, info: ValidationInfo) -> Any:
    return _local(value, info, "folder")


def _file(value: Any, info: ValidationInfo) -> Any:
    return _local(value, info, "file")


def _local(value: Any, info: ValidationInfo, what: str) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        return value
    if not value:
        raise ValueError(f"expected a {what}, got ''")
    if is_url(value):
        raise ValueError(f"expected a local {what}, got the URL {value!r}")
    return Path(_absolute(value, info))


def _output(value: Any, info: ValidationInfo) -> Any:
    if not (isinstance(value, str) and is_url(value)):
        return _folder(value, info)
    return store_url(value)


def store_url(url: str) -> str:
    """The one way that an output at ``url`` is written. Raises ValueError where results cannot go
    there."""
    scheme, _, path = url.partition("://")
    if scheme.lower() not in _STORES or "::" in url or not path.strip("/"):
        raise ValueError(
            "expected a local folder or s3://bucket/prefix (of any store that speaks S3), got the"
            f" URL {url!r}"
        )
    return f"s3://{path.strip('/')}"


def real_place(output: str | os.PathLike[str]) -> str:
    """Where results lie: a path without links, or a URL as it is."""
    output = os.fspath(output)
    return output if is_url(output) else os.path.realpath(output)


def _model(value: str, info: ValidationInfo) -> str:
    is_path = "/" in value or os.sep in value or value.lower().endswith(_WEIGHT_SUFFIXES)
    return _absolute(value, info) if is_path and not is_url(value) else value


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


Text = Annotated[str, BeforeValidator(_text), Field(min_length=1)]
Input = Annotated[Text, AfterValidator(_input)]
Place = Annotated[Text, AfterValidator(_place)]
Folder = Annotated[Path, BeforeValidator(_folder)]
File = Annotated[Path, BeforeValidator(_file)]
Output = Annotated[
    Path | str, BeforeValidator(_output), WithJsonSchema({"type": "string", "format": "path"})
]
ModelOrPath = Annotated[Text, AfterValidator(_model)]

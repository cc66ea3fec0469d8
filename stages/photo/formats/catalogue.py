"""Which photo formats there are: those of this folder and those other packages add.

A format is found by scanning the modules of ``formats`` for ``FORMAT``, then the entry points of
the group ``restore_batch.formats`` (each names a Format). Importing this imports no codec.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import PurePath
from typing import BinaryIO, TypeGuard

from restore_batch.errors import MediaError, UsageError
from restore_batch.plugins import modules_in, offered
from restore_batch.stages.photo.formats.base import HEAD_BYTES, Format, WrittenFormat
from restore_batch.stages.photo.other_files import Other, what_else

ENTRY_POINTS = "restore_batch.formats"


@cache
def formats() -> tuple[Format, ...]:
    """Every format, this package's by name, then other packages'."""
    found: dict[str, Format] = {}
    for format in [*_own(), *offered(ENTRY_POINTS, _is_format, "Format")]:
        if format.name in found:
            text = f"photo format {format.name!r} is registered twice; kept the first"
            warnings.warn(text, stacklevel=2)
        found.setdefault(format.name, format)
    return tuple(found.values())


def _is_format(value: object) -> TypeGuard[Format]:
    return isinstance(value, Format)


def _own() -> Iterable[Format]:
    for module in modules_in("restore_batch.stages.photo.formats"):
        declared = vars(module).get("FORMAT")
        if isinstance(declared, Format):
            yield declared


def written() -> tuple[WrittenFormat, ...]:
    """The formats that can be written where their encoder is installed."""
    return tuple(format for format in formats() if isinstance(format, WrittenFormat))


def suffixes() -> frozenset[str]:
    """Of every file that may be a photo: in lower case, with their dot."""
    return frozenset(suffix for format in formats() for suffix in format.suffixes)


def named(name: str) -> Format:
    """The format of that name. Raises UsageError."""
    for format in formats():
        if format.name == name:
            return format
    known = ", ".join(format.name for format in formats())
    raise UsageError(f"no photo format is called {name!r}; expected one of {known}")


def written_named(name: str) -> WrittenFormat:
    """The format of that name, to write it. Raises UsageError."""
    format = named(name)
    if isinstance(format, WrittenFormat):
        return format
    known = ", ".join(format.name for format in written())
    raise UsageError(f"{format.title} can only be read; expected one of {known}")


def of_suffix(suffix: str) -> WrittenFormat | None:
    """The format that a file of this suffix is written in, or None."""
    wanted = suffix.lower()
    return next((format for format in written() if wanted in format.written_suffixes), None)


def of_head(file: BinaryIO, source: str) -> Format:
    """The format of a file by its content; raises MediaError for what is not a known picture."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if not head:
        raise MediaError(f"{source}: the file is empty (0 bytes)")
    for format in sorted(formats(), key=lambda format: format.general):
        if format.matches(head, file):
            return format
    other = what_else(head)
    if other is not None:
        raise MediaError(f"{source}: not a picture but {other.what}; {_advice(source, other)}")
    kind = "text" if head[:64].isascii() and b"\x00" not in head[:64] else "unknown data"
    known = ", ".join(format.title for format in formats())
    raise MediaError(f"{source}: not a picture: the content is {kind} (known are {known})")


def _advice(source: str, other: Other) -> str:
    if not other.suffix:
        return "convert it to one of the formats known here, or take it out of the inputs"
    name = PurePath(source).stem + other.suffix
    return f"rename it to {name} to have it restored as a film"

"""Units of work: what is committed, and the id that says whether it must be done again.

A photo is one unit. A film is indexed first; then each of its segments is a unit, and so is the
join of their parts. Where a result is there and only the content of its original can tell whether
it is of today, reading that is a unit, too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

Work = TypeVar("Work")
"""What a stage needs beside the source; plain and picklable, defined where the stage is."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What all units have; which there are is below.

    ``source``: local path or fsspec URL. ``output``: path of the result relative to the output
    folder, with ``/``. ``staging_dir``: where the worker writes before the commit. ``base_key``
    covers the source and every option that matters to any picture, ``face_key`` those that
    matter only where a face was restored. ``label``: how a line of progress calls it. ``writer``:
    who works on it, where another that was given up may still be at it. ``source_tag``: what the
    source is known by where its content need not be read, as a URL with an entity tag.
    ``previews_dir``: where its small pictures are kept, "" for nowhere.
    """

    kind: ClassVar[str]
    """Its name in the manifest."""
    is_item: ClassVar[bool]
    """Whether its result is what an input of the job becomes."""
    is_decoded: ClassVar[bool] = True
    """Whether pictures are made of its source; else that is only read through."""
    is_film: ClassVar[bool] = False
    """Whether its source is a film, whose frames are followed by others: what is done to one alone,
    as to a photo, would come and go."""

    id: str
    source: str
    output: str
    staging_dir: str = ""
    base_key: str = ""
    face_key: str = ""
    size_bytes: int = 0
    megapixels: float = 0.0
    attempt: int = 1
    label: str = ""
    writer: str = ""
    source_tag: str = ""
    previews_dir: str = ""

    @property
    def staged_path(self) -> Path:
        """Where this attempt writes its file."""
        writer = f".{self.writer}" if self.writer else ""
        name = f"{self.id}.{self.attempt}{writer}{Path(self.output).suffix}"
        return Path(self.staging_dir) / name


@dataclass(frozen=True, kw_only=True)
class Photo(Unit):
    """One photo, from its file to its restored file."""

    kind: ClassVar[str] = "photo"
    is_item: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class FilmIndex(Unit):
    """The frames of a film, found and cut into segments. Worth nothing by itself: it has no file
    and is not kept in the manifest."""

    kind: ClassVar[str] = "index"
    is_item: ClassVar[bool] = False
    is_film: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Segment(Unit, Generic[Work]):
    """A run of a film's frames, restored and encoded to a part."""

    kind: ClassVar[str] = "segment"
    is_item: ClassVar[bool] = False
    is_film: ClassVar[bool] = True

    work: Work


@dataclass(frozen=True, kw_only=True)
class Join(Unit, Generic[Work]):
    """The result of a film, from its parts. ``work`` is None until these are known."""

    kind: ClassVar[str] = "join"
    is_item: ClassVar[bool] = True
    is_film: ClassVar[bool] = True

    work: Work | None = None


@dataclass(frozen=True, kw_only=True)
class Content(Unit):
    """What an original holds, to be compared with what its result was made of. No attempt at that
    result: it has no file and is not kept in the manifest."""

    kind: ClassVar[str] = "content"
    is_item: ClassVar[bool] = False
    is_decoded: ClassVar[bool] = False


@dataclass(frozen=True, kw_only=True)
class PhotoContent(Content):
    """That of a photo."""


@dataclass(frozen=True, kw_only=True)
class FilmContent(Content):
    """That of a film, which is read where it is seen, as when it is indexed."""

    is_film: ClassVar[bool] = True


_PLAIN = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)


def digest(value: Mapping[str, Any]) -> str:
    """A stable 16-digit hash of plain data (numbers, strings, lists, mappings)."""
    return hashlib.sha256(_PLAIN.encode(value).encode()).hexdigest()[:16]


def unit_id(source_sha256: str, output: str, base_key: str, face_key: str) -> str:
    """The identity of a unit: it changes exactly when its result could change."""
    return digest_of_texts(base=base_key, face=face_key, output=output, source=source_sha256)


def digest_of_texts(**texts: str) -> str:
    """:func:`digest` of strings given in the order of their names: some are made for each of a
    million items, and an encoder of anything takes its time."""
    plain = ",".join(f'"{name}":{encode_basestring_ascii(text)}' for name, text in texts.items())
    return hashlib.sha256(f"{{{plain}}}".encode()).hexdigest()[:16]

"""Which pictures a job is about: files, folders, patterns and URLs become a list of sources.

The list is the same on every run and machine: natural order (``scan2`` before ``scan10``), each
file once however many inputs and links lead to it, nothing hidden, nothing of the output folder.
A file named outright is always taken; folders and patterns give files of the suffixes asked for
only, so that ``.xmp`` and ``Thumbs.db`` are not failures: the others are counted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from restore_batch.errors import UsageError
from restore_batch.files import other_than_file, side_by_side, version_of
from restore_batch.jobs import labels
from restore_batch.jobs.labels import hidden_kind, is_visible, passed_over_line, printable
from restore_batch.jobs.numbered import is_numbered
from restore_batch.jobs.outputs import REPORT_MARK, folded, suffix_of
from restore_batch.jobs.path_options import is_url, real_place
from restore_batch.jobs.patterns import Patterns, Scope, has_pattern, literal, split_pattern

_OPEN_FILES = ("/dev/stdin", "/dev/fd/", "/proc/")
# The whole machine, and its state, which has no end.
_SYSTEM = re.compile(r"/|/(proc|sys)(/.*)?", re.DOTALL)


class SourceFile(NamedTuple):
    """One input file.

    ``source``: absolute local path or fsspec URL; a local name that is not UTF-8 holds surrogate
    escapes, as in ``os.listdir``. ``relative``: path inside its input with ``/``, always valid
    Unicode. ``version`` changes when the content may have changed: locally with the file's times
    of modification and of change and its inode, for URLs with the entity tag or its like, empty
    where the store tells nothing, and of a local file that was only listed.
    """

    source: str
    relative: str
    size_bytes: int
    version: str

    @property
    def stamp(self) -> str:
        """Size and version: another one speaks of other content."""
        return f"{self.size_bytes} {self.version}"

    @property
    def tag(self) -> str:
        """What a URL is known by, unread, where its store says what it holds; "" of others."""
        return f"url {self.stamp}" if self.version and is_url(self.source) else ""


class Discovered(NamedTuple):
    """What inputs lead to. ``passed_over``: how many files in their folders have a suffix that is
    not asked for, by that suffix in lower case with its dot, "" for those without one; and what is
    no file, as a "pipe" or a "socket"."""

    files: list[SourceFile]
    passed_over: Mapping[str, int]


class InputsError(UsageError):
    """Inputs that lead nowhere; all of them, as ``problems``: (index of the input, message).

    A caller who knows the job file says where they stand:
    ``JobFileError([loaded.problem(f"inputs.{i}", text) for i, text in error.problems])``.
    """

    def __init__(self, problems: Sequence[tuple[int, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(f"inputs.{index}: {text}" for index, text in self.problems)


class _Found(NamedTuple):
    root: str
    parts: tuple[str, ...]
    source: str
    identity: str  # equal for two ways to the same file
    size_bytes: int = 0
    version: str = ""
    is_link: bool = False


@dataclass(frozen=True)
class _Wanted:
    suffixes: Collection[str]
    excluded: Patterns
    output_real: str | None
    passed_over: dict[str, str] = field(default_factory=dict)
    """Identities of what is not wanted, with its suffix or kind."""

    def is_media(self, name: str) -> bool:
        return suffix_of(name).lower() in self.suffixes

    def pass_over(self, name: str, identity: str, *, is_file: bool = True) -> None:
        kind = suffix_of(name).lower() if is_file else other_than_file(identity)
        if is_file or kind:
            self.passed_over[identity] = kind

    def pass_hidden(self, parts: Sequence[str], identity: str, scope: Scope, folder: bool) -> None:
        """Count what is hidden and could hold what is wanted, without a look into it."""
        could = scope.enters(parts) if folder else self.is_media(parts[-1]) and scope.takes(parts)
        if could and (kind := hidden_kind(parts[-1], is_folder=folder)):
            self.passed_over[identity] = kind

    def is_output(self, real: str) -> bool:
        """Whether ``real``, a path without links or a URL, lies where the results do."""
        return f"{real}{os.sep}".startswith(self._output_places)

    @cached_property
    def _output_places(self) -> tuple[str, ...]:
        return () if self.output_real is None else (self.output_real.rstrip(os.sep) + os.sep,)


class _NothingFoundError(Exception):
    """Why one input leads nowhere."""


def looked_at(listed: SourceFile) -> SourceFile:
    """The same, with the size and version that a local file has now; of one that is gone, 0 and
    "missing"."""
    if listed.version or is_url(listed.source):
        return listed
    try:
        status = os.stat(listed.source)  # noqa: PTH116 - a million of them
    except OSError:
        return SourceFile(listed.source, listed.relative, 0, "missing")
    return SourceFile(listed.source, listed.relative, status.st_size, version_of(status))


def discover(
    inputs: Iterable[str],
    suffixes: Collection[str],
    exclude: Iterable[str] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    look: bool = True,
) -> Discovered:
    """The files that ``inputs`` name, in the order of the inputs and natural order within.

    ``relative`` is the path below the folder given, below the fixed part of a pattern
    (``scans`` in ``scans/**/*.tif``), or the name of a file given. When two inputs hold a file
    of the same relative path, all files of these inputs go below the name of their folder.
    ``suffixes``, in lower case and with their dot, are those of the files that folders and
    patterns give. ``exclude`` are patterns as described in the job's schema. Folders inside
    ``output`` are passed over, inputs inside it refused: originals must never lie where results
    are written. Without ``look`` local files are only listed (see :func:`looked_at`).

    Raises InputsError for every input that is missing, unreadable or holds no picture.
    """
    output_real = None if output is None else real_place(output)
    excluded = Patterns(exclude)
    passed_over: dict[str, str] = {}
    problems: list[tuple[int, str]] = []
    batches: list[list[_Found]] = []
    for index, entry in enumerate(inputs):
        wanted = _Wanted(suffixes, excluded, output_real)
        try:
            found = list(_found(entry, wanted))
            if not found:
                raise _NothingFoundError(_nothing(entry, wanted))
            batches.append(found)
        except _NothingFoundError as error:
            problems.append((index, str(error)))
        passed_over |= wanted.passed_over
    if problems:
        raise InputsError(problems)
    files = _once(batches)
    taken = {file.identity for file in files} | set(map(real_place, {file.root for file in files}))
    others = Counter(kind for path, kind in passed_over.items() if path not in taken)
    sources = _labelled(files)
    return Discovered(list(side_by_side(looked_at, sources)) if look else sources, dict(others))


def _nothing(entry: str, wanted: _Wanted) -> str:
    rest = " apart from what is excluded" if wanted.excluded else ""
    others = passed_over_line(Counter(wanted.passed_over.values()))
    return f"no picture in {entry}{rest}" + (f" ({others})" if others else "")


def _once(batches: Iterable[Iterable[_Found]]) -> list[_Found]:
    """Each file once: by its first input, and within that by its real path before a link."""
    taken: set[str] = set()
    files: list[_Found] = []
    for batch in batches:
        in_order = sorted(batch, key=lambda f: labels.natural_order(f.parts))
        kept = bytearray(len(in_order))
        for links in (False, True):
            for number, file in enumerate(in_order):
                if file.is_link is links and file.identity not in taken:
                    taken.add(file.identity)
                    kept[number] = True
        files += compress(in_order, kept)
    return files


def _labelled(files: Sequence[_Found]) -> list[SourceFile]:
    """Sources with distinct relative paths: ``1950/scan1.jpg`` and ``1960/scan1.jpg`` for the
    inputs ``albums/1950`` and ``albums/1960``."""
    relatives = [printable("/".join(file.parts)) for file in files]
    roots: dict[str, set[str]] = {}
    if len({file.root for file in files}) > 1:
        for file, relative in zip(files, relatives, strict=True):
            roots.setdefault(folded(relative), set()).add(file.root)
    meeting = {root for same in roots.values() if len(same) > 1 for root in same}
    named = labels.labels_of(sorted(meeting))
    return [
        SourceFile(
            file.source,
            f"{named[file.root]}/{relative}" if file.root in named else relative,
            file.size_bytes,
            file.version,
        )
        for file, relative in zip(files, relatives, strict=True)
    ]


def _found(entry: str, wanted: _Wanted) -> Iterator[_Found]:
    if not is_url(entry):
        return _local(entry, wanted)
    if entry.startswith(("file://", "local://")):
        from fsspec.implementations.local import LocalFileSystem

        # The same file by path and by URL is one file.
        return _local(str(LocalFileSystem._strip_protocol(entry)), wanted)
    return _remote(entry, wanted)


# --- local files -------------------------------------------------------------------------------


def _numbered(entry: str, wanted: _Wanted) -> Iterator[_Found]:
    """One film: the pictures of a folder, named by the pattern of their numbers."""
    folder, real = Path(entry).parent, os.path.realpath(Path(entry).parent)
    if wanted.is_output(real):
        raise _NothingFoundError(f"{folder} lies inside the output folder")
    try:
        stats = [(p.name, p.stat()) for p in sorted(folder.iterdir()) if is_visible(p.name)]
    except OSError as error:
        raise _NothingFoundError(f"cannot read {folder}: {error.strerror or error}") from None
    if stats:
        size = sum(stat.st_size for _, stat in stats)
        # The whole list: a picture that was exchanged need not be the newest.
        listed = json.dumps([[name, stat.st_size, version_of(stat)] for name, stat in stats])
        version = f"files:{len(stats)} {hashlib.sha256(listed.encode()).hexdigest()[:16]}"
        yield _Found(str(folder.parent), (folder.name,), entry, real, size, version)


def _local(entry: str, wanted: _Wanted) -> Iterator[_Found]:
    entry = os.path.abspath(entry)  # noqa: PTH100 - pathlib would keep ".."
    if is_numbered(entry):
        yield from _numbered(entry, wanted)
        return
    root: str = entry
    pattern: tuple[str, ...] = ()
    if not os.path.lexists(entry):  # brackets in a name that exists are no pattern
        root, pattern = split_pattern(entry) if has_pattern(entry) else (literal(entry), ())
    path, real = Path(root), os.path.realpath(root)
    if root.startswith(_OPEN_FILES):
        # Workers have other files open than this process.
        raise _NothingFoundError(f"{root} is what a process reads from; expected a file or folder")
    if not os.path.lexists(root):
        raise _NothingFoundError(f"no such file or folder: {root}")
    if wanted.is_output(real):
        raise _NothingFoundError(
            f"{root} lies inside the output folder, where results would replace originals"
        )
    if _SYSTEM.fullmatch(real):
        raise _NothingFoundError(
            f"{root} is the whole machine or a part of its system; expected folders of pictures"
        )
    scope = Scope(wanted.excluded, pattern)
    try:
        if path.is_dir():
            yield from _walk(root, real, scope, wanted)
        elif not path.is_file():
            raise _NothingFoundError(f"{root} is a broken link, or neither a file nor a folder")
        elif scope.takes((path.name,)):
            yield _Found(str(path.parent), (path.name,), root, real)
    except OSError as error:
        where = error.filename or root
        raise _NothingFoundError(f"cannot read {where}: {error.strerror or error}") from None


def _walk(root: str, real: str, scope: Scope, wanted: _Wanted) -> Iterator[_Found]:
    """All files wanted below ``root``; each real folder is entered once, so links cannot circle."""
    folders: list[tuple[str, str, tuple[str, ...]]] = [(root, real, ())]
    links: list[tuple[str, str, tuple[str, ...]]] = []
    entered: set[str] = set()
    while folders or links:
        # Links come last: a file that can be reached without one keeps its own path.
        path, real, parts = folders.pop() if folders else links.pop(0)
        if real in entered:
            continue
        entered.add(real)
        with os.scandir(path) as entries:
            listed = sorted(entries, key=lambda e: e.name)
        if any(entry.name == REPORT_MARK for entry in listed):
            continue  # previews of a report are nobody's originals
        for entry in listed:
            below, is_link = (*parts, entry.name), entry.is_symlink()
            here = Path(entry.path) if is_link else entry  # Path takes circular links for broken
            inside = entry.path if real == path else f"{real}{os.sep}{entry.name}"
            target = os.path.realpath(entry.path) if is_link else inside
            is_folder = here.is_dir()
            if (is_folder or is_link) and wanted.is_output(target):
                continue
            if not is_visible(entry.name):
                wanted.pass_hidden(below, inside, scope, is_folder)
            elif is_folder:
                if is_link and _SYSTEM.fullmatch(target):
                    wanted.pass_over(entry.name, target)
                elif scope.enters(below):
                    (links if is_link else folders).append((entry.path, target, below))
            elif scope.takes(below):
                is_file = here.is_file()
                # A broken link in an archive is a lost picture: it is listed, and fails by name.
                is_lost = is_link and not is_file and not Path(entry.path).exists()
                if wanted.is_media(entry.name) and (is_file or is_lost):
                    yield _Found(root, below, entry.path, target, is_link=is_link)
                else:
                    wanted.pass_over(entry.name, target, is_file=is_file)


# --- URLs --------------------------------------------------------------------------------------


def _remote(url: str, wanted: _Wanted) -> Iterator[_Found]:
    if "::" in url:
        raise _NothingFoundError(f"{url}: chained URLs are not supported; unpack the archive first")
    try:
        yield from _listed(url, wanted)
    except _NothingFoundError:
        raise
    except ImportError as error:
        protocol = url.partition("://")[0]
        extra = {"s3": "s3", "s3a": "s3"}.get(protocol)
        hint = f"pip install 'restore-batch[{extra}]'" if extra else str(error)
        raise _NothingFoundError(f"{url}: {protocol}:// needs a package: {hint}") from None
    except Exception as error:  # each store has exceptions of its own, of no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _NothingFoundError(f"cannot list {url}: {reason}") from None


def _listed(url: str, wanted: _Wanted) -> Iterator[_Found]:
    from fsspec.core import url_to_fs

    fs, path = url_to_fs(url)
    if wanted.is_output(fs.unstrip_protocol(path)):
        raise _NothingFoundError(f"{url} lies inside the output, among the results")
    scope = Scope(wanted.excluded)
    try:
        info = fs.info(path)
    except FileNotFoundError:
        if not has_pattern(path):
            raise _NothingFoundError(f"no such file or folder: {url}") from None
        path, pattern = split_pattern(path)
        scope = Scope(wanted.excluded, pattern)
        info = {"type": "directory"}
    if info["type"] != "directory":
        folder, _, name = path.rpartition("/")
        if scope.takes((name,)):
            yield _object(fs, folder, (name,), path, info)
        return
    for name, details in fs.find(path, detail=True).items():
        parts = tuple(name[len(path) :].strip("/").split("/"))
        if wanted.is_output(fs.unstrip_protocol(name)):
            continue
        hidden = parts[: len(list(takewhile(is_visible, parts))) + 1]
        if not is_visible(hidden[-1]):
            place = fs.unstrip_protocol("/".join((path.rstrip("/"), *hidden)))
            wanted.pass_hidden(hidden, place, scope, len(hidden) < len(parts))
        elif scope.takes(parts) and wanted.is_media(parts[-1]):
            yield _object(fs, path, parts, name, details)
        elif scope.takes(parts):
            wanted.pass_over(parts[-1], fs.unstrip_protocol(name))


def _object(fs: Any, root: str, parts: tuple[str, ...], path: str, info: dict[str, Any]) -> _Found:
    source = fs.unstrip_protocol(path)
    tags = ("ETag", "etag", "version_id", "md5Hash", "crc32c", "LastModified", "mtime", "created")
    version = next((f"{tag}:{info[tag]}" for tag in tags if info.get(tag)), "")
    return _Found(
        fs.unstrip_protocol(root), parts, source, source, int(info.get("size") or 0), version
    )

"""Where results go: a job's folders, and in them the tree of the inputs with new suffixes.

A name depends on the input's own name alone, except where two results would meet (``a.png`` and
``a.jpg`` written as PNG; ``A.jpg`` and ``a.jpg`` on a disk that ignores case). Then each gets a
name of its own, by three rules in turn: ``a.png``, ``a.jpg.png``, ``a~1f2e3d4c.png``. They look
at the set of inputs and never at its order.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from restore_batch.jobs.results.base import FOLDER as OWN_FOLDER
from restore_batch.jobs.results.base import ResultPlace
from restore_batch.jobs.results.local import LocalResults
from restore_batch.jobs.spec import Job

FOLDER = OWN_FOLDER
PARTS = f"{FOLDER}/parts"
"""Below it a folder of each unfinished film, named by the id of its join: the film's parts."""
PREVIEWS = "previews"
"""In ``FOLDER``, and in a report: the small pictures that the report shows. Those that workers made
wait in the first for the second."""
SHEETS = "compare"
"""Folder of a comparison's contact sheets."""
REPORT = "report"
"""Folder of a job's report."""
REPORT_MARK = "restore-batch-report.json"
"""The file that makes a folder a report: what lies there is neither an input nor a result."""
CRATE = "ro-crate-metadata.json"
"""The file that RO-Crate asks for by this name, in the folder that it describes."""
PREMIS_OBJECTS, PREMIS_EVENTS = "premis.xml", "premis-events.csv"
"""The same told as PREMIS."""

_STATE_NAME = 60
_FILE_NAME_BYTES = 255
_KEPT_BYTES = 240  # the rest is room for another suffix
_LONGEST_SUFFIX = 16
_MARKED = re.compile("~[0-9a-f]{8}$")
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?",
    re.IGNORECASE | re.DOTALL,
)

_PLAIN_NAME = r"(?!con|prn|aux|nul|com|lpt)[a-z0-9_-](?:[a-z0-9_.() -]{0,150}[a-z0-9_()-])?"
_PLAIN = re.compile(f"(?:{_PLAIN_NAME}/)*{_PLAIN_NAME}", re.IGNORECASE | re.ASCII)
"""Paths that are legal everywhere, as nearly all are, seen at one look."""


def folder_of(output: Path | str, state: Path | None = None) -> Path:
    """The local folder with the manifest, what is staged, and the report of an output: the output
    itself, or the state folder of one that is a URL."""
    if isinstance(output, Path):
        return output
    if state is not None:
        return state
    home = os.environ.get("XDG_STATE_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "state"
    place = output.partition("://")[2].strip("/")
    shown = re.sub(r"[^\w.-]+", "-", place)[:_STATE_NAME].strip("-.")
    return base / "restore-batch" / f"{shown}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def results_of(job: Job) -> ResultPlace:
    """Where the results of a job lie. Raises RestoreBatchError for a URL without support."""
    folder = folder_of(job.output, job.state)
    if isinstance(job.output, Path):
        return LocalResults(folder)
    from restore_batch.jobs.results.s3 import S3Results

    return S3Results(job.output, folder)


def output_folders(job: Job) -> dict[str, Path]:
    """The folders with a manifest: of each restorer compared, then of the contact sheets; that
    of a plain job under ""."""
    output = folder_of(job.output, job.state)
    if not job.restore.compare:
        return {"": output}
    names = [system.folder for system in job.restore.compare]
    return {name: output / name for name in [*names, SHEETS]}


def assign_outputs(items: Sequence[tuple[str, str]], others: Sequence[str] = ()) -> list[str]:
    """Distinct output paths for ``(relative path of the input, suffix of the output)`` pairs.

    The paths are relative to the output folder, with ``/``, and never leave it; they differ also
    when case and Unicode composition are ignored; no path is a folder of another. Names that
    Windows or other file systems refuse are changed and marked with a hash. Identical items
    (two inputs of the same relative path) are told apart by their order. ``others``: inputs that
    are :func:`free_to_name`, whose folders are needed too.
    """
    plain = [_portable(relative) for relative, _ in items]
    # A file must not stand where another result needs a folder.
    taken = set(map(folded, _folders([*plain, *map(_portable, others)])))
    outputs: dict[int, str] = {}
    for rule in (_with_suffix, _with_both_suffixes):
        candidates = {
            i: rule(plain[i], suffix) for i, (_, suffix) in enumerate(items) if i not in outputs
        }
        won = _uncontested(candidates, plain, taken)
        outputs |= won
        taken |= {folded(name) for name in won.values()}
    for i in sorted(set(range(len(items))) - outputs.keys(), key=lambda i: (items[i], i)):
        outputs[i] = next(
            name for name in _marked(plain[i], *items[i]) if folded(name) not in taken
        )
        taken.add(folded(outputs[i]))
    return [outputs[i] for i in range(len(items))]


def name_of(relative: str, suffix: str) -> str:
    """The output of an input that is :func:`free_to_name`."""
    name = _with_suffix(_portable(relative), suffix)
    return relative if name == relative else name


def free_to_name(relatives: Sequence[str], but: Sequence[bool]) -> list[bool]:
    """Which inputs get a name (:func:`name_of`) that no other result can want, whatever suffix
    each of them is given: ``assign_outputs`` gives the others the same names with them and without.

    ``but``: those that are not asked about, whose results may be called in any way.
    """
    plain = [_portable(relative) for relative in relatives]
    stems = [folded(path.removesuffix(suffix_of(path.rpartition("/")[2]))) for path in plain]
    count = Counter(stems)
    for folder in _folders(plain):
        count[folded(folder.removesuffix(suffix_of(folder.rpartition("/")[2])))] += 1
    free = [
        count[stem] == 1
        and not is_other
        and _MARKED.search(stem) is None
        and len(stem.rpartition("/")[2].encode()) + _LONGEST_SUFFIX <= _FILE_NAME_BYTES
        for stem, is_other in zip(stems, but, strict=True)
    ]
    # What is not free may keep its own suffix before another: ``a.jpg.png`` for ``a.jpg``.
    at = {stem: i for i, stem in enumerate(stems) if free[i]}
    left = [i for i, is_free in enumerate(free) if not is_free]
    while left:
        further = at.pop(folded(plain[left.pop()]), None)
        if further is not None:
            free[further] = False
            left.append(further)
    return free


def _folders(paths: Iterable[str]) -> set[str]:
    """All folders that these lie in."""
    nearest = {path.rpartition("/")[0] for path in paths}
    return {str(above) for folder in nearest for above in PurePosixPath(folder, "_").parents}


def _uncontested(
    candidates: dict[int, str], plain: Sequence[str], taken: set[str]
) -> dict[int, str]:
    """The candidates that nobody else wants; a name kept as it was goes before a changed one."""
    keys = {i: folded(name) for i, name in candidates.items()}
    claims = Counter(keys.values())
    kept = Counter(keys[i] for i, name in candidates.items() if name == plain[i])
    return {
        i: name
        for i, name in candidates.items()
        if (key := keys[i]) not in taken
        and (claims[key] == 1 or (kept[key] == 1 and name == plain[i]))
        and len(name.rpartition("/")[2].encode()) <= _FILE_NAME_BYTES
    }


def sidecar_of(output: str, suffix: str) -> str:
    """Where the sidecar with ``suffix`` of a result at ``output`` lies: ``photo.jpg.mask.png``."""
    head, slash, name = output.rpartition("/")
    if len((name + suffix).encode()) <= _FILE_NAME_BYTES:
        return output + suffix
    return head + slash + _tagged(name + suffix, _hash(name))


def suffix_of(name: str) -> str:
    """The suffix of a file's name with its dot, as :mod:`pathlib` has it, of a million names."""
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def folded(path: str) -> str:
    """``path`` as a file system sees it that ignores case and Unicode composition."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _portable(relative: str) -> str:
    """``relative`` with every component a legal file name everywhere, and none upward."""
    if _PLAIN.fullmatch(relative):
        return relative
    *folders, name = [part for part in relative.split("/") if part not in ("", ".")] or [""]
    named = _component(name)
    return "/".join((*map(_folder, folders), named)) if folders else named


def _component(name: str) -> str:
    clean = _FORBIDDEN.sub("_", name).rstrip(". ")
    if _RESERVED.fullmatch(clean) or folded(clean) == FOLDER:
        clean = "_" + clean
    if clean == name and name and len(name.encode()) <= _KEPT_BYTES:
        return name
    # Two names may become one by cleaning, so the hash of the old one stays with it.
    return _tagged(clean or "_", _hash(name))


@lru_cache(maxsize=4096)
def _folder(name: str) -> str:
    """:func:`_component` of what comes many times."""
    return _component(name)


def _with_suffix(path: str, suffix: str) -> str:
    """``a.jpg`` as ``a.png``."""
    former = suffix_of(path.rpartition("/")[2])
    return path if former == suffix else path.removesuffix(former) + suffix


def _with_both_suffixes(path: str, suffix: str) -> str:
    """``a.jpg`` as ``a.jpg.png``."""
    return path + suffix


def _marked(path: str, relative: str, suffix: str) -> Iterator[str]:
    """``a.jpg`` as ``a~1f2e3d4c.png``, and other marks in case that one is taken."""
    head, slash, name = path.rpartition("/")
    for attempt in itertools.count():
        mark = _hash(f"{relative}\0{attempt}" if attempt else relative)
        yield head + slash + _tagged(PurePosixPath(name).stem + suffix, mark)


def _tagged(name: str, mark: str) -> str:
    """``name`` with ``~mark`` before its suffix, cut to a length that file systems allow."""
    suffix = PurePosixPath(name).suffix
    if len(suffix.encode()) > 32:
        suffix = ""
    room = _KEPT_BYTES - len(suffix.encode()) - len(mark) - 1
    stem = name[: len(name) - len(suffix)].encode()[:room].decode("utf-8", "ignore")
    return f"{stem}~{mark}{suffix}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

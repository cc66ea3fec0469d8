"""Where results go: a job's folders, and in them the tree of the inputs with new suffixes.

A name depends on the input's own name alone, except where two results would meet (``a.png`` and
``a.jpg`` written as PNG; ``A.jpg`` and ``a.jpg`` on a disk that ignores case). Then each gets a
name of its own, by three rules in turn: ``a.png``, ``a.jpg.png``, ``a~1f2e3d4c.png``. They look
at the set of inputs and never at its order.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from restore_batch.jobs.spec import Job

FOLDER = ".restore-batch"
"""What a job keeps for itself in its output folder."""
PARTS = f"{FOLDER}/parts"
"""Below it a folder of each unfinished film, named by the id of its join: the film's parts."""
SHEETS = "compare"
"""Folder of a comparison's contact sheets."""
REPORT = "report"
"""Folder of a job's report."""
REPORT_MARK = "restore-batch-report.json"
"""The file that makes a folder a report: what lies there is neither an input nor a result."""

_FILE_NAME_BYTES = 255
_KEPT_BYTES = 240  # the rest is room for another suffix
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?",
    re.IGNORECASE | re.DOTALL,
)


def output_folders(job: Job) -> dict[str, Path]:
    """The folders with a manifest: of each restorer compared, then of the contact sheets; that
    of a plain job under ""."""
    output = Path(job.output)
    if not job.restore.compare:
        return {"": output}
    names = [system.folder for system in job.restore.compare]
    return {name: output / name for name in [*names, SHEETS]}


def assign_outputs(items: Sequence[tuple[str, str]]) -> list[str]:
    """Distinct output paths for ``(relative path of the input, suffix of the output)`` pairs.

    The paths are relative to the output folder, with ``/``, and never leave it; they differ also
    when case and Unicode composition are ignored; no path is a folder of another. Names that
    Windows or other file systems refuse are changed and marked with a hash. Identical items
    (two inputs of the same relative path) are told apart by their order.
    """
    plain = [_portable(relative) for relative, _ in items]
    # A file must not stand where another result needs a folder.
    taken = {folded(str(folder)) for path in plain for folder in PurePosixPath(path).parents}
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


def _uncontested(
    candidates: dict[int, str], plain: Sequence[str], taken: set[str]
) -> dict[int, str]:
    """The candidates that nobody else wants; a name kept as it was goes before a changed one."""
    claims = Counter(folded(name) for name in candidates.values())
    kept = Counter(folded(name) for i, name in candidates.items() if name == plain[i])
    return {
        i: name
        for i, name in candidates.items()
        if (key := folded(name)) not in taken
        and (claims[key] == 1 or (kept[key] == 1 and name == plain[i]))
        and len(PurePosixPath(name).name.encode()) <= _FILE_NAME_BYTES
    }


def sidecar_of(output: str, suffix: str) -> str:
    """Where the sidecar with ``suffix`` of a result at ``output`` lies: ``photo.jpg.mask.png``."""
    head, slash, name = output.rpartition("/")
    if len((name + suffix).encode()) <= _FILE_NAME_BYTES:
        return output + suffix
    return head + slash + _tagged(name + suffix, _hash(name))


def folded(path: str) -> str:
    """``path`` as a file system sees it that ignores case and Unicode composition."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _portable(relative: str) -> str:
    """``relative`` with every component a legal file name everywhere, and none upward."""
    parts = [part for part in relative.split("/") if part not in ("", ".")]
    return "/".join(_component(part) for part in parts) or _component("")


def _component(name: str) -> str:
    clean = _FORBIDDEN.sub("_", name).rstrip(". ")
    if _RESERVED.fullmatch(clean) or folded(clean) == FOLDER:
        clean = "_" + clean
    if clean == name and name and len(name.encode()) <= _KEPT_BYTES:
        return name
    # Two names may become one by cleaning, so the hash of the old one stays with it.
    return _tagged(clean or "_", _hash(name))


def _with_suffix(path: str, suffix: str) -> str:
    """``a.jpg`` as ``a.png``."""
    head, slash, name = path.rpartition("/")
    return f"{head}{slash}{PurePosixPath(name).stem}{suffix}"


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

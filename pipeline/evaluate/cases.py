"""Which files are compared: results, the true pictures, and what the results were made from."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from restore_batch.errors import UsageError
from restore_batch.jobs.history import History
from restore_batch.jobs.inputs import discover
from restore_batch.jobs.results.place import result_place
from restore_batch.pipeline.plan.films import is_film
from restore_batch.pipeline.plan.photos import media_suffixes


@dataclass(frozen=True)
class Case:
    """One result to be scored. ``name``: its path below its folder; ``truth``, ``original``: as
    they are opened, "" where there is none. ``is_film``: a film, and so are the others."""

    name: str
    result: str
    truth: str = ""
    original: str = ""
    is_film: bool = False

    @property
    def key(self) -> str:
        """What it is told by, among the results of several systems."""
        return _stem(self.name)


@dataclass(frozen=True)
class LeftOut:
    """A file without a score, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Paired:
    """The cases of one system, and the files that belong to nothing."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...] = ()


def of_folder(results: Path, truth: Folder | None, originals: Folder | None) -> Paired:
    """The pictures and films of a folder, beside those of the same name in the others."""
    found = _files(results)
    return _matched(
        [Case(name, source, is_film=is_film(source)) for name, source in found], truth, originals
    )


def of_output(place: Path, truth: Folder | None) -> Paired:
    """The results of a job's output folder beside their originals, which its manifest names, and
    the true pictures of the same name. Raises UsageError where nothing was run."""
    history = History.read(place)
    if history is None:
        raise UsageError(f"{place}: nothing was run there yet; expected an output folder")
    cases, left_out = [], []
    with history:
        for entry in history.entries():
            if entry.state != "done":
                why = entry.error or f"it is {entry.state}"
                left_out.append(LeftOut(entry.output, f"there is no result: {why}"))
                continue
            cases.append(
                Case(
                    entry.output, result_place(place, entry.output), original=entry.source,
                    is_film=is_film(entry.source),
                )
            )  # fmt: skip
    paired = _matched(cases, truth, None)
    return Paired(paired.cases, (*left_out, *paired.left_out))


def as_they_are(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The originals of ``cases`` in the place of their results."""
    return tuple(replace(case, result=case.original) for case in cases if case.original)


class Folder:
    """The pictures and films of a folder, found by their path in it or by that without suffix.

    Raises UsageError for a folder without any.
    """

    def __init__(self, path: Path) -> None:
        self._exact = dict(_files(path))
        self._by_stem: dict[str, list[str]] = {}
        for name in self._exact:
            self._by_stem.setdefault(_stem(name), []).append(name)
        self.path = path
        self.used: set[str] = set()

    def of(self, name: str) -> tuple[str, str]:
        """The file for a result called ``name``, and why there is none."""
        # a.jpg.png is the result of a.jpg where there is a.png, too.
        known = next((n for n in (name, _stem(name)) if n in self._exact), None)
        if known is None:
            alike = self._by_stem.get(_stem(name), [])
            if len(alike) > 1:
                return "", f"several files in {self.path} have its name: {', '.join(alike)}"
            if not alike:
                return "", f"no file in {self.path} has its name"
            known = alike[0]
        self.used.add(known)
        return self._exact[known], ""

    def unused(self) -> Iterator[str]:
        """Names that no result had."""
        return (name for name in self._exact if name not in self.used)


def groups_in(chosen: str) -> dict[str, str]:
    """The group of each name, from ``FILE.csv:column``: names are in the column ``file`` or else in
    the first. Raises UsageError where there are no such file and column."""
    path, _, column = chosen.rpartition(":")
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--groups {chosen}: expected FILE.csv:COLUMN ({reason})") from None
    if column not in columns:
        raise UsageError(f"{path}: no column {column!r}; it has {', '.join(columns) or 'none'}")
    names = "file" if "file" in columns else columns[0]
    found = {row[names]: row[column] for row in rows if row[names] and row[column]}
    return found | {_stem(name): group for name, group in found.items()}


def group_of(case: Case, groups: Mapping[str, str]) -> str | None:
    """The group of a case: by its path, that without suffix, or its name alone."""
    bare = PurePosixPath(case.key).name
    return next((groups[name] for name in (case.name, case.key, bare) if name in groups), None)


def _matched(cases: Sequence[Case], truth: Folder | None, originals: Folder | None) -> Paired:
    kept, left_out = [], []
    for case in cases:
        true, no_truth = ("", "") if truth is None else truth.of(case.name)
        original, no_original = (
            (case.original, "") if originals is None else originals.of(case.name)
        )
        if why := no_truth or no_original:
            left_out.append(LeftOut(case.name, why))
        else:
            kept.append(replace(case, truth=true, original=original))
    return Paired(tuple(kept), tuple(left_out))


def _files(folder: Path) -> list[tuple[str, str]]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a folder of pictures")
    suffixes: Collection[str] = media_suffixes()
    found = discover([str(folder)], suffixes).files
    return [(source.relative, source.source) for source in found]


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))

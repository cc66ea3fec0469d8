"""What is in an output folder, as a small object: items, faces, warnings."""

from __future__ import annotations

import html
import importlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from restore_batch.errors import UsageError
from restore_batch.jobs.history import Entry, History
from restore_batch.jobs.outputs import FOLDER, folder_of
from restore_batch.jobs.results.place import result_place
from restore_batch.jobs.spec import is_url
from restore_batch.pipeline.copied import CopySeen, copy_at, has_ledger, output_url, seen
from restore_batch.text import legible, plural

_ROWS_SHOWN = 100


@dataclass(frozen=True)
class FoundFace:
    """A face of a photo. ``box_xyxy``: left, top, right, bottom in pixels of the upright original.

    ``score``: of the detector, in [0, 1]. ``restored``: whether it was; ``blend``: how much of the
    restored face was blended in, in [0, 1]. ``identity``: cosine similarity of before and after in
    [-1, 1], None where it was not measured. ``note``: what is to be known of it, or "".
    """

    box_xyxy: tuple[float, float, float, float]
    score: float
    restored: bool
    blend: float
    identity: float | None
    note: str


@dataclass(frozen=True)
class Figures:
    """How a picture looks by itself, its original at the same size; of a film the mean of some
    frames. ``sharpness``: in [0, 1]; ``noise``: standard deviation in levels of 8 bits; ``niqe``:
    about 3 for a good photograph, more the less natural it looks. None where there is no figure.
    """

    sharpness: float | None = None
    noise: float | None = None
    niqe: float | None = None


@dataclass(frozen=True)
class Result:
    """One item of a job. ``output``: the path of its result, or its URL, whether it is there or
    not, and ``name`` that within the output; ``source``: of its original, a path or URL. ``state``:
    done, failed or pending.

    ``faces``: of a photo; of a film ``face_count`` alone is told. ``size_wh``: of the result in
    pixels, None where there is none. ``error``: why it failed, or "". ``seconds``: what it took.
    ``before``, ``after``: figures of original and result, None where none were taken.
    """

    output: Path | str
    name: str
    source: str
    state: str
    is_film: bool
    face_count: int
    faces: tuple[FoundFace, ...]
    size_wh: tuple[int, int] | None
    warnings: tuple[str, ...]
    error: str
    seconds: float
    before: Figures | None = None
    after: Figures | None = None


@dataclass(frozen=True)
class Results:
    """All items of an output folder, in order of their paths, as they were when it was opened.
    ``copy``: where the state of the job is on another machine, the copy beside the results that
    was read instead."""

    folder: Path
    items: tuple[Result, ...]
    copy: CopySeen | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.items)

    @property
    def failed(self) -> tuple[Result, ...]:
        """Items without a result, and why."""
        return tuple(item for item in self.items if item.state == "failed")

    @property
    def warnings(self) -> tuple[tuple[Result, str], ...]:
        """Each warning with its item."""
        return tuple((item, text) for item in self.items for text in item.warnings)

    @property
    def faces(self) -> tuple[tuple[Result, FoundFace], ...]:
        """Each face of photos with its item."""
        return tuple((item, face) for item in self.items for face in item.faces)

    def to_pandas(self) -> Any:
        """A DataFrame with a row an item: ``output`` and ``source`` as text, ``width`` and
        ``height`` 0 where there is no result, ``warnings`` one a line. Raises UsageError where
        pandas is not installed."""
        rows = [
            {
                "output": item.name,
                "source": item.source, "state": item.state, "film": item.is_film,
                "faces": item.face_count, "width": (item.size_wh or (0, 0))[0],
                "height": (item.size_wh or (0, 0))[1],
                "lowest_identity": _lowest_identity(item), **_figures(item),
                "seconds": item.seconds, "warnings": "\n".join(item.warnings), "error": item.error,
            }
            for item in self.items
        ]  # fmt: skip
        return _pandas().DataFrame(rows, columns=_COLUMNS)

    def faces_to_pandas(self) -> Any:
        """A DataFrame with a row a face of photos. Raises UsageError where pandas is not
        installed."""
        rows = [
            {
                "output": item.name,
                **dict(zip(("left", "top", "right", "bottom"), face.box_xyxy, strict=True)),
                "score": face.score, "restored": face.restored, "blend": face.blend,
                "identity": face.identity, "note": face.note,
            }
            for item, face in self.faces
        ]  # fmt: skip
        return _pandas().DataFrame(rows, columns=_FACE_COLUMNS)

    def _repr_html_(self) -> str:
        """A table of the first items, for notebooks; whatever is in names and words is text."""
        head = "".join(f"<th>{each}</th>" for each in ("result", "state", "faces", "to know"))
        rows = "".join(_row(item) for item in self.items[:_ROWS_SHOWN])
        more = len(self.items) - _ROWS_SHOWN
        rest = f"<p>… and {more:,} more</p>" if more > 0 else ""
        count = f"{plural(len(self.items), 'item')}, {len(self.failed):,} failed"
        place = self.folder if self.copy is None else self.copy
        return (
            f"<p>{_text(str(place))}: {count}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{rest}"
        )


_WHEN = ("before", "after")
_COLUMNS = (
    "output", "source", "state", "film", "faces", "width", "height", "lowest_identity",
    *(f"{figure.name}_{when}" for figure in fields(Figures) for when in _WHEN),
    "seconds", "warnings", "error",
)  # fmt: skip
_FACE_COLUMNS = (
    "output", "left", "top", "right", "bottom", "score", "restored", "blend", "identity", "note",
)  # fmt: skip


def open_results(output: str | os.PathLike[str]) -> Results:
    """What is in an output folder, or at the URL of results in a bucket, also while a run goes on.
    Nothing is written.

    Raises UsageError where nothing was run there, or several restorers were compared; StoreError
    where a store is to be asked and cannot be used.
    """
    named = os.fspath(output)
    url = output_url(named) if is_url(named) else ""
    folder = (folder_of(url) if url else Path(named)).absolute()
    if not url or has_ledger(folder):
        return Results(folder, _items(folder))
    with copy_at(url, folder) as copied:
        return Results(folder, _items(copied.folder), seen(url, copied))


def _items(folder: Path) -> tuple[Result, ...]:
    history = History.read(folder)
    if history is None:
        raise UsageError(f"{folder}: {_why_not(folder)}")
    with history, history.at_one_moment():
        return tuple(_result(folder, entry) for entry in history.entries())


def _why_not(folder: Path) -> str:
    inner = sorted(path.parent.name for path in folder.glob(f"*/{FOLDER}") if path.is_dir())
    if inner:
        return f"several restorers have results there; open the folder of one: {', '.join(inner)}"
    return "nothing was run there yet; expected the output folder of a job"


def _result(folder: Path, entry: Entry) -> Result:
    faces = tuple(
        FoundFace(row.box_xyxy, row.score, row.restored, row.blend, row.identity, row.note)
        for row in entry.faces
    )
    # What is staged is committed by the next run: until then nobody can look at it.
    state = "pending" if entry.state == "staged" else entry.state
    place = result_place(folder, entry.output)
    return Result(
        place if is_url(place) else Path(place), entry.output, entry.source, state,
        entry.kind == "join", entry.face_count, faces,
        entry.size_wh, entry.warnings, entry.error, sum(entry.seconds.values()),
        *(_taken(entry.quality[when]) if entry.quality else None for when in _WHEN),
    )  # fmt: skip


def _taken(quality: Mapping[str, float]) -> Figures:
    # Another version may have taken more of them.
    return Figures(**{each.name: quality.get(each.name) for each in fields(Figures)})


def _figures(item: Result) -> dict[str, float | None]:
    return {
        f"{figure.name}_{when}": getattr(found, figure.name, None)
        for when, found in (("before", item.before), ("after", item.after))
        for figure in fields(Figures)
    }


def _lowest_identity(item: Result) -> float | None:
    return min((face.identity for face in item.faces if face.identity is not None), default=None)


def _row(item: Result) -> str:
    cells = (item.name, item.state, str(item.face_count), item.error or "; ".join(item.warnings))
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _text(text: str) -> str:
    return html.escape(legible(text))


def _pandas() -> Any:
    try:
        return importlib.import_module("pandas")
    except ImportError:
        raise UsageError("a DataFrame needs pandas: pip install pandas") from None

"""What a manifest tells of a whole job at once, for whoever shows it.

A few questions of all rows instead of one question an item: a hundred thousand items are read in
seconds. Asking changes nothing, and what is told is of one moment, also while a run goes on.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

from restore_batch.jobs.database import Row
from restore_batch.jobs.ledger import face_in
from restore_batch.jobs.outputs import FOLDER, PARTS
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.proof.kept import NAME, KeptLedger
from restore_batch.jobs.proof.looking import look
from restore_batch.jobs.proof.sidecars import sidecars_in
from restore_batch.jobs.records import FaceRow, Quality


@dataclass(frozen=True)
class Entry:
    """All that is on record of an item, but its attempts.

    ``output`` relative to the output folder, ``source`` as it was found. ``unit``: id of its unit,
    "" before it was begun. ``size_wh``: of the result. ``faces``: of a photo; those of films are
    told by :meth:`History.film_frames`. ``stage``, ``error``: where and why it failed last.
    ``seconds``: by stage, those of a film's parts included. ``sidecars``: their suffixes.
    ``quality``: figures before and after, None where none were taken. ``repaired``: the share of
    its pixels that were filled, None where no damage was looked for.
    ``header``: what the header of the source says, as plain data, where it was noted.
    ``source_stamp``: of the source while it held what has ``source_sha256``, "" where not known.
    """

    output: str
    source: str
    unit: str
    kind: str
    state: str
    attempts: int
    face_count: int
    size_bytes: int
    sha256: str
    source_sha256: str
    size_wh: tuple[int, int] | None
    stage: str
    error: str
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    sidecars: tuple[str, ...]
    stand_in: str
    header: Mapping[str, Any]
    faces: tuple[FaceRow, ...]
    quality: Quality | None = None
    source_stamp: str = ""
    repaired: float | None = None


@dataclass(frozen=True)
class FailedAttempt:
    """``ended``: seconds since 1970. ``outcome``: the kind of error."""

    attempt: int
    ended: float
    outcome: str
    message: str


@dataclass(frozen=True)
class Finished:
    """When the last attempt at an item ended, in seconds since 1970, and in which run."""

    ended: float
    run: int


@dataclass(frozen=True)
class FrameFaces:
    """The faces of one frame of a film; ``largest``: the one with the largest box."""

    frame: int
    faces: tuple[FaceRow, ...]

    @property
    def largest(self) -> FaceRow:
        return max(self.faces, key=lambda face: face.side_px)


class Mark(NamedTuple):
    """How far a ledger had come: its newest run, item and attempt. A mark that is behind an
    earlier one is of another ledger, such as one that was rebuilt."""

    run: int = 0
    item: int = 0
    attempt: int = 0


class Ended(NamedTuple):
    """An attempt at an item, or with ``output`` "" at a part of one, that came to an end."""

    output: str
    run: int
    ended: float
    outcome: str


Answer = TypeVar("Answer")


class History(KeptLedger):
    """The ledger of an output folder, opened with :meth:`read` and asked in bulk."""

    @classmethod
    def glance(cls, output_dir: Path, question: Callable[[Self], Answer]) -> Answer:
        """Ask without a trace in the output folder, also beside a run; see
        :func:`~restore_batch.jobs.proof.looking.look`."""
        return look(
            output_dir / FOLDER / NAME,
            lambda database: question(cls(output_dir, database, None, None)),
        )

    def mark(self) -> Mark:
        """How far it has come now."""
        last = "SELECT COALESCE(MAX({}), 0) AS last FROM {}"
        tables = (("id", "runs"), ("rowid", "items"), ("rowid", "attempts"))
        asked = (self._db.execute(last.format(*each)).fetchone() for each in tables)
        return Mark(*(int(row["last"]) for row in asked))

    def begun_since(self, mark: Mark) -> list[str]:
        """Output paths of the items that are new since."""
        rows = self._db.execute("SELECT output FROM items WHERE rowid > ?", (mark.item,))
        return [row["output"] for row in rows]

    def ended_since(self, mark: Mark) -> list[Ended]:
        """Attempts that came to an end since, in their order."""
        rows = self._db.execute(
            "SELECT items.output, attempts.run, attempts.ended, attempts.outcome FROM attempts"
            " LEFT JOIN units ON units.id = attempts.unit"
            " LEFT JOIN items ON items.output = units.item AND items.unit = units.id"
            " WHERE attempts.rowid > ? ORDER BY attempts.rowid",
            (mark.attempt,),
        )
        return [Ended(row["output"] or "", *tuple(row)[1:]) for row in rows]

    @contextlib.contextmanager
    def at_one_moment(self) -> Iterator[None]:
        """All answers within are of the same state, whatever a run commits meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def runs(self) -> tuple[dict[str, Any], ...]:
        """All runs, the oldest first, as :meth:`last_run` gives one; ``job`` and ``models`` as
        plain data."""
        return tuple(map(dict, self._db.execute("SELECT * FROM runs ORDER BY id")))

    def entries(self, only: Sequence[str] | None = None) -> Iterator[Entry]:
        """Every item, or of some hundred output paths those that are items, in their order."""
        among, asked = _among("items.output", only)
        seconds = self._seconds_of_films() if only is None else {}
        faces = self._faces_of_photos(among, asked)
        output, found = next(faces, (None, ()))
        rows = self._db.execute(
            "SELECT items.output, items.source, items.stand_in, sources.probe,"
            " sources.stamp AS noted_stamp, sources.sha256 AS noted_sha256,"
            " units.*, COALESCE(units.state, 'pending') AS standing"
            " FROM items LEFT JOIN units ON units.id = items.unit"
            " LEFT JOIN sources ON sources.source = items.source"
            f" WHERE {among} ORDER BY items.output",
            asked,
        )
        for row in rows:
            own: tuple[FaceRow, ...] = ()
            if row["output"] == output:
                own = found
                output, found = next(faces, (None, ()))
            if only is not None and row["kind"] not in ("photo", None):
                seconds |= self._seconds_of_films(row["id"])
            yield _entry(row, own, seconds.get(row["id"] or "", {}))

    def failed_attempts(
        self, units: Sequence[str] | None = None
    ) -> dict[str, tuple[FailedAttempt, ...]]:
        """Attempts at items that brought no result, by the id of their unit; of all, or of some
        hundred."""
        among, asked = _among("items.unit", units)
        found: dict[str, list[FailedAttempt]] = defaultdict(list)
        rows = self._db.execute(
            "SELECT attempts.* FROM attempts JOIN items ON items.unit = attempts.unit"
            f" WHERE attempts.outcome != 'done' AND {among} ORDER BY attempts.ended",
            asked,
        )
        for row in rows:
            found[row["unit"]].append(
                FailedAttempt(row["attempt"], row["ended"], row["outcome"], row["message"] or "")
            )
        return {unit: tuple(attempts) for unit, attempts in found.items()}

    def finished(self) -> dict[str, Finished]:
        """When each item was done, or failed last, by the id of its unit."""
        rows = self._db.execute(
            "SELECT attempts.unit, attempts.run, MAX(attempts.ended) AS ended FROM attempts"
            " JOIN items ON items.unit = attempts.unit GROUP BY attempts.unit"
        )
        return {row["unit"]: Finished(row["ended"], row["run"]) for row in rows}

    def film_frames(self, film: str | None = None) -> Iterator[tuple[str, Iterator[FrameFaces]]]:
        """For each film with faces, or for that one alone, the id of its unit and its frames that
        have any, in order.

        The frames of a film are to be taken before the next film is asked for.
        """
        parts, asked = _parts_of(film)
        rows = self._db.execute(
            "SELECT units.item, faces.* FROM faces JOIN units ON units.id = faces.unit"
            f" WHERE {parts} ORDER BY units.item, faces.frame, faces.face",
            asked,
        )
        current = next(rows, None)

        def frames(film: str) -> Iterator[FrameFaces]:
            nonlocal current
            while current is not None and _film_of(current["item"]) == film:
                frame, faces = current["frame"], [face_in(current)]
                current = next(rows, None)
                while (
                    current is not None
                    and current["frame"] == frame
                    and _film_of(current["item"]) == film
                ):
                    faces.append(face_in(current))
                    current = next(rows, None)
                yield FrameFaces(frame, tuple(faces))

        while current is not None:
            this = _film_of(current["item"])
            told = frames(this)
            yield this, told
            for _ in told:
                pass

    def _faces_of_photos(
        self, among: str, asked: Sequence[Any]
    ) -> Iterator[tuple[str, tuple[FaceRow, ...]]]:
        rows = self._db.execute(
            "SELECT items.output, faces.* FROM items JOIN faces ON faces.unit = items.unit"
            f" WHERE {among} ORDER BY items.output, faces.frame, faces.face",
            asked,
        )
        output: str | None = None
        faces: list[FaceRow] = []
        for row in rows:
            if row["output"] != output:
                if output is not None:
                    yield output, tuple(faces)
                output, faces = row["output"], []
            faces.append(face_in(row))
        if output is not None:
            yield output, tuple(faces)

    def _seconds_of_films(self, film: str | None = None) -> dict[str, dict[str, float]]:
        """By stage, of the parts of each film or of that one, by the id of the film's unit."""
        found: dict[str, dict[str, float]] = {}
        parts, asked = _parts_of(film)
        rows = self._db.execute(
            f"SELECT item, seconds FROM units WHERE {parts} AND seconds IS NOT NULL", asked
        )
        for row in rows:
            of_film = found.setdefault(_film_of(row["item"]), {})
            for stage, spent in row["seconds"].items():
                of_film[stage] = of_film.get(stage, 0.0) + spent
        return found


def _among(column: str, values: Sequence[str] | None) -> tuple[str, list[Any]]:
    """A condition that ``column`` is one of ``values``, or none, and its parameters."""
    if values is None:
        return "1", []
    return f"{column} IN ({', '.join('?' * len(values))})", [packed(value) for value in values]


def _parts_of(film: str | None) -> tuple[str, list[str]]:
    """A condition that a unit is a part of a film, or of that one, and its parameters."""
    if film is None:
        return "units.kind = 'segment'", []
    # Of a film, the paths of its parts: "0" is what follows "/".
    place = f"{PARTS}/{film}"
    return "units.item > ? AND units.item < ?", [f"{place}/", f"{place}0"]


def _film_of(part: str) -> str:
    """The id of the film that a part belongs to, by the part's path."""
    return part.removeprefix(f"{PARTS}/").partition("/")[0]


def _entry(row: Row, faces: tuple[FaceRow, ...], of_parts: Mapping[str, float]) -> Entry:
    seconds = dict(row["seconds"] or {})
    for stage, spent in of_parts.items():
        seconds[stage] = seconds.get(stage, 0.0) + spent
    width, height = row["width"], row["height"]
    failed = row["standing"] == "failed"
    return Entry(
        output=row["output"],
        source=row["source"],
        unit=row["id"] or "",
        kind=row["kind"] or "",
        state=row["standing"],
        attempts=row["attempts"] or 0,
        face_count=row["face_count"] or 0,
        size_bytes=row["size_bytes"] or 0,
        sha256=row["sha256"] or "",
        source_sha256=row["source_sha256"] or "",
        size_wh=(width, height) if width and height else None,
        stage=(row["stage"] or "") if failed else "",
        error=(row["error"] or "") if failed else "",
        warnings=tuple(row["warnings"] or ()),
        seconds=seconds,
        sidecars=tuple(each.suffix for each in sidecars_in(row)),
        stand_in=row["stand_in"] or "",
        header=(row["probe"] or {}).get("header") or {},
        faces=faces,
        quality=row["quality"],
        source_stamp=(
            row["noted_stamp"] or "" if row["noted_sha256"] == row["source_sha256"] else ""
        ),
        repaired=row["repaired"],
    )

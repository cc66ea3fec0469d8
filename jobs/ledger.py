"""Questions to the manifest's tables; asking changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from restore_batch.jobs.database import Database, Row
from restore_batch.jobs.outputs import PARTS
from restore_batch.jobs.proof.columns import packed
from restore_batch.jobs.records import (
    CommittedResult,
    FaceRow,
    ItemAtWork,
    ItemStatus,
    MadeWith,
    NotedSource,
    frame_of_largest,
    longer_side_px,
)
from restore_batch.jobs.units import Unit


class Ledger:
    """What is on record of sources, units and items."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def noted_sources(self, sources: Sequence[str]) -> dict[str, NotedSource]:
        """What is noted of ``sources``, whatever their stamps were."""
        rows = self._db.among(
            "SELECT source, stamp, sha256, probe FROM sources WHERE source IN (?)",
            [packed(source) for source in sources],
        )
        noted = ((source, stamp, sha256, probe or {}) for source, stamp, sha256, probe in rows)
        return {
            source: NotedSource(stamp, sha256, probe.get("probe"), probe.get("header"))
            for source, stamp, sha256, probe in noted
        }

    def noted_briefly(self, sources: Sequence[str]) -> dict[str, tuple[NotedSource, str | None]]:
        """:meth:`noted_sources` in less time: without their headers, but for what read them, and
        the container that they name."""
        rows = self._db.among(
            "SELECT source, stamp, sha256, CASE WHEN json_valid(probe) THEN probe ->> 'probe' END,"
            " CASE WHEN json_valid(probe) THEN probe ->> '$.header.container' END"
            " FROM sources WHERE source IN (?)",
            [packed(source) for source in sources],
        )
        return {
            source: (NotedSource(stamp, sha256, read_by), container)
            for source, stamp, sha256, read_by, container in rows
        }

    def made_with(
        self, outputs: Sequence[str], state: Literal["done", "failed"] = "done"
    ) -> dict[str, MadeWith]:
        """How the results at these paths were made, of those that are done; or were tried."""
        rows = self._db.among(
            "SELECT output, base_key, face_key, face_count, source_sha256 FROM items JOIN units"
            f" ON units.id = items.unit WHERE units.state = '{state}' AND items.output IN (?)",
            [packed(output) for output in outputs],
        )
        return {output: MadeWith(*made) for output, *made in rows}

    def results_of(self, sources: Sequence[str]) -> dict[str, list[str]]:
        """The paths of the results that are done, by their sources. All that is done is gone
        through for this, once for all ``sources``."""
        found: dict[str, list[str]] = {}
        rows = self._db.among(
            "SELECT source, output FROM items WHERE unit_state = 'done' AND source IN (?)",
            [packed(source) for source in sources],
        )
        for source, output in rows:
            found.setdefault(source, []).append(output)
        return found

    def made_of_the_same(self) -> dict[str, list[str]]:
        """The paths of results that are done, by their source, of those that have several."""
        rows = self._db.execute(
            "SELECT source, output FROM items WHERE unit_state = 'done' AND source IN"
            " (SELECT source FROM items WHERE unit_state = 'done' GROUP BY source"
            " HAVING COUNT(*) > 1)"
        )
        found: dict[str, list[str]] = {}
        for row in rows:
            found.setdefault(row["source"], []).append(row["output"])
        return found

    def networks_of_runs(self) -> list[dict[str, tuple[str, str]]]:
        """The networks of each run, once each: by their role the card's name and the checksum."""
        rows = self._db.execute("SELECT DISTINCT models FROM runs")
        return [
            {model["role"]: (model["card"], model["sha256"]) for model in row["models"]}
            for row in rows
        ]

    def noted_headers(
        self, asked: Sequence[tuple[str, str, str]]
    ) -> list[Mapping[str, Any] | None]:
        """The headers noted for (source, stamp, probe) of each, while its stamp (size, time) is the
        same; None where there is none.

        ``probe`` names what would read the header now, and with which options; a header that
        was read otherwise is not given.
        """
        noted = self.noted_sources([source for source, _, _ in asked])
        found = ((noted.get(source), stamp, probe) for source, stamp, probe in asked)
        return [
            each.header if each and each.is_of(stamp) and each.read_by == probe else None
            for each, stamp, probe in found
        ]

    def error_of(self, output: str) -> str:
        """The recorded reason why the item at ``output`` failed, or ''."""
        row = self._db.execute(
            "SELECT error FROM units JOIN items ON items.unit = units.id WHERE items.output = ?",
            (packed(output),),
        ).fetchone()
        return (row["error"] or "") if row else ""

    def result_of(self, unit: Unit) -> CommittedResult | None:
        """The result of ``unit``; None unless it is done."""
        row = self._db.execute(
            "SELECT * FROM units WHERE id = ? AND state = 'done'", (unit.id,)
        ).fetchone()
        return None if row is None else _result(row)

    def result_at(self, output: str) -> CommittedResult | None:
        """The result of the item at ``output`` (relative, with ``/``); None unless it is done."""
        row = self._db.execute(
            "SELECT units.* FROM units JOIN items ON items.unit = units.id"
            " WHERE items.output = ? AND state = 'done'",
            (packed(output),),
        ).fetchone()
        return None if row is None else _result(row)

    def faces_in(self, result: CommittedResult) -> tuple[FaceRow, ...]:
        """The faces recorded with a result, without those of a film's parts."""
        rows = self._db.execute(
            "SELECT * FROM faces WHERE unit = ? ORDER BY frame, face", (result.unit,)
        )
        return tuple(map(face_in, rows))

    def frame_of_largest_face(self, units: Sequence[str]) -> int | None:
        """:func:`frame_of_largest` of the faces in a film's parts. ``units``: their ids."""
        rows = self._db.among("SELECT frame, box FROM faces WHERE unit IN (?)", list(units))
        return frame_of_largest((row["frame"], longer_side_px(row["box"])) for row in rows)

    def counts(self) -> dict[str, int]:
        """Items by state: pending, staged, done, failed; those that occur."""
        rows = self._db.execute(
            "SELECT COALESCE(unit_state, 'pending') AS state, number FROM"
            " (SELECT unit_state, COUNT(*) AS number FROM items GROUP BY unit_state) ORDER BY 1"
        )
        counts: Counter[str] = Counter()
        for row in rows:
            counts[row["state"]] += row["number"]
        return dict(counts)

    def items(self, state: str | None = None, most: int = -1) -> Iterator[ItemStatus]:
        """Items of the last state known, in order of output path: all, or those in ``state``;
        at most ``most`` where it is not negative."""
        # Spelt out for the index of failed items.
        wanted = {
            None: "1", "failed": "items.unit_state = 'failed'",
        }.get(state, "COALESCE(items.unit_state, 'pending') = :state")  # fmt: skip
        rows = self._db.execute(
            "SELECT items.*, units.attempts, units.error, units.warnings, units.repaired,"
            " units.face_count AS faces, units.stage FROM items"
            " LEFT JOIN units ON units.id = items.unit"
            f" WHERE {wanted} ORDER BY items.output LIMIT :most",
            {"state": state, "most": most},
        )
        for row in rows:
            yield ItemStatus(
                row["output"], row["source"], row["unit_state"] or "pending",
                row["faces"] or 0, row["attempts"] or 0, row["error"] or "",
                tuple(row["warnings"] or ()), row["stand_in"] or "", row["repaired"],
                (row["stage"] or "") if row["unit_state"] == "failed" else "",
            )  # fmt: skip

    def at_work(self) -> tuple[ItemAtWork, ...]:
        """Items that the newest run has begun; none once it has ended.

        Of a run that was cut off, those that it was at: the manifest cannot know that its
        process is gone.
        """
        newest = self._db.execute("SELECT id, ended FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if newest is None or newest["ended"] is not None:
            return ()
        # Of a film, the paths of its parts: "0" is what follows "/".
        rows = self._db.execute(
            "SELECT output, source, attempts,"
            " (SELECT COUNT(*) FROM units AS parts WHERE parts.item > :parts || begun || '/'"
            "  AND parts.item < :parts || begun || '0' AND parts.state = 'done') AS segments_done,"
            " (SELECT COUNT(*) FROM units AS parts WHERE parts.item > :parts || begun || '/'"
            "  AND parts.item < :parts || begun || '0' AND parts.state != 'done')"
            " AS segments_begun"
            " FROM (SELECT items.output, items.source, units.attempts, units.id AS begun"
            "  FROM items JOIN units ON units.id = items.unit"
            "  WHERE items.unit_state IN ('pending', 'staged') AND items.run = :run)"
            " ORDER BY output",
            {"parts": f"{PARTS}/", "run": newest["id"]},
        )
        return tuple(
            ItemAtWork(
                row["output"], row["source"], row["attempts"],
                row["segments_done"], row["segments_begun"],
            )
            for row in rows
        )  # fmt: skip

    def not_begun(self) -> int:
        """Items that the newest run has still to come to, or did not come to when it was stopped.

        Too few where results of originals that the job no longer names are on record: only a
        plan knows which those are.
        """
        last = self.last_run()
        if last is None or last["outcome"] == "finished":
            return 0
        return max(0, (last.get("total") or 0) - sum(self.counts().values()))

    def last_run(self) -> dict[str, Any] | None:
        """The newest run as a plain mapping (started, ended, outcome, version, models,
        total: items of its job, None where it was not recorded)."""
        row = self._db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1").fetchone()
        if row is None:
            return None
        return dict(row)


def _result(row: Row) -> CommittedResult:
    return CommittedResult(
        row["id"], row["sha256"], row["source_sha256"], row["face_count"],
        tuple(row["warnings"] or ()), row["repaired"], row["quality"],
    )  # fmt: skip


def face_in(row: Row) -> FaceRow:
    """The face that a row of faces holds."""
    left, top, right, bottom = row["box"]
    return FaceRow(
        frame=row["frame"],
        box_xyxy=(left, top, right, bottom),
        landmarks_xy=tuple((x, y) for x, y in row["landmarks"]),
        score=row["score"],
        restored=bool(row["restored"]),
        identity=row["identity"],
        blend=row["blend"],
        note=row["note"],
    )

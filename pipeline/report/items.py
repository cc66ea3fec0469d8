"""What a report says of one item: a line for the list, and all else for who opens it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

from restore_batch.jobs.history import Entry, FailedAttempt
from restore_batch.jobs.patterns import Roots
from restore_batch.jobs.records import FaceRow
from restore_batch.jobs.results.place import result_place
from restore_batch.jobs.spec import is_url
from restore_batch.pipeline.report.cache import Previews
from restore_batch.pipeline.report.films import FilmFaces
from restore_batch.text import legible

_NOTES_COUNT = 0.2
_WARNING_COUNTS, _MOST_WARNINGS = 0.3, 3
_CHANGE_COUNTS = 4.0
_FAILED = 100.0
_LONGEST_REASON = 150
_AS_GOOD = {"noise": 2.0, "niqe": 5.0}
"""Figures that are worse the larger they are. Below these a picture is good, and a change of them
is no harm."""
_WORSE_COUNTS, _MOST_WORSE = 0.5, 1.0


@dataclass(frozen=True)
class Shown:
    """An item with what was found out about it."""

    entry: Entry
    previews: Previews | None
    film: FilmFaces | None
    attempts: Sequence[FailedAttempt]
    why_no_previews: str

    @property
    def identity(self) -> float | None:
        """The lowest likeness of a restored face to its original; None where none was measured."""
        found = [f.identity for f in self.entry.faces if f.restored and f.identity is not None]
        if self.film is not None and self.film.identity is not None:
            found.append(self.film.identity)
        return min(found, default=None)

    @property
    def notes(self) -> int:
        """How many of its faces come with a note."""
        of_film = sum(self.film.notes.values()) if self.film is not None else 0
        return of_film + sum(bool(face.note) for face in self.entry.faces)

    @property
    def change(self) -> float:
        """How much the face that changed most has changed, 0 to 1; 0 where none is known."""
        facts = self.previews.facts if self.previews is not None else {}
        return max((float(share) for share in facts.get("change") or ()), default=0.0)

    @property
    def worse(self) -> float:
        """By which share a picture is noisier or less natural than it was, the worse of the two;
        less than 0 where both became better, 0 where neither is known. Sharpness has no say, since
        grain that went counts in it."""
        quality = self.entry.quality
        if quality is None:
            return 0.0
        changes = []
        for name, good in _AS_GOOD.items():
            before, after = quality["before"].get(name), quality["after"].get(name)
            if before is not None and after is not None:
                before, after = max(before, good), max(after, good)
                changes.append((after - before) / before)
        return round(max(changes, default=0.0), 4)

    @property
    def attention(self) -> float:
        """How much it asks to be looked at: what failed first, then by how far a face is from the
        one that it was (by likeness where it was measured, else by how much of its picture
        changed), by warnings, by notes on faces, and by how much worse its figures became."""
        if self.entry.state == "failed":
            return _FAILED
        identity = self.identity
        far = 1 - identity if identity is not None else _CHANGE_COUNTS * self.change
        warned = _WARNING_COUNTS * min(_MOST_WARNINGS, len(self.entry.warnings))
        worse = _WORSE_COUNTS * min(max(self.worse, 0.0), _MOST_WORSE)
        return round(far + warned + _NOTES_COUNT * min(1, self.notes) + worse, 4)

    def line(self, roots: Roots) -> dict[str, Any]:
        """For the list. ``roots``: of the job's inputs."""
        entry = self.entry
        line: dict[str, Any] = {
            "output": legible(entry.output),
            "state": entry.state,
            "faces": entry.face_count,
            "attention": self.attention,
        }
        optional = {
            "source": _other_name(entry),
            "film": entry.kind not in ("photo", ""),
            "warnings": len(entry.warnings),
            "identity": _rounded(self.identity),
            "notes": self.notes,
            "pattern": roots.exclusion_of(entry.source),
            "lost": bool(self.why_no_previews),
            "why": _reason(entry),
            "worse": self.worse,
        }
        line |= {name: value for name, value in optional.items() if value not in (None, 0, "")}
        if self.previews is not None:
            width, height = self.previews.facts["after"]
            line["preview"] = self.previews.path
            line["ratio"] = round(width / height, 4)
            facts = self.previews.facts
            if "files" in facts and "before" not in facts:
                line["alone"] = True
                line["missing"] = bool(facts.get("missing"))
        return line

    def details(self, report: Path, output_dir: Path) -> dict[str, Any]:
        """For who opens the item."""
        result_link = ""
        if self.entry.sha256:
            result_link = _link(result_place(output_dir, self.entry.output), report)
        entry, facts = self.entry, dict(self.previews.facts if self.previews else {})
        frames = int(facts.get("frames") or entry.header.get("frame_count") or 0)
        return {
            "source": legible(entry.source),
            "source_link": _link(entry.source, report),
            "result_link": result_link,
            "stand_in": legible(entry.stand_in),
            "bytes": entry.size_bytes,
            "size": list(entry.size_wh or ()),
            "sha256": entry.sha256,
            "source_sha256": entry.source_sha256,
            "stage": entry.stage,
            "error": legible(entry.error),
            "warnings": [legible(text) for text in entry.warnings],
            "seconds": {stage: round(spent, 3) for stage, spent in entry.seconds.items()},
            "tries": entry.attempts,
            "attempts": [
                {"attempt": a.attempt, "kind": legible(a.outcome), "message": legible(a.message)}
                for a in self.attempts
            ],
            "faces": [_plain(face) for face in entry.faces],
            "quality": dict(entry.quality) if entry.quality else None,
            "repaired": entry.repaired,
            "steady": self.film.plain(frames) if self.film is not None else None,
            "previews": facts,
            "no_previews": legible(self.why_no_previews),
        }


def _plain(face: FaceRow) -> dict[str, Any]:
    return {
        "box": [round(value, 1) for value in face.box_xyxy],
        "score": round(face.score, 4),
        "restored": face.restored,
        "identity": _rounded(face.identity),
        "blend": round(face.blend, 4),
        "note": legible(face.note),
    }


def _reason(entry: Entry) -> str:
    """Why it failed, short enough for a card, without the name that the card shows."""
    reason = legible(entry.error).removeprefix(f"{legible(entry.source)}: ")
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"


def _other_name(entry: Entry) -> str:
    """The name of the source where the result's does not tell it."""
    name = entry.source.rpartition("/")[2]
    return "" if entry.output.endswith(name) else legible(name)


def _link(path: str, report: Path) -> str:
    """A relative address; every character that could mean something in one is escaped."""
    if is_url(path):
        # Only what a browser may fetch; it is a link, and not asked for before it is followed.
        return quote(path, safe=":/%") if path.startswith(("http://", "https://")) else ""
    return "./" + quote_from_bytes(os.fsencode(os.path.relpath(path, report)))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def options_of(job: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every option of a job by its dotted name, and whether it differs from its default."""
    usual = dict(_flat(defaults))
    found = []
    for name, value in _flat(job):
        if name in ("inputs", "output"):
            continue
        found.append(
            {
                "name": legible(name),
                "value": legible(_text(value)),
                "changed": usual.get(name) != value,
            }
        )
    return sorted(found, key=lambda option: (not option["changed"], option["name"]))


def _flat(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in section.items():
        if isinstance(value, Mapping) and value:
            flat += _flat(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return str(value) or '""'

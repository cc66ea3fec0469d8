"""What a report says of the job as a whole."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from restore_batch.jobs.history import Entry
from restore_batch.jobs.patterns import Roots
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.report.items import Shown, options_of
from restore_batch.text import duration, legible, plural

LOW_IDENTITY = 0.5
"""Below this likeness a face is filtered as doubtful, unless the job says another."""
MANY_FACES = 5
WORSE = 0.1
"""By which share a picture must have become noisier or less natural to be filtered as such."""
_MOST_KINDS = 60
_NUMBERS = re.compile(r"(?<![A-Za-z\d])(?<!JPEG )\d+(?:[.,:×x/]\d+)*")
"""Not those of words and of names, such as MP4 and JPEG 2000."""


def kind_of(text: str, entry: Entry) -> str:
    """A warning or reason without what is of one item alone: its names and numbers."""
    file = entry.source.rpartition("/")[2]
    stem = file.rpartition(".")[0]
    # A word, as in `empty.png`, may be the text's own.
    for name in (entry.source, file, "" if stem.isalpha() else stem):
        if len(name) > 3:  # shorter ones may be part of a word
            text = text.replace(name, "…").replace(legible(name), "…")
    return _NUMBERS.sub("…", legible(text)).removeprefix("…: ")


class Kinds:
    """Kinds of warnings or failures, in the order of how often they occur."""

    def __init__(self, found: Counter[str]) -> None:
        self.listed = found.most_common(_MOST_KINDS)
        self._numbers = {kind: number for number, (kind, _) in enumerate(self.listed)}

    def numbers(self, kinds: Iterable[str]) -> list[int]:
        """Their places in the list; those too rare to be listed are left out."""
        return sorted({self._numbers[kind] for kind in kinds if kind in self._numbers})

    def change(self, gone: Iterable[str], come: Iterable[str]) -> None:
        """Count an item again whose kinds are others now. Numbers stay; new kinds come last."""
        for step, kinds in ((-1, gone), (1, come)):
            for kind in sorted(kinds):
                if step > 0 and kind not in self._numbers and len(self.listed) < _MOST_KINDS:
                    self._numbers[kind] = len(self.listed)
                    self.listed.append((kind, 0))
                if kind in self._numbers:
                    number = self._numbers[kind]
                    self.listed[number] = (kind, self.listed[number][1] + step)


def kinds_of(each: Shown) -> tuple[set[str], set[str]]:
    """The kinds of an item's warnings, and of its failure."""
    entry = each.entry
    warned = {kind_of(text, entry) for text in entry.warnings}
    return warned, {kind_of(entry.error, entry)} if entry.error else set()


def line_of(each: Shown, roots: Roots, warnings: Kinds, failures: Kinds) -> dict[str, Any]:
    """An item's line for the list, with the kinds of its warnings and of its failure."""
    line = each.line(roots)
    warned, failed = kinds_of(each)
    if numbers := warnings.numbers(warned):
        line["kinds"] = numbers
    if failed:
        line["reason"] = failures.numbers(failed)
    return line


def low_identity(job: Mapping[str, Any]) -> float:
    """Below this likeness a face is doubtful."""
    asked = (job.get("restore") or {}).get("min_identity")
    return float(asked) if asked and asked != "auto" else LOW_IDENTITY


def counted(each: Shown, low: float) -> dict[str, int]:
    """What an item adds to the counts; ``low``: as :func:`low_identity` says."""
    entry, identity = each.entry, each.identity
    return {
        "done": int(entry.state == "done"),
        "failed": int(entry.state == "failed"),
        "warned": int(bool(entry.warnings)),
        "faces": entry.face_count if entry.state == "done" else 0,
        "films": int(entry.kind not in ("photo", "")),
        "low": int(identity is not None and identity < low),
    }


def counts_of(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """All counts of ``total`` items, from the sums of what they add."""
    names = ("done", "failed", "warned", "faces", "films", "low")
    left = total - counts.get("done", 0) - counts.get("failed", 0)
    return {name: counts.get(name, 0) for name in names} | {"left": left}


def about(
    shown: Sequence[Shown], runs: Sequence[Mapping[str, Any]], warnings: Kinds, failures: Kinds
) -> dict[str, Any]:
    """Everything above the list, as plain data. ``runs``: the oldest first."""
    last = runs[-1] if runs else {}
    job = last.get("job") or {}
    seconds: Counter[str] = Counter()
    for each in shown:
        seconds.update(each.entry.seconds)
    low = low_identity(job)
    counts: Counter[str] = Counter()
    for each in shown:
        counts.update(counted(each, low))
    total = max(int(last.get("total") or 0), len(shown))
    spent = sum(seconds.values())
    return {
        "title": legible(_title(last, job)),
        "output": legible(str(job.get("output") or "")),
        "counts": counts_of(counts, total),
        "measured": any(each.identity is not None for each in shown),
        "without_figures": sum(
            each.entry.state == "done" and each.entry.quality is None for each in shown
        ),
        "low_identity": low,
        "many_faces": MANY_FACES,
        "warnings": [{"kind": kind, "count": count} for kind, count in warnings.listed],
        "failures": [{"kind": kind, "count": count} for kind, count in failures.listed],
        "models": [_model(model) for model in last.get("models") or ()],
        "options": options_of(job, _defaults()),
        "inputs": [legible(str(entry)) for entry in job.get("inputs") or ()],
        "exclude": [str(entry) for entry in job.get("exclude") or ()],
        "stages": [
            {"name": legible(name), "seconds": round(value, 1), "share": value / spent}
            for name, value in seconds.most_common()
            if round(value, 1)
        ],
        "runs": [_run(run) for run in reversed(runs)],
        "going": bool(last) and last.get("ended") is None,
        "machine": _machine(),
        "written": _clock(time.time()),
    }


def _title(run: Mapping[str, Any], job: Mapping[str, Any]) -> str:
    """The job's file; of a job without one the folder of its results."""
    name = Path(str(run.get("job_file") or "")).name
    place = str(job.get("output") or "").rstrip("/").rpartition("/")[2]
    return name if Path(name).suffix else place or "restored pictures"


def _model(model: Mapping[str, Any]) -> dict[str, str]:
    names = ("role", "card", "title", "licence", "sha256")
    return {name: legible(str(model.get(name) or "")) for name in names}


def _run(run: Mapping[str, Any]) -> dict[str, str]:
    ended = run.get("ended")
    return {
        "started": _clock(run["started"]),
        "lasted": "" if ended is None else duration(ended - run["started"]),
        "outcome": legible(str(run.get("outcome") or "is going on or was cut off")),
        "version": legible(str(run.get("version") or "")),
    }


def _machine() -> list[str]:
    import psutil

    memory = psutil.virtual_memory().total / (1 << 30)
    return [
        platform.platform(),
        f"Python {sys.version.split()[0]}",
        f"{plural(os.cpu_count() or 1, 'core')}, {memory:.0f} GB of memory",
    ]


def _defaults() -> dict[str, Any]:
    plain = Job(inputs=("/",), output="/").model_dump(mode="json")  # type: ignore[arg-type]
    return {name: value for name, value in plain.items() if name not in ("inputs", "output")}


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))

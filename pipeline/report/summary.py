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
from restore_batch.jobs.spec import Job
from restore_batch.pipeline.report.items import Shown, options_of
from restore_batch.text import duration, legible

LOW_IDENTITY = 0.5
"""Below this likeness a face is filtered as doubtful, unless the job says another."""
MANY_FACES = 5
WORSE = 0.1
"""By which share a picture must have become noisier or less natural to be filtered as such."""
_MOST_KINDS = 60
_NUMBERS = re.compile(r"\d+(?:[.,:×x/]\d+)*")


def kind_of(text: str, entry: Entry) -> str:
    """A warning or reason without what is of one item alone: its names and numbers."""
    file = entry.source.rpartition("/")[2]
    for name in (entry.source, file, file.rpartition(".")[0]):
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


def about(
    shown: Sequence[Shown], runs: Sequence[Mapping[str, Any]], warnings: Kinds, failures: Kinds
) -> dict[str, Any]:
    """Everything above the list, as plain data. ``runs``: the oldest first."""
    last = runs[-1] if runs else {}
    job = last.get("job") or {}
    seconds: Counter[str] = Counter()
    for each in shown:
        seconds.update(each.entry.seconds)
    states = Counter(each.entry.state for each in shown)
    total = max(int(last.get("total") or 0), len(shown))
    states["pending"] += states.pop("staged", 0) + total - len(shown)
    measured = [each.identity for each in shown if each.identity is not None]
    asked = (job.get("restore") or {}).get("min_identity")
    low = asked if asked and asked != "auto" else LOW_IDENTITY
    spent = sum(seconds.values())
    return {
        "title": legible(Path(str(last.get("job_file") or "")).name) or "restored pictures",
        "output": legible(str(job.get("output") or "")),
        "counts": {
            "done": states["done"],
            "failed": states["failed"],
            "left": states["pending"],
            "warned": sum(bool(each.entry.warnings) for each in shown),
            "faces": sum(each.entry.face_count for each in shown if each.entry.state == "done"),
            "films": sum(each.entry.kind not in ("photo", "") for each in shown),
            "low": sum(identity < low for identity in measured),
        },
        "measured": bool(measured),
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
            if spent
        ],
        "runs": [_run(run) for run in reversed(runs)],
        "going": bool(last) and last.get("ended") is None,
        "machine": _machine(),
        "written": _clock(time.time()),
    }


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
        f"{os.cpu_count() or 1} cores, {memory:.0f} GB of memory",
    ]


def _defaults() -> dict[str, Any]:
    plain = Job(inputs=("/",), output="/").model_dump(mode="json")  # type: ignore[arg-type]
    return {name: value for name, value in plain.items() if name not in ("inputs", "output")}


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))

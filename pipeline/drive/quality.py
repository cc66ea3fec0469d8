"""Figures of a picture before and after, as they are recorded: of a film, their mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from restore_batch.jobs.records import Quality
from restore_batch.stages.media import Figures, QualityRecord

_DIGITS = 3
_NAMES = tuple(each.name for each in fields(Figures))


def quality_in(records: Sequence[QualityRecord]) -> Quality | None:
    """The mean of some pictures, None of none."""
    return mean_quality(
        [
            {"pictures": 1, "before": asdict(record.before), "after": asdict(record.after)}
            for record in records
            if record.after is not None
        ]
    )


def mean_quality(parts: Sequence[Quality]) -> Quality | None:
    """The mean of parts, each by its number of pictures; None of none. A figure is the mean of
    those that have it before and after, so that the two compare."""
    if not parts:
        return None
    mean: dict[str, Any] = {"pictures": sum(part["pictures"] for part in parts)}
    for when in ("before", "after"):
        mean[when] = {
            name: round(sum(p["pictures"] * p[when][name] for p in having) / weight, _DIGITS)
            for name in _NAMES
            if (having := [part for part in parts if _has(part, name)])
            and (weight := sum(part["pictures"] for part in having))
        }
    return mean


def _has(part: Quality, name: str) -> bool:
    return part["before"].get(name) is not None and part["after"].get(name) is not None

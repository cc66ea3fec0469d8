"""An evaluation: all scores of one or several systems, and tables of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from restore_batch.errors import UsageError
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.mistakes import did_you_mean
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.pipeline.evaluate import faces, films
from restore_batch.pipeline.evaluate.cases import Case, LeftOut, Paired, group_of
from restore_batch.pipeline.evaluate.measuring import ERROR, MeasureCase
from restore_batch.pipeline.evaluate.statistics import Estimate, estimate, of_sets
from restore_batch.pipeline.plan.choose import choose_models
from restore_batch.pipeline.session import store_for
from restore_batch.stages.faces.detect import Detect

if TYPE_CHECKING:
    from restore_batch.models.metrics.base import Metric
    from restore_batch.models.metrics.sets import SetMetric

_BOUNDS = Bounds(time_s=3600.0)
"""Of one case: a long film, or a photo with hundreds of faces."""
ALL = "all"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Column:
    """A metric as it is shown: see :class:`restore_batch.models.metrics.base.Metric`."""

    name: str
    title: str
    better: str
    convention: str
    source: str = ""


@dataclass(frozen=True)
class Judged:
    """A case with its scores, by the metrics' names. ``left_out``: why others have none.
    ``features``: of result and truth, (F,) float32 each, where sets of pictures are compared."""

    case: Case
    scores: Mapping[str, float]
    left_out: Mapping[str, str]
    group: str | None = None
    features: tuple[np.ndarray, np.ndarray] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Row:
    """One line of a table. ``estimates``: by metric, None where it has no score."""

    system: str
    group: str
    pictures: int
    estimates: Mapping[str, Estimate | None]


@dataclass(frozen=True)
class Evaluation:
    """``systems``: what was judged, by name. ``left_out``: files without scores, by system.
    ``columns``: metrics with a score anywhere; ``lacking``: why others have none at all. ``sets``:
    how far all pictures of a system and of a group of it are from their truth."""

    systems: Mapping[str, tuple[Judged, ...]]
    left_out: Mapping[str, tuple[LeftOut, ...]]
    columns: tuple[Column, ...]
    lacking: Mapping[str, str]
    seed: int
    grouped: bool = False
    sets: Mapping[tuple[str, str], Mapping[str, Estimate]] = field(default_factory=dict)

    def rows(self) -> tuple[Row, ...]:
        """All pictures of each system, then, with groups, those of each group."""
        found = [self._row(name, ALL, judged) for name, judged in self.systems.items()]
        if self.grouped:
            names = {each.group for judged in self.systems.values() for each in judged}
            for group in sorted(name for name in names if name is not None):
                found += [
                    self._row(name, group, [each for each in judged if each.group == group])
                    for name, judged in self.systems.items()
                ]
        return tuple(found)

    def differences(self, one: str, other: str) -> Row:
        """Scores of ``one`` less those of ``other``, of pictures that both have."""
        theirs = {each.case.key: each for each in self.systems[other]}
        pairs = [
            (mine, theirs[mine.case.key]) for mine in self.systems[one] if mine.case.key in theirs
        ]
        estimates = {}
        for column in self.columns:
            both = [(a.scores, b.scores) for a, b in pairs]
            values = [
                a[column.name] - b[column.name]
                for a, b in both
                if column.name in a and column.name in b
            ]
            estimates[column.name] = estimate(values, self.seed)
        return Row(f"{one} − {other}", ALL, len(pairs), estimates)

    def _row(self, system: str, group: str, judged: Sequence[Judged]) -> Row:
        estimates = {
            column.name: estimate(
                [each.scores[column.name] for each in judged if column.name in each.scores],
                self.seed,
            )
            for column in self.columns
        }
        far = self.sets.get((system, group), {})
        return Row(system, group, len(judged), {**estimates, **far})


@dataclass(frozen=True)
class Choices:
    """What is computed and how. ``metrics``: names, or () for all that can be; ``weights_dir``:
    as in a job's ``weights.dir``."""

    metrics: tuple[str, ...] = ()
    border_px: int = 0
    workers: int = 1
    seed: int = 0
    frames: int = 60
    detector: str = "auto"
    weights_dir: Path | None = None


def evaluate(
    systems: Mapping[str, Paired],
    choices: Choices,
    groups: Mapping[str, str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Score all cases of all systems. A case that fails is left out, with the reason.

    Raises UsageError for a metric or a detector that is not known.
    """
    metrics, lacking = _chosen(choices)
    pairs = max(sum(bool(case.truth) for case in paired.cases) for paired in systems.values())
    set_metrics, without = _chosen_sets(choices, pairs)
    lacking |= without
    of_faces = any(_is_wanted(name, choices) for name in (*_FACES, *_TRACKS)) or any(
        metric.of == "face" for metric in metrics
    )
    detect, why_not = detector_for(choices) if of_faces else (None, "")
    if why_not:
        lacking |= dict.fromkeys((*_FACES, *_TRACKS), why_not)
    task = MeasureCase(
        tuple(metric.name for metric in metrics),
        detect,
        any(_is_wanted(name, choices) for name in _FACES),
        choices.weights_dir,
        choices.border_px,
        frames=choices.frames,
        of_sets=bool(set_metrics),
    )
    wanted = [(name, case) for name, paired in systems.items() for case in paired.cases]
    # What all systems made of one picture follows each other: its truth is looked at once.
    place = {key: n for n, key in enumerate(dict.fromkeys(case.key for _, case in wanted))}
    wanted.sort(key=lambda each: place[each[1].key])
    judged: dict[str, list[Judged]] = {name: [] for name in systems}
    left_out = {name: list(paired.left_out) for name, paired in systems.items()}
    threads = {"OMP_NUM_THREADS": str(_threads(choices.workers))}
    with Isolated(task, _BOUNDS, threads) as measuring:
        answers = measuring.answers((case for _, case in wanted), choices.workers)
        for number, ((name, case), answer) in enumerate(zip(wanted, answers, strict=True), 1):
            if isinstance(answer, Lost) or ERROR in answer:
                why = f"it {answer.reason}" if isinstance(answer, Lost) else answer[ERROR]
                left_out[name].append(LeftOut(case.name, why))
            else:
                group = group_of(case, groups) if groups else None
                scores = {k: v for k, v in answer["scores"].items() if _is_wanted(k, choices)}
                judged[name].append(
                    Judged(case, scores, answer["left_out"], group, answer.get("features"))
                )
            progress(number, len(wanted))
    far = _far_apart(judged, set_metrics)
    scored = {name for each in judged.values() for one in each for name in one.scores}
    scored |= {name for each in far.values() for name in each}
    return Evaluation(
        {name: tuple(each) for name, each in judged.items()},
        {name: tuple(each) for name, each in left_out.items()},
        tuple(column for column in all_columns() if column.name in scored),
        {name: why for name, why in lacking.items() if name not in scored},
        choices.seed,
        groups is not None,
        far,
    )


def _far_apart(
    systems: Mapping[str, Sequence[Judged]], metrics: Sequence[SetMetric]
) -> dict[tuple[str, str], dict[str, Estimate]]:
    """Distances of sets, of each system and of each group in it."""
    found: dict[tuple[str, str], dict[str, Estimate]] = {}
    for system, judged in systems.items():
        groups: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for each in judged:
            if each.features is not None:
                for group in {ALL, each.group or ALL}:
                    groups.setdefault(group, []).append(each.features)
        for group, features in groups.items():
            found[system, group] = of_sets(features, metrics)
    return found


_FACES = {each.name: each for each in (faces.LANDMARKS, faces.FOUND)}
_TRACKS = {each.name: each for each in (films.JITTER, films.SLIDE)}
_FILMS = {films.WARPING.name: films.WARPING, **_TRACKS}


def all_columns() -> tuple[Column, ...]:
    """Every metric that there is, in the order in which they are shown."""
    from restore_batch.models.metrics.catalogue import METRICS
    from restore_batch.models.metrics.sets import SETS

    places = [*_FACES.values(), *_FILMS.values()]
    return (
        *(Column(m.name, m.title, m.better, m.convention, m.source) for m in METRICS),
        *(Column(m.name, m.title, m.better, m.convention) for m in places),
        *(Column(m.name, m.title, "lower", m.convention, m.source) for m in SETS),
    )


def _is_wanted(name: str, choices: Choices) -> bool:
    return not choices.metrics or name in choices.metrics


def _chosen(choices: Choices) -> tuple[list[Metric], dict[str, str]]:
    """Metrics of pictures and aligned faces that can be computed, and why others cannot."""
    from restore_batch.models.metrics.catalogue import METRICS
    from restore_batch.models.metrics.sets import SETS
    from restore_batch.models.weights.store import Store

    of_sets = [metric.name for metric in SETS]
    names = [*(metric.name for metric in METRICS), *_FACES, *_FILMS, *of_sets]
    for name in choices.metrics:
        if name not in names:
            hint = did_you_mean(name, names) or f"; known: {', '.join(names)}"
            raise UsageError(f"no metric is called {name!r}{hint}")
    store = Store(choices.weights_dir, download=False)
    metrics: list[Metric] = []
    lacking: dict[str, str] = {}
    for metric in METRICS:
        if not _is_wanted(metric.name, choices):
            continue
        if why := metric.lacks(store):
            lacking[metric.name] = why
        else:
            metrics.append(metric)
    return metrics, lacking


def _chosen_sets(choices: Choices, pairs: int) -> tuple[list[SetMetric], dict[str, str]]:
    """Metrics of sets that can be computed of so many pictures, and why others cannot."""
    from restore_batch.models.metrics.sets import SETS, lacks
    from restore_batch.models.weights.store import Store

    missing = lacks(Store(choices.weights_dir, download=False))
    chosen: list[SetMetric] = []
    lacking: dict[str, str] = {}
    for metric in SETS:
        if not _is_wanted(metric.name, choices):
            continue
        if why := missing or metric.too_few(pairs):
            lacking[metric.name] = why
        else:
            chosen.append(metric)
    return chosen, lacking


def detector_for(choices: Choices) -> tuple[Detect | None, str]:
    """What finds faces, not open yet, or None and why there is nothing. Raises JobFileError for a
    name that is no detector's."""
    job = job_from_mapping(
        {
            "inputs": ["."],
            "output": "unused",
            "detect": {"model": choices.detector},
            "weights": {"dir": str(choices.weights_dir)} if choices.weights_dir else {},
            # Not used, so their weights need not be looked at.
            "background": {"model": "none"},
            "paste": {"mask": "feather"},
        }
    )
    choice = choose_models(LoadedJob(job), store_for(job), fetch=False)["detect"]
    if choice.ref is None:
        return None, f"no face detector is at hand; {choice.note}"
    return Detect(choice.ref, min_face_px=faces.LEAST_PX), ""


def _threads(workers: int) -> int:
    import os

    return max(1, len(os.sched_getaffinity(0)) // max(1, workers))


def plain(evaluation: Evaluation) -> dict[str, Any]:
    """All of it as JSON says it."""
    return {
        "metrics": [vars(column) for column in evaluation.columns],
        "not_computed": dict(evaluation.lacking),
        "seed": evaluation.seed,
        "table": [
            {
                "system": row.system, "group": row.group, "pictures": row.pictures,
                "scores": {k: None if e is None else vars(e) for k, e in row.estimates.items()},
            }
            for row in evaluation.rows()
        ],
        "pictures": [
            {
                "system": name, "name": each.case.name, "group": each.group,
                "scores": dict(each.scores), "not_computed": dict(each.left_out),
            }
            for name, judged in evaluation.systems.items()
            for each in judged
        ],
        "left_out": [
            {"system": name, "name": each.name, "reason": each.reason}
            for name, some in evaluation.left_out.items()
            for each in some
        ],
    }  # fmt: skip

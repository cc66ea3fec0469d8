"""What is in a folder: kinds, sizes, films, faces in a sample, how long this machine would take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.jobs.path_options import as_written
from restore_batch.jobs.source import LoadedJob, job_from_mapping
from restore_batch.models import registry
from restore_batch.pipeline.begin.sample import Seen, look, photos_of, spread
from restore_batch.pipeline.plan.estimate import estimate
from restore_batch.pipeline.plan.items import Inputs, Item
from restore_batch.pipeline.plan.plan import Plan, make_plan
from restore_batch.pipeline.plan.resources import Machine, this_machine
from restore_batch.pipeline.session import store_for
from restore_batch.text import plural

_LARGE_MEGAPIXELS = 6.0
"""Half of the photos above this: they are large enough, and four times as many pixels of each are
hours and gigabytes."""
_SHORT_ENOUGH_S = 900.0
"""A first run that takes longer is not waited for."""


@dataclass(frozen=True)
class Way:
    """One way to treat whole pictures. ``options``: of the job's section ``background``;
    ``seconds``: None where it is not known. ``title``: the network, "" for none."""

    options: Mapping[str, Any]
    title: str
    seconds: float | None
    disk_bytes: int


@dataclass(frozen=True)
class CollectionSurvey:
    """What was found. ``photos``: those whose headers were read and that can be restored.
    ``ways``: those there are, the one that is advised first."""

    plan: Plan
    photos: Sequence[Item]
    films: Sequence[Item]
    kinds: Mapping[str, int]
    seen: Sequence[Seen]
    ways: Sequence[Way]
    machine: Machine

    @property
    def median_megapixels(self) -> float:
        """Of the photos, 0 where there are none."""
        return _median_megapixels(self.photos)


def survey(
    folder: Path, output: Path, look_at: int, tell: Callable[[str], None]
) -> CollectionSurvey:
    """Read the headers in ``folder``, of very many photos an even sample, and look for faces in at
    most ``look_at`` photos. Nothing is fetched. ``tell`` is given a line before what takes long.
    Raises JobFileError where there is nothing to restore."""

    def planned(background: Mapping[str, Any], known: Inputs | None = None) -> Plan:
        asked = {
            "inputs": [as_written(str(folder.absolute()))],
            "output": as_written(str(output.absolute())),
            "background": dict(background),
        }
        job = job_from_mapping(asked)
        loaded, store = LoadedJob(job), store_for(job)
        return make_plan(loaded, store, fetch=False, inputs=known, headers="some")

    plan = planned({})
    known = Inputs(plan.items, plan.passed_over)
    photos = photos_of(plan)
    films = [item for item in plan.items if item.is_film and not item.error]
    shown = spread(photos, look_at)
    tell(f"looking at {len(shown)} of {plural(len(photos), 'photo')}")
    seen = look(plan, shown)
    ways = []
    for options in _ways():
        tried = planned(options, known)
        figures, card = estimate(tried), tried.choices["background"].card
        ways.append(Way(options, card.name if card else "", figures.seconds, figures.disk_bytes))
    return CollectionSurvey(
        plan,
        photos,
        films,
        Counter(str(item.facts["container"]) for item in photos),
        seen,
        _advised_first(ways, _median_megapixels(photos)),
        this_machine(),
    )


def _ways() -> list[dict[str, Any]]:
    """Twice as large by what ``auto`` takes, by the networks that come with the package, and not
    enlarged at all."""
    own = [
        {"scale": card.scale, "model": card.name}
        for card in registry.cards("upscale")
        if any(file.package == "restore-batch" for source in card.sources for file in source)
    ]
    larger = [options for options in own if options["scale"] == 2]
    return [{"scale": 2, "model": "auto"}, *larger, {"scale": 1, "model": "none"},
            *(options for options in own if options["scale"] == 1)]  # fmt: skip


def _advised_first(ways: Sequence[Way], median_megapixels: float) -> tuple[Way, ...]:
    same_size = [way for way in ways if way.options["scale"] == 1]
    larger = [way for way in ways if way.options["scale"] != 1]
    if median_megapixels > _LARGE_MEGAPIXELS:
        advised = same_size[0]
    else:
        quick = [w for w in larger if w.seconds is None or w.seconds <= _SHORT_ENOUGH_S]
        advised = min(quick, key=larger.index) if quick else larger[-1]
    return (advised, *(way for way in ways if way is not advised))


def _median_megapixels(photos: Sequence[Item]) -> float:
    sizes = sorted(item.megapixels for item in photos)
    return sizes[len(sizes) // 2] if sizes else 0.0

"""Results of the same job that were made with something else than it would take today.

The job asks for the same, but the package has changed since, or what ``auto`` finds here: a stage
had another version, an option another default, a role another network. A key is a hash, so what a
result was made with is found by trying what it may have been: the versions that stages had, with
the networks that earlier runs have on record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.records import MadeWith
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import digest
from restore_batch.models import registry
from restore_batch.models.base import ModelRef
from restore_batch.pipeline.plan.choose import Choice, chosen_refs, model_refs
from restore_batch.pipeline.plan.former_keys import former_keys, former_version
from restore_batch.pipeline.plan.groups import FILMS, PHOTOS
from restore_batch.pipeline.plan.stages import (
    FACE_ROLES,
    Keys,
    MadeStage,
    keys_of,
    make_stages,
)
from restore_batch.stages.base import Raised, Role, Stage


@dataclass(frozen=True)
class Changed:
    """What a result was made with that is another now. ``stages``: those that had an earlier
    version, with why that was raised; ``networks``: what roles were taken by, and what takes them
    now."""

    stages: tuple[tuple[str, str], ...] = ()
    networks: tuple[tuple[Role, str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stages or self.networks)

    @property
    def since(self) -> str:
        """What is another now, in few words."""
        told = [f"{role} by {now or 'no network'}" for role, _, now in self.networks]
        names = list(dict.fromkeys(name for name, _ in self.stages))
        return ", ".join((*told, *(f"a newer {name}" for name in names)))

    def __or__(self, other: Changed) -> Changed:
        return Changed(
            tuple(dict.fromkeys((*self.stages, *other.stages))),
            tuple(dict.fromkeys((*self.networks, *other.networks))),
        )

    @property
    def what(self) -> str:
        """With what the results were made, as in "made …"."""
        told = [f"with {then or 'no network'} as {role}" for role, then, _ in self.networks]
        names = list(dict.fromkeys(name for name, _ in self.stages))
        if names:
            versions = "an older version" if len(names) == 1 else "older versions"
            told.append(f"by {versions} of {', '.join(names)}")
        return " and ".join(told)

    @property
    def why(self) -> str:
        """What is done now instead."""
        now = [f"{role}: {now or 'no network'}" for role, _, now in self.networks]
        return "; ".join((*now, *(why for _, why in self.stages)))


@dataclass(frozen=True)
class FormerRecipe:
    """What results may have been made with, and their keys. What has changed since: for each
    ``photo`` or ``film``, ``with_faces`` for those that have some, ``where`` for those of whose
    originals a fact holds. ``is_former``: by version 0.1.0."""

    keys: Keys
    photo: Changed
    film: Changed
    with_faces: Changed
    where: Mapping[str, Changed]
    is_former: bool

    def changed(self, made: MadeWith, facts: Mapping[str, Any], *, is_film: bool) -> Changed:
        """What has changed since one result was made so. ``facts``: of its original's header."""
        always = self.film if is_film else self.photo
        faces = self.with_faces if made.face_count else Changed()
        some = (changed for fact, changed in self.where.items() if facts.get(fact))
        return reduce(or_, some, always | faces)


class Earlier:
    """``recorded``: the networks of each earlier run, by their role the card's name and the
    checksum."""

    def __init__(
        self,
        job: Job,
        choices: Mapping[Role, Choice],
        precision: str,
        recorded: Sequence[Mapping[str, tuple[str, str]]],
    ) -> None:
        self._recipes = list(_recipes(job, choices, precision, recorded))

    def recipe_of(self, made: MadeWith, *, is_film: bool) -> FormerRecipe | None:
        """What a result on record was made with, if with something else than today."""
        digests: dict[str, str] = {}
        for recipe in self._recipes:
            if made.face_count and made.face_key != recipe.keys.face:
                continue
            options = recipe.keys.film if is_film else recipe.keys.photo
            if options not in digests:
                digests[options] = digest({"options": options, "source": made.source_sha256})
            if digests[options] == made.base_key:
                return recipe
        return None


def _recipes(
    job: Job,
    choices: Mapping[Role, Choice],
    precision: str,
    recorded: Sequence[Mapping[str, tuple[str, str]]],
) -> Iterator[FormerRecipe]:
    now = make_stages(job, model_refs(choices))
    present = keys_of(now, precision)
    former: dict[Keys, FormerRecipe] = {}
    present_ones: dict[Keys, FormerRecipe] = {}
    for then in _choices_then(choices, recorded):
        networks = _networks(choices, then)
        made = make_stages(job, model_refs(then))
        limited = tuple(_by_limits(each) for each in made)
        ways = (made, limited) if limited != made else (made,)
        for way, versions in itertools.product(ways, _versions(made)):
            keys = keys_of([_at(each, versions) for each in way], precision)
            if keys != present:
                recipe = _recipe(keys, made, versions, networks, is_former=False)
                present_ones.setdefault(keys, recipe)
        keys = former_keys(job, chosen_refs(then), made, precision)
        versions = {each.stage.name: former_version(each.stage) for each in made}
        former.setdefault(keys, _recipe(keys, made, versions, networks, is_former=True))
    yield from present_ones.values()
    yield from former.values()


def _recipe(
    keys: Keys,
    made: Sequence[MadeStage],
    versions: Mapping[str, int],
    networks: Sequence[tuple[Role, str, str]],
    *,
    is_former: bool,
) -> FormerRecipe:
    def stages(wanted: Sequence[MadeStage], where: str = "") -> tuple[tuple[str, str], ...]:
        return tuple(
            (each.stage.name, raised.why)
            for each in wanted
            for raised in _raised(each, versions[each.stage.name])
            if raised.only_where == where
        )

    always = [each for each in made if each.always and not each.stage.is_idle]
    faces = [
        each for each in made if each.with_faces and not each.always and not each.stage.is_idle
    ]
    of_pictures = tuple(each for each in networks if each[0] not in FACE_ROLES)
    of_faces = tuple(each for each in networks if each[0] in FACE_ROLES)
    return FormerRecipe(
        keys,
        Changed(stages([each for each in always if each.stage.works_on(PHOTOS)]), of_pictures),
        Changed(stages([each for each in always if each.stage.works_on(FILMS)]), of_pictures),
        Changed(stages(faces), of_faces),
        {fact: Changed(stages(always, fact)) for fact in _facts(always)},
        is_former,
    )


def _facts(made: Sequence[MadeStage]) -> set[str]:
    raised = (raised for each in made for raised in each.stage.raised.values())
    return {each.only_where for each in raised if each.only_where}


def _raised(made: MadeStage, version: int) -> Iterator[Raised]:
    """What was changed in a stage since an earlier version, as far as it was used."""
    given = {**made.always, **made.with_faces}
    for later in range(version + 1, made.stage.version + 1):
        raised = made.stage.raised[later]
        if not raised.only_with or given.get(raised.only_with) is not None:
            yield raised


def _versions(made: Sequence[MadeStage]) -> Iterator[dict[str, int]]:
    """All that stages had together, the latest first. Each package counts its own changes."""
    packages: dict[str, list[Stage]] = {}
    for each in made:
        packages.setdefault(type(each.stage).__module__.partition(".")[0], []).append(each.stage)
    for versions in itertools.product(*map(_history, packages.values())):
        yield {name: version for of_package in versions for name, version in of_package.items()}


def _history(stages: Sequence[Stage]) -> list[dict[str, int]]:
    """What versions a package's stages had after each change, the latest first."""
    changes = {raised.change for stage in stages for raised in stage.raised.values()}
    return [
        {stage.name: _version_after(stage, last) for stage in stages}
        for last in sorted(changes | {0}, reverse=True)
    ]


def _version_after(stage: Stage, change: int) -> int:
    versions = (v for v, raised in stage.raised.items() if raised.change <= change)
    return min(max(versions, default=1), stage.version)


def _at(made: MadeStage, versions: Mapping[str, int]) -> MadeStage:
    """What a stage was given when it had an earlier version."""
    stage = made.stage
    version = versions[stage.name]
    if version == stage.version or not (made.always or made.with_faces):
        return made
    always, with_faces = dict(made.always), dict(made.with_faces)
    for part in (always, with_faces):
        if "version" in part:
            part["version"] = version
        for later in range(version + 1, stage.version + 1):
            for name, (now, then) in stage.raised[later].defaults.items():
                if name in part and part[name] == now:
                    part[name] = then
                    if name in stage.added and stage.added[name] == then:
                        del part[name]  # it was not known then
    return replace(made, always=always, with_faces=with_faces)


def _by_limits(made: MadeStage) -> MadeStage:
    """The same as the key had it that still held what only refuses, as it is given now."""
    always = {
        name: getattr(made.stage, name) if name in made.stage.refuses else value
        for name, value in made.always.items()
    }
    return replace(made, always=always)


def _choices_then(
    choices: Mapping[Role, Choice], recorded: Sequence[Mapping[str, tuple[str, str]]]
) -> Iterator[Mapping[Role, Choice]]:
    """The networks of today, then those of earlier runs where a job leaves the choice to us."""
    yield choices
    for networks in recorded:
        then: dict[Role, Choice] = {}
        for role, choice in choices.items():
            then[role] = choice
            if choice.asked == "auto":
                name, sha256 = networks.get(role, ("", ""))
                then[role] = _taken(choice, name, sha256)
        yield then


def _taken(choice: Choice, name: str, sha256: str) -> Choice:
    if not name:
        return replace(choice, card=None, ref=None)
    try:
        card = registry.card(name)
    except RestoreBatchError:
        return choice  # nobody knows it any more
    return replace(choice, card=card, ref=ModelRef(card, (), sha256))


def _networks(
    choices: Mapping[Role, Choice], then: Mapping[Role, Choice]
) -> tuple[tuple[Role, str, str], ...]:
    def name(choice: Choice) -> str:
        return choice.card.name if choice.card is not None else ""

    def checksum(choice: Choice) -> Any:
        return choice.ref and choice.ref.sha256

    return tuple(
        (role, name(then[role]), name(choices[role]))
        for role in choices
        if checksum(then[role]) != checksum(choices[role])
    )

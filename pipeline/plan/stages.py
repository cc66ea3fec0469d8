"""The stages of a job, made from what they say they take; and the keys of what they give.

A stage is constructed here and nowhere else in a run, from the options and networks that it
declares. What it was given is written down as it is given: a key cannot forget an option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from restore_batch.jobs.mistakes import Mistake, misfits
from restore_batch.jobs.section import Section
from restore_batch.jobs.spec import Job
from restore_batch.jobs.units import Unit, digest
from restore_batch.models.base import ModelRef
from restore_batch.pipeline.plan.groups import FILMS, PHOTOS, Kinds
from restore_batch.stages.base import Role, Stage
from restore_batch.stages.catalogue import stage_classes

_FACE_SECTIONS = ("restore.", "paste.")
FACE_ROLES: frozenset[Role] = frozenset({"restore", "parse", "identity"})

Refs = Mapping[Role, ModelRef | None]


@dataclass(frozen=True)
class MadeStage:
    """A stage and what it was given. ``always``: what matters to any picture; ``with_faces``: what
    matters where a face was restored; both plain data."""

    stage: Stage
    always: Mapping[str, Any]
    with_faces: Mapping[str, Any]


class Keys(NamedTuple):
    """``photo`` and ``film`` for any picture of that kind, ``face`` where it has faces."""

    photo: str
    film: str
    face: str


def make_stages(job: Job, refs: Refs) -> tuple[MadeStage, ...]:
    """All stages that a job asks for, for photos and for films, in their order."""
    return tuple(
        make_stage(stage, job, refs)
        for stage in stage_classes()
        if stage.options is None or stage.name in job.stages
    )


def make_stage(stage: type[Stage], job: Job, refs: Refs) -> MadeStage:
    """One stage, as a job wants it."""
    given: dict[str, Any] = {name: _option(job, path) for name, path in stage.takes.items()}
    given |= {parameter: refs.get(role) for parameter, role in stage.networks.items()}
    given = dict(stage.settled(given))
    always: dict[str, Any] = {"version": stage.version}
    with_faces: dict[str, Any] = {}
    for parameter, option in stage.takes.items():
        part = with_faces if option.startswith(_FACE_SECTIONS) else always
        value = _default(job, option) if parameter in stage.refuses else given[parameter]
        if parameter not in stage.added or stage.added[parameter] != value:
            part[parameter] = _in_key(value)
    for parameter, role in stage.networks.items():
        ref = given[parameter]
        part = with_faces if role in FACE_ROLES else always
        part[parameter] = ref and {"sha256": ref.sha256, "options": dict(ref.options)}
    if stage.options is not None:
        options = stage.options.model_validate(job.stages[stage.name])
        given |= dict(options)
        always |= options.model_dump(mode="json")
    made = stage(**given)
    if not stage.of_results:
        return MadeStage(made, {}, {})
    if stage.takes and all(
        name in stage.added and stage.added[name] == given[name] for name in stage.takes
    ):
        # All its options are newer than results that are there, and it does what was done then.
        return MadeStage(made, {}, {})
    if stage.of_faces:
        return MadeStage(made, {}, {**always, **with_faces})
    return MadeStage(made, always, with_faces)


def stage_mistakes(job: Job) -> Iterator[Mistake]:
    """What the section ``stages`` says wrongly."""
    known = {stage.name: stage.options for stage in stage_classes() if stage.options is not None}
    for name, values in job.stages.items():
        path, options = f"stages.{name}", known.get(name)
        if options is None:
            names = ", ".join(sorted(known)) or "none is installed"
            yield Mistake(path, f"no stage of that name takes options; known: {names}", at_key=True)
        else:
            yield from misfits(values, options, path)


def keys_of(made: Sequence[MadeStage], precision: str) -> Keys:
    """Hashes of all that results depend on: what each stage was given, and the arithmetic."""
    return Keys(
        _key(made, PHOTOS, precision),
        _key(made, FILMS, precision),
        digest({each.stage.name: each.with_faces for each in made if each.with_faces}),
    )


def _key(made: Sequence[MadeStage], kinds: Kinds, precision: str) -> str:
    stages = {
        each.stage.name: each.always for each in made if each.always and each.stage.works_on(kinds)
    }
    return digest({"precision": precision, "stages": stages})


def _in_key(value: Any) -> Any:
    return value.in_key() if isinstance(value, Section) else value


def _option(job: Job, path: str) -> Any:
    """The value of the option at a dotted path."""
    value: Any = job
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _default(job: Job, path: str) -> Any:
    """The default of the option at a dotted path, in a section whose options all have one."""
    section, _, name = path.rpartition(".")
    return getattr(type(_option(job, section))(), name)


def item_kinds(*, photos: bool, films: bool) -> Kinds:
    """The kinds of units that such inputs lead to."""
    none: frozenset[type[Unit]] = frozenset()
    return (PHOTOS if photos else none) | (FILMS if films else none)

"""Which network does what in a job: names, paths and ``auto`` become model references.

``auto`` takes the best model whose weights are on this machine and never downloads: what a job
gives must not depend on whether the network was up. It says what it passed over, and the
command that brings it. A model that is named is downloaded when that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from restore_batch.errors import JobFileError, Problem, RestoreBatchError, UsageError
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.models import registry
from restore_batch.models.base import Card, ModelRef, Task
from restore_batch.models.weights.store import Store
from restore_batch.stages.base import Role

_BEST: Mapping[Role, tuple[str, ...]] = {
    "detect": ("retinaface-resnet50", "retinaface-mobilenet0.25", "mtcnn"),
    "restore": ("gfpgan-1.4", "gfpgan-1.3", "gfpgan-1.2", "compact-1", "realesrgan-x4plus"),
    "background": ("realesrgan-x4plus",),
    "parse": ("parsenet", "bisenet"),
    "identity": ("arcface-ir-se50",),
}
_TASKS: Mapping[Role, tuple[Task, ...]] = {
    "detect": ("detect",),
    "restore": ("restore", "upscale"),
    "background": ("upscale",),
    "parse": ("parse",),
    "identity": ("identity",),
}


@dataclass(frozen=True)
class Choice:
    """One role's model. ``ref`` is None where nothing is done (``none``) or, in a dry run,
    where the weights are still to be fetched; ``availability`` says from where."""

    role: Role
    asked: str
    card: Card | None
    ref: ModelRef | None = None
    availability: str = ""
    note: str = ""


def choose_models(loaded: LoadedJob, store: Store, *, fetch: bool) -> dict[Role, Choice]:
    """Choose the models of a job; with ``fetch``, bring their weights here too.

    Raises JobFileError with every unknown model, wrong option or missing weight at its place.
    """
    job = loaded.job
    if job.restore.compare:
        raise JobFileError(
            [loaded.problem("restore.compare", "only run() and plan() make comparisons")]
        )
    problems: list[Problem] = []
    choices: dict[Role, Choice] = {}
    for role, (path, asked, options) in _asked(job).items():
        card, choice = _card_or_none(asked), None
        try:
            choice = _choose(role, asked, job, store, fetch)
            card = choice.card
        except RestoreBatchError as error:
            problems.append(loaded.problem(path, str(error)))
        if card is not None:
            # Where the options stand is known here: mistakes in them are reported there.
            where = path.replace(".model", ".options")
            problems += _without_consent(loaded, where, card, options)
            if options:
                problems += loaded.check(where, registry.family_of(card).options, options)
        if choice is not None:
            ref = choice.ref and replace(choice.ref, options=dict(options))
            choices[role] = replace(choice, ref=ref)
    if problems:
        raise JobFileError(problems)
    return choices


def _card_or_none(asked: str) -> Card | None:
    """The card of that name; None for auto, none, a path and a name that is wrong."""
    try:
        return registry.card(asked)
    except RestoreBatchError:
        return None


def _without_consent(
    loaded: LoadedJob, where: str, card: Card, options: Mapping[str, Any]
) -> Iterator[Problem]:
    """What a job must say before invented faces may take the place of people in pictures."""
    if not card.imagines:
        return
    for option, why in (
        ("accept_imagined_faces", "its faces are not the people in the pictures"),
        ("paste_back", "it keeps them out of pictures unless told to paste them in"),
    ):
        # Anything but true or false is the schema's to complain about.
        if options.get(option, False) is False:
            message = f"{card.name} invents faces: {why}; if you want that, set this to true"
            yield loaded.problem(f"{where}.{option}", message)


def _asked(job: Job) -> dict[Role, tuple[str, str, Mapping[str, Any]]]:
    """For each role: the option that decides it, what it says, and the model's options."""
    parse = {"auto": "auto", "parse": "required", "feather": "none"}[job.paste.mask]
    identity = "auto" if job.restore.min_identity is None else "required"
    faces = job.restore.model != "none"
    leave = job.background.scale == 1
    return {
        "detect": ("detect.model", job.detect.model if faces else "none", {}),
        "restore": ("restore.model", job.restore.model, job.restore.options),
        "background": (
            "background.model",
            "none" if leave else job.background.model,
            {} if leave else job.background.options,
        ),
        "parse": ("paste.mask", parse if faces else "none", {}),
        "identity": ("restore.min_identity", identity if faces else "none", {}),
    }


def _choose(role: Role, asked: str, job: Job, store: Store, fetch: bool) -> Choice:
    """The model of a role, still without its options."""
    if asked == "none":
        return Choice(role, asked, None)
    if asked == "auto":
        return _auto(role, job, store)
    if role in ("restore", "background") and Path(asked).is_absolute():
        ref = store.ref_from_path(Path(asked), _TASKS[role][0], {})
        return Choice(role, asked, ref.card, ref, f"file {asked}")
    card = _first_here(role, store) if asked == "required" else registry.card(asked)
    if card.task not in _TASKS[role]:
        raise UsageError(
            f"{card.name} is {registry.TASK_NOUNS[card.task]}, expected"
            f" {registry.TASK_NOUNS[_TASKS[role][0]]}"
        )
    availability = store.availability(card)
    if not fetch and store.locate(card) is None:
        return Choice(role, asked, card, None, availability)
    return Choice(role, asked, card, store.ref(card, {}), availability)


def _first_here(role: Role, store: Store) -> Card:
    """The best model of a role that is here, else the best there is (to be fetched)."""
    cards = [registry.card(name) for name in _BEST[role]]
    return next((card for card in cards if store.locate(card)), cards[0])


def _auto(role: Role, job: Job, store: Store) -> Choice:
    best = [registry.card(name) for name in _BEST[role]]
    if role == "background" and job.background.scale <= 2:
        # Half the work of the fourfold network for the same size of result.
        best.insert(0, registry.card("realesrgan-x2plus"))
    for card in best:
        if store.locate(card) is None:
            continue
        ref = store.ref(card, {})
        return Choice(role, "auto", card, ref, store.availability(card), _fallback(role, card))
    return Choice(role, "auto", None, note=_absent(role, best[0]))


def _fallback(role: Role, card: Card) -> str:
    wanted = _BEST[role][0]
    if role != "restore" or registry.family_of(card) is registry.family_of(registry.card(wanted)):
        return ""
    return (
        f"faces are restored with {card.name}, which invents nothing;"
        f" `restore-batch models pull {wanted}` brings GFP-GAN, for faces of little detail"
    )


def _absent(role: Role, card: Card) -> str:
    what = {
        "detect": "no face detector is here, so faces are left as they are",
        "restore": "no face restorer is here, so faces are only upscaled",
        "background": "no upscaler is here, so pictures are enlarged plainly",
    }.get(role)
    return f"{what}; `restore-batch models pull {card.name}` brings one" if what else ""


def model_refs(choices: Mapping[Role, Choice]) -> dict[Role, ModelRef | None]:
    """The networks that the stages of a job are given, by their role."""
    refs = chosen_refs(choices)
    if refs["detect"] is None:
        refs["restore"] = None  # there will be no face to restore
    return refs


def chosen_refs(choices: Mapping[Role, Choice]) -> dict[Role, ModelRef | None]:
    """The networks chosen for a job, by their role."""
    return {role: model_ref(choices, role) for role in choices}


def model_ref(choices: Mapping[Role, Choice], role: Role) -> ModelRef | None:
    """The reference of a role's model; a dry run stands in one without files."""
    choice = choices[role]
    if choice.ref is None and choice.card is not None:
        return ModelRef(choice.card, (), "not fetched")
    return choice.ref

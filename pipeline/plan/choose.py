"""Which network does what in a job: names, paths and ``auto`` become model references.

``auto`` takes the best model whose weights are on this machine and never downloads: what a job
gives must not depend on whether the network was up. On a CPU it leaves upscalers that would take
minutes for a scan to those who name them (:data:`MOST_TFLOP_ON_A_CPU`). It says what it passed
over, and the command that brings it. A model that is named is downloaded when that is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from restore_batch.errors import JobFileError, RestoreBatchError, UsageError
from restore_batch.jobs.mistakes import Mistake, misfits
from restore_batch.jobs.source import LoadedJob
from restore_batch.jobs.spec import Job
from restore_batch.models import registry
from restore_batch.models.base import Card, ModelRef, Task
from restore_batch.models.weights.cache import is_added_instead
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.resources import Site, share_out, this_machine
from restore_batch.stages.base import Role

_TASKS: Mapping[Role, tuple[Task, ...]] = {
    "detect": ("detect",),
    "damage": ("damage",),
    "fill": ("fill",),
    "restore": ("restore", "upscale"),
    "background": ("upscale",),
    "parse": ("parse",),
    "identity": ("identity",),
}
"""A role's tasks; those of the first are taken before those of the second."""
_LARGEST_FACTOR = 4.0
"""By which upscalers that are taken unasked enlarge at most: a face in a restorer's place, and
pictures of a larger scale, the rest of which is resampled."""

MOST_TFLOP_ON_A_CPU = 2.0
"""What an upscaler that ``auto`` takes on a CPU computes at most for a megapixel of its input. Two
cores of a laptop compute some 0.15 TFLOP a second, so a scan of 12 megapixels takes less than three
minutes. By what is counted, not by the clock: a job gives the same on a slow machine and a fast
one."""


@dataclass(frozen=True)
class Choice:
    """One role's model. ``ref`` is None where nothing is done (``none``) or, in a dry run,
    where the weights are still to be fetched; ``availability`` says from where. ``too_slow``: a
    better one that is here and was passed over for what it costs on a CPU."""

    role: Role
    asked: str
    card: Card | None
    ref: ModelRef | None = None
    availability: str = ""
    note: str = ""
    too_slow: Card | None = None


@dataclass(frozen=True)
class _Wish:
    """What a job says of one role: at the option ``path`` the model, and the model's options."""

    role: Role
    path: str
    asked: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def options_path(self) -> str:
        return self.path.replace(".model", ".options")


def choose_models(
    loaded: LoadedJob, store: Store, *, fetch: bool, site: Site | None = None
) -> dict[Role, Choice]:
    """Choose the models of a job; with ``fetch``, bring their weights here too. ``site``: where
    they are to run, None: on this machine.

    Raises JobFileError with every unknown model, wrong option or missing weight at its place.
    """
    job = loaded.job
    if job.restore.compare:
        raise JobFileError(
            [loaded.problem("restore.compare", "only run() and plan() make comparisons")]
        )
    found: list[Mistake] = []
    choices: dict[Role, Choice] = {}
    for wish in _wishes(job):
        card, choice = _card_or_none(wish.asked), None
        try:
            choice = _choose(wish.role, wish.asked, job, store, fetch, site)
            card = choice.card
        except RestoreBatchError as error:
            found.append(Mistake(wish.path, str(error)))
        found += _option_mistakes(wish, card)
        if choice is not None:
            ref = choice.ref and replace(choice.ref, options=dict(wish.options))
            note = "; ".join(filter(None, (choice.note, _added_instead(choice))))
            choices[wish.role] = replace(choice, ref=ref, note=note)
    if found:
        raise JobFileError(loaded.placed(found))
    if choices["background"].asked == "none":
        choices["background"] = replace(choices["background"], note=_unused_upscaler(job))
    if choices["restore"].card is None:
        choices["identity"] = replace(choices["identity"], note="")  # there is nothing to measure
    return choices


def _added_instead(choice: Choice) -> str:
    """What is said of weights that were added under a published name, though they differ."""
    if choice.ref is None:
        return ""
    own = [path for path in choice.ref.paths if is_added_instead(Path(path))]
    told = f"was added as {choice.ref.card.name} and is not what was published under that name"
    return f"{own[0]} {told}" if own else ""


def model_mistakes(job: Job) -> Iterator[Mistake]:
    """What is wrong with the names and options of a job's models, whatever weights are here."""
    for wish in _wishes(job):
        if not _is_name(wish.asked):
            continue
        try:
            _named(wish.role, wish.asked)
        except RestoreBatchError as error:
            yield Mistake(wish.path, str(error))
        yield from _option_mistakes(wish, _card_or_none(wish.asked))


def _wishes(job: Job) -> Iterator[_Wish]:
    """What a job says of each role; of the restorers that it compares, of each."""
    parse = {"auto": "auto", "parse": "required", "feather": "none"}[job.paste.mask]
    limit = job.restore.min_identity
    identity = "none" if limit is None else "auto" if limit == "auto" else "required"
    faces = job.restore.model != "none"
    yield _Wish("detect", "detect.model", job.detect.model if faces else "none")
    if job.repair.scratches == "auto" or job.repair.fading == "auto":
        finder = "auto" if job.repair.scratches == "auto" else "none"
        yield _Wish("damage", "repair.scratches", finder)
        yield _Wish("fill", "repair.scratches", finder)
    for number, system in enumerate(job.restore.compare):
        path = f"restore.compare.{number}.model"
        yield _Wish("restore", path, system.model, system.options)
    if not job.restore.compare:
        yield _Wish("restore", "restore.model", job.restore.model, job.restore.options)
    background = job.background
    if background.scale == 1 and not _may_keep_the_size(background.model):
        yield _Wish("background", "background.model", "none")
    else:
        yield _Wish("background", "background.model", background.model, background.options)
    yield _Wish("parse", "paste.mask", parse if faces else "none")
    yield _Wish("identity", "restore.min_identity", identity if faces else "none")


def _may_keep_the_size(asked: str) -> bool:
    """Whether a job may name with this a network that works at the picture's own size: by such a
    card's name, or by a path, whose file says it when it is read."""
    card = _card_or_none(asked)
    return _is_path(asked) if card is None else card.scale == 1


def _unused_upscaler(job: Job) -> str:
    """What is said where a job names a network that enlarges and keeps the size of its pictures."""
    named = job.background.model
    if named in ("none", "auto"):
        return ""
    fitting = [f"`{card.name}`" for card in registry.cards("upscale") if card.scale == 1]
    return (
        f"`background.model: {named}` enlarges, and at `background.scale: 1` nothing is enlarged:"
        f" it is not used; {' or '.join(fitting)} works at a picture's own size"
    )


def _is_name(asked: str) -> bool:
    return asked not in ("auto", "none", "required") and not _is_path(asked)


def _is_path(asked: str) -> bool:
    return Path(asked).is_absolute()


def _card_or_none(asked: str) -> Card | None:
    """The card of that name; None for auto, none, a path and a name that is wrong."""
    try:
        return registry.card(asked)
    except RestoreBatchError:
        return None


def _named(role: Role, asked: str) -> Card:
    """The card of that name. Raises UsageError where there is none or it is of no use here."""
    card = registry.card(asked)
    if card.task not in _TASKS[role]:
        raise UsageError(
            f"{card.name} is {registry.TASK_NOUNS[card.task]}, expected"
            f" {registry.TASK_NOUNS[_TASKS[role][0]]}"
        )
    return card


def _option_mistakes(wish: _Wish, card: Card | None) -> Iterator[Mistake]:
    """What is wrong with the options of ``card``, where they stand."""
    if card is None:
        return
    yield from _without_consent(wish, card)
    if wish.options:
        yield from misfits(wish.options, registry.family_of(card).options, wish.options_path)


def _without_consent(wish: _Wish, card: Card) -> Iterator[Mistake]:
    """What a job must say before invented faces may take the place of people in pictures."""
    if not card.imagines:
        return
    for option, why in (
        ("accept_imagined_faces", "its faces are not the people in the pictures"),
        ("paste_back", "it keeps them out of pictures unless told to paste them in"),
    ):
        # Anything but true or false is the schema's to complain about.
        if wish.options.get(option, False) is False:
            message = f"{card.name} invents faces: {why}; if you want that, set this to true"
            yield Mistake(f"{wish.options_path}.{option}", message)


def _choose(
    role: Role, asked: str, job: Job, store: Store, fetch: bool, site: Site | None
) -> Choice:
    """The model of a role, still without its options."""
    if asked == "none":
        return Choice(role, asked, None)
    if asked == "auto":
        return _auto_upscaler(job, store, site) if role == "background" else _auto(role, store)
    if role in ("restore", "background") and _is_path(asked):
        ref = store.ref_from_path(Path(asked), _TASKS[role][0], {})
        if role == "background" and job.background.scale == 1 != ref.card.scale:
            return Choice(role, "none", None)  # nothing is to be enlarged
        return Choice(role, asked, ref.card, ref, f"file {asked}")
    card = _first_here(role, store) if asked == "required" else _named(role, asked)
    availability = store.availability(card)
    if not fetch and store.locate(card) is None:
        return Choice(role, asked, card, None, availability)
    return Choice(role, asked, card, store.ref(card, {}), availability)


def best_first(role: Role, factor: float = _LARGEST_FACTOR) -> tuple[Card, ...]:
    """The models that ``auto`` takes for a role, by their ranks, the best first.

    ``factor``: how many times an upscaler must enlarge; those that enlarge less are left out.
    """
    fitting = min(factor, _LARGEST_FACTOR)
    return tuple(
        card
        for task in _TASKS[role]
        for card in registry.ranked(task)
        if task != "upscale" or card.scale >= fitting
    )


def _first_here(role: Role, store: Store) -> Card:
    """The best model of a role that is here, else the best there is (to be fetched)."""
    cards = best_first(role)
    return next((card for card in cards if store.locate(card)), cards[0])


def _auto_upscaler(job: Job, store: Store, site: Site | None) -> Choice:
    """The best that is here and not too slow; one that enlarges less than the job where no other
    is, as the rest can be resampled."""
    factor = min(job.background.scale, _LARGEST_FACTOR)
    upscalers = [card for card in registry.ranked("upscale") if card.scale > 1]
    # Of those that do not enlarge enough the one that leaves least to be resampled.
    upscalers.sort(key=lambda card: -min(card.scale, factor))
    here = [card for card in upscalers if store.locate(card) is not None]
    quick = here
    if share_out(job, site or this_machine()).runtime.device == "cpu":
        quick = [card for card in here if (card.tflop or 0.0) <= MOST_TFLOP_ON_A_CPU]
    too_slow = here[0] if here and here[0] not in quick else None
    if quick:
        ref, availability = store.ref(quick[0], {}), store.availability(quick[0])
        return Choice("background", "auto", quick[0], ref, availability, too_slow=too_slow)
    if too_slow is not None:
        note = (
            f"pictures are enlarged plainly; `background.model: {too_slow.name}` takes"
            f" {too_slow.title}, which is slow on a CPU"
        )
    else:
        note = _absent("background", best_first("background", factor)[0])
    return Choice("background", "auto", None, note=note, too_slow=too_slow)


def _auto(role: Role, store: Store) -> Choice:
    cards = best_first(role)
    best = cards[0]
    for card in cards:
        if store.locate(card) is None:
            continue
        ref = store.ref(card, {})
        note = _fallback(role, card, best)
        return Choice(role, "auto", card, ref, store.availability(card), note)
    return Choice(role, "auto", None, note=_absent(role, best))


def _fallback(role: Role, card: Card, best: Card) -> str:
    if role != "restore" or card.family == best.family:
        return ""
    return (
        f"faces are restored with {card.name} ({card.title});"
        f" `restore-batch models pull {best.name}` brings {best.title}"
    )


def _absent(role: Role, card: Card) -> str:
    what = {
        "detect": "no face detector is here, so faces are left as they are",
        "damage": "no finder of damage is here, so scratches and dust are left",
        "fill": "no network that fills damage is here, so it is filled along straight lines",
        "restore": "no face restorer is here, so faces are only upscaled",
        "background": "no upscaler is here, so pictures are enlarged plainly",
    }.get(role)
    if role == "identity":
        return (
            "no identity network is here, so it is not measured whether restored faces are still"
            " the same people's, and none is held back; `pip install 'restore-batch[identity]'`"
            " brings one"
        )
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


def recorded_models(choices: Mapping[Role, Choice]) -> list[dict[str, str]]:
    """What a manifest keeps of the networks that a run is made with."""
    return [
        {"role": c.role, "card": c.card.name, "sha256": c.ref.sha256, "title": c.card.title,
         "licence": c.card.licence.title}
        for c in choices.values() if c.card and c.ref
    ]  # fmt: skip

"""Which models there are: the families of this package and those other packages add.

A family is found by scanning the modules of ``families`` for ``FAMILY`` or ``FAMILIES``, then
the entry points of the group ``restore_batch.models`` (each names a Family or several). Listing
imports no torch; :func:`build` is where weights and code meet.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeGuard

from pydantic import ValidationError

from restore_batch.errors import UsageError, WeightsError
from restore_batch.models.base import Card, Family, ModelRef, Options, Runtime, StateDict, Task
from restore_batch.plugins import modules_in, offered

ENTRY_POINTS = "restore_batch.models"
# It recognises what nobody else does, so it is asked last.
LAST_RESORT = "community"


@cache
def families() -> tuple[Family, ...]:
    """Every family, this package's by name, then other packages'; the last resort at the end."""
    found: list[Family] = []
    for family in [*_own(), *offered(ENTRY_POINTS, _is_family, "Family")]:
        taken = {other.name for other in found} | {c.name for o in found for c in o.cards}
        clash = taken & {family.name, *(card.name for card in family.cards)}
        if clash:
            warnings.warn(f"model {min(clash)!r} is registered twice; kept the first", stacklevel=2)
            continue
        found.append(family)
    return tuple(sorted(found, key=lambda family: family.name == LAST_RESORT))


def _is_family(value: object) -> TypeGuard[Family]:
    return isinstance(value, Family)


def _own() -> Iterable[Family]:
    for module in modules_in("restore_batch.models.families"):
        single = vars(module).get("FAMILY")
        if isinstance(single, Family):
            yield single
        yield from vars(module).get("FAMILIES", ())


def cards(task: Task | None = None) -> tuple[Card, ...]:
    """All published networks, or those of one task, in the order of the families."""
    return tuple(
        card for family in families() for card in family.cards if task in (None, card.task)
    )


def ranked(task: Task) -> tuple[Card, ...]:
    """The networks of ``task`` that may be taken without being named, the first choice first."""
    ranks = [(card.rank, card) for card in cards(task) if card.rank is not None]
    return tuple(card for _, card in sorted(ranks, key=lambda pair: pair[0]))


def card(name: str) -> Card:
    """The card ``name``; a family's name means its first card.

    Raises UsageError, with the nearest names, where there is none.
    """
    wanted = name.strip().lower()
    for known in cards():
        if known.name.lower() == wanted:
            return known
    for family in families():
        if family.name.lower() == wanted and family.cards:
            return family.cards[0]
    names = [known.name for known in cards()] + [f.name for f in families() if f.cards]
    near = difflib.get_close_matches(wanted, dict.fromkeys(names), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`restore-batch models list` has all"
    raise UsageError(f"no model is called {name!r}; {hint}")


def family_of(card: Card) -> Family:
    """The family that can build ``card``."""
    for family in families():
        if family.name == card.family:
            return family
    raise UsageError(
        f"model {card.name!r} needs the family {card.family!r}, which is not installed"
    )


def identify(state: StateDict) -> tuple[Family, dict[str, Any]] | None:
    """The first family that recognises a state dict, with the architecture it infers."""
    for family in families():
        architecture = family.recognise(state)
        if architecture is not None:
            return family, architecture
    return None


def options(card: Card, given: Mapping[str, Any]) -> Options:
    """``given`` as the family's options. Raises UsageError that names every wrong key."""
    family = family_of(card)
    try:
        return family.options.model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise UsageError(f"options of {card.name}: {faults}") from None


def build(ref: ModelRef, runtime: Runtime, weights_dir: Path | None = None) -> Any:
    """Load ``ref``'s weights, check that they are what its card says, and build the model.

    Returns the protocol object of the card's task: Restorer, Upscaler, Detector, Parser or
    Embedder of :mod:`restore_batch.models.base`.

    ``weights_dir`` is where this node keeps weights, for when ``ref.paths`` do not exist on it.
    Raises WeightsError when the file is absent, changed since planning, or another network's.
    """
    from restore_batch.models.weights.store import Store, load_state

    family = family_of(ref.card)
    chosen = options(ref.card, ref.options)
    paths = Store(weights_dir, download=False).paths_of(ref)
    state = load_state(paths)
    check_is(ref.card, state, paths[0])
    return family.build(state, ref.card, chosen, _measuring(ref.card.task, runtime))


def _measuring(task: Task, runtime: Runtime) -> Runtime:
    """``runtime``, on a CPU in float32 where a network measures a picture: where a face is, or
    whose, is not to hang on rounding, and costs little beside restoring it."""
    shows = task in ("restore", "upscale")
    return runtime if shows or runtime.device != "cpu" else replace(runtime, precision="float32")


def check_is(card: Card, state: StateDict, path: str | Path) -> None:
    """Raise WeightsError unless ``state`` (read from ``path``) is the network of ``card``."""
    inferred = family_of(card).recognise(state)
    if inferred is None:
        raise WeightsError(f"{path} is not {card.name}: it holds {describe(state)}")
    for key, expected in card.architecture.items():
        if key in inferred and _plain(inferred[key]) != _plain(expected):
            raise WeightsError(
                f"{path} is not {card.name}: its {card.family} network has "
                f"{key}={inferred[key]!r}, expected {expected!r}"
            )


def describe(state: StateDict) -> str:
    """What a state dict seems to be, for error messages."""
    known = identify(state)
    if known is not None:
        family, _ = known
        return f"a {family.name} network ({TASK_NOUNS[family.task]})"
    first = next(iter(state), "no tensors")
    return f"a network no family knows ({len(state)} tensors, the first {first!r})"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


TASK_NOUNS: Mapping[Task, str] = {
    "restore": "a face restorer",
    "upscale": "an upscaler",
    "detect": "a face detector",
    "damage": "a finder of damage",
    "fill": "a network that fills damage",
    "parse": "a face parser",
    "identity": "an identity model",
    "features": "a network for training objectives",
}

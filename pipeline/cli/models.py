"""``restore-batch models``: what networks there are, and getting their weights here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from restore_batch.errors import LicenceError, RestoreBatchError, UsageError
from restore_batch.models import registry, speed
from restore_batch.models.base import Card, Task
from restore_batch.pipeline.cli import model_facts, model_table
from restore_batch.pipeline.cli.output import say, say_json

if TYPE_CHECKING:
    from restore_batch.models.weights.store import Store


_folder = click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of weights (default: $RESTORE_BATCH_WEIGHTS_DIR or the user's cache).",
)

_accept = click.option(
    "--accept-licence",
    "accepted",
    multiple=True,
    metavar="KEY",
    help="A non-commercial licence that you accept; may be repeated.",
)


@click.group()
def models() -> None:
    """List models, fetch, check and add their weights, and measure how fast they are here."""


@models.command("list")
@click.option("--task", type=click.Choice(get_args(Task)), help="Only the models of one task.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, one object a model.")
@click.option(
    "--markdown", is_flag=True, help="The table of the documentation: nothing of this machine."
)
@_folder
def list_models(task: Task | None, as_json: bool, markdown: bool, weights_dir: Path | None) -> None:
    """List every model: licence, where its weights are, and how fast it was measured here."""
    shown = model_table.cards(task)
    if markdown:
        for line in model_table.markdown(shown).split("\n"):
            say(line)
        return
    store = _store(weights_dir)
    speeds = speed.read(store.folder)
    if as_json:
        say_json([model_table.record(card, store, speeds) for card in shown])
    else:
        model_table.show(shown, store, speeds)


@models.command()
@click.argument("names", nargs=-1)
@click.option("--all-free", is_flag=True, help="All whose licence asks for no --accept-licence.")
@_accept
@click.option("--mirror", "mirrors", multiple=True, help="Folder or address asked first.")
@_folder
def pull(
    names: Sequence[str],
    all_free: bool,
    accepted: Sequence[str],
    mirrors: Sequence[str],
    weights_dir: Path | None,
) -> None:
    """Download the weights of NAMES; what is already here and whole stays."""
    cards = [registry.card(name) for name in names]
    with _progress() as progress:
        store = _store(weights_dir, mirrors=mirrors, accept_licences=accepted, progress=progress)
        if all_free:
            cards += [c for c in registry.cards() if c.licence.commercial and _can_fetch(store, c)]
        if not cards:
            raise UsageError("name the models to pull, or use --all-free")
        failed = 0
        for card in dict.fromkeys(card.name for card in cards):
            failed += not _pull(store, registry.card(card))
    if failed:
        raise click.exceptions.Exit(1)


def _pull(store: Store, card: Card) -> bool:
    """Pull one card and say so; a failure is said too and does not stop the others."""
    try:
        here = store.pull(card)
    except RestoreBatchError as error:
        _say(card, error)
        return False
    say(f"{card.name}: {here.paths[0]}")
    return True


def _say(card: Card, error: RestoreBatchError) -> None:
    """An error that ends nothing: the next model's turn comes."""
    hint = isinstance(error, LicenceError)
    here = f" (here: --accept-licence {card.licence.key})" if hint else ""
    say(f"{card.name}: {error}{here}", err=True)


@models.command()
@click.argument("names", nargs=-1)
@_folder
def verify(names: Sequence[str], weights_dir: Path | None) -> None:
    """Read weight files whole and compare checksums: of NAMES, or of all that are here.

    Exit status 1 when a file is damaged or a named model is absent.
    """
    store = _store(weights_dir)
    results = [store.verify(registry.card(name)) for name in names]
    if not names:
        found = [store.verify(card) for card in registry.cards()]
        results = [result for result in found if result.status != "absent"]
    for result in results:
        say(f"{result.status:9} {result.card.name}: {result.detail}")
    if any(result.status in {"damaged", "absent"} for result in results):
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The model it is, where the file does not say so itself.")
@_folder
def add(path: Path, name: str | None, weights_dir: Path | None) -> None:
    """Copy the checkpoint at PATH, a published file you already have, into the cache."""
    added = _store(weights_dir).add(path, name)
    say(f"{added.card.name}: {added.path}")
    if added.published is False:
        say(
            f"note: {path} has not the published checksum of {added.card.name}: "
            "saved again, converted, or another training",
            err=True,
        )
    if added.missing:
        say(f"still missing: {', '.join(added.missing)}", err=True)


@models.command()
@click.argument("names", nargs=-1)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
    default="auto",
    help="Arithmetic; auto: what a job takes.",
)
@click.option("--option", "given", multiple=True, metavar="KEY=VALUE", help="An option of NAMES.")
@_accept
@_folder
def measure(
    names: Sequence[str],
    device: str,
    precision: str,
    given: Sequence[str],
    accepted: Sequence[str],
    weights_dir: Path | None,
) -> None:
    """Measure how fast NAMES, or all models whose weights are here, are on this machine.

    In a worker such as a job has by default. `models list` shows the result, seconds a face of
    512 px or a megapixel of input, and `plan` foretells times by it.
    """
    from restore_batch.jobs.spec import Engine, Job
    from restore_batch.models.running.threads import limit_threads
    from restore_batch.pipeline.plan.resources import share_out, this_machine

    engine = Engine.model_validate({"device": device, "precision": precision})
    share = share_out(Job.model_construct(engine=engine), this_machine())
    runtime = share.runtime
    options = _key_values(given)
    store = _store(weights_dir, download=False, accept_licences=accepted)
    cards = [registry.card(name) for name in names]
    failed = 0
    for card in cards or [card for card in model_table.cards() if _runs_here(store, card)]:
        try:
            model = registry.build(store.ref(card, options), runtime, store.folder)
            limit_threads(share.threads)
            measured = speed.measure(model, card, runtime)
        except RestoreBatchError as error:
            _say(card, error)
            failed += 1
            continue
        speed.record(store.folder, card, measured)
        say(f"{card.name}: {measured} ({measured.where})")
    if failed:
        raise click.exceptions.Exit(1)


def _key_values(given: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE``; values are numbers, true, false, null or words."""
    options: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--option {text!r}: expected KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:  # a word
            options[key] = value
    return options


@models.command()
@click.argument("name")
@_folder
def describe(name: str, weights_dir: Path | None) -> None:
    """Say all that is known about the model NAME."""
    card = registry.card(name)
    store = _store(weights_dir)
    for label, value in model_facts.facts(card, store.availability(card)):
        say(f"{label:9}{value}")


def _store(folder: Path | None, **settings: Any) -> Store:
    from restore_batch.models.weights.store import Store

    return Store(folder, **settings)


def _runs_here(store: Store, card: Card) -> bool:
    return card.task != "features" and store.locate(card) is not None


def _can_fetch(store: Store, card: Card) -> bool:
    return store.locate(card) is not None or _has_urls(card)


def _has_urls(card: Card) -> bool:
    """Whether one of the card's sources can be downloaded whole."""
    return any(source and all(file.urls for file in source) for source in card.sources)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar a file, on a terminal; nothing where the output is a log."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    from restore_batch.pipeline.cli.screen import Screen

    console = Screen(stderr=True)
    bars: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def update(name: str, done: int, total: int | None) -> None:
            if name not in bars:
                bars[name] = progress.add_task(name, total=total)
            progress.update(bars[name], completed=done, total=total)

        yield update

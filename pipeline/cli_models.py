"""``restore-batch models``: what networks there are, and getting their weights here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from restore_batch.errors import LicenceError, RestoreBatchError, UsageError
from restore_batch.models import registry
from restore_batch.models.base import Card, Task

if TYPE_CHECKING:
    from restore_batch.models.weights import Store


def _shown(command: Callable[..., None]) -> Callable[..., None]:
    """Show a known error as its one line, and end with its exit status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except RestoreBatchError as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(error.exit_code) from None

    return run


_folder = click.option(
    "--weights-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of weights (default: $RESTORE_BATCH_WEIGHTS_DIR or the user's cache).",
)


@click.group()
def models() -> None:
    """List models, and fetch, check and add their weights."""


@models.command("list")
@click.option("--task", type=click.Choice(get_args(Task)), help="Only the models of one task.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, one object a model.")
@_folder
@_shown
def list_models(task: Task | None, as_json: bool, weights_dir: Path | None) -> None:
    """List every model with its licence and where its weights are."""
    store = _store(weights_dir)
    rows = [_row(store, card) for card in registry.cards(task)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    # The name is what other commands take, so it is never cut.
    table.add_column("model", no_wrap=True)
    table.add_column("task", no_wrap=True)
    table.add_column("in → out", no_wrap=True)
    table.add_column("licence")
    table.add_column("commercial use")
    table.add_column("weights")
    for row in rows:
        commercial = "yes" if row["commercial"] else "no"
        cells = (row["name"], row["task"], row["size"], row["licence"], commercial, row["weights"])
        table.add_row(*cells)
    # In a pipe or a log there is no screen to fit, and a cut line cannot be searched.
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)


@models.command()
@click.argument("names", nargs=-1)
@click.option("--all-free", is_flag=True, help="All that allow commercial use.")
@click.option("--accept-licence", "accepted", multiple=True, metavar="KEY", help="May be repeated.")
@click.option("--mirror", "mirrors", multiple=True, help="Folder or address asked first.")
@_folder
@_shown
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
    except LicenceError as error:
        click.echo(f"{error} (here: --accept-licence {card.licence.key})", err=True)
        return False
    except RestoreBatchError as error:
        click.echo(str(error), err=True)
        return False
    click.echo(f"{card.name}: {here.paths[0]}")
    return True


@models.command()
@click.argument("names", nargs=-1)
@_folder
@_shown
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
        click.echo(f"{result.status:9} {result.card.name}: {result.detail}")
    if any(result.status in {"damaged", "absent"} for result in results):
        raise click.exceptions.Exit(1)


@models.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="The model it is, where the file does not say so itself.")
@_folder
@_shown
def add(path: Path, name: str | None, weights_dir: Path | None) -> None:
    """Copy the checkpoint at PATH, a published file you already have, into the cache."""
    added = _store(weights_dir).add(path, name)
    click.echo(f"{added.card.name}: {added.path}")
    if added.published is False:
        click.echo(
            f"note: {path} has not the published checksum of {added.card.name}: "
            "saved again, converted, or another training",
            err=True,
        )
    if added.missing:
        click.echo(f"still missing: {', '.join(added.missing)}", err=True)


@models.command()
@click.argument("name")
@_folder
@_shown
def describe(name: str, weights_dir: Path | None) -> None:
    """Say all that is known about the model NAME."""
    card = registry.card(name)
    family = registry.family_of(card)
    licence = card.licence
    terms = licence.title if licence.commercial else f"{licence.title}; NON-COMMERCIAL use only"
    facts = [
        ("model", f"{card.name} ({registry.TASK_NOUNS[card.task]}, family {card.family})"),
        ("what", card.title),
        ("paper", card.paper),
        ("size", _size(card)),
        ("licence", " ".join(filter(None, [f"{licence.key}: {terms}", licence.url]))),
        ("", licence.note),
        ("limits", card.limits),
        ("weights", _store(weights_dir).availability(card)),
    ]
    for label, value in facts:
        if value:
            click.echo(f"{label:9}{value}")
    for number, source in enumerate(card.sources, 1):
        for file in source:
            where = file.urls[0] if file.urls else f"package {file.package}"
            if not file.urls and file.package is None:
                where = "by hand"
            size = f"{file.size_bytes:,} bytes" if file.size_bytes else "size not published"
            checksum = f"sha256 {file.sha256}" if file.sha256 else "no published checksum"
            click.echo(f"source {number} {file.filename} ({size}, {checksum}) {where}")
    fields = family.options.model_fields
    for key, info in fields.items():
        kind = info.annotation.__name__ if isinstance(info.annotation, type) else info.annotation
        default = (
            "required" if info.is_required() else repr(info.get_default(call_default_factory=True))
        )
        text = f"  {info.description}" if info.description else ""
        click.echo(f"option   {key}: {kind} = {default}{text}")
    if not fields:
        click.echo("option   none")


def _store(folder: Path | None, **settings: Any) -> Store:
    from restore_batch.models.weights import Store

    return Store(folder, **settings)


def _can_fetch(store: Store, card: Card) -> bool:
    return store.locate(card) is not None or _has_urls(card)


def _has_urls(card: Card) -> bool:
    """Whether one of the card's sources can be downloaded whole."""
    return any(source and all(file.urls for file in source) for source in card.sources)


def _row(store: Store, card: Card) -> dict[str, Any]:
    weights = store.availability(card)
    return {
        "name": card.name,
        "family": card.family,
        "task": card.task,
        "title": card.title,
        "size": _size(card),
        "licence": card.licence.key,
        "commercial": card.licence.commercial,
        "weights": weights,
        "here": weights.startswith("here"),
    }


def _size(card: Card) -> str:
    if card.task in {"restore", "upscale"}:
        if card.input_px is None:
            return f"any → ×{card.scale}"
        return f"{card.input_px} → {card.input_px * card.scale}"
    return "any" if card.input_px is None else f"{card.input_px}"


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar a file, on a terminal; nothing where the output is a log."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    bars: dict[str, Any] = {}
    columns = (
        TextColumn("{task.description}"),
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

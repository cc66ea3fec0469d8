"""``restore-batch evaluate``: scores of results, with and without true pictures."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.pipeline.cli.output import every_few_seconds, say, say_json
from restore_batch.pipeline.cli.streams import goes_on
from restore_batch.text import plural

if TYPE_CHECKING:
    from restore_batch.pipeline.evaluate.cases import Paired
    from restore_batch.pipeline.evaluate.evaluation import Column, Evaluation, Row

_ARROWS = {"higher": "↑", "lower": "↓"}
_LEFT_OUT_LISTED = 20
_AS_IT_IS = "as it is"
"""The originals, scored beside the results."""


@click.command()
@click.argument("results", required=False, type=click.Path(path_type=Path))
@click.option("--truth", "-t", type=click.Path(path_type=Path), metavar="FOLDER",
              help="True pictures, of the results' names and sizes.")  # fmt: skip
@click.option("--originals", type=click.Path(path_type=Path), metavar="FOLDER",
              help="What they were made from; a job's output folder knows them.")  # fmt: skip
@click.option("--degrade", "recipe", metavar="RECIPE",
              help="RESULTS are good: make them bad, restore them, score that.")  # fmt: skip
@click.option("--job", type=click.Path(path_type=Path), metavar="FILE",
              help="With --degrade: how they are restored.")  # fmt: skip
@click.option("--restorer", "restorers", multiple=True, metavar="NAME",
              help="With --degrade: a face restorer alone, on aligned faces.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="With --degrade: as for `run`.")  # fmt: skip
@click.option("--work", type=click.Path(path_type=Path), metavar="FOLDER",
              help="With --degrade: keep bad pictures and results there.")  # fmt: skip
@click.option("--against", type=click.Path(path_type=Path), multiple=True, metavar="OTHER",
              help="Other results of the same pictures, to compare with; can be given several "
              "times.")  # fmt: skip
@click.option("--groups", metavar="FILE.csv:COLUMN", help="Tables of groups of pictures, too.")
@click.option("--metric", "-m", "metrics", multiple=True, metavar="NAME",
              help="Only these; can be given several times.")  # fmt: skip
@click.option("--border", type=click.IntRange(0), default=0, metavar="PX",
              help="Cut off on all sides before comparing with a truth.")  # fmt: skip
@click.option("--frames", type=click.IntRange(2), default=60, show_default=True,
              help="Of a film, how many from its beginning.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Of the intervals, and of --degrade.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--csv", "to_csv", type=click.Path(path_type=Path), metavar="FILE",
              help="Write a line for each picture.")  # fmt: skip
@click.option("--json", "to_json", metavar="FILE", help="Write all of it; - prints it.")
@click.option("--html", "to_html", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Write a page with the best, middle and worst pictures.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="List the metrics and what they say.")
@click.option("--quiet", "-q", is_flag=True, help="Print the tables only.")
def evaluate(
    results: Path | None, truth: Path | None, originals: Path | None, recipe: str | None,
    job: Path | None, restorers: tuple[str, ...], overrides: tuple[str, ...], work: Path | None,
    against: tuple[Path, ...], groups: str | None, metrics: tuple[str, ...], border: int,
    frames: int, seed: int, workers: int, to_csv: Path | None, to_json: str | None,
    to_html: Path | None, listed: bool, quiet: bool,
) -> None:  # fmt: skip
    """Score RESULTS: a folder of pictures and films, or the output folder of a job.

    With --truth they are compared with true pictures, with originals with what they were made from,
    and without either by what they look like alone. Means have 95 % intervals. A file that cannot
    be read is named and left out. Exit codes: 0 all scored, 1 some left out, 2 wrong usage.
    """
    from restore_batch.pipeline.evaluate.cases import groups_in
    from restore_batch.pipeline.evaluate.evaluation import Choices, plain
    from restore_batch.pipeline.evaluate.evaluation import evaluate as scored
    from restore_batch.pipeline.evaluate.writing import expect_room, write_page

    if listed:
        _list_metrics()
        return
    if results is None:
        raise UsageError("expected RESULTS, a folder; --list names the metrics")
    _check(recipe is not None, bool(job or restorers or overrides or work), truth or originals)
    if to_html is not None:
        expect_room(to_html)
    goes_on("the work")
    failed = False
    with ExitStack() as kept:
        if recipe is not None:
            folder = work or Path(kept.enter_context(tempfile.TemporaryDirectory()))
            bad, failed = _degraded(results, folder, recipe, seed, quiet)
            truth = results
            results = bad if restorers else _restored(bad, folder / "restored", job, overrides)
        systems, compared = _all_systems(results, against, truth, originals)
        if restorers:
            systems = _through(systems, restorers, folder)
            compared = [(name, _AS_IT_IS) for name in restorers]
        choices = Choices(metrics, border, workers, seed, frames)
        grouped = None if groups is None else groups_in(groups)
        done = scored(
            systems,
            choices,
            grouped,
            every_few_seconds("scored", silent=quiet or to_json == "-", err=True),
        )
        page = None if to_html is None else write_page(done, to_html)
    if to_csv is not None:
        _write_csv(to_csv, done)
    if to_json == "-":
        say_json(plain(done))
    else:
        if to_json is not None:
            _written(Path(to_json), json.dumps(plain(done), indent=1))
        _print(done, compared, quiet=quiet)
        if page is not None:
            say(f"page: {page.absolute().as_uri()}")
    if failed or any(done.left_out.values()):
        sys.exit(1)


def _check(degrades: bool, restores: bool, beside: Path | None) -> None:
    if restores and not degrades:
        raise UsageError("--job, --restorer, --set and --work go with --degrade")
    if degrades and beside is not None:
        raise UsageError("with --degrade RESULTS are the truth; leave --truth and --originals out")


def _all_systems(
    results: Path, against: Sequence[Path], truth: Path | None, originals: Path | None
) -> tuple[dict[str, Paired], list[tuple[str, str]]]:
    """What is scored, by name, and the names of those that are compared with each other: the
    results with each of the others."""
    folders = [results, *against]
    names = [folder.resolve().name for folder in folders]
    systems: dict[str, Paired] = {}
    shown: list[dict[str, str]] = []
    for folder, own in zip(folders, names, strict=True):
        found = _systems(folder, truth, originals)
        labels = {
            name: _label(name, folder, spelt_out=names.count(own) > 1)
            for name in found
            if name != _AS_IT_IS
        }
        shown.append(labels)
        if _AS_IT_IS in found:
            systems.setdefault(_AS_IT_IS, found[_AS_IT_IS])
        systems |= {label: found[name] for name, label in labels.items()}
    mine, *others = shown
    compared = []
    for theirs in others:
        both = (
            list(zip(mine, theirs, strict=True))
            if len(mine) == len(theirs) == 1
            else [(name, name) for name in mine if name in theirs]
        )
        compared += [(mine[one], theirs[other]) for one, other in both]
    return systems, compared


def _label(name: str, folder: Path, *, spelt_out: bool) -> str:
    own = folder.resolve().name
    shown = str(folder) if spelt_out else own
    return shown if name == own else f"{shown}/{name}"


def _systems(results: Path, truth: Path | None, originals: Path | None) -> dict[str, Paired]:
    from restore_batch.jobs.outputs import FOLDER, SHEETS
    from restore_batch.pipeline.evaluate import cases
    from restore_batch.pipeline.places import places

    if not results.is_dir():
        raise UsageError(f"{results}: no such folder; expected results or a job's output folder")
    truths = None if truth is None else cases.Folder(truth)
    found = {name: place for name, place in places(str(results))[1].items() if name != SHEETS}
    if not any((place / FOLDER).is_dir() for place in found.values()):
        known = None if originals is None else cases.Folder(originals)
        return _beside({results.resolve().name: cases.of_folder(results, truths, known)})
    if originals is not None:
        raise UsageError(f"{results}: its manifest names the originals; leave --originals out")
    judged = {
        name or results.resolve().name: cases.of_output(place, truths)
        for name, place in found.items()
    }
    return _beside(judged)


def _beside(systems: dict[str, Paired]) -> dict[str, Paired]:
    """With what the originals look like, where that says how much is gained."""
    from restore_batch.pipeline.evaluate.cases import Paired, as_they_are

    first = next(iter(systems.values()))
    plain = as_they_are(first.cases)
    return {_AS_IT_IS: Paired(plain), **systems} if plain else systems


def _degraded(good: Path, folder: Path, recipe: str, seed: int, quiet: bool) -> tuple[Path, bool]:
    """Where the bad pictures are, and whether some could not be made."""
    from restore_batch.pipeline.evaluate.degrading import degrade_folder

    bad = degrade_folder([str(good)], folder / "degraded", recipe, seed)
    for _, reason in bad.failed:
        say(f"restore-batch: {reason}", err=True)
    if not quiet:
        say(f"{plural(len(bad.made), 'picture')} made bad by {recipe}, seed {seed}", err=True)
    return folder / "degraded", bool(bad.failed)


def _through(
    systems: dict[str, Paired], restorers: Sequence[str], folder: Path
) -> dict[str, Paired]:
    """The degraded pictures as they are, and through each restorer."""
    from restore_batch.models.weights.store import Store
    from restore_batch.pipeline.evaluate.cases import Paired
    from restore_batch.pipeline.evaluate.restoring import systems_of

    (bad,) = systems.values()
    cases = tuple(dataclasses.replace(case, original=case.result) for case in bad.cases)
    bad = Paired(cases, bad.left_out)
    store = Store(download=False)
    return {_AS_IT_IS: bad, **systems_of(bad, restorers, folder, store)}


def _restored(bad: Path, output: Path, job: Path | None, overrides: tuple[str, ...]) -> Path:
    """The output folder of a job on degraded pictures."""
    from restore_batch.jobs.source import LoadedJob, job_from_mapping
    from restore_batch.pipeline.drive.summary import Unwatched
    from restore_batch.pipeline.plan.mistakes import planned_mistakes
    from restore_batch.pipeline.session import RunOptions, read_job, run_job

    inputs = str(bad)
    if job is None:
        plain = {
            "inputs": [inputs], "output": str(output), "background": {"scale": 1},
            "engine": {"kind": "local"},
        }  # fmt: skip
        loaded = LoadedJob(job_from_mapping(plain, overrides=overrides, further=planned_mistakes))
    else:
        loaded = read_job(job, overrides)
        moved = {"inputs": (inputs,), "output": output}
        loaded = dataclasses.replace(loaded, job=loaded.job.model_copy(update=moved))
    # What failed is told with what is left out.
    summary = run_job(loaded, Unwatched(), RunOptions())
    if summary.aborted:
        raise RestoreBatchError(f"{output}: the run was ended: {summary.aborted}")
    return output


def _print(done: Evaluation, compared: list[tuple[str, str]], *, quiet: bool) -> None:
    _print_table(done.columns, done.rows(), grouped=done.grouped)
    if compared:
        say("")
        say("Differences, picture by picture:")
        rows = [done.differences(one, other) for one, other in compared]
        _print_table(done.columns, rows, grouped=False)
    if quiet:
        return
    if done.lacking:
        say("")
        for name, why in done.lacking.items():
            say(f"not computed: {name}: {why}")
    for name, some in done.left_out.items():
        for each in some[:_LEFT_OUT_LISTED]:
            say(f"left out: {name}: {each.name}: {each.reason}")
        if len(some) > _LEFT_OUT_LISTED:
            say(f"… and {len(some) - _LEFT_OUT_LISTED} more of {name}: --json lists them")


def _print_table(columns: Sequence[Column], rows: Sequence[Row], *, grouped: bool) -> None:
    for line in table(columns, rows, grouped=grouped):
        say(line)


def table(columns: Sequence[Column], rows: Sequence[Row], *, grouped: bool) -> list[str]:
    """Lines of Markdown: a line for each row, a column for each metric with its direction."""
    heads = ["", *(["group"] if grouped else []), "pictures"]
    heads += [f"{column.title} {_ARROWS[column.better]}" for column in columns]
    lines = [heads, ["---"] * len(heads)]
    for row in rows:
        cells = [row.system, *([row.group] if grouped else []), str(row.pictures)]
        for column in columns:
            found = row.estimates[column.name]
            cells.append("–" if found is None else found.shown())
        lines.append(cells)
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def _list_metrics() -> None:
    from restore_batch.models.metrics import sets
    from restore_batch.models.metrics.catalogue import METRICS
    from restore_batch.models.weights.store import Store
    from restore_batch.pipeline.evaluate.evaluation import all_columns

    store = Store(download=False)
    lacking: Mapping[str, str] = {
        **{metric.name: metric.lacks(store) for metric in METRICS},
        **{metric.name: sets.lacks(store) for metric in sets.SETS},
    }
    for column in all_columns():
        source = f" ({column.source})" if column.source else ""
        say(f"{column.name:17} {column.title}{source}; {column.better} is better")
        say(f"{'':17} {column.convention}")
        if lacking.get(column.name):
            say(f"{'':17} not computed here: {lacking[column.name]}")


def _write_csv(path: Path, done: Evaluation) -> None:
    import io

    names = [column.name for column in done.columns]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["system", "file", "group", *names, "left_out"])
    for system, judged in done.systems.items():
        for each in judged:
            scores = [each.scores.get(name, "") for name in names]
            writer.writerow([system, each.case.name, each.group or "", *scores, ""])
        for left in done.left_out[system]:
            writer.writerow([system, left.name, "", *([""] * len(names)), left.reason])
    _written(path, text.getvalue())


def _written(path: Path, text: str) -> None:
    from restore_batch.files import whole

    try:
        with whole(path) as staged:
            staged.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise RestoreBatchError(f"{path}: cannot be written ({error.strerror or error})") from None

"""``restore-batch status``: what the manifest of a job says, also while it runs."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.output import say, say_json

if TYPE_CHECKING:
    from restore_batch.jobs.manifest import Manifest
    from restore_batch.jobs.records import ItemAtWork, ItemStatus

_FAILED_LISTED = 20


@click.command()
@click.argument("job", type=click.Path())
@click.option("--all", "everything", is_flag=True, help="List every item.")
@click.option("--failed", is_flag=True, help="List everything that failed, and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with every item.")
def status(job: str, everything: bool, failed: bool, as_json: bool) -> None:
    """Show what is done, at work, failed and left of JOB (a job file or an output folder)."""
    folder, found = places(job)
    with ExitStack() as opened:
        standing = _Standing(found, opened)
        if not standing.manifests:
            raise UsageError(
                f"{folder}: nothing was run there yet; `restore-batch run {job}` starts it"
            )
        listed = "failed" if failed else None
        if as_json:
            plain = {
                "output_dir": str(folder),
                "counts": standing.counts,
                "left": standing.left,
                "at_work": [asdict(item) for item in standing.at_work],
                "items": [asdict(item) for item in standing.items(listed)],
                "last_run": standing.last_run,
            }
            say_json(plain)
            return
        if everything or failed:
            for item in standing.items(listed):
                _print(item.state, item)
        else:
            _print_summary(standing)
        _print_totals(standing)


class _Standing:
    """How far a job is: one manifest, or those of all restorers that it compares."""

    def __init__(self, places: Mapping[str, Path], opened: ExitStack) -> None:
        from restore_batch.jobs.manifest import Manifest

        self.manifests: dict[str, Manifest] = {}
        for name, place in places.items():
            if (manifest := Manifest.read(place)) is not None:
                self.manifests[f"{name}/" if name else ""] = opened.enter_context(manifest)
        self.counts: Counter[str] = Counter()
        self.at_work: list[ItemAtWork] = []
        self.last_run: dict[str, Any] | None = None
        not_begun = 0
        for prefix, manifest in self.manifests.items():
            self.counts.update(manifest.counts())
            self.at_work += [
                replace(item, output=prefix + item.output) for item in manifest.at_work()
            ]
            self.last_run = manifest.last_run() or self.last_run
            not_begun += manifest.not_begun()
        unfinished = self.counts["pending"] + self.counts["staged"]
        self.left = not_begun + max(0, unfinished - len(self.at_work))

    def items(self, state: str | None = None, most: int = -1) -> Iterator[ItemStatus]:
        """Items in ``state``, or all, of one manifest after another; at most ``most`` of each."""
        for prefix, manifest in self.manifests.items():
            for item in manifest.items(state, most):
                yield replace(item, output=prefix + item.output)


def places(job: str) -> tuple[Path, Mapping[str, Path]]:
    """The output folder of a job, and the folders in it that may have a manifest, by name."""
    from restore_batch.jobs.outputs import FOLDER, output_folders
    from restore_batch.jobs.source import load_job

    folder = Path(job)
    if not os.path.isdir(folder):  # noqa: PTH112 - a path without permission is none, too
        described = load_job(job).job
        return Path(described.output), output_folders(described)
    if os.path.lexists(folder / FOLDER):
        return folder, {"": folder}
    # The folder of a comparison has none of its own, but every folder in it does.
    inner = sorted(path.parent for path in folder.glob(f"*/{FOLDER}") if path.is_dir())
    return folder, {path.name: path for path in inner}


def _print_summary(standing: _Standing) -> None:
    for current in standing.at_work:
        begun = current.segments_done + current.segments_begun
        detail = f"{current.segments_done} of the {begun} segments begun are done" if begun else ""
        _print_line("at work", current.output, detail)
    failed = list(standing.items("failed", _FAILED_LISTED))[:_FAILED_LISTED]
    for item in failed:
        _print("failed", item)
    if more := standing.counts["failed"] - len(failed):
        say(f"… and {more} more that failed: --failed lists them")


def _print(state: str, item: ItemStatus) -> None:
    faces = "1 face" if item.faces == 1 else f"{item.faces} faces"
    filled = f", {item.repaired:.2%} filled" if item.repaired else ""
    detail = f"{faces}{filled}" if state == "done" else item.error
    stand_in = f"; the original stands in: {item.stand_in}" if item.stand_in else ""
    _print_line(state, item.output, f"{detail}{stand_in}")


def _print_line(state: str, output: str, detail: str) -> None:
    say(f"{state:8} {output}  {detail}".rstrip())


def _print_totals(standing: _Standing) -> None:
    counts, last = standing.counts, standing.last_run
    parts = [f"{counts[state]:,} {state}" for state in ("done", "failed") if counts[state]]
    parts += [f"{len(standing.at_work):,} at work"] if standing.at_work else []
    parts += [f"{standing.left:,} left"] if standing.left else []
    ended = f"; last run {last['outcome'] or 'is going on or was cut off'}" if last else ""
    say((", ".join(parts) or "nothing begun") + ended)

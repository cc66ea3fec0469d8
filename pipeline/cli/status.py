"""``restore-batch status``: what the manifest of a job says, also while it runs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import click

from restore_batch.errors import UsageError


@click.command()
@click.argument("job", type=click.Path())
@click.option("--failed", is_flag=True, help="List only what failed, with the reasons.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(job: str, failed: bool, as_json: bool) -> None:
    """Show what is done, failed and left of JOB (a job file or an output folder)."""
    from restore_batch.jobs.manifest import FOLDER, Manifest
    from restore_batch.jobs.results import folders
    from restore_batch.jobs.source import load_job
    from restore_batch.pipeline.cli.progress import shown

    if (folder := Path(job)).is_dir():
        # The folder of a comparison has none of its own, but every folder in it does.
        inner = sorted(path.parents[1] for path in folder.glob(f"*/{FOLDER}/manifest.sqlite"))
        here = (folder / FOLDER).is_dir()
        places = {"": folder} if here else {path.name: path for path in inner}
    else:
        described = load_job(job).job
        folder, places = Path(described.output), folders(described)
    items, last = [], None
    found = {name: Manifest.read(place) for name, place in places.items()}
    for name, manifest in found.items():
        if manifest is None:
            continue
        with manifest:
            prefix = f"{name}/" if name else ""
            items += [replace(i, output=prefix + i.output) for i in manifest.items()]
            last = manifest.last_run() or last
    if not any(found.values()):
        raise UsageError(
            f"{folder}: nothing was run there yet; `restore-batch run {job}` starts it"
        )
    counts = Counter(item.state for item in items)
    chosen = [item for item in items if item.state == "failed" or not failed]
    if as_json:
        plain = {"output_dir": str(folder), "counts": counts, "items": [asdict(i) for i in chosen]}
        click.echo(json.dumps({**plain, "last_run": last}, indent=2))
        return
    for item in chosen:
        detail = f"{item.faces} faces" if item.state == "done" else item.error
        stand_in = f"; the original stands in: {item.stand_in}" if item.stand_in else ""
        click.echo(shown(f"{item.state:8} {item.output}  {detail}{stand_in}"))
    totals = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    ended = f"last run {last['outcome'] or 'is going on or was cut off'}" if last else ""
    click.echo(f"{len(items)} items: {totals}; {ended}")

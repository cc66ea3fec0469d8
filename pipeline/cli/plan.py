"""``restore-batch plan`` and ``schema``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.begin.asked import CommandInput, asks
from restore_batch.pipeline.cli.output import say, say_json
from restore_batch.text import NAMES_SHOWN, first_of, plural

if TYPE_CHECKING:
    from restore_batch.pipeline.drive.forecast import Foreseen
    from restore_batch.pipeline.plan.estimate import Estimate
    from restore_batch.pipeline.plan.items import Item
    from restore_batch.pipeline.plan.plan import Plan

_ITEMS_SHOWN = 20
_STATES = {"done": "done", "failed": "failed", "pending": "left"}
_TRAVELS = {
    "inputs": "originals are sent",
    "weights": "weights are sent, once a node",
    "staging": "results come back through this machine",
}


@click.command()
@asks
@click.option("--all", "show_all", is_flag=True, help="List every file, not just the first ones.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--measure", is_flag=True, help="Restore a few frames of a film to tell the time.")
def plan(asked: CommandInput, show_all: bool, as_json: bool, measure: bool) -> None:
    """Show what `run` would do with the same words: files, models, workers, disk, rough time.

    What is done is not done again: time and disk are those of what is left. Of more than 10,000
    photos a sample of headers is read, unless all are listed.
    """
    from restore_batch.pipeline.compare.comparison import ComparisonPlan
    from restore_batch.pipeline.drive.forecast import foresee
    from restore_batch.pipeline.plan.estimate import estimate
    from restore_batch.pipeline.plan.resources import Cluster
    from restore_batch.pipeline.session import plan_job

    # What lists all files must know all of them.
    made = plan_job(asked.read().loaded, "all" if show_all or as_json else "some")
    plans = made.systems if isinstance(made, ComparisonPlan) else {"": made}
    if measure and any(isinstance(plan.site, Cluster) for plan in plans.values()):
        raise UsageError("--measure restores frames here, which says nothing of a cluster's nodes")
    found = {name: foresee(plan) for name, plan in plans.items()}
    # What a run takes is what it has left to do.
    figures = {
        name: estimate(replace(plan, items=found[name].left), measure=measure)
        for name, plan in plans.items()
    }
    if as_json:
        shown = {name: _as_dict(plan, found[name], figures[name]) for name, plan in plans.items()}
        sheets = str(made.sheets_dir) if isinstance(made, ComparisonPlan) else ""
        whole = {"systems": shown, "sheets_dir": sheets} if sheets else shown[""]
        say_json(whole)
        return
    first = next(iter(plans))
    _print_files(plans[first], found[first], show_all)
    for name, plan in plans.items():
        _print(plan, found[name], figures[name], name)
    if isinstance(made, ComparisonPlan):
        say("")
        say(f"contact sheets go to {made.sheets_dir}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors."""
    from restore_batch.pipeline.plan.photos import job_schema

    say_json(job_schema())


def _as_dict(plan: Plan, found: Foreseen, figures: Estimate) -> dict[str, Any]:
    return {
        "output_dir": str(plan.output_dir),
        "output": str(plan.job.output),
        "items": [
            {
                "source": item.source.source, "output": item.output,
                "size_bytes": item.source.size_bytes, "width": item.facts.get("width"),
                "height": item.facts.get("height"), "error": item.error,
                "frames": item.frames, "duration_s": item.facts.get("duration_s"),
                "notes": list(plan.notes_on(item)), "state": found.state_of(item),
            }
            for item in plan.items
        ],
        "models": [
            {
                "role": c.role, "asked": c.asked, "card": c.card.name if c.card else None,
                "licence": c.card.licence.title if c.card else None,
                "commercial": c.card.licence.commercial if c.card else None,
                "weights": c.availability, "note": c.note,
            }
            for c in plan.choices.values()
        ],
        "stages": list(dict.fromkeys(s.name for g in plan.groups for s in g.stages)),
        "groups": [{"stages": g.name, "workers": g.workers} for g in plan.groups],
        "device": plan.share.runtime.device, "threads": plan.share.threads,
        "cluster": _cluster(plan),
        "megapixels": figures.megapixels, "disk_bytes": figures.disk_bytes,
        "free_bytes": figures.free_bytes, "seconds": figures.seconds,
        "slower_seconds": figures.slower_s,
        "timing": dict(figures.timing),
        "notes": list(plan.notes), "passed_over": dict(plan.passed_over),
        "done": len(found.done), "failed": len(found.failed), "left": len(found.left),
        "earlier": list(found.earlier),
    }  # fmt: skip


def _cluster(plan: Plan) -> list[dict[str, Any]] | None:
    """The nodes of a cluster, and the workers that each has in a computing pool."""
    from restore_batch.pipeline.plan.resources import Cluster

    layout = plan.engine.layout
    if layout is None or not isinstance(plan.site, Cluster):
        return None
    nodes = plan.site.nodes
    computing = Counter(layout.computing(nodes))
    return [
        {"node": node.host, "cores": node.cores, "gpus": node.gpus,
         "memory_bytes": node.memory_bytes, "workers": computing[node.id],
         "sees": asdict(sees) if (sees := plan.site.sees.get(node.id)) else None}
        for node in nodes
    ]  # fmt: skip


def _cluster_lines(plan: Plan) -> Iterator[str]:
    """What the cluster was found to be, like nodes in one line."""
    found = _cluster(plan)
    if found is None:
        return
    yield f"cluster at {plan.engine.address}: {plural(len(found), 'node')}"
    alike = Counter((node["cores"], node["gpus"], node["workers"]) for node in found)
    for (cores, gpus, workers), count in alike.most_common():
        yield (
            f"{plural(count, 'node')} with {cores:g} CPUs, {gpus:g} GPUs:"
            f" {plural(workers, 'worker')} a pool{' each' if count > 1 else ''}"
        )
    if not any(node["workers"] for node in found):
        yield "no node has room for a worker now: a run waits for one that joins"
    yield from _sight_lines(found)


def _sight_lines(nodes: list[dict[str, Any]]) -> Iterator[str]:
    """What travels to nodes and back, those alike in one line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for node in nodes:
        if node["sees"] is not None:
            hidden = tuple(what for what in _TRAVELS if not node["sees"][what])
            alike.setdefault(hidden, []).append(node["node"])
    for hidden, hosts in alike.items():
        whose = f"{plural(len(hosts), 'node')} ({first_of(hosts)})"
        if not hidden:
            yield f"only names travel: {whose} with originals, weights and output in sight"
        else:
            what = ", ".join(_TRAVELS[each] for each in hidden)
            yield f"{what}: {whose} with other files at these paths, or none"


def _size(item: Item) -> str:
    if not item.facts:
        return "unreadable"
    size = f"{item.facts['width']}×{item.facts['height']}"
    if item.is_film:
        size += f", {plural(item.frames, 'frame')}, {item.facts['duration_s']:.1f} s"
    return size


def _print_files(plan: Plan, found: Foreseen, show_all: bool) -> None:
    from rich.table import Table

    from restore_batch.jobs.labels import passed_over_line
    from restore_batch.pipeline.cli.screen import Screen
    from restore_batch.text import legible

    out = Screen()
    columns = ["file", "size", "result"] + ([] if found.is_first else ["state"])
    files = Table(*columns, box=None, header_style="bold", pad_edge=False)
    read = [item for item in plan.items if not item.unread]
    limit = len(plan.items) if show_all else _ITEMS_SHOWN
    for item in read[:limit]:
        size = _size(item)
        state = [] if found.is_first else [_STATES[found.state_of(item)]]
        files.add_row(legible(item.source.relative), size, legible(item.output), *state)
    out.print(files)
    if len(plan.items) > limit:
        out.say(f"… and {len(plan.items) - limit} more (--all lists them)")
    photos, looked_at = plan.photos_by_header
    if looked_at < photos:
        out.say(f"of {photos} photos the headers of {looked_at} were read, evenly taken; what is"
                " said here of the others is reckoned from these (--all reads all)")  # fmt: skip
    passed_over = passed_over_line(plan.passed_over)
    if passed_over:
        out.say(passed_over)
    alike: dict[str, list[str]] = {}
    for item in read:
        if found.state_of(item) != "pending":
            continue
        if item.error:
            out.say(f"will fail: {item.error}")
            continue
        for note in plan.notes_on(item):
            alike.setdefault(note, []).append(item.source.relative)
    for note, names in alike.items():
        out.say(f"note: {_listed(names)}: {note}")


def _listed(names: list[str]) -> str:
    """The files of one note: all of a few, the first and the number of many."""
    if len(names) <= NAMES_SHOWN:
        return ", ".join(names)
    return f"{plural(len(names), 'file')} ({first_of(names)})"


def _known_by(figures: Estimate) -> str:
    """Whether the time is measured or counted, and of which networks it is which."""
    by_source: dict[str, list[str]] = {}
    for name, source in sorted(figures.timing.items()):
        by_source.setdefault(source, []).append(name)
    if not by_source:
        return ""
    said = "; ".join(f"{source}: {', '.join(by_source[source])}" for source in sorted(by_source))
    return f" ({said})"


def _print(plan: Plan, found: Foreseen, figures: Estimate, title: str) -> None:
    from rich.table import Table

    from restore_batch.pipeline.cli.screen import Screen
    from restore_batch.text import duration, legible

    out = Screen()
    if title:
        out.print()
        out.print(legible(title), style="bold")
    models = Table("role", "model", "licence", "weights", box=None, header_style="bold",
                   pad_edge=False)  # fmt: skip
    for choice in plan.choices.values():
        if choice.card is None:
            models.add_row(choice.role, "–", "", "")
            continue
        licence = choice.card.licence
        terms = licence.title if licence.commercial else f"{licence.title} (non-commercial)"
        models.add_row(*map(legible, (choice.role, choice.card.name, terms, choice.availability)))
    out.print()
    out.print(models)
    out.print()
    for number, group in enumerate(plan.groups, 1):
        workers = plural(group.workers, "worker")
        out.say(f"group {number}: {workers}: {group.name.replace('+', ' → ')}")
    for line in _cluster_lines(plan):
        out.say(line)
    share = plan.share
    out.say(f"device: {share.runtime.device}, {share.runtime.precision}, {share.threads} threads"
            f" a worker; engine: {plan.job.engine.kind}")  # fmt: skip
    for note in (*plan.notes, *found.earlier):
        out.say(f"note: {note}")
    background = plan.choices["background"]
    if background.too_slow is not None and figures.slower_s is not None:
        taken = background.card.name if background.card else "plain Lanczos"
        out.say(f"note: on a CPU pictures are enlarged with {taken}; with"
                f" `background.model: {background.too_slow.name}` all would take about"
                f" {duration(figures.slower_s)}")  # fmt: skip
    time_text = "unknown"
    if figures.seconds is not None:
        time_text = f"about {duration(figures.seconds)}{_known_by(figures)}"
    out.say(
        f"{plural(len(plan.items), 'file')}{_stand(found)}, {figures.megapixels:.1f} megapixels,"
        " faces not counted yet;"
        f" time: {time_text}; disk: about {figures.disk_bytes / 1e6:.0f} MB"
        f" of {figures.free_bytes / 1e9:.0f} GB free; results go to {plan.job.output}"
    )
    if figures.disk_bytes > figures.free_bytes:
        out.print("not enough disk space", style="bold red")


def _stand(found: Foreseen) -> str:
    """How many of the files are done, failed before and left, where something was run."""
    if found.is_first:
        return ""
    parts = [f"{len(found.done)} done"] if found.done else []
    if found.failed:
        parts.append(f"{len(found.failed)} failed before (`retry` tries again)")
    return f", {', '.join(parts)}, {len(found.left)} left"

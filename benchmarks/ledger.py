"""What the ledger of very many items costs: first run, second run, ``status``, retry, repair.

    python benchmarks/ledger.py --items 200000 --folder /disk/with/room

The items are made up and their results a few bytes long; the ledger, its journal, its files and
the comparison of a second run are the real ones. Results come in ``--together``, as they do from
that many workers. A million take 5 GB of disk, a few bytes in a file each. Times are printed as
seconds on the clock and of the processor; on a busy machine compare the latter.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from click.testing import CliRunner
from PIL import Image

from restore_batch.jobs.inputs import SourceFile
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof import journal
from restore_batch.jobs.proof.kept import NAME
from restore_batch.jobs.proof.repair import repair
from restore_batch.jobs.records import StagedResult
from restore_batch.jobs.units import Unit
from restore_batch.pipeline.cli.status import status
from restore_batch.pipeline.compare.comparison import ComparisonPlan
from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.summary import Unwatched
from restore_batch.pipeline.plan.headers import probe_key
from restore_batch.pipeline.plan.items import Item
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import plan_job, read_job

T = TypeVar("T")


def measured(what: str, step: Callable[[], T], items: int = 0) -> T:
    """The result of ``step``, and a line of what it took."""
    clock, cpu, memory = time.perf_counter(), time.process_time(), peak_bytes()
    result = step()
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    a_second = f"  {items / seconds:9,.0f} a second" if items else ""
    grown = peak_bytes() - memory
    print(f"{what:32}{seconds:9.2f} s  cpu {cpu:8.2f} s  {grown / 1e6:8.1f} MB{a_second}")
    return result


def peak_bytes() -> int:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def make_job(folder: Path) -> None:
    """A job without networks, and the empty folder of its inputs."""
    (folder / "in").mkdir(parents=True)
    nothing = {"model": "none"}
    job = {
        "inputs": ["in"], "output": "out", "restore": nothing, "detect": nothing,
        "background": {"model": "none", "scale": 1}, "engine": {"kind": "local", "workers": 1},
    }  # fmt: skip
    (folder / "job.yaml").write_text(json.dumps(job), encoding="utf-8")


def made_up_plan(folder: Path, items: int) -> Plan:
    """The plan of a job about one small picture, with ``items`` others in its place."""
    make_job(folder)
    Image.new("RGB", (8, 8)).save(folder / "in" / "a.png")
    plan = plan_job(read_job(folder / "job.yaml"))
    assert not isinstance(plan, ComparisonPlan)
    facts = plan.items[0].facts
    names = (f"box{number // 1000:04}/scan{number:07}.png" for number in range(items))
    others = (
        Item(SourceFile(f"/archive/{name}", name, 1000, f"mtime_ns:{number}"), name, facts)
        for number, name in enumerate(names)
    )
    return replace(plan, items=tuple(others))


def first_run(plan: Plan, manifest: Manifest, together: int) -> None:
    """What the driver records of a run; the workers' part is a small file."""
    probe = probe_key(plan.items[0].source.source, plan.job)
    waiting: list[tuple[Unit, StagedResult]] = []
    for item in plan.items:
        source, data = item.source, item.output.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        stamp = f"{source.size_bytes} {source.version}"
        manifest.note_source(source.source, stamp, sha256, dict(item.facts), probe)
        unit = manifest.start(plan.unit(item, sha256), sha256)
        unit.staged_path.write_bytes(data)
        seconds = {"decode": 0.01, "encode": 0.02}
        result = StagedResult(str(unit.staged_path), len(data), sha256, 8, 8, seconds=seconds)
        waiting.append((unit, result))
        if len(waiting) == together:
            assert not any(manifest.commit_all(waiting))
            waiting.clear()
    assert not any(manifest.commit_all(waiting))


def fail_some(plan: Plan, manifest: Manifest, every: int) -> Iterator[Unit]:
    """Fail one in ``every`` items."""
    for item in plan.items[::every]:
        unit = manifest.start(plan.unit(item, "changed"), "changed")
        manifest.fail(unit, "decode", "MediaError", "made up")
        yield unit


def shown(out: Path) -> None:
    """``status``, and its last line."""
    answer = measured("status", lambda: CliRunner().invoke(status, [str(out)]))
    print(f"    {answer.output.splitlines()[-1]}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--together", type=int, default=64)
    parser.add_argument("--folder", type=Path, required=True, help="made, and removed at the end")
    parser.add_argument("--repair", action="store_true", help="rebuild the manifest, too")
    given = parser.parse_args()
    items, out = given.items, given.folder / "out"
    plan = measured("made-up plan", lambda: made_up_plan(given.folder, items))
    try:
        with Manifest.open(out) as manifest:
            manifest.begin_run("0", "job.yaml", {}, [], items)
            measured("first run", lambda: first_run(plan, manifest, given.together), items)
            manifest.end_run("finished")
        for name in (NAME, journal.NAME):
            print(f"    {name}: {(out / FOLDER / name).stat().st_size // items} bytes an item")
        manifest = measured("open", lambda: Manifest.open(out))
        with manifest:
            measured("recover", manifest.recover)
            second = Run(plan, manifest, Unwatched())
            summary = measured("second run, nothing to do", second.execute, items)
            assert summary.unchanged == items
        shown(out)
        with Manifest.open(out) as manifest:
            manifest.begin_run("0", "job.yaml", {}, [], items)
            measured("a tenth fails", lambda: list(fail_some(plan, manifest, 10)), items // 10)
        shown(out)
        with Manifest.open(out) as manifest:
            measured("retry", manifest.forget_failures)
        if given.repair:
            (out / FOLDER / NAME).write_bytes(b"no manifest")
            measured("repair-manifest", lambda: repair(out), items)
    finally:
        shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()

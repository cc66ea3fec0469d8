"""Units with files of known content, for tests of the manifest.

Run as a program it is a job that can be killed: see ``main``.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from restore_batch.jobs.ledger import Ledger
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.records import FaceRow, SourceNote, StagedResult
from restore_batch.jobs.units import Photo, unit_id

FACE = FaceRow(0, (1.0, 2.0, 3.0, 4.0), ((1.0, 1.0),) * 5, 0.9, True, 0.8, 1.0, "")


def scratch_folder() -> str | None:
    """A file system without a disk under it where there is one: fsync costs nothing there."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def photo(folder: Path, output: str, base: str = "base", face: str = "face") -> Photo:
    """The unit whose result is ``output``; ``base`` and ``face`` stand for the options."""
    return Photo(
        id=unit_id("source", output, base, face), source=f"/in/{output}",
        output=output, staging_dir=str(folder / FOLDER / "tmp"), base_key=base, face_key=face,
    )  # fmt: skip


def content(unit: Photo) -> bytes:
    """The result of ``unit``: long enough to be seen half-written."""
    return f"{unit.output}|{unit.base_key}|{unit.face_key}|".encode("utf-8", "replace") * 2000


def original(unit: Photo) -> bytes:
    """The source of ``unit``."""
    return b"original of " + unit.output.encode("utf-8", "replace")


def staged(unit: Photo, faces: int = 0, data: bytes | None = None) -> StagedResult:
    """What a worker does: the file in the staging folder, and its checksum."""
    data = content(unit) if data is None else data
    unit.staged_path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return StagedResult(str(unit.staged_path), len(data), sha256, 4, 3, (FACE,) * faces)


def source_facts(
    ledger: Ledger, source: str, stamp: str, probe: str
) -> tuple[str | None, dict[str, Any] | None]:
    """Checksum and header noted for one source while its stamp is the same."""
    noted = ledger.noted_sources([source]).get(source)
    (header,) = ledger.noted_headers([(source, stamp, probe)])
    return (noted.sha256 if noted is not None and noted.stamp == stamp else None), header


def do(manifest: Manifest, unit: Photo, faces: int = 0) -> Photo:
    """Start and commit ``unit``."""
    begun = manifest.start(unit, "source")
    manifest.commit(begun, staged(begun, faces))
    return begun


def do_fail(manifest: Manifest, unit: Photo, stand_in: str = "") -> None:
    """Start ``unit`` and fail it, with a copy of its original at ``stand_in``."""
    begun = manifest.start(unit, "source")
    if stand_in:
        put_stand_in(manifest, unit, stand_in)
    manifest.fail(begun, "decode", "MediaError", f"{unit.output}: not a picture", stand_in)


def put_stand_in(manifest: Manifest, unit: Photo, stand_in: str) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(original(unit))
        file.seek(0)
        copy = manifest.staging_dir / f"{unit.id}.original"
        manifest.put_copy(file, copy, stand_in)


REDONE, FAILED_BEFORE, NEW, FAILS = "redone.png", "failed-before.png", "new/folder/new.png", "f.png"
FAILED_BEFORE_COPY, FAILS_COPY = "failed-before.tif", "f.tif"


def prepare(folder: Path) -> None:
    """A folder as an earlier run with other options left it."""
    with Manifest.open(folder) as manifest:
        manifest.begin_run("0", "job.yaml", {}, [])
        do(manifest, photo(folder, REDONE, base="old"), faces=2)
        do_fail(manifest, photo(folder, FAILED_BEFORE), FAILED_BEFORE_COPY)


def resume(manifest: Manifest) -> None:
    """What the next run does: redo, do what failed, do what is new, and fail."""
    folder = manifest.output_dir
    manifest.recover()
    manifest.begin_run("1", "job.yaml", {}, [])
    manifest.forget_failures()
    for output, faces in ((REDONE, 1), (FAILED_BEFORE, 0), (NEW, 2)):
        unit = photo(folder, output)
        if manifest.state_of(unit) != "done":
            do(manifest, unit, faces)
    do_fail(manifest, photo(folder, FAILS), FAILS_COPY)
    manifest.end_run("finished")


GROUP = (REDONE, FAILED_BEFORE, NEW)


def resume_in_a_group(manifest: Manifest) -> None:
    """What the next run does where its results come in together."""
    manifest.recover()
    manifest.begin_run("1", "job.yaml", {}, [])
    manifest.forget_failures()
    units = [photo(manifest.output_dir, output) for output in GROUP]
    begun = manifest.start_all([(u, "source") for u in units if manifest.state_of(u) != "done"])
    notes = [SourceNote(unit.source, "7 x", "source", {"width": 3}, "probe") for unit in begun]
    reasons = manifest.commit_all([(unit, staged(unit, faces=1)) for unit in begun], notes)
    assert not any(reasons), reasons
    manifest.end_run("finished")


class Killer:
    """Kills this process just before its ``step``-th statement, rename or removal of a file."""

    def __init__(self, step: int) -> None:
        self._left = step
        sys.addaudithook(self._on_event)

    def watch(self, database: sqlite3.Connection) -> None:
        database.set_trace_callback(lambda _: self._count())

    def _on_event(self, event: str, _: object) -> None:
        if event in ("os.rename", "os.remove", "os.mkdir"):
            self._count()

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at_every_step(folder: Path, go_on: Callable[[Manifest], None] = resume) -> None:
    """``folder/<n>`` becomes what a run leaves that is killed at its ``n``-th step, for all n."""
    prepare(folder / "start")
    for step in range(1, 1000):
        work = folder / str(step)
        shutil.copytree(folder / "start", work)
        child = os.fork()
        if child == 0:
            manifest = Manifest.open(work)
            killer = Killer(step)
            killer.watch(manifest._db)
            go_on(manifest)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            shutil.rmtree(work)
            sys.exit(os.waitstatus_to_exitcode(status))
    sys.exit("the run did not end")


def kill_in_a_group_at_every_step(folder: Path) -> None:
    """The same of a run whose results come in together."""
    kill_at_every_step(folder, resume_in_a_group)


def commit_for_ever(folder: Path) -> None:
    """Do and redo units until killed."""
    manifest = Manifest.open(folder)
    manifest.recover()
    print("ready", flush=True)
    while True:
        number, version = random.randrange(5), random.randrange(3)
        do(manifest, photo(folder, f"{number}.png", base=f"base{version}"), faces=version)


def hold(folder: Path) -> None:
    """Keep ``folder`` locked, with one unit done, until killed."""
    with Manifest.open(folder) as manifest:
        do(manifest, photo(folder, "a.png"))
        print("ready", flush=True)
        signal.pause()


def main() -> None:
    """``python -m support.ledger WHAT FOLDER``"""
    programs: tuple[Callable[[Path], None], ...] = (
        kill_at_every_step, kill_in_a_group_at_every_step, commit_for_ever, hold,
    )  # fmt: skip
    what = {program.__name__: program for program in programs}
    what[sys.argv[1]](Path(sys.argv[2]))


if __name__ == "__main__":
    main()

"""Where a result is there and its original has other times, a worker reads the original; nothing
else is done to it, and nothing is lost by it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest

from restore_batch.jobs.manifest import FOLDER
from restore_batch.jobs.units import Content, Unit
from restore_batch.pipeline.drive import workers
from restore_batch.pipeline.drive.summary import Summary, Unwatched
from restore_batch.pipeline.engine.local import LocalBackend
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.pipeline.session import RunOptions, open_run, read_job, run_job
from restore_batch.stages.base import WorkerContext

from support.archive import make_archive, scene, write_job
from support.clips import clip
from support.data import ROOT

FORM = jsonschema.Draft202012Validator(
    json.loads((ROOT / "deploy" / "events.schema.json").read_text(encoding="utf-8"))
)
PHOTOS = 20
NOTHING = {
    "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
    "detect": {"model": "none"}, "engine": {"kind": "local", "workers": 1, "threads": 1},
}  # fmt: skip

KEPT = "its result of an earlier run is kept"

_listening: list[list[tuple[str, str]]] = []
"""Who wants to know what this process opens, and by which thread."""


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    # With a mode: as Python's own files are opened, of which some are opened by os.open in turn.
    if event == "open" and isinstance(arguments[0], str) and arguments[1] is not None:
        for opened in _listening:
            opened.append((arguments[0], threading.current_thread().name))


sys.addaudithook(_audit)


@contextmanager
def opened_in(folder: Path) -> Iterator[list[tuple[str, str]]]:
    """The files below ``folder`` that are opened in this process meanwhile, and by which thread."""
    opened: list[tuple[str, str]] = []
    found: list[tuple[str, str]] = []
    _listening.append(opened)
    try:
        yield found
    finally:
        _listening.remove(opened)
    found += [each for each in opened if Path(each[0]).is_relative_to(folder)]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a film and numbered pictures, all restored."""
    root = tmp_path_factory.mktemp("archive")
    make_archive(root / "in/photos", faces=0, scenes=PHOTOS, side_px=48)
    clip(root / "in/photos/film.mkv", codec="ffv1", frames=6)
    (root / "in/reel").mkdir()
    for number in range(3):
        scene(48, 32, number).save(root / "in/reel" / f"frame_{number:03d}.png")
    write_job(
        root / "job.yaml", inputs=["in/photos", "in/reel/frame_%03d.png"], output="out", **NOTHING
    )
    assert run(root).done == PHOTOS + 2
    return root


@pytest.fixture
def root(archive: Path, tmp_path: Path) -> Iterator[Path]:
    """The same elsewhere: results and ledger as they were, originals with other times."""
    shutil.copytree(archive, tmp_path / "copy", copy_function=shutil.copy2)
    for path in originals(tmp_path / "copy"):
        os.utime(path)
    # The ledger knows originals by their paths.
    shutil.move(archive, tmp_path / "first")
    shutil.move(tmp_path / "copy", archive)
    try:
        yield archive
    finally:
        shutil.rmtree(archive)
        shutil.move(tmp_path / "first", archive)


def originals(root: Path) -> list[Path]:
    return sorted(path for path in (root / "in").rglob("*") if path.is_file())


def run(root: Path, watcher: Unwatched | None = None, **options: bool) -> Summary:
    return run_job(read_job(root / "job.yaml"), watcher or Unwatched(), RunOptions(**options))


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.done, summary.unchanged, len(summary.failed)


def recorded(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that is on record of results and attempts at them."""
    path = root / "out" / FOLDER / "manifest.sqlite"
    with closing(sqlite3.connect(path)) as ledger:
        return {
            table: sorted(ledger.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in ("items", "units", "attempts", "faces")
        }


def results(root: Path) -> dict[str, tuple[int, int]]:
    """Each result's number in the file system, and its time: other ones where it was made anew."""
    found = (path for path in (root / "out").rglob("*") if FOLDER not in path.parts)
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in found if p.is_file()}


def events(root: Path, of: int) -> Counter[tuple[str, str]]:
    """The changes of units in the run of that number."""
    text = (root / "out" / FOLDER / "events.jsonl").read_text("ascii")
    lines = [line for line in map(json.loads, text.splitlines()) if line["run"] == of]
    for line in lines:
        FORM.validate(line)
    return Counter((line["kind"], line["state"]) for line in lines if line["kind"] != "run")


@pytest.mark.parametrize("verify", [False, True])
def test_originals_with_other_times_are_read_once_by_workers_and_all_else_stays(
    root: Path, verify: bool
) -> None:
    before, made = recorded(root), results(root)
    with opened_in(root / "in") as opened:
        summary = run(root, verify=verify)
    assert counts(summary) == (0, PHOTOS + 2, 0), summary.failed
    assert Counter(path for path, _ in opened) == Counter(map(str, originals(root)))
    assert {thread for _, thread in opened} == {"checksum+decode+assess+index+join"}
    assert (recorded(root), results(root)) == (before, made)
    assert events(root, 2) == {
        ("content", "begun"): PHOTOS + 2, ("content", "done"): PHOTOS + 2,
    }  # fmt: skip
    with opened_in(root / "in") as opened:
        assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert opened == [], "their times are on record now"
    assert not events(root, 3)


def put_another_picture(root: Path) -> None:
    scene(48, 48, 99).save(root / "in/photos/scene07.jpg", quality=90)


def put_another_film(root: Path) -> None:
    clip(root / "in/photos/film.mkv", codec="ffv1", frames=5)


def put_another_number(root: Path) -> None:
    scene(48, 32, 99).save(root / "in/reel" / "frame_001.png")


@pytest.mark.parametrize("change", [put_another_picture, put_another_film, put_another_number])
def test_only_what_holds_something_else_is_made_anew_and_that_is_said(
    root: Path, change: Callable[[Path], None]
) -> None:
    change(root)
    summary = run(root)
    assert counts(summary) == (1, PHOTOS + 1, 0)
    told = [text for _, text in summary.warned if "original's content has changed" in text]
    assert len(told) == 1
    with opened_in(root / "in") as opened:
        assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert opened == []


def test_what_is_to_be_made_anew_for_another_reason_is_though_the_original_is_the_same(
    root: Path,
) -> None:
    (root / "out" / "scene03.jpg").unlink()
    summary = run(root, verify=True)
    assert counts(summary) == (1, PHOTOS + 1, 0)
    ((source, text),) = summary.warned
    assert Path(source).name == "scene03.jpg"
    assert text == "the result scene03.jpg is gone; it is made again"


class Hasty(Unwatched):
    """Does something when the content of an original is about to be read, or was."""

    def __init__(self, do: Callable[[Unit], object], after: int = 0) -> None:
        super().__init__()
        self._do, self._left = do, after

    def started(self, unit: Unit) -> None:
        if isinstance(unit, Content):
            self._left -= 1
            if self._left < 0:
                self._do(unit)


KILLED = """
import os, signal, sys
from pathlib import Path
from pipeline.drive.test_content import Hasty, run
run(Path(sys.argv[1]), Hasty(lambda unit: os.kill(os.getpid(), signal.SIGKILL), after=9))
"""


def test_a_run_that_is_killed_while_it_compares_leaves_all_results_done(root: Path) -> None:
    before, made = recorded(root), results(root)
    tests = Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=tests, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (recorded(root), results(root)) == (before, made)
    with opened_in(root / "in") as opened:
        assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert 0 < len(opened) < len(originals(root)), "what was compared before is on record"
    assert (recorded(root), results(root)) == (before, made)


def test_a_run_that_is_interrupted_while_it_compares_leaves_the_rest_for_the_next(
    root: Path,
) -> None:
    before = recorded(root)

    def interrupt(unit: Unit) -> None:
        raise KeyboardInterrupt

    summary = run(root, Hasty(interrupt, after=9))
    assert (summary.interrupted, summary.done, len(summary.failed)) == (True, 0, 0)
    assert summary.left > 0
    assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert recorded(root) == before


@pytest.mark.parametrize("name", ["scene02.jpg", "film.mkv"])
def test_an_original_that_cannot_be_read_fails_in_a_line_and_its_result_stays_done(
    root: Path, name: str
) -> None:
    before, made = recorded(root), results(root)
    away = root / "away"

    def take_away(unit: Unit) -> None:
        if Path(unit.source).name == name:
            (root / "in/photos" / name).rename(away)

    summary = run(root, Hasty(take_away))
    assert counts(summary) == (0, PHOTOS + 1, 1)
    ((source, stage, reason),) = summary.failed
    assert (Path(source).name, stage) == (name, "decode")
    assert reason == f"{source}: cannot be opened: No such file or directory; {KEPT}"
    assert (recorded(root), results(root)) == (before, made)
    away.rename(root / "in/photos" / name)
    assert counts(run(root)) == (0, PHOTOS + 2, 0)


def test_of_a_result_that_is_gone_nothing_is_kept_when_its_original_cannot_be_read(
    root: Path,
) -> None:
    (root / "out" / "scene02.jpg").unlink()

    def take_away(unit: Unit) -> None:
        if unit.output == "scene02.jpg":
            Path(unit.source).unlink()

    summary = run(root, Hasty(take_away), verify=True)
    assert counts(summary) == (0, PHOTOS + 1, 1)
    ((source, _, reason),) = summary.failed
    assert reason == f"{source}: cannot be opened: No such file or directory"


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("names", ["photos/scene02.jpg", "photos/film.mkv", "reel/frame_*.png"])
def test_an_original_whose_header_cannot_be_read_fails_in_a_line_and_its_result_stays_done(
    root: Path, names: str, verify: bool
) -> None:
    before, made = recorded(root), results(root)
    whole = {path: path.read_bytes() for path in (root / "in").glob(names)}
    for path in whole:
        path.write_bytes(b"damaged")
    for _ in range(2):
        summary = run(root, verify=verify)
        assert counts(summary) == (0, PHOTOS + 1, 1)
        ((source, stage, reason),) = summary.failed
        assert (Path(source).parent, stage) == (next(iter(whole)).parent, "decode")
        assert str(Path(source).parent) in reason and reason.endswith(f"; {KEPT}")
        assert (recorded(root), results(root)) == (before, made)
    for path, content in whole.items():
        path.write_bytes(content)
    assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert (recorded(root), results(root)) == (before, made)


def test_a_result_is_kept_by_the_name_that_followed_from_a_header_nobody_can_read(
    root: Path,
) -> None:
    job = json.loads((root / "job.yaml").read_text())
    (root / "job.yaml").write_text(json.dumps({**job, "photos": {"format": "png"}}))
    assert counts(run(root)) == (PHOTOS, 2, 0)
    for name in ("scene02", "scene03"):
        (root / "out" / f"{name}.jpg").unlink()  # of the first run, before there were any as PNG
    (root / "out" / "scene03.png").unlink()
    before = {row[0]: row for row in recorded(root)["items"]}
    for name in ("scene02", "scene03"):
        (root / "in/photos" / f"{name}.jpg").write_bytes(b"damaged")
    kept, gone = run(root).failed
    assert Path(kept[0]).name == "scene02.jpg" and kept[2].endswith(KEPT)
    assert Path(gone[0]).name == "scene03.jpg" and not gone[2].endswith(KEPT)
    after = {row[0]: row for row in recorded(root)["items"]}
    changed = {name for name, row in after.items() if row != before[name]}
    assert changed == {"scene03.jpg"}


def set_limit(root: Path, megapixels: float, **limits: Any) -> None:
    job = json.loads((root / "job.yaml").read_text())
    limits["max_megapixels"] = megapixels
    (root / "job.yaml").write_text(json.dumps({**job, "limits": limits}))


@pytest.mark.parametrize("verify", [False, True])
def test_a_limit_that_is_lowered_says_nothing_of_results_that_are_there(
    root: Path, verify: bool
) -> None:
    before, made = recorded(root), results(root)
    set_limit(root, 0.001)
    summary = run(root, verify=verify)
    # The header of a film of another time is read anew, which decodes one of its frames.
    ((film, _, line),) = summary.failed
    assert Path(film).name == "film.mkv" and line.endswith(f"; {KEPT}")
    assert summary.unchanged == PHOTOS + 1
    assert (recorded(root), results(root)) == (before, made)


@pytest.mark.parametrize("verify", [False, True])
def test_what_other_options_refuse_now_fails_in_a_line_and_its_result_stays_done(
    root: Path, verify: bool
) -> None:
    before, made = recorded(root), results(root)
    set_limit(root, 0.001, damaged="refuse")
    for _ in range(2):
        summary = run(root, verify=verify)
        # `damaged` is of photos: the result of the numbered pictures is what it would be now.
        assert counts(summary) == (0, 1, PHOTOS + 1)
        assert all("max_megapixels" in line and line.endswith(f"; {KEPT}")
                   for _, _, line in summary.failed)  # fmt: skip
        assert (recorded(root), results(root)) == (before, made)
    set_limit(root, 250)
    assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert (recorded(root), results(root)) == (before, made)


def test_a_limit_that_is_raised_for_some_originals_lets_all_other_results_be(root: Path) -> None:
    before, made = recorded(root), results(root)
    scene(200, 200, 98).save(root / "in/photos/larger.jpg", quality=90)
    set_limit(root, 0.03)
    summary = run(root)
    assert counts(summary) == (0, PHOTOS + 2, 1) and "megapixels" in summary.failed[0][2]
    set_limit(root, 0.05)
    assert counts(run(root)) == (1, PHOTOS + 2, 0)
    after = {row[0]: row for row in recorded(root)["items"]}
    assert all(after[row[0]] == row for row in before["items"])
    assert {name: data for name, data in results(root).items() if name in made} == made


def test_of_what_an_option_refuses_now_nothing_is_kept_that_is_gone_or_of_another_original(
    root: Path,
) -> None:
    before = {row[0]: row for row in recorded(root)["items"]}
    (root / "out" / "scene02.jpg").unlink()
    put_another_picture(root)
    set_limit(root, 0.001)
    failed = {Path(source).name: line for source, _, line in run(root, verify=True).failed}
    assert {name for name, line in failed.items() if not line.endswith(KEPT)} == {
        "scene02.jpg", "scene07.jpg",
    }  # fmt: skip
    after = {row[0]: row for row in recorded(root)["items"]}
    assert {name for name, row in after.items() if row != before[name]} == {
        "scene02.jpg", "scene07.jpg",
    }  # fmt: skip


def take_ray(root: Path) -> None:
    job = json.loads((root / "job.yaml").read_text())
    (root / "job.yaml").write_text(json.dumps({**job, "engine": {"kind": "ray", "workers": 1}}))


def put_a_new_picture_first(root: Path) -> None:
    scene(48, 48, 99).save(root / "in/photos/a_new_one.jpg", quality=90)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of engines that runs have opened, in their order; all are threads here."""
    opened: list[str] = []

    def open_threads(engine: Engine, context: WorkerContext) -> LocalBackend:
        opened.append(engine.kind)
        return LocalBackend(context)

    monkeypatch.setattr(workers, "open_backend", open_threads)
    return opened


@pytest.mark.parametrize("verify", [False, True])
def test_a_run_that_only_compares_starts_no_ray(
    root: Path, engines: list[str], verify: bool
) -> None:
    before, made = recorded(root), results(root)
    take_ray(root)
    with opened_in(root / "in") as opened:
        summary = run(root, verify=verify)
    assert counts(summary) == (0, PHOTOS + 2, 0), summary.failed
    assert engines == ["local"]
    assert {thread for _, thread in opened} == {"checksum"}
    assert (recorded(root), results(root)) == (before, made)


@pytest.mark.parametrize(
    "change", [put_another_picture, put_another_film, put_a_new_picture_first, put_another_number]
)
def test_ray_is_started_once_something_is_to_be_restored(
    root: Path, engines: list[str], change: Callable[[Path], None]
) -> None:
    before = recorded(root)
    take_ray(root)
    change(root)
    is_new = change is put_a_new_picture_first
    with opened_in(root / "in") as opened:
        assert counts(run(root)) == (1, PHOTOS + 1 + is_new, 0)
    assert engines == (["ray"] if is_new else ["local", "ray"])
    read = Counter(path for path, thread in opened if thread.startswith("checksum"))
    assert {*read} >= {*map(str, originals(root))}, "and none is left out"
    assert set(before["units"]) < set(recorded(root)["units"])
    with closing(sqlite3.connect(root / "out" / FOLDER / "manifest.sqlite")) as ledger:
        assert ledger.execute("SELECT MAX(attempts) FROM units").fetchone() == (1,)


def test_a_run_that_is_interrupted_while_it_compares_starts_no_ray(
    root: Path, engines: list[str]
) -> None:
    take_ray(root)
    put_another_number(root)
    loaded = read_job(root / "job.yaml")
    with open_run(loaded, Hasty(lambda unit: going.drain(), after=3), RunOptions()) as going:
        assert going.execute().interrupted
    assert engines == ["local"]
    assert counts(run(root)) == (1, PHOTOS + 1, 0)


def test_a_cluster_compares_for_itself(
    root: Path, engines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its nodes may see other files than the driver.
    monkeypatch.setattr(Plan, "engine", Engine("ray", "head:10001", 4.0, 1 << 28))
    assert counts(run(root)) == (0, PHOTOS + 2, 0)
    assert engines == ["ray"]


@pytest.mark.slow
def test_with_ray_the_process_of_the_driver_opens_no_original(root: Path) -> None:
    before = recorded(root)
    take_ray(root)
    put_a_new_picture_first(root)
    put_another_picture(root)
    with opened_in(root / "in") as opened:
        assert counts(run(root)) == (2, PHOTOS + 1, 0)
    assert opened == []
    assert set(before["units"]) < set(recorded(root)["units"]), "two more, and no other touched"
    assert counts(run(root)) == (0, PHOTOS + 3, 0)


@pytest.mark.slow
def test_with_ray_a_worker_that_is_killed_while_it_compares_costs_no_result(root: Path) -> None:
    before, made = recorded(root), results(root)
    take_ray(root)
    put_a_new_picture_first(root)
    killed: list[int] = []

    def kill_a_worker(unit: Unit) -> None:
        if killed:
            return
        family = psutil.Process().children(recursive=True)
        killed.extend(each.pid for each in family if "PoolWorker" in " ".join(each.cmdline()))
        for pid in killed:
            os.kill(pid, signal.SIGKILL)

    assert counts(run(root, Hasty(kill_a_worker, after=4))) == (1, PHOTOS + 2, 0)
    assert killed
    assert set(before["units"]) < set(recorded(root)["units"])
    assert made.items() < results(root).items()
    assert events(root, 2)["content", "lost"] > 0

"""Files whose header crashes what reads it, or never lets go of it, cost themselves alone.

The package is a copy with one photo format more, whose files say what its codec does.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from restore_batch.errors import MediaError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.source import load_job
from restore_batch.pipeline.drive.run import Run
from restore_batch.pipeline.drive.summary import Unwatched
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.session import plan_job
from restore_batch.stages.photo.read import probe
from restore_batch.stages.photo.read import read as read_photo
from restore_batch.stages.video.probe import probe_video

from support.archive import face, scene, write_job
from support.clips import clip
from support.data import ROOT
from support.tree import python, tree_with

TRAP = '''
"""Files that say what their codec does to its process."""

import time
from pathlib import Path

from restore_batch.stages.media import PhotoMeta
from restore_batch.stages.photo.formats.base import Format
from restore_batch.stages.photo.raster import Header, Raster
from support.misdeeds import do


class Trap(Format):
    name = "trap"
    title = "Trap"
    suffixes = (".trap",)
    magic = (b"TRAP",)
    kept_as = "png"

    def header(self, file, source):
        file.seek(4)
        when, deed = file.read().decode().split()
        if when == "header":
            with Path(source + ".read").open("a") as seen:
                seen.write("x")
            do(deed)
        return Header(8, 8, bits=8, channels=3)

    def decode(self, file, source):
        file.seek(4)
        do(file.read().decode().split()[1])
        import numpy as np
        return Raster(np.zeros((8, 8, 3), np.uint8), "rgb", PhotoMeta("png"))


FORMAT = Trap()
'''
MAIN = "from restore_batch.pipeline.cli.main import main; main()"
OPTIONS: dict[str, Any] = {
    "inputs": ["in"], "output": "out", "engine": {"kind": "local", "workers": 1, "threads": 1},
    "restore": {"model": "none"},
    "background": {"model": "none", "scale": 1}, "weights": {"download": False},
}  # fmt: skip
REASONS = {
    "crash": "crashed (SIGSEGV)",
    "exit": "ended its process (exit 7)",
    "hang": "took longer than 2 s",
}
SEVERAL_RUNS = """
import json, sys
from pathlib import Path
import restore_batch as rb

def told(summary):
    failed = {Path(source).name: reason for source, _, reason in summary.failed}
    read = {p.name.split(".")[0]: len(p.read_text()) for p in Path("in").glob("*.read")}
    return {"done": summary.done, "unchanged": summary.unchanged, "failed": failed, "read": read}

first = told(rb.run("job.yaml"))
again = told(rb.run("job.yaml"))
planned = {Path(i.source.source).name: i.error for i in rb.plan("job.yaml").items}
Path("in/crash.trap").write_text("TRAPheader nothing")
changed = told(rb.run("job.yaml"))
retried = told(rb.run("job.yaml", retry=True))
print(json.dumps([first, again, planned, changed, retried]))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with traps, which waits less long for a header."""
    folder = tree_with(tmp_path_factory.mktemp("tree"), {"stages/photo/formats/trap.py": TRAP})
    shutil.copytree(ROOT / "tests" / "support", folder / "support")
    headers = folder / "restore_batch" / "pipeline" / "plan" / "headers.py"
    text = headers.read_text(encoding="utf-8")
    assert "time_s=60.0" in text
    headers.write_text(text.replace("time_s=60.0", "time_s=2.0"), encoding="utf-8")
    return folder


def trap(folder: Path, deed: str, when: str = "header") -> Path:
    path = folder / f"{deed}.trap"
    path.write_text(f"TRAP{when} {deed}")
    return path


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job of two good photos with all traps between them."""
    (tmp_path / "in").mkdir()
    scene(40, 30).save(tmp_path / "in" / "a.png")
    for deed in REASONS:
        trap(tmp_path / "in", deed)
    scene(40, 30, 1).save(tmp_path / "in" / "z.png")
    return write_job(tmp_path / "job.yaml", **OPTIONS)


def test_a_header_that_ends_its_reader_costs_its_own_file_once(tree: Path, job: Path) -> None:
    done = python(tree, job.parent, SEVERAL_RUNS)
    assert done.stdout, done.stderr
    first, again, planned, changed, retried = json.loads(done.stdout)
    names = [f"{deed}.trap" for deed in REASONS]
    once = dict.fromkeys(REASONS, 1)
    assert (first["done"], list(first["failed"]), first["read"]) == (2, names, once)
    for deed, reason in REASONS.items():
        said = first["failed"][f"{deed}.trap"]
        assert f"/{deed}.trap: reading its header {reason}; " in said
        assert "\n" not in said
    assert (again["done"], again["unchanged"], again["failed"]) == (0, 2, first["failed"])
    assert again["read"] == once, "what is known is not tried again"
    assert planned == {"a.png": "", **first["failed"], "z.png": ""}
    assert (changed["done"], changed["unchanged"], list(changed["failed"])) == (1, 2, names[1:])
    assert changed["read"] == {**once, "crash": 3}, "a file that has changed is"
    assert list(retried["failed"]) == names[1:]
    assert retried["read"] == {"crash": 3, "exit": 2, "hang": 2}


def test_headers_that_are_read_together_with_one_that_ends_their_reader_are_read(
    tree: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(40):
        scene(16, 12, number).save(tmp_path / "in" / f"{number:02}.png")
    for place, deed in enumerate(("crash", "exit", "hang")):
        trap(tmp_path / "in", deed).rename(tmp_path / "in" / f"{15 * place:02}{deed}.trap")
    write_job(tmp_path / "job.yaml", **OPTIONS)
    code = (
        "import json, restore_batch as rb\n"
        "items = rb.plan('job.yaml').items\n"
        "print(json.dumps([(i.source.source, i.facts.get('width'), i.error) for i in items]))"
    )
    done = python(tree, tmp_path, code)
    assert done.stdout, done.stderr
    items = json.loads(done.stdout)
    assert len(items) == 43
    for source, width, error in items:
        deed = Path(source).stem[2:]
        if deed:
            assert f"reading its header {REASONS[deed]}; " in error
        else:
            assert (width, error) == (16, "")


@pytest.mark.parametrize("what", ["plan", "run"])
def test_ctrl_c_while_headers_are_read_ends_at_once_and_leaves_no_process(
    tree: Path, tmp_path: Path, what: str
) -> None:
    (tmp_path / "in").mkdir()
    seen = Path(f"{trap(tmp_path / 'in', 'hang')}.read")
    write_job(tmp_path / "job.yaml", **OPTIONS)
    planning = subprocess.Popen(
        [sys.executable, "-c", MAIN, what, "job.yaml"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    limit = time.monotonic() + 60
    while not seen.exists():
        assert time.monotonic() < limit
        time.sleep(0.02)
    readers = psutil.Process(planning.pid).children(recursive=True)
    planning.send_signal(signal.SIGINT)
    out, err = planning.communicate(timeout=60)
    assert planning.returncode == 130
    if what == "plan":
        assert (out, err.strip()) == ("", "restore-batch: interrupted")
    else:
        assert "0 restored, 1 left" in out
    assert readers
    assert psutil.wait_procs(readers, timeout=60)[1] == []


# --- other commands that decode ----------------------------------------------------------------


@pytest.mark.slow
def test_crops_names_the_photo_that_ends_its_reader_and_goes_on(tree: Path, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    (tmp_path / "in").mkdir()
    face(240).save(tmp_path / "in" / "a.png")
    trap(tmp_path / "in", "crash", "decode")
    face(220).save(tmp_path / "in" / "z.png")
    done = python(tree, tmp_path, MAIN, "crops", "in", "-o", "out", "--detector", "mtcnn")
    assert done.returncode == 1, done.stderr
    assert "2 faces; listed in" in done.stdout
    assert "crash.trap: looking for its faces crashed (SIGSEGV)" in done.stderr


# --- what is no file ---------------------------------------------------------------------------


@pytest.fixture
def not_files(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What is found where a photo and a film were listed, by path."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as unix:
        here = Path.cwd()
        os.chdir(tmp_path)
        try:
            unix.bind("socket")
        finally:
            os.chdir(here)
        yield {
            str(tmp_path / "pipe"): "a pipe",
            str(tmp_path / "socket"): "a socket",
            str(tmp_path / "folder"): "a folder",
            "/dev/zero": "a device",
        }


def test_what_becomes_something_else_than_a_file_after_it_was_listed_is_refused(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        scene(40, 30).save(folder / name)
    for name in ("e.mp4", "f.mp4"):
        clip(folder / name, frames=5)
    plan = plan_job(load_job(write_job(tmp_path / "job.yaml", **OPTIONS)))
    assert isinstance(plan, Plan)
    for name in ("b.png", "c.png", "d.png", "e.mp4", "f.mp4"):
        (folder / name).unlink()
    for name in ("b.png", "e.mp4"):
        os.mkfifo(folder / name)
    (folder / "c.png").mkdir()
    for name in ("d.png", "f.mp4"):
        (folder / name).symlink_to("/dev/zero")
    with Manifest.open(plan.output_dir) as manifest:
        summary = Run(plan, manifest, Unwatched()).execute()
    assert summary.done == 1
    found = {"b.png": "a pipe", "c.png": "a folder", "d.png": "a device", "e.mp4": "a pipe",
             "f.mp4": "a device"}  # fmt: skip
    assert {Path(source).name: reason for source, _, reason in summary.failed} == {
        name: f"{folder / name}: cannot be opened: it is {kind}, expected a file"
        for name, kind in found.items()
    }


@pytest.mark.parametrize("read", [probe, partial(read_photo, max_megapixels=1), probe_video])
def test_nothing_is_read_from_what_is_no_file(not_files: dict[str, str], read: Any) -> None:
    for path, kind in not_files.items():
        with pytest.raises(MediaError) as refused:
            read(path)
        assert str(refused.value) == f"{path}: cannot be opened: it is {kind}, expected a file"

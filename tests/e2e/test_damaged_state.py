"""What a job keeps for itself is damaged, removed or cannot be written: one line, and a way on."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.archive import checksums, cli, command, make_archive, write_job
from support.damage import DAMAGES
from support.host import small_file_system

FAST = {
    "restore": {"model": "none"}, "background": {"model": "none", "scale": 1},
    "detect": {"model": "none"}, "engine": {"kind": "local", "workers": 1},
}  # fmt: skip
PICTURES = 5


NO_LOG = "without_its_log"
"""A run that ended well leaves no log to lose."""


def slow(value: object) -> Any:
    return pytest.param(value, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a job and its results."""
    folder = tmp_path_factory.mktemp("finished")
    make_archive(folder / "in", faces=0, scenes=PICTURES, side_px=64)
    job = write_job(folder / "job.yaml", inputs=["in"], output="out", **FAST)
    done = cli("run", job, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture
def job(finished: Path, tmp_path: Path) -> Path:
    """The same elsewhere: all files are other files, with their content as it was."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy" / "job.yaml"


def the_line(done: subprocess.CompletedProcess[str], code: int = 3) -> str:
    """The one line that a command ended with."""
    assert done.returncode == code, done.stderr + done.stdout
    (line,) = done.stderr.splitlines()
    assert "Traceback" not in done.stdout
    return line


def summary(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, object]:
    assert done.returncode == code, done.stderr + done.stdout
    return dict(json.loads(done.stdout))


# -- damaged --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "damage",
    [
        "every_second_page_zeroed",
        # A run that ended well left no log to lose.
        *(
            slow(name)
            for name in sorted(set(DAMAGES) - {"every_second_page_zeroed", "without_its_log"})
        ),
    ],
)
def test_a_damaged_manifest_is_repaired_and_nothing_is_made_again(job: Path, damage: str) -> None:
    output = job.parent / "out"
    before = checksums(output)
    DAMAGES[damage](output / ".restore-batch")
    line = the_line(cli("run", job))
    assert f"`restore-batch repair-manifest {output}`" in line
    assert checksums(output) == before
    repaired = cli("repair-manifest", output)
    assert repaired.returncode == 0, repaired.stderr
    assert f"{PICTURES} results proven and taken over" in repaired.stdout
    said = summary(cli("run", job, "--json"))
    assert (said["done"], said["unchanged"], said["failed"]) == (0, PICTURES, [])
    assert checksums(output) == before


# -- a disk that does not take it -----------------------------------------------------------------
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_file_system(tmp_path / "disk", "1m") as folder:
        yield folder


def fill(folder: Path) -> None:
    with (folder / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_a_disk_that_is_full_at_the_start_is_one_line(job: Path, small_disk: Path) -> None:
    fill(small_disk)
    line = the_line(cli("run", job, "--set", f"output={small_disk}/out"))
    assert "no space left; free some and run again" in line
    (small_disk / "filling").unlink()
    assert summary(cli("run", job, "--set", f"output={small_disk}/out", "--json"))["done"] == 5


def test_a_disk_that_is_read_only_at_the_start_is_one_line(job: Path, small_disk: Path) -> None:
    shutil.copytree(job.parent / "out", small_disk / "out")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    line = the_line(cli("run", job, "--set", f"output={small_disk}/out"))
    assert "ead-only" in line
    done = cli("status", small_disk / "out")
    assert (done.returncode, done.stderr) == (0, "")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    said = summary(cli("run", job, "--set", f"output={small_disk}/out", "--json"))
    assert (said["done"], said["unchanged"]) == (0, PICTURES)


@pytest.mark.parametrize("limit_kb", [slow(1), 24, slow(40)])
def test_a_write_that_fails_in_the_middle_ends_the_run_and_the_next_goes_on(
    job: Path, limit_kb: int
) -> None:
    """A limit on the size of files is met by the manifest first, at one write or another."""
    output = job.parent / "anew"
    limited = subprocess.run(
        command("run", job, "--set", f"output={output}"),
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (limit_kb << 10, limit_kb << 10)
        ),
    )  # fmt: skip
    assert limited.returncode == 3, limited.stdout + limited.stderr
    assert "Traceback" not in limited.stdout + limited.stderr
    assert "run again" in (limited.stderr + limited.stdout).splitlines()[-1]
    said = summary(cli("run", job, "--set", f"output={output}", "--json"))
    assert said["failed"] == []
    assert checksums(output) == checksums(job.parent / "out")


# -- removed or replaced under a run --------------------------------------------------------------
def remove_folder(state: Path) -> None:
    shutil.rmtree(state, ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)  # a worker may have been writing meanwhile


def remove_manifest(state: Path) -> None:
    (state / "manifest.sqlite").unlink()


def remove_lock(state: Path) -> None:
    (state / "lock").unlink()


def replace_manifest(state: Path) -> None:
    shutil.copy(state / "manifest.sqlite", state / "copy")
    (state / "copy").rename(state / "manifest.sqlite")


def move_output(state: Path) -> None:
    state.parent.rename(state.parent.with_name("moved"))


PHOTOS = 40


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_archive(tmp_path_factory.mktemp("in"), faces=0, scenes=PHOTOS, side_px=400)


@pytest.mark.parametrize(
    "deed",
    [remove_manifest, *map(slow, (remove_folder, remove_lock, replace_manifest, move_output))],
)
def test_a_run_ends_when_its_manifest_is_taken_from_under_it(
    archive: Path, tmp_path: Path, deed: Callable[[Path], None]
) -> None:
    output = tmp_path / "out"
    job = write_job(tmp_path / "job.yaml", inputs=[str(archive)], output=str(output), **FAST)
    running = subprocess.Popen(
        command("run", job, "--quiet"), stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        await_results(output, 3)
        deed(output / ".restore-batch")
        _, said = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 3, said
    (line,) = said.splitlines()
    assert "removed or replaced while a run was writing there" in line
    after_the_deed(deed, job, output)


def after_the_deed(deed: Callable[[Path], None], job: Path, output: Path) -> None:
    if deed is move_output:
        assert not output.exists()
        output = output.with_name("moved")
    before = checksums(output)
    assert 3 <= len(before) < PHOTOS
    done = cli("run", job, "--set", f"output={output}", "--json")
    if deed is remove_folder:  # nothing can prove the results now
        failed = summary(done, code=1)["failed"]
        assert isinstance(failed, list)
        assert len(failed) == len(before)
        assert all("a file that this job did not write is there" in f["reason"] for f in failed)
    elif done.returncode == 3:
        assert deed in (remove_manifest, replace_manifest)
        assert "repair-manifest" in the_line(done)
        assert cli("repair-manifest", output).returncode == 0
        done = cli("run", job, "--set", f"output={output}", "--json")
    if deed is not remove_folder:
        said = summary(done)
        assert said["unchanged"] >= len(before)  # type: ignore[operator]
    after = checksums(output)
    assert len(after) == PHOTOS
    assert before.items() <= after.items()


def await_results(output: Path, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(list(output.glob("*.jpg"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)

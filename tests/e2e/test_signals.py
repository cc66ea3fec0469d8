"""However a run is asked to end, and whatever dies or is closed around it: nothing is lost, it
ends in time and with its proper status, and leaves no process behind."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from restore_batch.pipeline.engine.ray_warden import MARK

from support.archive import cli, command, make_archive, write_job
from support.family import LONG_S, folders_of, handles, named, ray_of, until

PICTURES = 24
RAY: dict[str, Any] = {"restore": {"model": "none"}, "background": {"model": "none", "scale": 2}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("skimage")
    return make_archive(tmp_path_factory.mktemp("in"), faces=0, scenes=PICTURES, side_px=900)


@pytest.fixture
def job(archive: Path, tmp_path: Path) -> Path:
    return write_job(
        tmp_path / "job.yaml", inputs=[str(archive)], output=str(tmp_path / "out"), **RAY
    )


def begin(job: Path, *options: str, **settings: Any) -> subprocess.Popen[bytes]:
    """A run that has just committed its first result."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    process = subprocess.Popen(
        command("run", job, *options), start_new_session=True, **{**streams, **settings}
    )
    until(lambda: results(job) or process.poll() is not None, "the first result")
    if process.poll() is not None:
        raise AssertionError(f"ended before it was interrupted: {process.communicate()}")
    return process


def results(job: Path) -> list[Path]:
    return list((job.parent / "out").glob("*.jpg"))


def nothing_is_left_of(process: subprocess.Popen[bytes]) -> None:
    # Of a run that had to be cut off another process clears away what is left.
    until(lambda: folders_of(process.pid) == [], "the removal of its folder")
    left = [p for p in psutil.process_iter(["environ"]) if of_run(p, process.pid)]
    assert left == []


def of_run(process: psutil.Process, pid: int) -> bool:
    return f"/rb-{pid}-" in (process.info["environ"] or {}).get(MARK, "")


def goes_on(job: Path) -> None:
    before = len(results(job))
    done = json.loads(cli("run", job, "--json", "--set", "engine.kind=local").stdout)
    assert done["exit_code"] == 0
    assert done["unchanged"] >= before
    assert done["done"] + done["unchanged"] == PICTURES


def everyone_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [psutil.Process(process.pid), *ray_of(process.pid)]


@pytest.mark.parametrize(
    "asked",
    [
        "every process",  # as a service manager does
        pytest.param("driver", marks=pytest.mark.slow),
        pytest.param("group", marks=pytest.mark.slow),
        pytest.param("group, twice", marks=pytest.mark.slow),
    ],
)
def test_sigterm_ends_a_run_in_good_order(job: Path, asked: str) -> None:
    process = begin(job)
    if asked == "every process":
        for one in everyone_of(process):
            one.send_signal(signal.SIGTERM)
    elif asked == "driver":
        process.send_signal(signal.SIGTERM)
    else:
        for _ in range(2 if "twice" in asked else 1):
            os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130, err.decode()
    assert err == b""
    lines = out.decode().splitlines()
    assert lines[-1].startswith("interrupted: ")
    assert "goes on from here" in lines[-1]
    assert all(
        line.startswith(("[", "interrupted: ", "note: ", f"{PICTURES} items")) for line in lines
    )
    nothing_is_left_of(process)
    goes_on(job)


@pytest.mark.slow
def test_a_closed_terminal_ends_a_run_in_good_order(job: Path) -> None:
    pid, master = pty.fork()
    if pid == 0:
        arguments = command("run", job)
        os.execve(arguments[0], arguments, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    # A terminal that nobody reads fills up and holds up the run.
    os.set_blocking(master, False)

    def drawn() -> list[Path]:
        with contextlib.suppress(BlockingIOError):
            os.read(master, 1 << 16)
        return results(job)

    until(drawn, "the first result")
    os.close(master)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert folders_of(pid) == []
    goes_on(job)


def interrupted_at_start(job: Path, after_s: float) -> None:
    process = subprocess.Popen(
        command("run", job), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    until(lambda: handles(process, signal.SIGTERM), "its handler")
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130, err.decode()
    said = err.split(b"\n") + out.split(b"\n")
    # Asked while it works, a run says at once what it does about it, and at the end how it ended.
    assert 1 <= sum(b"interrupted" in line for line in said) <= 2, (out, err)
    assert b"Traceback" not in out + err
    nothing_is_left_of(process)


def test_sigterm_while_a_run_starts_is_one_line(job: Path) -> None:
    interrupted_at_start(job, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.2, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
def test_sigterm_at_any_moment_of_the_start_ends_in_good_order(job: Path, after_s: float) -> None:
    interrupted_at_start(job, after_s)


@pytest.mark.slow
def test_one_interrupt_ends_a_run_whose_worker_hangs(job: Path) -> None:
    process = begin(job)
    workers = named(ray_of(process.pid), "ray::PoolWorker")
    assert workers
    for worker in workers:
        worker.suspend()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 130, err.decode()
    nothing_is_left_of(process)
    goes_on(job)


@pytest.mark.slow
def test_a_worker_that_was_stopped_is_replaced_after_the_time_limit(job: Path) -> None:
    process = begin(job, "--json", "--set", "limits.timeout_s=5")
    for worker in named(ray_of(process.pid), "ray::PoolWorker"):
        worker.suspend()
    out, err = process.communicate(timeout=5 * LONG_S)
    assert process.returncode == 0, err.decode()
    assert json.loads(out)["done"] == PICTURES
    nothing_is_left_of(process)


def test_a_killed_driver_takes_its_ray_with_it(job: Path) -> None:
    process = begin(job)
    before = ray_of(process.pid)
    assert named(before, "ray::PoolWorker")
    named(before, "ray::PoolWorker")[0].suspend()
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(before, timeout=LONG_S)
    assert alive == []
    nothing_is_left_of(process)
    goes_on(job)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_the_end_of_a_process_of_ray_is_one_line_and_no_word_of_its_own(
    job: Path, name: str
) -> None:
    process = begin(job, "--json")
    # Calls to workers that are there do without a gcs_server: the run could end first.
    for worker in named(ray_of(process.pid), "ray::PoolWorker"):
        worker.suspend()
    (victim,) = named(ray_of(process.pid), f"/{name}")
    victim.kill()
    out, err = process.communicate(timeout=LONG_S)
    assert process.returncode == 3, (out, err)
    assert out == b""
    (line,) = err.decode().splitlines()
    assert f"Ray's own process {name} has died" in line
    nothing_is_left_of(process)
    goes_on(job)

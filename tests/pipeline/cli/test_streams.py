"""A reader of the output that leaves, a full disk behind it, a closed descriptor: none costs work,
and none is passed over in silence."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.archive import checksums, cli, command, make_archive, write_job

PICTURES = 12
LOCAL: dict[str, Any] = {
    "engine": {"kind": "local"},
    "restore": {"model": "none"},
    "background": {"model": "none", "scale": 1.5},
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    pytest.importorskip("skimage")
    make_archive(tmp_path / "in", faces=0, scenes=PICTURES, side_px=64)
    return write_job(tmp_path / "job.yaml", inputs=["in"], output="out", **LOCAL)


def shell(script: str, folder: Path) -> tuple[int, str]:
    """Exit status of ``$RB …`` in ``script``, which ends a pipe at its first command's; stderr."""
    done = subprocess.run(
        ["bash", "-c", f"{script}\nexit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        env={**os.environ, "RB": command()[0]},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def is_whole(job: Path) -> None:
    done = json.loads(cli("run", job, "--json", "--verify").stdout)
    assert (done["exit_code"], done["unchanged"]) == (0, PICTURES)


@pytest.mark.parametrize(
    ("streams", "why"),
    [
        ("| head -1", "Broken pipe"),
        (">/dev/full", "No space left on device"),
        (">&-", "it is closed"),
    ],
)
def test_a_run_goes_on_without_its_reader_and_says_so_once(
    job: Path, streams: str, why: str
) -> None:
    status, said = shell(f"$RB run job.yaml {streams}", job.parent)
    assert status == 0
    assert said == f"restore-batch: standard output takes no more ({why}); the run goes on\n"
    is_whole(job)


@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", "2>/dev/full >/dev/full"])
def test_a_run_needs_no_stream_at_all(job: Path, streams: str) -> None:
    status, _ = shell(f"$RB run job.yaml {streams}", job.parent)
    assert status == 0
    # What libraries print to a closed descriptor must not go to a file that got its number.
    is_whole(job)


def test_a_run_that_fails_says_so_by_its_status_alone(job: Path) -> None:
    (job.parent / "in" / "words.png").write_text("this is no picture")
    status, _ = shell("$RB run job.yaml <&- >&- 2>&-", job.parent)
    assert status == 1


@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
def test_a_summary_for_scripts_that_cannot_be_written_is_no_success(
    job: Path, streams: str
) -> None:
    status, said = shell(f"$RB run job.yaml --json {streams}", job.parent)
    assert status == 3
    assert len(said.splitlines()) == 1
    assert checksums(job.parent / "out")


@pytest.mark.parametrize("arguments", ["plan job.yaml", "schema", "models list", "--help"])
def test_a_short_command_ends_quietly_when_its_reader_has_seen_enough(
    job: Path, arguments: str
) -> None:
    assert shell(f"$RB {arguments} | head -1", job.parent) == (0, "")


@pytest.mark.parametrize("streams", [">/dev/full", ">&-"])
def test_a_short_command_that_cannot_show_anything_fails_in_one_line(
    job: Path, streams: str
) -> None:
    status, said = shell(f"$RB schema {streams}", job.parent)
    assert status == 3
    (line,) = said.splitlines()
    assert line.startswith("restore-batch: standard output takes no more (")

"""Runs that are forked are runs of the installed program."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support.archive import cli, command, scene, write_job


@pytest.mark.parametrize(
    "arguments", [("--version",), ("run", "no such job.yaml"), ("plam",), ("schema",)]
)
def test_a_forked_run_says_what_the_installed_program_says_and_ends_alike(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    forked = cli(*arguments, cwd=tmp_path)
    own = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert forked.stdout or forked.stderr
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        own.returncode, own.stdout, own.stderr,
    )  # fmt: skip


def test_folder_and_variables_are_those_of_the_call(tmp_path: Path) -> None:
    write_job(tmp_path / "here.yaml", inputs=["in"], output="out")
    for name in ("first", "second"):
        (tmp_path / "in").mkdir(exist_ok=True)
        scene(24, 24).save(tmp_path / "in" / f"{name}.png")
        done = cli("plan", "here.yaml", cwd=tmp_path, env={"COLUMNS": "200"})
        assert done.returncode == 0, done.stderr
        assert f"{name}.png" in done.stdout
    assert "COLUMNS" not in os.environ or os.environ["COLUMNS"] != "200"


def test_who_takes_too_long_is_killed_and_the_next_is_served(tmp_path: Path) -> None:
    scene(24, 24).save(tmp_path / "a.png")
    job = write_job(tmp_path / "job.yaml", inputs=["a.png"], output="out")
    with pytest.raises(subprocess.TimeoutExpired):
        cli("run", job, timeout_s=0.01)
    assert cli("--version").returncode == 0

"""A run seen from outside: it writes where it says it does, and talks to nobody."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.archive import command, make_archive, write_job
from support.clips import clip
from support.watched import watched

# A shell by which Ray starts workers looks whether it has a terminal.
OF_THE_KERNEL = (Path("/dev/null"), Path("/dev/shm"), Path("/dev/tty"), Path("/proc"))
"""Shared memory, and settings of their own processes."""


@pytest.fixture
def temp() -> Iterator[Path]:
    """A folder for temporary files whose name is short: Ray makes sockets far below it."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.parametrize("kind", ["photo", "film"])
def test_a_run_writes_only_to_its_folders_and_talks_to_nobody(
    kind: str, engine: str, temp: Path, tmp_path: Path
) -> None:
    inputs, home = tmp_path / "in", tmp_path / "home"
    home.mkdir()
    if kind == "photo":
        pytest.importorskip("skimage")
        make_archive(inputs, faces=1, scenes=1, side_px=128)
    else:
        inputs.mkdir()
        clip(inputs / "film.mp4", frames=12, audio=["aac"])
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out",
        engine={"kind": engine, "workers": 1}, restore={"model": "compact-1"},
        background={"scale": 1}, weights={"download": False},
    )  # fmt: skip
    own = {"output": tmp_path / "out", "cache": tmp_path / "cache", "temp": temp}
    env = {
        "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temp),
        "XDG_CACHE_HOME": str(own["cache"]), "OMP_NUM_THREADS": "1",
        # Python's own cache of compiled modules, in the folders of the installation.
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    seen = watched(command("run", job, "--quiet"), tmp_path / "log", cwd=tmp_path, env=env)
    assert seen.exit_code == 0, seen.stderr
    assert seen.written_outside([*own.values(), *OF_THE_KERNEL]) == set()
    assert seen.contacted_beyond_loopback == set()
    assert any(path.is_relative_to(own["output"]) for path in seen.written), "nothing was seen"
    assert list(home.iterdir()) == []

"""What is installed is what is in the checkout: every package, and all that a run needs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from support.archive import write_job
from support.clips import clip, decoded
from support.data import ROOT

TOPS = {"restore_batch": "restore_batch"} | {
    f"restore_batch.{name}": name for name in ("jobs", "models", "pipeline", "stages")
}
SCRIPTS = {ROOT / "jobs" / "samples"}
"""Folders with programs that made what lies beside them; no packages."""


def packages() -> set[str]:
    return {
        ".".join((package, *path.parent.relative_to(ROOT / folder).parts))
        for package, folder in TOPS.items()
        for path in (ROOT / folder).rglob("*.py")
        if path.parent not in SCRIPTS
    }


def test_every_folder_with_modules_is_listed_as_a_package_and_no_other() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = described["tool"]["setuptools"]
    assert setuptools["package-dir"] == TOPS
    listed = setuptools["packages"]
    assert sorted(listed) == sorted(packages())
    for name in listed:
        top = max((t for t in TOPS if name == t or name.startswith(f"{t}.")), key=len)
        folder = ROOT / TOPS[top] / name.removeprefix(top).replace(".", "/").lstrip("/")
        assert (folder / "__init__.py").is_file(), f"{name} has no __init__.py"


def quietly(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Standard output of a program that must succeed; ``path``: where it finds its modules."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=cwd,
        env=env, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a fresh clone, so of nothing that is not committed, without the network."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the checkout is not a git repository that can be cloned")
    for needed in ("pip", "setuptools"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed here, and without it no wheel can be built")
    folder = tmp_path_factory.mktemp("wheel")
    quietly("git", "clone", "--quiet", ROOT, folder / "clone", cwd=folder)
    quietly(
        sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
        "--wheel-dir", folder, folder / "clone", cwd=folder,
    )  # fmt: skip
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The wheel's content, outside of the checkout."""
    target = wheel.parent / "installed"
    quietly(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
        "--target", target, wheel, cwd=wheel.parent,
    )  # fmt: skip
    return target


def test_a_wheel_holds_packages_weights_and_licences_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        about = {Path(name).name for name in archive.namelist() if ".dist-info/" in name}
    assert {"LICENSE", "NOTICE"} <= about
    rooms = ("evaluate", "report", "serve")
    pages = [p for room in rooms for p in (ROOT / "pipeline" / room).glob("page/*")]
    assert {name for name in names if not name.endswith(".py")} == {
        "restore_batch/py.typed", "restore_batch/weights/compact-1.safetensors",
        "restore_batch/weights/damage-1.safetensors", "restore_batch/weights/fill-1.safetensors",
        *(f"restore_batch/{path.relative_to(ROOT)}" for path in pages),
        "restore_batch/weights/photo-1.safetensors", "restore_batch/weights/photo-2.safetensors",
        "restore_batch/weights/propose.safetensors",
    }  # fmt: skip
    folders = {str(Path(name).parent).replace("/", ".") for name in names if name.endswith(".py")}
    assert folders == packages()


def test_a_wheel_restores_a_photo_and_a_film_without_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    portrait = Image.open(ROOT / "jobs" / "samples" / "portrait_print.jpg")
    portrait.thumbnail((320, 320))
    portrait.save(inputs / "portrait.jpg")
    clip(inputs / "film.mp4", frames=5)
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out",
        engine={"kind": "local", "workers": 1, "threads": 1},
        restore={"model": "compact-1"}, background={"model": "none", "scale": 1},
        weights={"download": False},
    )  # fmt: skip
    program = installed / "bin" / "restore-batch"
    run = quietly(sys.executable, program, "run", job, "--json", cwd=tmp_path, path=installed)
    summary = json.loads(run)
    assert (summary["done"], summary["failed"]) == (2, [])
    assert summary["faces"] >= 1
    assert (tmp_path / "out" / "portrait.jpg").is_file()
    assert len(decoded(tmp_path / "out" / "film.mp4")) == 5
    code = (
        "import json, sys\n"
        "import restore_batch.pipeline.cli.main, restore_batch.pipeline.session\n"
        "ours = {name: m for name, m in sys.modules.items() if name.startswith('restore_batch')}\n"
        "print(json.dumps([m.__file__ for m in ours.values()]))"
    )
    files = json.loads(quietly(sys.executable, "-c", code, cwd=tmp_path, path=installed))
    assert str(installed / "restore_batch" / "pipeline" / "__init__.py") in files
    assert all(Path(file).is_relative_to(installed) for file in files)

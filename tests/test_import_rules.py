"""Who may import whom, read from the source: the design's one picture, kept true."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jobs", "models", "stages", "pipeline")
MAY_IMPORT = {
    "jobs": {"jobs"},
    "models": {"models"},
    "stages": {"stages", "models", "jobs.numbered", "jobs.units"},
    "pipeline": {"pipeline", "stages", "models", "jobs"},
}
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Modules a file imports; with ``top_level`` only those it imports when it is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    if top_level:
        for node in ast.walk(tree):
            lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
            if lazy or typing_only:
                skipped |= {id(inner) for child in node.body for inner in ast.walk(child)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name)
def test_packages_import_only_what_lies_below_them(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        if not module.startswith("restore_batch."):
            assert not module.startswith(PACKAGES), f"{module} is called restore_batch.{module}"
            continue
        inner = module.removeprefix("restore_batch.")
        if inner.split(".")[0] not in PACKAGES:
            continue
        allowed = MAY_IMPORT[package]
        fits = any(inner == a or inner.startswith(f"{a}.") for a in allowed)
        # `from restore_batch.jobs import units` names the package first.
        through = any(a.startswith(f"{inner}.") for a in allowed)
        assert fits or through, f"{package} may not import {module}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_ray_modules_import_ray(path: Path) -> None:
    if path.name.startswith("ray_"):
        return
    assert not [m for m in imports(path) if m.split(".")[0] == "ray"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_torch_is_imported_only_by_networks_and_by_stages_that_run_them(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    eager = [
        m for m in imports(path, top_level=True) if m.split(".")[0] in ("torch", "torchvision")
    ]
    if package in ("jobs", "pipeline"):
        anywhere = [m for m in imports(path) if m.split(".")[0] == "torch"]
        assert not eager
        assert not anywhere or path.name in ("api.py", "cli_doctor.py")
    if package == "models" and path.parent.name == "models":
        assert not eager, "listing the models must not import torch"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem != "utils"


def test_help_and_the_list_of_models_start_without_torch_and_ray() -> None:
    code = (
        "import sys; from restore_batch.pipeline import cli, cli_plan, cli_run, cli_models\n"
        "from restore_batch.models import registry; registry.cards()\n"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Who may import whom, read from the source: the house's one picture, kept true."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("jobs", "models", "stages", "pipeline")
FILES = sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py"))
FILES = [path for path in FILES if "samples" not in path.parts]
MOST_LINES = 400
MOST_MODULES = 20
CROWDED = {"models/families"}
"""A new system is a file there, so there may be many."""

# A room may import itself, the rooms below it in its line, and what EVERYONE may. `a` stands for
# the modules of the folder a and of all folders in it, `a/` for those of the folder alone.
EVERYONE = ("cgroups", "errors", "files", "isolation", "plugins", "text", "__init__")
LINES: dict[str, tuple[str, ...]] = {
    "jobs": (),
    "models/": ("models/weights", "models/families"),
    "models/families": ("models/", "models/nets", "models/weights", "models/running"),
    "models/nets": ("models/",),
    "models/weights": ("models/", "models/nets", "models/families/community.py"),
    "models/running": ("models/", "models/nets"),
    # They are fast because training needs them, so they lie with what it minimises.
    "models/metrics": (
        "models/", "models/nets", "models/weights", "models/families",
        "models/train/losses/pixel.py", "models/train/losses/structure.py",
    ),
    "models/train": ("models",),
    "stages/": ("models/", "models/running", "jobs/units.py"),
    "stages/credentials": ("stages/media_types.py",),
    "stages/photo": (
        "stages/credentials", "stages/", "models/", "jobs/units.py", "jobs/numbered.py",
    ),
    "stages/enlarge": ("stages/photo", "stages/", "models", "jobs/units.py"),
    "stages/quality": (
        "stages/", "models/", "models/metrics", "models/weights", "jobs/units.py",
    ),
    "stages/previews": ("stages/", "models/", "jobs/units.py"),
    "stages/repair": ("stages/", "models/", "jobs/units.py"),
    "stages/faces/": ("stages/enlarge", "stages/photo", "stages/", "models", "jobs/units.py"),
    "stages/faces/steady": ("stages/", "models/", "jobs/units.py"),
    "stages/video": (
        "stages/enlarge", "stages/photo", "stages/", "models/", "jobs/units.py", "jobs/numbered.py",
    ),
    "stages/video/headers": (),
    "stages/video/colour": ("stages/video/types.py", "stages/"),
    "stages/video/streams": ("stages/video/types.py", "stages/video/headers", "stages/"),
    "stages/film": ("stages", "models", "jobs/units.py", "jobs/numbered.py"),
    "pipeline/plan": ("stages", "models", "jobs"),
    "pipeline/engine": ("pipeline/plan", "stages", "models", "jobs"),
    "pipeline/drive": ("pipeline/plan", "pipeline/engine", "stages", "models", "jobs"),
    "pipeline/compare": (
        "pipeline/drive", "pipeline/plan", "pipeline/engine", "stages", "models", "jobs",
    ),
    "pipeline/evaluate": (
        "pipeline/report", "pipeline/plan", "pipeline/session.py", "stages", "models", "jobs",
    ),
    "pipeline/report": ("pipeline/compare", "pipeline/plan", "stages", "jobs"),
    "pipeline/serve": ("pipeline/report", "stages", "jobs"),
    "pipeline/begin": (
        "pipeline/compare", "pipeline/drive", "pipeline/plan", "pipeline/session.py",
        "stages", "models", "jobs",
    ),
    "pipeline/provenance": ("stages", "jobs"),
    "pipeline/training": ("pipeline/plan", "pipeline/session.py", "stages", "models", "jobs"),
    "pipeline/": (
        "pipeline/compare", "pipeline/drive", "pipeline/plan", "pipeline/engine",
        "stages", "models", "jobs",
    ),
    "pipeline/cli": ("pipeline", "stages", "models", "jobs"),
}  # fmt: skip


def imports(path: Path, *, top_level: bool = False) -> Iterator[str]:
    """Modules a file imports; with ``top_level`` only those it imports when it is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    for node in ast.walk(tree):
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and top_level
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        if lazy or (typing_only and top_level):
            skipped |= {id(inner) for child in node.body for inner in ast.walk(child)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (_module(node.module, alias.name) for alias in node.names)


def _module(package: str, name: str) -> str:
    """``from package import name`` imports the module of that name, if there is one."""
    return f"{package}.{name}" if _path(f"{package}.{name}") else package


@cache
def _path(module: str) -> str | None:
    """The path of one of our modules, from the root; None for any other."""
    inner = module.removeprefix("restore_batch").strip(".").replace(".", "/")
    if module.split(".", maxsplit=1)[0] != "restore_batch":
        return None
    for folder in (ROOT, ROOT / "restore_batch"):
        for path in (folder / inner / "__init__.py", folder / f"{inner}.py"):
            if inner and path.is_file():
                return str(path.relative_to(folder))
    return "__init__.py" if not inner else None


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _room(path: str) -> str:
    """The narrowest room that a module lies in."""
    return max((room for room in LINES if _lies_in(path, room)), key=len)


def _lies_in(path: str, room: str) -> bool:
    if room.endswith("/"):
        return path.rpartition("/")[0] == room[:-1]
    return path == room or path.startswith(f"{room}/")


@pytest.mark.parametrize("path", FILES, ids=name)
def test_rooms_import_only_what_lies_below_them(path: Path) -> None:
    room = _room(name(path))
    for module in imports(path):
        assert not module.startswith(PACKAGES), f"{module} is called restore_batch.{module}"
        target = _path(module)
        if target is None or target.removesuffix(".py") in EVERYONE:
            continue
        if target.endswith("__init__.py") and len(Path(target).parts) > 1:
            continue  # a folder's own module holds nothing but its docstring
        allowed = any(_lies_in(target, other) for other in (room, *LINES[room]))
        assert allowed, f"{room} may not import {target}"


def test_no_module_leads_back_to_itself_when_it_is_imported() -> None:
    edges = {
        name(path): {
            target
            for module in imports(path, top_level=True)
            if (target := _path(module)) and target != name(path)
        }
        for path in FILES
    }
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' > '.join((*way, module))}"
        if module not in done:
            for target in sorted(edges.get(module, ())):
                visit(target, (*way, module))
            done.add(module)

    for module in sorted(edges):
        visit(module, ())


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_ray_modules_import_ray(path: Path) -> None:
    folder = path.relative_to(ROOT).parent
    if folder == Path("pipeline/training") or (
        folder == Path("pipeline/engine") and path.name.startswith("ray_")
    ):
        return
    assert not [m for m in imports(path) if m.split(".")[0] == "ray"]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_torch_is_imported_only_by_networks_and_by_stages_that_run_them(path: Path) -> None:
    package, folder = path.relative_to(ROOT).parts[0], path.relative_to(ROOT).parent
    eager = [
        m for m in imports(path, top_level=True) if m.split(".")[0] in ("torch", "torchvision")
    ]
    if package in ("jobs", "pipeline"):
        anywhere = [m for m in imports(path) if m.split(".")[0] == "torch"]
        assert not eager
        assert not anywhere or name(path) in ("pipeline/api.py", "pipeline/cli/doctor.py")
    if folder in (Path("models"), Path("models/families"), Path("models/weights")):
        assert not eager, "listing the models must not import torch"
    rooms = ("", "photo", "repair", "faces", "enlarge", "previews", "film")
    if folder in [Path("stages", room) for room in rooms]:
        assert not eager, "finding the stages must not import torch"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_small_enough_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES
    assert path.stem != "utils"


def test_folders_stay_small_enough_to_know() -> None:
    for folder in {path.parent for path in FILES}:
        modules = [path for path in folder.glob("*.py") if path.stem != "__init__"]
        if name(folder) not in CROWDED:
            assert len(modules) <= MOST_MODULES, name(folder)


def test_every_folder_says_what_lives_there_and_what_does_not() -> None:
    for folder in {path.parent for path in FILES}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
        assert "ot here" in text, name(folder)


def test_help_and_the_list_of_models_start_without_torch_and_ray() -> None:
    code = (
        "import sys; from restore_batch.pipeline.cli import main, plan, run, models\n"
        "from restore_batch.models import registry; registry.cards()\n"
        "from restore_batch.stages import catalogue; catalogue.stage_classes()\n"
        "from restore_batch.pipeline import session\n"
        "print([m for m in ('torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

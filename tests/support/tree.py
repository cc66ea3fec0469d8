"""A copy of the package with modules more, and the examples of CONTRIBUTING.md to be put there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.data import ROOT

_EXAMPLE = re.compile(r"^`([\w/]+\.py)`\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples() -> dict[str, str]:
    """The modules that CONTRIBUTING.md shows, by their path in the tree."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(_EXAMPLE.findall(text))


def tree_with(folder: Path, modules: Mapping[str, str]) -> Path:
    """The package in a new ``folder``, with more modules; what is to be in PYTHONPATH."""
    package = folder / "restore_batch"
    shutil.copytree(ROOT / "restore_batch", package)
    for name in ("jobs", "models", "stages", "pipeline"):
        shutil.copytree(ROOT / name, package / name, ignore=shutil.ignore_patterns("samples"))
    for path, text in modules.items():
        assert not (package / path).exists()
        (package / path).write_text(text, encoding="utf-8")
    return folder


def python(
    tree: Path, folder: Path, code: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """``code`` run in ``folder``, with the package of that tree."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )

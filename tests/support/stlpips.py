"""ST-LPIPS as its package has it: what ours is compared with."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest


def packages_own(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's own metric. It imports two modules that it does not use."""
    for name, wanted in (("IPython", "embed"), ("torchsummary", "summary")):
        if importlib.util.find_spec(name) is None:
            module = ModuleType(name)
            setattr(module, wanted, None)
            monkeypatch.setitem(sys.modules, name, module)
    package = importlib.import_module("stlpips_pytorch.stlpips")
    return package.LPIPS(net="alex", variant="shift_tolerant", verbose=False)

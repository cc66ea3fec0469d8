"""Parity fixtures: reference outputs of the official networks for weights made from key names."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch

from support.data import folder


@cache
def _fill() -> ModuleType:
    path = folder("RESTORE_BATCH_PARITY", "parity") / "fill.py"
    spec = importlib.util.spec_from_file_location("parity_fill", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Case:
    """One fixture: the description, the stored arrays, the weights and inputs it defines."""

    name: str
    spec: dict[str, Any]
    gold: dict[str, np.ndarray]

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.spec["model"]["kwargs"])

    @property
    def train_mode(self) -> bool:
        return bool(self.spec["model"]["mode"] == "train")

    def state(self, group: str = "state_dict") -> dict[str, torch.Tensor]:
        arrays = _fill().fill_spec(self.spec, self.gold, group=group)
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}

    def inputs(self) -> dict[str, torch.Tensor]:
        return {k: torch.from_numpy(v) for k, v in _fill().inputs(self.spec).items()}

    def check(
        self, output: str, value: torch.Tensor | np.ndarray, atol: float | None = None
    ) -> None:
        """Raise AssertionError when ``value`` is off the stored output by more than ``atol``
        (the fixture's own tolerance unless given)."""
        array = value.detach().float().cpu().numpy() if isinstance(value, torch.Tensor) else value
        _fill().check_output(self.spec, self.gold, output, array, atol=atol)


def case(name: str) -> Case:
    """The fixture ``name``; skips where the folder is absent."""
    where = folder("RESTORE_BATCH_PARITY", "parity")
    spec, gold = _fill().load(str(where), name)
    return Case(name, spec, gold)


def scaled(
    state: dict[str, torch.Tensor], key: str, factor: float = 1.05
) -> dict[str, torch.Tensor]:
    """A copy of ``state`` with one tensor changed, to prove that a parity test can fail."""
    return {k: v * factor if k == key else v for k, v in state.items()}

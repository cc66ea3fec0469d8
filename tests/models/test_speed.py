"""Measured speeds: kept by machine and device, shown as a user would say them."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.models import speed
from restore_batch.models.base import Card, Face, Runtime
from restore_batch.models.speed import Speed

from support import toy_model

CPU = Runtime()


def _card(**changes: Any) -> Card:
    return replace(toy_model.card(), **changes)


class _Seen:
    """A model of any task that notes what it is given."""

    def __init__(self, output: Any) -> None:
        self.output = output
        self.inputs: list[Any] = []

    def __call__(self, given: Any, *_more: Any) -> Any:
        self.inputs.append(given)
        return self.output


def test_a_restorer_is_measured_by_the_face_on_crops_of_its_size() -> None:
    model = _Seen([])
    model.face_px = 32  # type: ignore[attr-defined]
    measured = speed.measure(model, _card(task="restore"), CPU)
    assert measured.per == "face"
    assert measured.seconds > 0
    assert {crop.shape for crops in model.inputs for crop in crops} == {(32, 32, 3)}
    assert len(model.inputs) > 1, "the first run warms up and does not count"


def test_an_upscaler_is_measured_by_the_megapixel_of_input() -> None:
    model = toy_model.ToyUpscaler(toy_model.ToyNet(), 1.0)
    measured = speed.measure(model, _card(), CPU)
    assert (measured.per, measured.precision) == ("megapixel", "float32")
    fixed = _Seen(torch.zeros(1))
    speed.measure(fixed, _card(input_px=16), CPU)
    assert {tuple(tile.shape) for tile in fixed.inputs} == {(1, 3, 16, 16)}


def test_a_detector_is_measured_on_a_whole_picture() -> None:
    model = _Seen([[Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 1.0)]])
    assert speed.measure(model, _card(task="detect"), CPU).per == "megapixel"


def test_speeds_are_kept_by_model_and_device(tmp_path: Path) -> None:
    first, second = (Speed(s, "face", "float32", "2026-01-01") for s in (2.0, 0.03))
    card = _card()
    speed.record(tmp_path, card, "cpu, 2 threads", first)
    speed.record(tmp_path, card, "a GPU", first)
    speed.record(tmp_path, card, "a GPU", second)
    assert speed.read(tmp_path) == {card.name: {"cpu, 2 threads": first, "a GPU": second}}


def test_another_machines_speeds_are_kept_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"elsewhere": {"toy-x2": {"cpu": {"seconds": 1.0}}}}))
    assert speed.read(tmp_path) == {}
    speed.record(tmp_path, _card(), "cpu", Speed(1.0, "face", "float32", "2026-01-01"))
    assert json.loads(path.read_text()).keys() == {"elsewhere", platform.node()}


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({platform.node(): {"a": [1]}})])
def test_a_note_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "speed.json").write_text(content)
    assert speed.read(tmp_path) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012 s a face"), (2.96, "3.0 s a face"), (222.4, "222 s a face")],
)
def test_a_speed_is_said_in_as_many_digits_as_mean_something(seconds: float, text: str) -> None:
    assert str(Speed(seconds, "face", "float32", "2026-01-01")) == text

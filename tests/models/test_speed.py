"""Speeds: kept by machine and device, said as a user would, and what is foretold by them."""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from restore_batch.errors import UsageError
from restore_batch.models import speed
from restore_batch.models.base import Card, Face, Runtime
from restore_batch.models.speed import Pace, Speed

from support import toy_model

CPU = Runtime()
SPEED = Speed(2.0, "face", "cpu", 4, "float32", "2026-01-01")


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


def test_a_network_that_only_training_uses_is_not_measured() -> None:
    with pytest.raises(UsageError, match="only training uses it"):
        speed.measure(_Seen([]), _card(task="features"), CPU)


def test_a_speed_says_where_and_in_which_precision_it_was_measured() -> None:
    measured = speed.timed(lambda: None, 1, "face", Runtime("cpu", "bfloat16"))
    assert measured.where == f"cpu, {torch.get_num_threads()} threads, bfloat16"
    assert replace(SPEED, device="A100", threads=8).where == "A100, float32"


# --- the record --------------------------------------------------------------------------------


def test_speeds_are_kept_by_model_device_threads_and_precision(tmp_path: Path) -> None:
    card = _card()
    others = [
        replace(SPEED, threads=2), replace(SPEED, precision="bfloat16"),
        replace(SPEED, device="a GPU"),
    ]  # fmt: skip
    for one in (SPEED, *others, replace(SPEED, seconds=0.03)):
        speed.record(tmp_path, card, one)
    assert speed.read(tmp_path) == {card.name: (*others, replace(SPEED, seconds=0.03))}


def test_another_machines_speeds_are_kept_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text(json.dumps({"elsewhere": {"toy-x2": [{"seconds": 1.0}]}}))
    assert speed.read(tmp_path) == {}
    speed.record(tmp_path, _card(), SPEED)
    assert json.loads(path.read_text()).keys() == {"elsewhere", platform.node()}


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", *(json.dumps({platform.node(): mine}) for mine in ([1], {"toy-x2": [{}, 1]}))],
)
def test_a_note_that_cannot_be_read_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "speed.json").write_text(content)
    assert speed.read(tmp_path) == {}
    speed.record(tmp_path, _card(), SPEED)
    assert speed.read(tmp_path) == {"toy-x2": (SPEED,)}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "0.012 s a face"), (2.96, "3.0 s a face"), (222.4, "222 s a face")],
)
def test_a_speed_is_said_in_as_many_digits_as_mean_something(seconds: float, text: str) -> None:
    assert str(replace(SPEED, seconds=seconds)) == text


# --- foretelling -------------------------------------------------------------------------------


@pytest.fixture
def steady_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "core_flops", lambda: 1e11)


def _pace(card: Card, *recorded: Speed, runtime: Runtime = CPU, threads: int = 4) -> Any:
    return speed.pace(card, runtime, threads, {card.name: recorded})


def test_what_was_measured_is_taken_before_what_is_counted(steady_core: None) -> None:
    card = _card(task="restore", tflop=0.32)
    assert _pace(card) == Pace(pytest.approx(1.0), "counted")
    assert _pace(card, SPEED) == Pace(2.0, "measured")


def test_a_measure_of_another_precision_device_or_unit_is_not_taken(steady_core: None) -> None:
    card = _card(task="restore", tflop=0.32)
    for other in ({"precision": "bfloat16"}, {"device": "A100"}, {"per": "megapixel"}):
        assert _pace(card, replace(SPEED, **other)).source == "counted"
    assert _pace(card, SPEED, runtime=Runtime("cpu", "bfloat16")).source == "counted"


def test_the_measure_of_the_nearest_number_of_threads_is_shared_out(steady_core: None) -> None:
    card = _card(task="restore", tflop=0.32)
    eight = replace(SPEED, threads=8, seconds=1.0)
    assert _pace(card, SPEED, eight, threads=4).seconds == 2.0
    assert _pace(card, SPEED, eight, threads=7).seconds == pytest.approx(8 / 7)
    assert _pace(card, SPEED, eight, threads=1).seconds == 8.0
    assert _pace(card, threads=1).seconds == pytest.approx(4 * _pace(card, threads=4).seconds)


def test_what_was_neither_measured_nor_counted_is_not_guessed() -> None:
    card = _card(task="restore", tflop=None)
    assert _pace(card) is None
    assert _pace(card, SPEED).source == "measured"


def test_a_core_computes_some_thousand_million_operations_a_second() -> None:
    assert 1e8 < speed.core_flops() < 1e13

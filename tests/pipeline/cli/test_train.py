"""``restore-batch train``: from a file to weights, interrupted and resumed."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from restore_batch.errors import JobFileError, UsageError
from restore_batch.models.weights.safe_load import load_state
from restore_batch.pipeline.cli.train import train
from restore_batch.pipeline.training.recipe_file import load_recipe

from support import training

_RECIPE = """\
name: tiny
output: out
network:
  family: compact
  architecture: {widths: [8, 8, 16], blocks: [1, 1, 1]}
data:
  - folders: [faces]
    side_px: 256
objective:
  weights: {l1: 1.0, ms_ssim: 0}
optimiser: {learning_rate: 1.0e-3}
run: {steps: 4, batch: 1, device: cpu, threads: 1, log_every_steps: 1}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    training.draw_faces(tmp_path / "faces", 2, 256)
    path = tmp_path / "tiny.yaml"
    path.write_text(_RECIPE)
    return path


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(train, [str(a) for a in arguments])


def _error(result: Result) -> str:
    assert result.exception is not None
    return str(result.exception)


def test_a_recipe_becomes_weights_a_record_and_curves(recipe: Path) -> None:
    result = _run(recipe)
    assert result.exit_code == 0, result.output
    out = recipe.parent / "out"
    assert result.output.splitlines()[-1] == str(out / "tiny.safetensors")
    assert result.output.startswith("1/4  learning_rate")
    assert "layout" in load_state([out / "tiny.safetensors"])
    assert (out / "tiny.json").is_file()
    assert len((out / "losses.csv").read_text().splitlines()) == 5


def test_an_earlier_run_is_not_overwritten(recipe: Path) -> None:
    assert _run(recipe, "-q").exit_code == 0
    result = _run(recipe, "-q")
    assert isinstance(result.exception, UsageError)
    assert "add --resume" in _error(result)
    longer = _run(recipe, "--resume", "--set", "run.steps=6")
    assert longer.exit_code == 0
    assert longer.output.startswith("goes on after step 4")
    assert len((recipe.parent / "out" / "losses.csv").read_text().splitlines()) == 7


def test_ctrl_c_ends_a_run_after_a_checkpoint(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restore_batch.models.train.trainer import Trainer

    real = Trainer.train_step

    def interrupted(self: Trainer, *batch: object) -> object:
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return real(self, *batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    stopped = _run(recipe)
    assert stopped.exit_code == 130
    assert "interrupted after step 2; --resume goes on" in stopped.output
    monkeypatch.undo()
    resumed = _run(recipe, "--resume")
    assert resumed.exit_code == 0
    parts = (recipe.parent / "out" / "tiny.safetensors").read_bytes()
    assert _run(recipe, "--set", "output=whole").exit_code == 0
    assert (recipe.parent / "whole" / "tiny.safetensors").read_bytes() == parts


def test_mistakes_are_reported_at_their_lines(recipe: Path) -> None:
    wrong = _RECIPE.replace("side_px: 256", "side: 256").replace("steps: 4", "steps: none")
    recipe.write_text(wrong)
    with pytest.raises(JobFileError) as raised:
        load_recipe(recipe)
    lines = str(raised.value).splitlines()
    assert any(line.startswith(f"{recipe}:8:5: data.0.side") for line in lines), lines
    assert any(line.startswith(f"{recipe}:12:14: run.steps") for line in lines), lines


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"not valid YAML"),
        ("- 1", r":1:1: expected options such as name: and network:, got a list"),
        ("", r":1:1: the file is empty; expected name: and network:"),
        (_RECIPE + "name: other\n", r": name: is given twice, first at line 1:1"),
    ],
)
def test_what_is_no_recipe_is_refused(recipe: Path, text: str, message: str) -> None:
    recipe.write_text(text)
    with pytest.raises(JobFileError, match=message):
        load_recipe(recipe)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobFileError, match=r"no\.yaml: no such file"):
        load_recipe(tmp_path / "no.yaml")


def test_overrides_change_the_recipe(recipe: Path) -> None:
    changed = load_recipe(recipe, ["run.steps=9", "schedule.halve_at=[3, 6]"])
    assert changed.run.steps == 9
    assert changed.schedule.halve_at == [3, 6]
    for wrong in ("run.steps", "=3", "name.deeper=3", "run.steps=[", "run.speed=3", "run.steps=0"):
        with pytest.raises(JobFileError, match=f"^--set {re.escape(wrong)}: "):
            load_recipe(recipe, [wrong])


def test_a_weight_the_objective_does_not_have_is_an_error_of_one_line(recipe: Path) -> None:
    result = _run(recipe, "--set", "objective.weights={beauty: 1}")
    assert isinstance(result.exception, UsageError)
    assert "beauty" in _error(result)
    assert "\n" not in _error(result)

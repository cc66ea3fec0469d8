"""The loop: it learns, and an interrupted run gives the weights of one that was not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch import nn

from restore_batch.errors import UsageError
from restore_batch.models.families import gfpgan
from restore_batch.models.train.curves import read_curve
from restore_batch.models.train.losses.base import Judges
from restore_batch.models.train.losses.judges import load_judges
from restore_batch.models.train.recipe import Recipe, Schedule
from restore_batch.models.train.trainer import Trainer, rate
from restore_batch.models.weights.store import Store

from support import training

_ADVERSARIAL: dict[str, Any] = {
    "network": {
        "family": "srgan",
        "architecture": {"network": "srresnet", "channels": 8, "num_rcb": 1, "upscale": 2},
    },
    "objective": {"name": "srgan", "weights": {"pixel": 1, "content": 0, "adversarial": 1e-2}},
    "discriminator_optimiser": {"learning_rate": 1e-4},
}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    return training.draw_faces(tmp_path / "faces", 4, 256)


def _after(steps: int, trainer: Trainer) -> Callable[[], bool]:
    return lambda: trainer.step >= steps


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _state(trainer: Trainer) -> dict[str, Any]:
    saved = trainer.save()
    return dict(torch.load(saved, weights_only=True))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_interrupted_run_gives_the_same_weights_to_the_last_bit(
    tmp_path: Path, faces: Path, precision: str
) -> None:
    def recipe(name: str) -> Recipe:
        return training.recipe(tmp_path / name, faces, run=training.run(6, precision=precision))

    whole = Trainer(recipe("whole"))
    assert whole.run()
    first = Trainer(recipe("parts"))
    assert not first.run(stop=_after(2, first))
    second = Trainer(recipe("parts"))
    assert second.resume()
    assert second.step == 2
    assert not second.run(stop=_after(5, second))
    third = Trainer(recipe("parts"))
    assert third.resume()
    assert third.run()
    assert _same(_state(third), _state(whole))
    assert third.export().read_bytes() == whole.export().read_bytes()
    curves = [(tmp_path / n / "losses.csv").read_text() for n in ("whole", "parts")]
    assert curves[0] == curves[1]


def test_discriminators_are_resumed_as_well(tmp_path: Path, faces: Path) -> None:
    def trainer(name: str) -> Trainer:
        data = [{"folders": [faces], "side_px": 32}]
        recipe = training.recipe(tmp_path / name, faces, data=data, **_ADVERSARIAL)
        return Trainer(recipe)

    whole, first, second = trainer("whole"), trainer("parts"), trainer("parts")
    assert whole.run()
    first.run(stop=_after(3, first))
    assert second.resume()
    assert second.run()
    assert _same(_state(second), _state(whole))
    row = read_curve(tmp_path / "whole" / "losses.csv")[-1]
    assert {"pixel", "adversarial", "discriminator/total"} <= row.keys()


def test_a_run_that_was_killed_goes_on_from_its_last_checkpoint(
    tmp_path: Path, faces: Path
) -> None:
    def recipe(name: str) -> Recipe:
        run = training.run(6, checkpoint_every_steps=2)
        return training.recipe(tmp_path / name, faces, run=run)

    def dies(step: int, values: dict[str, float]) -> None:
        if step == 5:
            raise KeyboardInterrupt

    whole, killed = Trainer(recipe("whole")), Trainer(recipe("killed"))
    assert whole.run()
    with pytest.raises(KeyboardInterrupt):
        killed.run(dies)
    again = Trainer(recipe("killed"))
    assert again.resume()
    assert again.step == 4
    assert again.run()
    assert _same(_state(again), _state(whole))
    rows = read_curve(tmp_path / "killed" / "losses.csv")
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]


def test_loader_processes_change_no_weight(tmp_path: Path, faces: Path) -> None:
    states = []
    for loaders in (0, 2):
        run = training.run(3, loaders=loaders)
        trainer = Trainer(training.recipe(tmp_path / str(loaders), faces, run=run))
        trainer.run()
        states.append(trainer.trainee.state_dict())
    assert _same(*states)


def test_a_tiny_restorer_learns_its_few_faces(tmp_path: Path, faces: Path) -> None:
    run = training.run(90)
    validation = {"folders": [faces], "pairs": 4, "every_steps": 90}
    damage = {"mixed": 1, "jitter": False, "mixed_options": {"blur_sigma_px": [4, 4],
              "downsampling": [4, 4], "noise_sigma": [12, 12], "anisotropic_prob": 0}}  # fmt: skip
    recipe = training.recipe(
        tmp_path / "run", faces, run=run, degradations=damage, validation=validation,
        objective={"name": "fidelity", "weights": {"l1": 1, "ms_ssim": 0}},
        optimiser={"learning_rate": 3e-3},
    )  # fmt: skip
    trainer = Trainer(recipe)
    assert trainer.run()
    rows = read_curve(tmp_path / "run" / "losses.csv")
    first, last = (sum(r["total"] for r in part) / 8 for part in (rows[:8], rows[-8:]))
    assert last < 0.85 * first
    before, after = read_curve(tmp_path / "run" / "validation.csv")
    assert (before["step"], after["step"]) == (0, 90)
    assert after["psnr_db"] > before["psnr_db"]
    assert after["gradient_error"] < 0.75 * before["gradient_error"]
    assert after["ms_ssim"] > before["ms_ssim"] + 0.02
    grid = cv2.imread(str(tmp_path / "run" / "samples" / "00000090.png"))
    assert grid is not None
    assert grid.shape == (2 * 256, 6 * 256, 3)


def test_averaged_weights_follow_the_trained_ones(tmp_path: Path, faces: Path) -> None:
    run = training.run(4, ema=0.5)
    trainer = Trainer(training.recipe(tmp_path / "run", faces, run=run))
    key = "net.fold.weight"
    expected = trainer.trainee.state_dict()[key].clone()
    seen = 0

    def follow(step: int, values: dict[str, float]) -> None:
        nonlocal expected, seen
        decay = min(0.5, step / (9 + step))
        expected = decay * expected + (1 - decay) * trainer.trainee.state_dict()[key]
        seen += 1

    trainer.run(follow)
    assert seen == 4
    assert torch.allclose(trainer.average[key], expected, atol=1e-7)
    assert not torch.equal(trainer.average[key], trainer.trainee.state_dict()[key])
    averaged = trainer.averaged()
    assert torch.equal(averaged.state_dict()[key], trainer.average[key])


def test_weights_to_start_from_say_what_the_network_looks_like(tmp_path: Path, faces: Path) -> None:
    first = Trainer(training.recipe(tmp_path / "first", faces, run=training.run(1)))
    first.run()
    network = {"family": "compact", "start_from": str(first.export())}
    recipe = training.recipe(tmp_path / "run", faces, network=network, run=training.run(1))
    trainer = Trainer(recipe)
    trainer.run()
    averaged = trainer.averaged().state_dict()
    assert averaged.keys() == first.average.keys()
    for key, value in averaged.items():
        assert value.shape == first.average[key].shape


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path, faces: Path) -> None:
    def trainer(**sections: Any) -> Trainer:
        return Trainer(training.recipe(tmp_path / "run", faces, **sections))

    first = trainer()
    assert not first.resume()
    first.run()
    longer = trainer(run=training.run(9, checkpoint_every_steps=3), schedule={"decay_steps": 2})
    assert longer.resume()
    assert longer.run()
    for other in (
        {"optimiser": {"learning_rate": 1e-3}},
        {"run": training.run(9, batch=4)},
        {"degradations": {"mixed": 1}},
    ):
        with pytest.raises(UsageError, match="another recipe"):
            trainer(**other).resume()


def test_a_run_goes_on_where_it_and_its_faces_were_moved_to(tmp_path: Path, faces: Path) -> None:
    Trainer(training.recipe(tmp_path / "run", faces)).run()
    moved = tmp_path / "elsewhere" / faces.name
    shutil.copytree(faces, moved)
    (tmp_path / "run").rename(tmp_path / "elsewhere" / "run")
    recipe = training.recipe(tmp_path / "elsewhere" / "run", moved, run=training.run(9))
    trainer = Trainer(recipe)
    assert trainer.resume()
    assert trainer.run()
    others = tmp_path / "others"
    shutil.copytree(faces, others)
    with pytest.raises(UsageError, match="another recipe"):
        Trainer(training.recipe(tmp_path / "elsewhere" / "run", others)).resume()


def test_measuring_changes_no_weight(tmp_path: Path, faces: Path) -> None:
    # GFP-GAN draws noise in training: chance that measuring used up would show.
    states = []
    for every_steps in (1, 100):
        trainer = Trainer(
            training.recipe(
                tmp_path / str(every_steps),
                faces,
                network={"family": "gfpgan", "architecture": dict(gfpgan.FAMILY.tiny or {})},
                data=[{"folders": [faces], "side_px": 32}],
                validation={"folders": [faces], "pairs": 1, "every_steps": every_steps},
                run=training.run(3),
            )
        )
        trainer.run()
        states.append(trainer.trainee.state_dict())
    assert _same(*states)


def test_a_run_that_diverges_ends_with_advice(tmp_path: Path, faces: Path) -> None:
    optimiser = {"learning_rate": 1e30}
    trainer = Trainer(training.recipe(tmp_path / "run", faces, optimiser=optimiser))
    with pytest.raises(UsageError, match=r"at step \d: lower optimiser\.learning_rate"):
        trainer.run()


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path, faces: Path) -> None:
    run = training.run(6, checkpoint_every_steps=1)
    Trainer(training.recipe(tmp_path / "run", faces, run=run)).run()
    left = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert left == ["step-00000005.pt", "step-00000006.pt"]


def test_the_rate_rises_steps_down_and_falls_to_nothing() -> None:
    schedule = Schedule(warmup_steps=4, halve_at=[10, 20], factor=0.5, decay_steps=5)
    rates = [rate(schedule, step, 40) for step in range(40)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[9:11] == pytest.approx([1.0, 0.5])
    assert rates[19:21] == pytest.approx([0.5, 0.25])
    assert rates[35:] == pytest.approx([0.25 * f / 6 for f in (5, 4, 3, 2, 1)])


def test_the_rate_follows_a_cosine_whether_or_not_the_run_sees_its_end() -> None:
    schedule = Schedule(cosine_steps=300)
    seen = [rate(schedule, step, 250) for step in (0, 100, 150, 200)]
    assert seen == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert rate(schedule, 300, 400) == rate(schedule, 399, 400) == 0


def test_discriminators_of_parts_of_a_face_learn_in_their_own_way(
    tmp_path: Path, faces: Path
) -> None:
    settings = {
        name: {"learning_rate": rate, "betas": [0.0, beta]}
        for name, rate, beta in (
            ("discriminator_optimiser", 3e-4, 0.9),
            ("component_optimiser", 7e-4, 0.8),
        )
    }
    recipe = training.recipe(tmp_path / "run", faces, **settings)
    rivals = nn.ModuleDict({name: nn.Linear(2, 1) for name in ("main", "mouth")})
    trainer = Trainer(recipe, lambda *_: Judges(rivals))
    assert trainer.rival_optimiser is not None
    groups = trainer.rival_optimiser.param_groups
    assert [group["lr"] for group in groups] == [3e-4, 7e-4]
    assert [group["betas"] for group in groups] == [(0.0, 0.9), (0.0, 0.8)]
    assert groups[1]["params"][0] is rivals["mouth"].weight


def test_discriminators_begin_with_weights_that_the_seed_decides(
    tmp_path: Path, faces: Path
) -> None:
    recipe = training.recipe(tmp_path / "run", faces, **_ADVERSARIAL)
    judges = partial(load_judges, store=Store(tmp_path / "weights", download=False))
    states = []
    for before in (1, 2):
        torch.manual_seed(before)
        states.append(Trainer(recipe, judges).judges.discriminators.state_dict())
    assert states[0]
    assert _same(*states)


def test_gradients_are_clipped_to_the_length_given(tmp_path: Path, faces: Path) -> None:
    changes = []
    for clip in (1e-9, None):
        optimiser = {"learning_rate": 1e-3, "clip_norm": clip}
        trainer = Trainer(training.recipe(tmp_path / str(clip), faces, optimiser=optimiser))
        trainer.run(stop=_after(1, trainer))
        gradients = [p.grad for p in trainer.trainee.parameters() if p.grad is not None]
        changes.append(float(torch.stack([g.norm() for g in gradients]).norm()))
    assert changes[0] == pytest.approx(1e-9, rel=1e-3)
    assert changes[1] > 1e-3


def test_a_gpu_that_is_not_there_is_an_error_of_one_line(
    tmp_path: Path, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=re.escape("run.device is cuda")) as raised:
        Trainer(training.recipe(tmp_path, faces, run=training.run(1, device="cuda")))
    assert "\n" not in str(raised.value)

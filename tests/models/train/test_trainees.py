"""Every family that can be trained takes a step in its own way, and its weights can be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from restore_batch.errors import UsageError
from restore_batch.models import registry
from restore_batch.models.nets.spade import SpectralConv2d
from restore_batch.models.train.data.loading import Streams
from restore_batch.models.train.recipe import Network, Recipe
from restore_batch.models.train.trainees import HiFaceGANTrainee, trainee
from restore_batch.models.train.trainer import Trainer, signed
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

from support import training
from support.scenes import draw_scenes

_SIDES_PX = {
    "compact": 256, "srgan": 32, "hifacegan": 64, "gfpgan": 32, "glean-category": 64, "photo": 64,
}  # fmt: skip
# Weights of each system's objective that need no network with published weights.
_OBJECTIVES: dict[str, tuple[str, dict[str, float]]] = {
    "srgan": ("srgan", {"pixel": 1, "content": 0}),
    "hifacegan": ("hifacegan", {"perceptual": 0}),
    "gfpgan": ("gfpgan", {"perceptual": 0, "style": 0, "component": 0, "component_style": 0,
                          "identity": 0}),
    "glean-category": ("glean", {"perceptual": 0}),
}  # fmt: skip
# Without VGG HiFaceGAN has no term that compares pixels, and GFP-GAN first follows its adversary:
# they take longer.
_STEPS = {"srgan": 25, "hifacegan": 120, "gfpgan": 70, "glean-category": 12}
_PIXELS = ("fidelity", {"l1": 1.0, "ms_ssim": 0.0})


def _tiny(name: str) -> dict[str, Any]:
    family = next(f for f in registry.families() if f.name == name)
    return dict(family.tiny or {})


def _recipe(
    tmp_path: Path,
    name: str,
    steps: int,
    objective: tuple[str, dict[str, float]] = _PIXELS,
    rate: float = 1e-4,
) -> Any:
    side = _SIDES_PX[name]
    faces = training.draw_faces(tmp_path / "faces", 2, side)
    return training.recipe(
        tmp_path / "run",
        faces,
        network={"family": name, "architecture": _tiny(name)},
        data=[{"folders": [faces], "side_px": side}],
        objective={"name": objective[0], "weights": objective[1]},
        optimiser={"learning_rate": rate},
        run=training.run(steps),
        export="float32",
    )


@pytest.mark.parametrize("name", _SIDES_PX)
def test_a_family_is_trained_and_its_weights_are_recognised(tmp_path: Path, name: str) -> None:
    trainer = Trainer(_recipe(tmp_path, name, 2))
    before = {key: value.clone() for key, value in trainer.trainee.state_dict().items()}
    assert trainer.run()
    after = trainer.trainee.state_dict()
    changed = [key for key in before if not torch.equal(before[key], after[key])]
    assert len(changed) > len(before) / 3
    assert all(value.isfinite().all() for value in after.values() if value.is_floating_point())

    state = load_state([trainer.export()])
    found = registry.identify(state)
    assert found is not None
    assert found[0].name == name
    family, architecture = found
    net = family.network(state, **(_tiny(name) | architecture))
    assert set(net.state_dict()) == set(state)


@pytest.mark.slow
@pytest.mark.parametrize("name", _OBJECTIVES)
def test_a_systems_own_objective_teaches_a_tiny_network_its_few_faces(
    tmp_path: Path, name: str
) -> None:
    trainer = Trainer(_recipe(tmp_path, name, _STEPS[name], _OBJECTIVES[name], rate=1e-3))
    judges = trainer.judges.discriminators
    before = {key: value.clone() for key, value in judges.state_dict().items()}
    pairs = Streams.of(trainer.recipe, trainer.trainee.shrinks).streams[0]
    degraded, true = (
        signed(torch.stack(half), "cpu") for half in zip(pairs[0], pairs[1], strict=True)
    )

    def error() -> float:
        with torch.inference_mode():
            return float((trainer.trainee(degraded)[0] - true).abs().mean())

    untrained = error()
    assert trainer.run()
    assert error() < 0.8 * untrained
    assert any(not torch.equal(before[key], value) for key, value in judges.state_dict().items())


@pytest.mark.parametrize("name", _SIDES_PX)
def test_a_trainee_turns_degraded_pictures_into_restored_ones(name: str) -> None:
    made = trainee(Network(family=name, architecture=_tiny(name)))
    side = _SIDES_PX[name]
    restored, pyramid = made(torch.zeros(2, 3, side // made.shrinks, side // made.shrinks))
    assert restored.shape == (2, 3, side, side)
    for picture in pyramid:
        assert picture.shape[:2] == (2, 3)
        assert side % picture.shape[-1] == 0
    assert bool(pyramid) == (name == "gfpgan")


def test_training_goes_on_from_weights_that_are_given(tmp_path: Path) -> None:
    first = Trainer(_recipe(tmp_path, "compact", 2))
    first.run()
    started = trainee(
        Network(family="compact", architecture=training.TINY, start_from=first.export())
    )
    for key, value in started.state_dict().items():
        assert torch.equal(value, first.average[key])


def test_training_goes_on_from_a_model_by_its_name() -> None:
    started = trainee(Network(family="compact", start_from="compact-1"))
    published = load_state(Store(None, download=False).ensure(registry.card("compact-1")).paths)
    assert started.bare_keys(started.state_dict()).keys() == published.keys()
    for key, value in started.bare_keys(started.state_dict()).items():
        assert torch.equal(value, published[key].float())


def _photo_recipe(tmp_path: Path, **architecture: Any) -> Recipe:
    scenes = draw_scenes(tmp_path / "scenes", 3)
    return training.recipe(
        tmp_path / "run",
        scenes,
        name="photo",
        data=[],
        scenes=[{"folders": [scenes], "crop_px": 64}],
        network={"family": "photo", "architecture": {**_tiny("photo"), **architecture}},
        degradations={"old_scan": 0.5, "mixed": 0.5},
        objective={"name": "scenes"},
        validation={"folders": [scenes], "pairs": 2, "every_steps": 5},
        run=training.run(5),
    )


@pytest.mark.parametrize("scale", [1, 2])
def test_photo_learns_one_size_alone(scale: int, tmp_path: Path) -> None:
    trainer = Trainer(_photo_recipe(tmp_path, scale=scale))
    assert trainer.run()
    rows = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert len(rows) == 3 and "same_" not in rows[0]
    assert trainer.export().name == f"photo-{scale}.safetensors"


def test_photo_learns_both_sizes_from_scenes_and_is_exported_as_two_networks(
    tmp_path: Path,
) -> None:
    trainer = Trainer(_photo_recipe(tmp_path, with_same=True))
    assert trainer.run()
    rows = (tmp_path / "run" / "validation.csv").read_text().splitlines()
    assert "same_psnr_db" in rows[0]
    assert len(rows) == 3
    last = trainer.export()
    for scale in (1, 2):
        path = last.with_name(f"photo-{scale}.safetensors")
        card = Store(None, download=False).ref_from_path(path, "upscale", {}).card
        assert card.scale == scale
        record = json.loads(path.with_suffix(".json").read_text())
        assert record["name"] == f"photo-{scale}"
        assert record["architecture"] == card.architecture


def _proposal_recipe(tmp_path: Path, scenes: Path, portraits: Path, **sections: Any) -> Recipe:
    return training.recipe(
        tmp_path / "run",
        scenes,
        name="propose",
        data=[],
        scenes=[{"folders": [scenes], "crop_px": 96}],
        portraits={"folders": [portraits]},
        network={"family": "cascade", "architecture": _tiny("cascade")},
        objective={"name": "proposals"},
        **sections,
    )


def test_of_the_cascade_the_proposal_network_learns_and_is_exported(tmp_path: Path) -> None:
    scenes = draw_scenes(tmp_path / "scenes", 2)
    portraits = training.draw_faces(tmp_path / "faces", 1, 256)
    recipe = _proposal_recipe(tmp_path, scenes, portraits, run=training.run(3), export="float32")
    trainer = Trainer(recipe)
    before = {key: value.clone() for key, value in trainer.trainee.state_dict().items()}
    assert trainer.run()
    assert any(not torch.equal(before[k], v) for k, v in trainer.trainee.state_dict().items())
    assert "false_a_face" in (tmp_path / "run" / "losses.csv").read_text()
    state = load_state([trainer.export()])
    assert {key.split(".")[0] for key in state} == {"propose"}
    architecture = _tiny("cascade")
    begun = trainee(Network(family="cascade", start_from=str(tmp_path / "run/propose.safetensors")))
    assert len(begun.net.body) == architecture["depth"]
    for key, value in begun.bare_keys(begun.state_dict()).items():
        assert torch.equal(value, state[key])


def test_what_a_proposal_network_says_is_not_compared_with_pictures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"remove `validation`.*benchmarks\.recall"):
        _proposal_recipe(tmp_path, tmp_path, tmp_path, validation={"folders": [tmp_path]})


def test_what_cannot_be_trained_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="'mtcnn' cannot be trained; known are cascade"):
        trainee(Network(family="mtcnn"))


def test_spectral_norms_follow_the_weights() -> None:
    made = trainee(Network(family="hifacegan", architecture=_tiny("hifacegan")))
    assert isinstance(made, HiFaceGANTrainee)
    for _ in range(200):
        made.after_step()
    convolutions = [m for m in made.modules() if isinstance(m, SpectralConv2d)]
    assert convolutions
    for convolution in convolutions:
        largest = torch.linalg.matrix_norm(convolution.weight().detach().flatten(1), ord=2)
        assert float(largest) == pytest.approx(1.0, abs=0.02)
    assert made.eval().training, "each picture is normalised by itself, in use as in training"

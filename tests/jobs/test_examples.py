"""The job files that come with the project: each is valid, and restores what it says it does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from restore_batch.jobs.inputs import discover
from restore_batch.jobs.source import load_job
from restore_batch.models import registry
from restore_batch.models.families import codeformer
from restore_batch.models.weights.store import Store
from restore_batch.pipeline.plan.choose import choose_models
from restore_batch.pipeline.plan.photos import media_suffixes

from support.archive import cli
from support.data import ROOT
from support.parity import case

EXAMPLES = sorted(
    path for path in (ROOT / "jobs").glob("*.yaml") if path.stem not in ("archive", "video")
)
NAMES = [path.stem for path in EXAMPLES]
PORTRAITS = ["portrait_faded.png", "portrait_grey.jpg"]


def _example(name: str) -> Path:
    return ROOT / "jobs" / f"{name}.yaml"


def test_there_is_an_example_for_every_system() -> None:
    assert {"gfpgan", "codeformer", "hifacegan", "glean", "pulse", "srgan"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_restores_the_sample_portraits_to_a_folder_of_its_own(name: str) -> None:
    job = load_job(_example(name)).job
    assert [
        found.relative
        for found in discover(job.inputs, media_suffixes(), job.exclude, job.output).files
    ] == PORTRAITS
    assert job.output == ROOT / "restored" / name


@pytest.mark.parametrize("name", NAMES)
def test_an_example_names_models_options_and_licences_that_exist(name: str, tmp_path: Path) -> None:
    loaded = load_job(_example(name))
    job = loaded.job
    # Raises for every model, option or consent that is wrong; the folder has no weights.
    choices = choose_models(loaded, Store(tmp_path), fetch=False)
    used = [choice.card for choice in choices.values() if choice.card is not None]
    assert name in {card.family for card in used}
    if job.restore.model != "none":
        registry.options(registry.card(job.restore.model), job.restore.options)
    needed = {card.licence.key for card in used if not card.licence.commercial}
    assert needed == set(job.weights.accept_licences)


@pytest.mark.parametrize("name", NAMES)
def test_an_example_says_which_command_adds_its_weights(name: str) -> None:
    text = _example(name).read_text(encoding="utf-8")
    assert "restore-batch models add " in text
    files = {
        file.filename
        for card in registry.cards()
        if card.family == name
        for source in card.sources
        for file in source
    }
    assert files & set(re.findall(r"[\w.-]+\.(?:pth|pt)\b", text))


# -- the whole way, with networks of the published size and weights of no meaning -------------


def _prefixed(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """As mmagic's trainers save a generator."""
    return {"state_dict": {f"generator.{key}": value for key, value in state.items()}}


def _codeformer() -> dict[str, torch.Tensor]:
    pytest.importorskip("spandrel_extra_arches", reason="the extra community is not installed")
    torch.manual_seed(0)
    return dict(codeformer.network(None, **codeformer.CARD.architecture).state_dict())


def _gaussian() -> dict[str, torch.Tensor]:
    return {"mean": torch.zeros(512), "std": torch.ones(512)}


Make = Callable[[], Any]
# File name → what the file holds, in the layout it is published in.
FILES: dict[str, dict[str, Make]] = {
    "gfpgan": {"GFPGANv1.4.pth": lambda: {"params_ema": case("gfpgan_clean_v1_4").state()}},
    "codeformer": {"codeformer.pth": lambda: {"params_ema": _codeformer()}},
    "hifacegan": {"latest_net_G.pth": lambda: case("hifacegan_ngf64_train").state()},
    "glean": {
        "glean_in128out1024_4x2_300k_ffhq_celebahq_20210812-acbcb04f.pth": lambda: _prefixed(
            case("glean_in128out1024").state()
        )
    },
    "pulse": {
        "synthesis.pt": lambda: case("pulse_synthesis_1024").state(),
        "gaussian_fit.pt": _gaussian,
    },
    "srgan": {
        "srgan_x4c64b16_1x16_1000k_div2k_20200606-a1f0810e.pth": lambda: _prefixed(
            case("msrresnet_x4").state()
        )
    },
}
# A search of a hundred steps takes minutes and proves no more than one of two.
SETTINGS = {"pulse": ["restore.options.steps=2"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FILES))
def test_an_example_runs_from_added_weights_to_restored_portraits(
    name: str, tmp_path: Path
) -> None:
    weights, output = tmp_path / "weights", tmp_path / "out"
    for filename, make in FILES[name].items():
        torch.save(make(), tmp_path / filename)
        arguments = ["--name", "hifacegan"] if name == "hifacegan" else []
        added = cli("models", "add", tmp_path / filename, *arguments, "--weights-dir", weights)
        assert added.returncode == 0, added.stderr
        (tmp_path / filename).unlink()
    scale = 4 if name == "srgan" else 1
    settings = [
        f"output={output}",
        f"weights.dir={weights}",
        "weights.download=false",
        "engine.kind=local",
        f"background.scale={scale}",
        *SETTINGS.get(name, []),
    ]
    overrides = [part for setting in settings for part in ("--set", setting)]
    done = cli("run", _example(name), "--json", *overrides, timeout_s=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout)
    assert summary["done"] == len(PORTRAITS)
    assert summary["faces"] == (0 if name == "srgan" else len(PORTRAITS))
    for portrait in PORTRAITS:
        with (
            Image.open(ROOT / "jobs" / "samples" / portrait) as original,
            Image.open(output / portrait) as restored,
        ):
            assert restored.size == (original.width * scale, original.height * scale)
            assert restored.mode == original.mode
            back = np.asarray(restored.resize(original.size), np.float32)
            assert np.abs(back - np.asarray(original, np.float32)).max() > 8

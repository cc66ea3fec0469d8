"""All restorers with small random networks, as another package would add them.

The real classes run, from the file to the pasted face; only the channels are few. Their weights
are files that ``restore-batch models add`` takes, so that no real weights are needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from restore_batch.models import registry
from restore_batch.models.base import Card, Family, Licence, Runtime, StateDict, WeightFile
from restore_batch.models.families import gfpgan, glean, hifacegan, pulse, srgan
from restore_batch.models.weights.store import Store

_FREE = Licence("small-free", "Small Free Licence", commercial=True)
_GLEAN = glean.FAMILIES[0]
_GLEAN_SIZES = {
    "in_size": 32, "out_size": 1024, "rrdb_channels": 8, "num_rrdbs": 1, "style_channels": 16,
    "num_mlps": 1, "narrow": 1 / 32,
}  # fmt: skip
_GFPGAN_PX = 256
_GFPGAN_SIZES = {
    "arch": "clean", "out_size": _GFPGAN_PX, "num_style_feat": 16, "channel_multiplier": 2,
    "num_mlp": 1, "narrow": 1 / 32,
}  # fmt: skip


def _glean_network(state: StateDict | None, **architecture: Any) -> torch.nn.Module:
    """GLEAN under our own keys: the authors' are folded away while they are loaded."""
    net = glean.network(None, **architecture)
    if state is not None:
        net.load_state_dict(dict(state))
    return net


def _build_glean(state: StateDict, card: Card, options: Any, runtime: Runtime) -> Any:
    return glean.GLEANRestorer(_glean_network(state, **card.architecture), runtime, 1)


def _small(
    family: Family,
    sizes: Mapping[str, Any],
    files: tuple[str, ...],
    input_px: int | None = None,
    **changes: Any,
) -> Family:
    name = f"small-{family.name}"
    card = replace(
        family.cards[0], name=name, family=name, licence=_FREE, architecture=dict(sizes),
        input_px=input_px or family.cards[0].input_px,
        sources=(tuple(WeightFile(file) for file in files),),
    )  # fmt: skip
    return replace(family, name=name, cards=(card,), **changes)


FAMILIES = (
    _small(gfpgan.FAMILY, _GFPGAN_SIZES, ("small_gfpgan.pth",), _GFPGAN_PX),
    _small(hifacegan.FAMILY, {"netG": "hifacegan", "ngf": 4}, ("small_hifacegan.pth",)),
    _small(
        _GLEAN, _GLEAN_SIZES, ("small_glean.pth",), network=_glean_network, build=_build_glean,
        recognise=lambda state: {} if any(key.startswith("decoder.") for key in state) else None,
    ),
    _small(pulse.FAMILY, dict(pulse.FAMILY.tiny or {}), ("synthesis.pt", "gaussian_fit.pt")),
    _small(srgan.FAMILY, dict(srgan.FAMILY.tiny or {}), ("small_srgan.pth",)),
)  # fmt: skip
NAMES = tuple(family.name for family in FAMILIES)
CONSENT = {"accept_imagined_faces": True, "paste_back": True}
OPTIONS: dict[str, dict[str, Any]] = {"small-pulse": {**CONSENT, "steps": 3}}


def random_state(family: Family, seed: int = 1) -> dict[str, torch.Tensor]:
    """Weights of the family's only card, random but the same on every call."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = family.network(None, **family.cards[0].architecture)
    return {key: value.clone() for key, value in net.state_dict().items()}


def write_weights(folder: Path, names: tuple[str, ...] = NAMES) -> list[tuple[str, Path]]:
    """For each model its name and the file, or folder of files, to be added."""
    written = []
    for family in FAMILIES:
        if family.name not in names:
            continue
        state = random_state(family)
        path = folder / f"{family.name}.pth"
        if family.name == "small-pulse":
            path = folder / family.name
            path.mkdir(parents=True)
            fit = {key: state.pop(key) for key in ("mean", "std")}
            torch.save(fit, path / "gaussian_fit.pt")
            torch.save(state, path / "synthesis.pt")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(state, path)
        written.append((family.name, path))
    return written


def plug_in(folder: Path) -> dict[str, str]:
    """Install the families for subprocesses; returns the environment they need."""
    info = folder / "small_systems-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: small-systems\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[restore_batch.models]\nsmall = support.small_systems:FAMILIES\n"
    )
    tests = Path(__file__).resolve().parents[1]
    inherited = os.environ.get("PYTHONPATH", "")
    paths = os.pathsep.join(filter(None, [str(folder), str(tests), inherited]))
    return {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def add_weights(folder: Path, weights_dir: Path, names: tuple[str, ...] = NAMES) -> None:
    """Bring the weights into ``weights_dir``; the families must be installed here."""
    for name, path in write_weights(folder, names):
        assert not Store(weights_dir).add(path, name).missing


@contextmanager
def installed(folder: Path) -> Iterator[dict[str, str]]:
    """The families in this process; gives the environment that subprocesses need."""
    env = plug_in(folder)
    sys.path.insert(0, str(folder))
    registry.families.cache_clear()
    try:
        yield env
    finally:
        sys.path.remove(str(folder))
        registry.families.cache_clear()

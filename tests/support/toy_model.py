"""A model family of one convolution, registered as another package would: by an entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from restore_batch.models import registry
from restore_batch.models.base import (
    Card,
    Family,
    Licence,
    NoOptions,
    Options,
    Runtime,
    StateDict,
    WeightFile,
)

FREE = Licence("toy-free", "Toy Licence", commercial=True)
PAID = Licence("toy-nc", "Toy Non-Commercial Licence", commercial=False, url="https://toy.test/nc")


class ToyOptions(Options):
    """``gain`` multiplies the result."""

    gain: float = 1.0


class ToyNet(torch.nn.Module):
    def __init__(self, channels: int = 4, scale: int = 2) -> None:
        super().__init__()
        self.toy_in = torch.nn.Conv2d(3, channels, 3, padding=1)
        self.toy_out = torch.nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)
        self.scale = scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pixel_shuffle(self.toy_out(self.toy_in(x)), self.scale)


class ToyUpscaler:
    def __init__(self, net: ToyNet, gain: float) -> None:
        self.net = net.eval()
        self.scale = net.scale
        self.gain = gain

    def __call__(self, rgb_nchw: torch.Tensor) -> torch.Tensor:
        if rgb_nchw.ndim != 4 or rgb_nchw.shape[1] != 3:
            raise ValueError(f"expected (N, 3, H, W), got {tuple(rgb_nchw.shape)}")
        _, _, height, width = rgb_nchw.shape
        empty = torch.empty(0, 3, height * self.scale, width * self.scale)
        with torch.inference_mode():
            parts = [(self.net(x) * self.gain).clamp(0, 1) for x in rgb_nchw.split(1) if len(x)]
        return torch.cat([empty, *parts])

    def bytes_per_pixel(self) -> int:
        return 64


class ToyRestorer:
    face_px = 16

    def __call__(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [255 - crop for crop in crops]


def state(channels: int = 4, scale: int = 2, seed: int = 0) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return dict(ToyNet(channels, scale).state_dict())


def network(state: StateDict, channels: int = 4, scale: int = 2) -> ToyNet:
    net = ToyNet(channels, scale)
    net.load_state_dict(dict(state))
    return net


def recognise(state: StateDict) -> dict[str, Any] | None:
    if "toy_out.weight" not in state:
        return None
    out, channels = state["toy_out.weight"].shape[:2]
    return {"channels": channels, "scale": round((out / 3) ** 0.5)}


def build(state: StateDict, card: Card, options: ToyOptions, runtime: Runtime) -> ToyUpscaler:
    return ToyUpscaler(network(state, **card.architecture), options.gain)


def card(
    name: str = "toy-x2",
    sources: tuple[tuple[WeightFile, ...], ...] = ((WeightFile("toy_x2.pth"),),),
    licence: Licence = FREE,
    architecture: Mapping[str, Any] | None = None,
) -> Card:
    return Card(
        name=name,
        family="toy",
        task="upscale",
        title="Toy upscaler",
        paper="Nobody 2000",
        licence=licence,
        sources=sources,
        architecture=architecture or {"channels": 4, "scale": 2},
        scale=2,
        limits="a toy",
    )


def family(*cards: Card) -> Family:
    return Family(
        name="toy",
        task="upscale",
        cards=cards,
        network=network,
        build=build,
        recognise=recognise,
        options=ToyOptions,
        tiny={"channels": 4, "scale": 2},
    )


FAMILY = family(card())

_BOX = Licence("box-nc", "Box", commercial=False)
BOX = Family(
    name="toybox",
    task="restore",
    cards=(
        Card(
            name="toybox-16",
            family="toybox",
            task="restore",
            title="Toy face restorer in two files",
            paper="Nobody 2001",
            licence=_BOX,
            sources=((WeightFile("lid.pt"), WeightFile("box.pt")),),
            input_px=16,
        ),
    ),
    network=lambda state: torch.nn.Identity(),
    build=lambda state, card, options, runtime: ToyRestorer(),
    recognise=lambda state: {} if {"lid.a", "box.b"} <= state.keys() else None,
    options=NoOptions,
)


@contextmanager
def installed(folder: Path, *families: Family) -> Iterator[None]:
    """A package in ``folder``, on the path, whose entry points are ``families``."""
    module = folder / "toy_plugin.py"
    module.write_text("from support.toy_model import OFFERED\nFAMILIES = OFFERED\n")
    info = folder / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[restore_batch.models]\ntoy = toy_plugin:FAMILIES\n")
    OFFERED[:] = families
    sys.path.insert(0, str(folder))
    registry.families.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop("toy_plugin", None)
        registry.families.cache_clear()


OFFERED: list[Family] = []

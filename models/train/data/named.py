"""Degradations by name: what good pictures are made bad with, to be restored and compared.

A picture's damage is a function of the seed and of the picture's name alone. What was drawn for it
can be recorded (:class:`Recorded`).
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from restore_batch.models.base import Options
from restore_batch.models.train.data.degrade import Mixed, OldPrint
from restore_batch.models.train.data.old_scan.recipe import OldScan
from restore_batch.models.train.data.scenes import SceneMixed


class UnsuitedError(Exception):
    """Why a recipe cannot be used on a picture, in a few words."""


Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""rgb_hwc uint8 and a source of chance to rgb_hwc uint8. Raises UnsuitedError."""


@dataclass(frozen=True)
class Recipe:
    """``options``: all that it was made with, as plain data. ``shrinks``: by how much the result is
    smaller."""

    name: str
    title: str
    source: str
    degrade: Degrade
    options: dict[str, Any] = field(default_factory=dict)
    shrinks: int = 1


def _of_faces(options: Mixed | OldPrint) -> Degrade:
    def degrade(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rgb_hwc.shape[0] != rgb_hwc.shape[1]:
            raise UnsuitedError("expected a square picture of an aligned face")
        return options(rgb_hwc, rng)

    return degrade


def _bicubic(factor: int) -> Degrade:
    def degrade(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import torch

        from restore_batch.models.nets.bicubic import BicubicDownsample

        height, width = rgb_hwc.shape[:2]
        if height % factor or width % factor or min(height, width) < 4 * factor:
            raise UnsuitedError(f"expected sides that are multiples of {factor}")
        samples = torch.from_numpy(rgb_hwc.transpose(2, 0, 1).copy())[None].float()
        small = BicubicDownsample(factor)(samples).round_().clamp_(0, 255)
        return np.ascontiguousarray(small[0].permute(1, 2, 0).byte().numpy())

    return degrade


def _plain(options: Options) -> dict[str, Any]:
    return options.model_dump(mode="json")


_SCENES = Mixed(blur_sigma_px=(0.2, 3.0), downsampling=(1.0, 3.0))

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("mixed", "blur, reduction, noise and JPEG of an aligned face",
               "Wang et al. 2021 (GFP-GAN), section 4.1", _of_faces(Mixed()), _plain(Mixed())),
        Recipe("old-print", "an aligned face as a print and its scan show it", "ours",
               _of_faces(OldPrint()), _plain(OldPrint())),
        Recipe("scene-mixed", "GFP-GAN's degradation in milder ranges, of any picture",
               "after Wang et al. 2021", SceneMixed(_SCENES, severity=(1, 1)), _plain(_SCENES)),
        Recipe("old-scan", "wear, dust, grain and a scanner, of any picture", "ours",
               OldScan(), _plain(OldScan())),
        *(
            Recipe(f"bicubic-{factor}", f"bicubic reduction {factor} times", source,
                   _bicubic(factor), {"factor": factor}, factor)
            for factor, source in (
                (2, "Keys 1981"),
                (4, "Ledig et al. 2017 (SRGAN)"),
                (8, "Chan et al. 2021 (GLEAN)"),
                (16, "Menon et al. 2020 (PULSE), Chan et al. 2021 (GLEAN)"),
            )
        ),
    )
}  # fmt: skip


class Recorded(np.random.Generator):
    """A generator that keeps the single numbers drawn from it, with who drew them from what.

    Arrays, such as noise, are not kept: the seed gives them.
    """

    def __init__(self, seed: int, name: str) -> None:
        super().__init__(np.random.PCG64([seed, zlib.crc32(name.encode("utf-8", "surrogatepass"))]))
        self.drawn: list[dict[str, Any]] = []

    def random(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept("random", args, super().random(*args, **kwargs))

    def uniform(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept("uniform", args, super().uniform(*args, **kwargs))

    def integers(self, *args: Any, **kwargs: Any) -> Any:
        return self._kept("integers", args, super().integers(*args, **kwargs))

    def _kept(self, how: str, given: tuple[Any, ...], value: Any) -> Any:
        if np.ndim(value) == 0:
            number = value.item() if isinstance(value, np.generic) else value
            # Two frames up: who asked.
            by = sys._getframe(2).f_code.co_qualname.split(".<locals>")[0]
            limits = [float(x) for x in given if np.ndim(x) == 0 and x is not None]
            self.drawn.append({"by": by, "how": how, "of": limits, "got": number})
        return value

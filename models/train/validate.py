"""How good the restorer is by now: scores on pictures it never trains on, and a picture of some."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from restore_batch.models.metrics.fidelity import fidelity
from restore_batch.models.train.curves import Curve
from restore_batch.models.train.data.loading import Pairs, degradations, scene_pairs
from restore_batch.models.train.data.pairs import FacePairs, picture_files
from restore_batch.models.train.recipe import Recipe
from restore_batch.models.train.trainees import Trainee

_SHOWN = 8


class Validator:
    """Scores a restorer on fixed pairs; each call adds a row to ``validation.csv`` and writes
    ``samples/<step>.png``: a row for each pair of degraded, restored and true."""

    def __init__(
        self,
        recipe: Recipe,
        pairs: Pairs,
        every_steps: int,
        after: int,
    ) -> None:
        self.every_steps = every_steps
        self._pairs = [pairs[i] for i in range(len(pairs))]
        self._side_px = pairs.side_px
        self._curve = Curve(recipe.output / "validation.csv", after)
        self._samples = recipe.output / "samples"

    @classmethod
    def of(cls, recipe: Recipe, shrinks: int, after: int) -> Validator | None:
        """The validator of a recipe, or None where it has none."""
        chosen = recipe.validation
        if chosen is None:
            return None
        files = picture_files(chosen.folders, chosen.exclude)
        pairs: Pairs
        if recipe.scenes:
            pairs = scene_pairs(
                recipe, files, recipe.side_px, 0, chosen.pairs, shrinks, augment=False
            )
        else:
            faces = degradations(recipe.degradations)
            pairs = FacePairs(files, recipe.side_px, faces, 0, chosen.pairs, shrinks=shrinks)
        return cls(recipe, pairs, chosen.every_steps, after)

    def __call__(self, step: int, restorer: Trainee) -> dict[str, float]:
        """Mean PSNR (dB), MS-SSIM and gradient error (of 255) of the restored pictures; with
        "same_" before the name of those at the degraded ones' size, where they are made too."""
        scores: list[dict[str, float]] = []
        rows: list[np.ndarray] = []
        for degraded, true, *same in self._pairs:
            restored, *others = restore(restorer, degraded)
            scored = compare(restored, true)
            if same and others:
                also = compare(others[0], same[0])
                scored |= {f"same_{name}": value for name, value in also.items()}
            scores.append(scored)
            if len(rows) < _SHOWN:
                rows.append(
                    np.hstack([_shown(t, self._side_px) for t in (degraded, restored, true)])
                )
        means = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
        self._curve.append(step, means)
        write_grid(self._samples / f"{step:08d}.png", rows)
        return means


@torch.inference_mode()
def restore(restorer: Trainee, degraded: torch.Tensor) -> list[torch.Tensor]:
    """One (3, S, S) uint8 picture through a restorer, in float32: the result, then what its inner
    levels show."""
    device = next(restorer.parameters()).device
    signed = degraded[None].to(device).float().div_(127.5).sub_(1)
    restored, pyramid = restorer(signed)
    return [_stored(picture[0]) for picture in (restored, *pyramid)]


def _stored(signed: torch.Tensor) -> torch.Tensor:
    return signed.float().clamp_(-1, 1).add_(1).mul_(127.5).round_().to("cpu", torch.uint8)


def compare(restored: torch.Tensor, true: torch.Tensor) -> dict[str, float]:
    """Scores of one (3, S, S) uint8 picture against the true one."""
    return fidelity(*(picture.permute(1, 2, 0).numpy() for picture in (restored, true)))


def _shown(picture: torch.Tensor, side_px: int) -> np.ndarray:
    rgb_hwc = np.ascontiguousarray(picture[:3].permute(1, 2, 0).numpy())
    return cv2.resize(rgb_hwc, (side_px, side_px), interpolation=cv2.INTER_NEAREST)


def write_grid(path: Path, rows: list[np.ndarray]) -> None:
    """Rows of rgb_hwc uint8 pictures below each other, as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = (len(rows) + 1) // 2
    columns = [np.vstack(part) for part in (rows[:half], rows[half:]) if part]
    height = columns[0].shape[0]
    columns = [np.pad(c, ((0, height - c.shape[0]), (0, 0), (0, 0))) for c in columns]
    cv2.imwrite(str(path), np.hstack(columns)[..., ::-1])

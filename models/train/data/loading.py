"""From a recipe to batches: what a step is trained on, and who makes the pairs."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from restore_batch.models.train.data.damage_pairs import DamagePairs
from restore_batch.models.train.data.fill_pairs import FillPairs
from restore_batch.models.train.data.old_scan.outlines import read_outlines
from restore_batch.models.train.data.pairs import Degradation, FacePairs, Jitter, picture_files
from restore_batch.models.train.data.proposal_pairs import ProposalPairs
from restore_batch.models.train.data.scenes import SceneDegradation, SceneMixed, ScenePairs, clean
from restore_batch.models.train.recipe import Degradations, Recipe

Pairs = FacePairs | ScenePairs | DamagePairs | ProposalPairs

Batch = tuple[torch.Tensor, ...]
"""Degraded pictures, the true ones and, of scenes for networks that double, the true ones at the
degraded ones' size."""


@dataclass(frozen=True, eq=False)
class Streams(Dataset[Batch]):
    """The recipe's folders, each a stream of pairs; ``every`` says which step takes from which."""

    streams: Sequence[Pairs]
    every: Sequence[int]

    @classmethod
    def of(cls, recipe: Recipe, shrinks: int = 1) -> Streams:
        """The streams of a recipe, whose degraded pictures are ``1 / shrinks`` of the true ones'
        size. Raises UsageError for folders without pictures."""
        if recipe.scenes:
            return cls._of_scenes(recipe, shrinks)
        chosen = degradations(recipe.degradations)
        streams = [
            FacePairs(
                picture_files(faces.folders, faces.exclude),
                faces.side_px,
                chosen,
                seed=recipe.run.seed + 1000 * number,
                length=recipe.run.steps * recipe.run.batch,
                tone=recipe.degradations.tone,
                jitter=Jitter() if recipe.degradations.jitter else None,
                shrinks=shrinks,
            )
            for number, faces in enumerate(recipe.data)
        ]
        return cls(streams, [faces.every for faces in recipe.data])

    @classmethod
    def _of_scenes(cls, recipe: Recipe, shrinks: int) -> Streams:
        streams = [
            scene_pairs(
                recipe,
                picture_files(scenes.folders, scenes.exclude),
                scenes.crop_px,
                seed=recipe.run.seed + 1000 * number,
                length=recipe.run.steps * recipe.run.batch,
                shrinks=shrinks,
            )
            for number, scenes in enumerate(recipe.scenes)
        ]
        return cls(streams, [scenes.every for scenes in recipe.scenes])

    def __len__(self) -> int:
        return sum(map(len, self.streams))

    def __getitem__(self, place: tuple[int, int]) -> Batch:
        """Pair (stream, index)."""
        stream, index = place
        return self.streams[stream][index]

    def places(self, step: int, batch: int) -> list[tuple[int, int]]:
        """The pairs of ``step``, (stream, index) each, in a batch of ``batch``."""
        stream = next(
            (i for i in range(len(self.every) - 1, 0, -1) if (step + 1) % self.every[i] == 0), 0
        )
        return [(stream, step * batch + slot) for slot in range(batch)]


def scene_pairs(
    recipe: Recipe,
    files: Sequence[Path],
    crop_px: int,
    seed: int,
    length: int,
    shrinks: int,
    augment: bool = True,
) -> ScenePairs | DamagePairs | ProposalPairs:
    """The pairs that a recipe wants of some scenes."""
    if recipe.portraits is not None:
        wanted = recipe.portraits
        portraits = picture_files(wanted.folders, wanted.exclude)
        return ProposalPairs(files, portraits, crop_px, seed, length, wanted.detector)
    if recipe.damage is not None:
        if recipe.network.family == "fill":
            return FillPairs(files, crop_px, recipe.damage, seed, length, recipe.damage.finder)
        return DamagePairs(files, crop_px, recipe.damage, seed, length)
    return ScenePairs(
        files,
        crop_px,
        scene_degradations(recipe.degradations),
        seed=seed,
        length=length,
        tone=recipe.degradations.fading if augment else None,
        shrinks=shrinks,
        augment=augment,
    )


def degradations(chosen: Degradations) -> list[tuple[float, Degradation]]:
    """The degradations of a recipe and their weights."""
    both: list[tuple[float, Degradation]] = [
        (chosen.mixed, chosen.mixed_options),
        (chosen.old_print, chosen.old_print_options),
    ]
    return [(weight, degrade) for weight, degrade in both if weight > 0]


def scene_degradations(chosen: Degradations) -> list[tuple[float, SceneDegradation]]:
    """The degradations of a recipe's scenes and their weights. Raises UsageError for outlines
    that cannot be read."""
    outlines = None if chosen.outlines is None else read_outlines(chosen.outlines)
    all_: list[tuple[float, SceneDegradation]] = [
        (chosen.mixed, SceneMixed(chosen.mixed_options)),
        (chosen.old_scan, partial(chosen.old_scan_options.__call__, outlines=outlines)),
        (chosen.clean, clean),
    ]
    return [(weight, degrade) for weight, degrade in all_ if weight > 0]


def batches(
    streams: Streams, recipe: Recipe, first_step: int, share: range | None = None
) -> Generator[Batch]:
    """The batches from ``first_step`` to the last: see :data:`Batch`, each (N, 3, S, S) uint8.

    With ``share`` only those pairs of each batch.
    """
    mine = slice(None) if share is None else slice(share.start, share.stop)

    class Places:
        def __iter__(self) -> Iterator[list[tuple[int, int]]]:
            for step in range(first_step, recipe.run.steps):
                yield streams.places(step, recipe.run.batch)[mine]

    loader = DataLoader(
        streams,
        batch_sampler=Places(),  # type: ignore[arg-type]
        num_workers=recipe.run.loaders,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        # Loaders draw no chance of their own: drawing a base seed here would change the run's.
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader

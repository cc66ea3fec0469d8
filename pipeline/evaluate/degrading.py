"""Degrading a folder of good pictures: seeded, recorded, the same whenever it is done again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch import __version__
from restore_batch.errors import MediaError, RestoreBatchError, UsageError
from restore_batch.files import sha256_of, whole
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.inputs import SourceFile, discover
from restore_batch.jobs.mistakes import did_you_mean
from restore_batch.jobs.outputs import assign_outputs
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.photo.formats import catalogue
from restore_batch.stages.photo.read import read

RECORD = "degraded.json"
"""What was done: recipe, seed and, for each picture, checksums and all that was drawn."""
_BOUNDS = Bounds(time_s=3600.0)


@dataclass(frozen=True)
class Degraded:
    """``made``: names of the pictures written. ``failed``: (source, reason)."""

    made: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    record: Path


def degrade_folder(
    inputs: Sequence[str], output: Path, recipe: str, seed: int, *, max_megapixels: float = 1000.0
) -> Degraded:
    """Write a PNG of each photo that ``inputs`` name, made bad, and :data:`RECORD`, to ``output``.

    8 bits sRGB; a grey picture stays grey; transparency and all else that a file holds are not
    passed on. A picture's damage follows from ``seed`` and from its path below its input. Raises
    UsageError for an unknown recipe, for inputs that lead nowhere and where ``output`` holds
    something else.
    """
    _known(recipe)
    found = discover(inputs, catalogue.suffixes(), output=output).files
    names = assign_outputs([(source.relative, ".png") for source in found])
    _claim(output)
    made: list[dict[str, Any]] = []
    failed: list[tuple[str, str]] = []
    task = _DegradeOne(recipe, seed, output, max_megapixels)
    with Isolated(task, _BOUNDS) as degrading:
        requests = list(zip(found, names, strict=True))
        for (source, _), answer in zip(requests, degrading.answers(requests), strict=True):
            if isinstance(answer, Lost):
                failed.append((source.source, f"degrading it {answer.reason}"))
            elif isinstance(answer, str):
                failed.append((source.source, answer))
            else:
                made.append(answer)
    record = output / RECORD
    _write_record(record, recipe, seed, made)
    return Degraded(tuple(each["file"] for each in made), tuple(failed), record)


def recipes() -> Iterator[tuple[str, str, str]]:
    """Name, title and source of every recipe."""
    from restore_batch.models.train.data.named import RECIPES

    return ((each.name, each.title, each.source) for each in RECIPES.values())


def _known(recipe: str) -> None:
    names = [name for name, _, _ in recipes()]
    if recipe not in names:
        hint = did_you_mean(recipe, names) or f"; known: {', '.join(names)}"
        raise UsageError(f"no recipe is called {recipe!r}{hint}")


def _claim(output: Path) -> None:
    if os.path.lexists(output) and (not output.is_dir() or any(output.iterdir())):
        record = output / RECORD
        if not record.is_file():
            raise UsageError(
                f"{output}: something that was not degraded here is there; name another folder"
            )
    output.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class _DegradeOne:
    recipe: str
    seed: int
    output: Path
    max_megapixels: float

    def open(self) -> None:
        cv2.setNumThreads(1)

    def __call__(self, request: tuple[SourceFile, str]) -> dict[str, Any] | str:
        from restore_batch.models.train.data.named import RECIPES, Recorded, UnsuitedError

        source, name = request
        rng = Recorded(self.seed, source.relative)
        try:
            frame = read(source.source, self.max_megapixels)[0]
            bad = RECIPES[self.recipe].degrade(to_uint8(frame.rgb_hwc), rng)
            path = self.output / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path) as staged:
                staged.write_bytes(_png(bad, frame.grey))
        except (MediaError, OSError, UnsuitedError) as error:
            reason = " ".join(str(error).split())
            return reason if source.source in reason else f"{source.source}: {reason}"
        return {
            "file": name,
            "source": source.relative,
            "source_sha256": sha256_of(Path(source.source)),
            "sha256": sha256_of(path),
            "drawn": rng.drawn,
        }


def _png(rgb_hwc: np.ndarray, grey: bool) -> bytes:
    one_channel = grey and bool((rgb_hwc == rgb_hwc[..., :1]).all())
    picture = rgb_hwc[..., 0] if one_channel else rgb_hwc[..., ::-1]
    coded, data = cv2.imencode(".png", np.ascontiguousarray(picture))
    if not coded:
        raise MediaError("it cannot be written as PNG")
    return data.tobytes()


def _write_record(path: Path, recipe: str, seed: int, made: Sequence[dict[str, Any]]) -> None:
    from restore_batch.models.train.data.named import RECIPES

    chosen = RECIPES[recipe]
    told = {
        "what": f"good pictures made bad by restore-batch {__version__}",
        "recipe": recipe,
        "title": chosen.title,
        "source": chosen.source,
        "options": chosen.options,
        "seed": seed,
        "files": list(made),
    }
    try:
        with whole(path) as staged:
            staged.write_text(json.dumps(told, indent=1), encoding="utf-8")
    except OSError as error:
        raise RestoreBatchError(f"{path}: cannot be written ({error.strerror or error})") from None

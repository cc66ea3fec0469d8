"""How well whole pictures are restored and enlarged, against the truth.

    python -m benchmarks.scenes --scenes ../shared/scenes/eval --sheet sheet

Scale 2: each picture is halved, degraded and enlarged again, by Lanczos, by photo-2 and, on the
first ``--x4plus`` of them, by Real-ESRGAN x4plus and a resize. Scale 1: it is degraded at its size
and compared as it is and after photo-1. Degradations, with a seed for each picture: none, the old
scan, GFP-GAN's mixed one with blur up to 3 px and reduction up to threefold. Scores: PSNR,
MS-SSIM, gradient error (mean difference of neighbours' differences, of 255) and, where
stlpips-pytorch is installed, ST-LPIPS.

``--weights``: a folder of photo-1.safetensors and photo-2.safetensors that a training run wrote;
without it those that are shipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np

from restore_batch.models import registry
from restore_batch.models.base import Runtime, Upscaler
from restore_batch.models.families import photo
from restore_batch.models.metrics import perceptual
from restore_batch.models.metrics.base import Measure
from restore_batch.models.metrics.fidelity import fidelity
from restore_batch.models.train.data.degrade import Mixed
from restore_batch.models.train.data.old_scan.outlines import read_outlines
from restore_batch.models.train.data.old_scan.recipe import OldScan
from restore_batch.models.train.data.pairs import picture_files
from restore_batch.models.train.data.scenes import SceneMixed, clean, read_scene
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store
from restore_batch.stages.enlarge.tiles.network import upscale_in_tiles

_SEED = 2022_07686
_MIXED = Mixed(blur_sigma_px=(0.2, 3.0), downsampling=(1.0, 3.0))
Method = Callable[[np.ndarray], np.ndarray]


def degraded(rgb_hwc: np.ndarray, kind: str, number: int, outlines: Path | None) -> np.ndarray:
    """A picture, rgb_hwc uint8, degraded by the kind of that name."""
    rng = np.random.default_rng([_SEED, number])
    if kind == "clean":
        return clean(rgb_hwc, rng)
    if kind == "old scan":
        return OldScan()(rgb_hwc, rng, read_outlines(outlines) if outlines else None)
    return SceneMixed(_MIXED, severity=(1, 1))(rgb_hwc, rng)


def through(upscaler: Upscaler, scale: int) -> Method:
    """A network in tiles, as a job runs it, at the wanted scale."""

    def restore(rgb_hwc: np.ndarray) -> np.ndarray:
        height, width = rgb_hwc.shape[:2]
        return upscale_in_tiles(upscaler, [rgb_hwc], (scale * width, scale * height), 512)[0]

    return restore


def lanczos(rgb_hwc: np.ndarray) -> np.ndarray:
    """At twice the size."""
    height, width = rgb_hwc.shape[:2]
    return np.asarray(
        cv2.resize(rgb_hwc, (2 * width, 2 * height), interpolation=cv2.INTER_LANCZOS4)
    )


def photo_network(scale: int, weights: Path | None) -> Upscaler:
    """photo-1 or photo-2."""
    if weights is not None:
        state = load_state([weights / f"photo-{scale}.safetensors"])
        return photo.PhotoUpscaler(photo.network(state), photo.PhotoOptions(), Runtime())
    ref = Store(download=False).ref(registry.card(f"photo-{scale}"), {})
    upscaler: Upscaler = registry.build(ref, Runtime())
    return upscaler


def judge() -> Measure | None:
    """ST-LPIPS, or None where its package is not installed."""
    store = Store(download=False)
    return None if perceptual.st_lpips_lacks(store) else perceptual.open_st_lpips(store)


def scores(restored: np.ndarray, true: np.ndarray, looks: Measure | None) -> dict[str, float]:
    """Scores of one picture, rgb_hwc uint8, against the true one."""
    found = fidelity(restored, true)
    if looks is not None:
        found["st_lpips"] = looks(restored, true)
    return found


def cases(true: np.ndarray, scale: int) -> np.ndarray:
    """What is degraded: the picture, or at scale 2 its half, by area. Sides are made even."""
    height, width = (side // 2 for side in true.shape[:2])
    small = cv2.resize(true, (width, height), interpolation=cv2.INTER_AREA)
    return true if scale == 1 else np.asarray(small)


def methods(scale: int, weights: Path | None, with_x4plus: bool) -> Iterator[tuple[str, Method]]:
    """What is compared at a scale, by name."""
    yield ("as it is", lambda rgb_hwc: rgb_hwc) if scale == 1 else ("Lanczos", lanczos)
    yield f"photo-{scale}", through(photo_network(scale, weights), scale)
    card, store = registry.card("realesrgan-x4plus"), Store(download=False)
    if with_x4plus and store.locate(card) is not None:
        x4plus = registry.build(store.ref(card, {}), Runtime())
        yield "x4plus, resized", through(x4plus, scale)


def main() -> None:
    """Read the arguments, print the tables, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--outlines", type=Path, help="outlines of real damage for the old scan")
    parser.add_argument("--pictures", type=int, help="how many; all by default")
    parser.add_argument("--x4plus", type=int, default=0, help="how many go through x4plus, too")
    parser.add_argument("--scales", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--pixels", action="store_true", help="without ST-LPIPS, which is slow")
    parser.add_argument("--sheet", type=Path, help="folder for PNGs of every picture and method")
    arguments = parser.parse_args()
    looks = None if arguments.pixels else judge()
    files = picture_files([arguments.scenes])[: arguments.pictures]
    for scale in arguments.scales:
        chosen = dict(methods(scale, arguments.weights, arguments.x4plus > 0))
        for kind in ("clean", "old scan", "mixed"):
            table: dict[str, list[dict[str, float]]] = {}
            for number, path in enumerate(files):
                true = read_scene(path)
                true = true[: true.shape[0] // 2 * 2, : true.shape[1] // 2 * 2]
                bad = degraded(cases(true, scale), kind, number, arguments.outlines)
                for name, restore in chosen.items():
                    if name.startswith("x4plus") and number >= arguments.x4plus:
                        continue
                    restored = restore(bad)
                    table.setdefault(name, []).append(scores(restored, true, looks))
                    if arguments.sheet:
                        stem = f"{scale}_{kind}_{path.stem}_{name}".replace(" ", "-")
                        _write(arguments.sheet / f"{stem}.png", restored)
            print_table(f"scale {scale}, {kind}", table)


def print_table(title: str, table: Mapping[str, list[dict[str, float]]]) -> None:
    """Means over the pictures, as Markdown. Where some went through fewer, the others' means over
    those stand in a second row."""
    columns = list(next(iter(table.values()))[0])
    print(f"\n| {title} | pictures | {' | '.join(columns)} |")
    print(f"| --- | --- |{' --- |' * len(columns)}")
    for count in sorted({len(rows) for rows in table.values()}):
        for name, rows in table.items():
            if len(rows) >= count:
                means = (np.mean([row[column] for row in rows[:count]]) for column in columns)
                print(f"| {name} | {count} | {' | '.join(f'{mean:.4g}' for mean in means)} |")


def _write(path: Path, rgb_hwc: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb_hwc[..., ::-1]))


if __name__ == "__main__":
    main()

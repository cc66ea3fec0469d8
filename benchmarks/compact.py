"""How well faces are restored from GFP-GAN's mixed degradation, against the truth.

    python benchmarks/compact.py --faces ../shared/faces/eval --sheet sheet.png

Each face is degraded once, with a seed of its own. Compared are: the picture enlarged bicubically;
Real-ESRGAN x4 and a resize; what a job does with Real-ESRGAN in a restorer's place; the compact
restorer (``--weights``: another file that a training run wrote). Scores at 512 px:
PSNR, MS-SSIM, gradient error (mean difference of neighbours' differences, of 255), the latter two
in place of LPIPS, which needs a backbone to download; distance of the mean colour of the face's
middle (CIELAB); with ``--identity`` the distance of dlib's 128 numbers from the truth's, by dlib
itself (``pip install dlib-bin face-recognition-models``).
``--cache`` keeps the slow baselines' pictures between runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch

from restore_batch.models import registry
from restore_batch.models.base import Runtime
from restore_batch.models.families import compact
from restore_batch.models.families import dlib as dlib_face
from restore_batch.models.metrics.fidelity import fidelity
from restore_batch.models.running.crops import CropOptions
from restore_batch.models.running.face_upscaler import FaceByUpscaler
from restore_batch.models.train.data.degrade import Mixed, resize
from restore_batch.models.train.data.pairs import picture_files, read_face
from restore_batch.models.train.validate import write_grid
from restore_batch.models.weights.packages import package_file
from restore_batch.models.weights.safe_load import load_state
from restore_batch.models.weights.store import Store

SIDE_PX = 512
_SEED = 2101_04061


def bicubic(small: np.ndarray) -> np.ndarray:
    """A square picture at 512 px."""
    return cv2.resize(small, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)


def upscaled(upscaler: object) -> Callable[[np.ndarray], np.ndarray]:
    """Fourfold enlargement by a network, then a resize to 512 px."""

    def restore(small: np.ndarray) -> np.ndarray:
        rgb_nchw = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
        large = upscaler(rgb_nchw)[0].permute(1, 2, 0).numpy()  # type: ignore[operator]
        shrinks = len(large) > SIDE_PX
        method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        fitted = cv2.resize(large, (SIDE_PX, SIDE_PX), interpolation=method)
        return np.clip(np.rint(fitted * 255), 0, 255).astype(np.uint8)

    return restore


def restorers(weights: Path | None) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """By name: from the reduced, degraded picture (rgb_hwc uint8) to 512 px."""
    store = Store(download=False)
    made: dict[str, Callable[[np.ndarray], np.ndarray]] = {"bicubic": bicubic}
    card = registry.card("realesrgan-x4plus")
    if store.locate(card) is not None:
        upscaler = registry.build(store.ref(card, {}), Runtime())
        by_upscaler = FaceByUpscaler(upscaler)
        made["realesrgan-x4plus, resized"] = upscaled(upscaler)
        made["realesrgan-x4plus, as restorer"] = lambda small: by_upscaler(
            [resize(small, SIDE_PX)], [float(len(small))]
        )[0]
    state = load_state([weights] if weights else store.ensure(registry.card("compact-1")).paths)
    restorer = compact.CompactFaceRestorer(compact.network(state), Runtime(), CropOptions())
    made["compact"] = lambda small: restorer([resize(small, SIDE_PX)])[0]
    return made


def scores(restored: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Scores of one picture, rgb_hwc uint8, against the true one."""
    return {**fidelity(restored, true), "colour_error": _colour_error(restored, true)}


def _colour_error(restored: np.ndarray, true: np.ndarray) -> float:
    """Distance in CIELAB of the mean colours of what is skin in most aligned faces."""
    means = [
        cv2.cvtColor(p[150:400, 150:362].astype(np.float32) / 255, cv2.COLOR_RGB2LAB).mean((0, 1))
        for p in (restored, true)
    ]
    return float(np.linalg.norm(means[0] - means[1]))


def identity() -> Callable[[np.ndarray, np.ndarray], float]:
    """Distance of dlib's 128 numbers for two aligned faces: below 0.6 is the same person."""
    import dlib  # type: ignore[import-not-found]

    file = dlib_face.CARD.sources[0][0]
    weights = package_file(file.package or "", file.package_path or "")
    if weights is None:
        raise SystemExit(f"--identity needs the package {file.package}")
    folder = weights.parent
    shape = dlib.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat"))
    net = dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat"))
    box = dlib.rectangle(126, 150, 386, 410)

    def distance(restored: np.ndarray, true: np.ndarray) -> float:
        # The truth's landmarks for both: it is the face that is compared, not where it is found.
        landmarks = shape(true, box)
        one, other = (np.array(net.compute_face_descriptor(p, landmarks)) for p in (restored, true))
        return float(np.linalg.norm(one - other))

    return distance


def main() -> None:
    """Read the arguments, print the table, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sheet", type=Path, help="before, after and truth of every face")
    parser.add_argument("--identity", action="store_true", help="measure it, with dlib")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--only", nargs="*", help="restorers, by the start of their names")
    arguments = parser.parse_args()
    distance = identity() if arguments.identity else None
    table: dict[str, list[dict[str, float]]] = {}
    rows: list[np.ndarray] = []
    chosen = restorers(arguments.weights)
    if arguments.only:
        chosen = {k: v for k, v in chosen.items() if k.startswith(tuple(arguments.only))}
    for number, path in enumerate(picture_files([arguments.faces])):
        true = read_face(path, SIDE_PX)
        small = Mixed().reduced(true, np.random.default_rng([_SEED, number]))
        restored: dict[str, np.ndarray] = {}
        for name, restore in chosen.items():
            kept = arguments.cache and arguments.cache / f"{path.stem}.{name}.png"
            if kept and kept.is_file() and not name.startswith("compact"):
                restored[name] = read_face(kept, SIDE_PX)
            else:
                restored[name] = restore(small)
                if kept:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    bgr = np.ascontiguousarray(restored[name][..., ::-1])
                    cv2.imwrite(str(kept), bgr)
            row = scores(restored[name], true)
            if distance is not None:
                row["identity_distance"] = distance(restored[name], true)
            table.setdefault(name, []).append(row)
        rows.append(np.hstack([*restored.values(), true]))
    print_table(table)
    if arguments.sheet:
        write_grid(arguments.sheet, rows)


def print_table(table: Mapping[str, list[dict[str, float]]]) -> None:
    """Means over the faces, as Markdown."""
    columns = list(next(iter(table.values()))[0])
    print(f"| restorer | {' | '.join(columns)} |")
    print(f"| --- |{' --- |' * len(columns)}")
    for name, rows in table.items():
        means = (f"{np.mean([row[column] for row in rows]):.4g}" for column in columns)
        print(f"| {name} | {' | '.join(means)} |")


if __name__ == "__main__":
    main()

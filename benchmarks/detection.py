"""How long faces are looked for in pictures, and which are found, by this version and another.

    python -m benchmarks.detection CHECKOUT PICTURE... [--megapixels 4 15] [--rounds N]

Both versions look at each picture in turn, in processes of their own with one thread; the shortest
processor time of each counts. A face is lost where the other version has none that overlaps it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).resolve().parents[1]
_FOLDERS = ("jobs", "models", "pipeline", "stages")
_SAME_IOU = 0.4

Box = list[float]


def installed(checkout: Path, folder: Path) -> Path:
    """A folder from which ``restore_batch`` of a checkout is imported."""
    package = folder / "restore_batch"
    package.mkdir(parents=True)
    for path in (*(checkout / "restore_batch").iterdir(), *(checkout / f for f in _FOLDERS)):
        (package / path.name).symlink_to(path)
    return folder


def looked_at(version: Path, picture: Path, megapixels: float) -> tuple[float, list[Box]]:
    """Seconds of the processor, and the boxes found, by the version in that folder."""
    environment = {**os.environ, "PYTHONPATH": str(version), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--look", str(picture), "--megapixels", str(megapixels)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, boxes = json.loads(done.stdout.splitlines()[-1])
    return seconds, boxes


def look(picture: Path, megapixels: float) -> None:
    """Find the faces of one picture at that size, after once for its shapes; print the result."""
    from restore_batch.models import registry
    from restore_batch.models.base import Runtime
    from restore_batch.models.weights.store import Store
    from restore_batch.stages.faces.detect import Detect
    from restore_batch.stages.media import Frame

    cv2.setNumThreads(1)
    rgb_hwc = np.asarray(cv2.imread(str(picture)))[:, :, ::-1]
    scale = (megapixels * 1e6 / (rgb_hwc.shape[0] * rgb_hwc.shape[1])) ** 0.5
    resized = cv2.resize(rgb_hwc, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    frame = Frame(np.ascontiguousarray(resized))
    detector = registry.build(Store().ref(registry.card("mtcnn"), {}), Runtime())
    detect = Detect(None, detector=detector)
    detect.find([frame])
    began = time.process_time()
    (faces,) = detect.find([frame])
    print(json.dumps([time.process_time() - began, [list(face.box_xyxy) for face in faces]]))


def lost(boxes: list[Box], others: list[Box]) -> int:
    """How many of the boxes none of the others overlaps."""
    return sum(all(_iou(box, other) < _SAME_IOU for other in others) for box in boxes)


def _iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("paths", type=Path, nargs="*", help="a checkout, then pictures")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[4, 15])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--look", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        look(arguments.look, arguments.megapixels[0])
        return
    other, *pictures = arguments.paths
    print("| picture | megapixels | other, s | this, s | ratio | faces | lost | new |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        versions = [
            installed(root.resolve(), Path(folder, str(i))) for i, root in enumerate((other, HERE))
        ]
        for picture in pictures:
            for size in arguments.megapixels:
                rounds = [
                    [looked_at(version, picture, size) for version in versions]
                    for _ in range(arguments.rounds)
                ]
                before, after = (min(times) for times in zip(*rounds, strict=True))
                print(
                    f"| {picture.stem} | {size:g} | {before[0]:.2f} | {after[0]:.2f}"
                    f" | {before[0] / after[0]:.1f} | {len(before[1])} → {len(after[1])}"
                    f" | {lost(before[1], after[1])} | {lost(after[1], before[1])} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()

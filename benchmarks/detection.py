"""How long faces are looked for, and which are found, by this version and another.

    python -m benchmarks.detection CHECKOUT FILE... [--megapixels 4 15] [--rounds N]
    python -m benchmarks.detection CHECKOUT FILE... --found [--megapixels 0 4 15]

The first looks at each picture in turn: the old way (:mod:`benchmarks.reference`), the other
version, this one, in processes of their own with one thread; the shortest processor time of each
counts. The second looks once at each picture and at every frame of each film, as a whole and where
the frame before has faces, and lists what the other version finds and this one does not. Pictures
are resized to so many megapixels, by Lanczos where they are enlarged; 0 leaves them as they are. A
face is lost where the other version has none that overlaps it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

HERE = Path(__file__).resolve().parents[1]
_FOLDERS = ("jobs", "models", "pipeline", "stages")
_FILMS = (".mp4", ".mkv")
_OURS = "cascade-1"  # what jobs take where it is
_SAME_IOU = 0.4
_ASIDE_PX = 10_000.0

Box = list[float]
Look = tuple[float, list[Box]]
"""Seconds of the processor, and the boxes found, each with its score behind."""
Task = tuple[str, float]
"""A file, and to how many megapixels it is resized."""


def installed(checkout: Path, folder: Path) -> Path:
    """A folder from which ``restore_batch`` of a checkout is imported."""
    package = folder / "restore_batch"
    package.mkdir(parents=True)
    for path in (*(checkout / "restore_batch").iterdir(), *(checkout / f for f in _FOLDERS)):
        (package / path.name).symlink_to(path)
    return folder


def looked_at(version: Path, tasks: list[Task], *options: str) -> list[Look]:
    """What the version in that folder finds in each, in one process with one thread."""
    search_path = os.pathsep.join([str(version), str(HERE)])
    environment = {**os.environ, "PYTHONPATH": search_path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--look", json.dumps(tasks), *options]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [(seconds, boxes) for seconds, boxes in map(json.loads, done.stdout.splitlines())]


def look(tasks: list[Task], old_way: bool, found: bool) -> None:
    """Find the faces of each and print a line; timed after once for its shapes."""
    from restore_batch.stages.media import Frame

    cv2.setNumThreads(1)
    detect = _OldWay() if old_way else _detect()
    for path, megapixels in tasks:
        if path.endswith(_FILMS):
            boxes = list(_in_film(detect, path))
            print(json.dumps([0, boxes]))
            continue
        frame = Frame(_picture(path, megapixels))
        if not found:
            detect.find([frame])
        began = time.process_time()
        (faces,) = detect.find([frame])
        print(json.dumps([time.process_time() - began, [_box(face) for face in faces]]))


def _detect() -> Any:
    from restore_batch.models import registry
    from restore_batch.models.base import Runtime
    from restore_batch.models.weights.store import Store
    from restore_batch.stages.faces.detect import Detect

    known = [card.name for card in registry.cards("detect")]
    name = _OURS if _OURS in known else "mtcnn"
    return Detect(None, detector=registry.build(Store().ref(registry.card(name), {}), Runtime()))


class _OldWay:
    def __init__(self) -> None:
        from benchmarks.reference import Reference

        self._reference = Reference()

    def find(self, frames: Any) -> Any:
        return [self._reference.faces(frame.rgb_hwc) for frame in frames]


def _picture(path: str, megapixels: float) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as picture:
        rgb_hwc = np.asarray(picture.convert("RGB"))
    if not megapixels:
        return rgb_hwc
    height, width = rgb_hwc.shape[:2]
    scale = (megapixels * 1e6 / (height * width)) ** 0.5
    size = (round(width * scale), round(height * scale))
    way = cv2.INTER_LANCZOS4 if scale > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(rgb_hwc, size, interpolation=way))


def _in_film(detect: Any, path: str) -> Iterator[Box]:
    """The faces of all frames, those of each a large step to the right of the one before."""
    from restore_batch.stages.media import Frame

    before: Any = ()
    for number, rgb_hwc in enumerate(_frames(path)):
        (faces,) = detect.find([Frame(rgb_hwc)])
        (again,) = detect.find([Frame(rgb_hwc)], [before]) if before else ((),)
        before = faces
        for place, some in enumerate((faces, again)):
            for face in some:
                left, top, right, bottom, score = _box(face)
                aside = (2 * number + place) * _ASIDE_PX
                yield [left + aside, top, right + aside, bottom, score]


def _frames(path: str) -> Iterator[np.ndarray]:
    """Those that can be decoded: some films end in the middle, or have no beginning."""
    import av

    try:
        with av.open(path) as film:
            for frame in film.decode(video=0):
                yield frame.to_ndarray(format="rgb24")
    except av.FFmpegError:
        return


def _box(face: Any) -> Box:
    return [*face.box_xyxy, face.score]


def missed(boxes: list[Box], others: list[Box]) -> list[Box]:
    """Those of the boxes that none of the others overlaps."""
    return [box for box in boxes if all(_iou(box, other) < _SAME_IOU for other in others)]


def _iou(a: Box, b: Box) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def time_both(other: Path, this: Path, tasks: list[Task], rounds: int) -> None:
    """Print a table of times, ratios to the old way, and faces."""
    print(
        "| picture | megapixels | old way, s | other, s | this, s | other | this | faces | lost |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for path, megapixels in tasks:
        ways = ((this, "--old-way"), (other,), (this,))
        turns = [
            [looked_at(version, [(path, megapixels)], *options)[0] for version, *options in ways]
            for _ in range(rounds)
        ]
        old, before, after = (min(times) for times in zip(*turns, strict=True))
        print(
            f"| {Path(path).stem} | {megapixels:g}"
            f" | {old[0]:.2f} | {before[0]:.2f} | {after[0]:.2f}"
            f" | {old[0] / before[0]:.1f} | {old[0] / after[0]:.1f}"
            f" | {len(old[1])}, {len(before[1])}, {len(after[1])}"
            f" | {len(missed(before[1], after[1]))} |",
            flush=True,
        )


def compare(other: Path, this: Path, tasks: list[Task]) -> None:
    """Print what is found in each, where that differs, and of all together."""
    print("| file | megapixels | other | this | new | lost: left, top, right, bottom, score |")
    print("| --- | --- | --- | --- | --- | --- |")
    seen = [0, 0, 0, 0]
    same = 0
    looks = [looked_at(version, tasks, "--found") for version in (other, this)]
    for (path, megapixels), (_, before), (_, after) in zip(tasks, *looks, strict=True):
        lost, new = missed(before, after), missed(after, before)
        seen = [a + len(b) for a, b in zip(seen, (before, after, new, lost), strict=True)]
        same += before == after
        if lost or new:
            places = "; ".join(" ".join(f"{v:.0f}" for v in b[:4]) + f" {b[4]:.2f}" for b in lost)
            name = "/".join(Path(path).parts[-2:])
            counts = f"{len(before)} | {len(after)} | {len(new)}"
            print(f"| {name} | {megapixels:g} | {counts} | {places} |")
    print(f"| all {len(tasks)}, {same} the same | | {' | '.join(map(str, seen))} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("paths", type=Path, nargs="*", help="a checkout, then pictures, films")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[4, 15])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--found", action="store_true", help="which are found, not how fast")
    parser.add_argument("--look", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--old-way", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.look:
        look(arguments.look, arguments.old_way, arguments.found)
        return
    checkout, *files = arguments.paths
    films = [file for file in files if file.suffix in _FILMS]
    pictures = [file for file in files if file.suffix not in _FILMS]
    tasks: list[Task] = [
        *((str(file), 0.0) for file in films),
        *((str(file), size) for file in pictures for size in arguments.megapixels),
    ]
    with tempfile.TemporaryDirectory() as folder:
        other, this = (
            installed(root.resolve(), Path(folder, str(i)))
            for i, root in enumerate((checkout, HERE))
        )
        if arguments.found:
            compare(other, this, tasks)
        else:
            time_both(other, this, tasks, arguments.rounds)


if __name__ == "__main__":
    main()

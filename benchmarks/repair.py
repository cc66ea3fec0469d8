"""How much damage repair takes away, and how much of sound pictures it would touch.

    python -m benchmarks.repair ../shared/scenes/eval [--weights FILE] [--every N]

Pictures that are sound are looked at as they are, and with scratches, hairs and dust on them; then
the same, soft and grainy as scans are. A row for each choice of what may be false says what of the
sound ones is masked, on average and at most, and which share of the damage's energy (the squared
error inside of it) is gone: first as it is, then less what was made worse beside it. So those of
``stages/repair/certain.py`` are chosen.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from restore_batch.models import registry
from restore_batch.models.base import DamageFinder, Runtime
from restore_batch.models.families.damage import UNetDamageFinder, network
from restore_batch.models.train.data.old_scan.dust import Dust
from restore_batch.models.train.data.old_scan.grain import Grain
from restore_batch.models.train.data.old_scan.hairs import Hairs
from restore_batch.models.train.data.old_scan.scanner import Lens
from restore_batch.models.train.data.old_scan.scratches import Scratches
from restore_batch.models.weights.store import Store, load_state
from restore_batch.stages.media import Frame
from restore_batch.stages.repair.certain import Certainty
from restore_batch.stages.repair.repair import Repair

_FALSE = (0.1, 0.2, 0.3, 0.5)
_LENS = Lens(sigma_px=(0.6, 2.0))
_KINDS = (
    Scratches(per_megapixel=(30, 120), depth=(0.5, 1.0)),
    Hairs(per_megapixel=(10, 60), depth=(0.5, 1.0)),
    Dust(per_megapixel=(200, 1500), depth=(0.5, 1.0)),
)


class Remembering:
    """A finder that looks at a picture once, however often it is asked."""

    def __init__(self, finder: DamageFinder) -> None:
        self.reach_px = finder.reach_px
        self._finder = finder
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, rgb_hwc: np.ndarray) -> np.ndarray:
        key = rgb_hwc.tobytes()
        if key not in self._known:
            self._known[key] = self._finder(rgb_hwc)
        return self._known[key]


def damaged(rgb_hwc: np.ndarray, seed: int) -> np.ndarray:
    """The picture with scratches, hairs and dust, and nothing else: rgb_hwc uint8."""
    rng = np.random.default_rng([11, seed])
    picture = rgb_hwc.astype(np.float32)
    for kind in _KINDS:
        picture = kind(picture, rng).picture
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def as_scanned(rgb_hwc: np.ndarray, seed: int) -> np.ndarray:
    """The picture soft and grainy, rgb_hwc uint8."""
    rng = np.random.default_rng([3, seed])
    picture = Grain()(_LENS(rgb_hwc.astype(np.float32), rng), rng)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def energy(rgb_hwc: np.ndarray, true: np.ndarray, where: np.ndarray) -> float:
    """Squared error in the pixels ``where``."""
    return float(((rgb_hwc.astype(np.float64) - true) ** 2).sum(axis=2)[where].sum())


def asked_for(description: str) -> tuple[DamageFinder, Iterator[tuple[str, np.ndarray]]]:
    """The finder and the pictures, each with its name, rgb_hwc uint8, that the arguments name.
    ``description``: of the program, whose first line is shown."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--every", type=int, default=1, help="Look at every so many-th picture.")
    arguments = parser.parse_args()
    if arguments.weights is None:
        finder = registry.build(Store().ref(registry.card("damage-1"), {}), Runtime())
    else:
        finder = UNetDamageFinder(network(load_state([str(arguments.weights)])), Runtime())
    files = sorted(p for p in arguments.folder.iterdir() if p.suffix in (".png", ".jpg"))
    pictures = (
        (path.name, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        for path in files[:: arguments.every]
    )
    return finder, pictures


def main() -> None:
    found, named = asked_for(__doc__)
    finder = Remembering(found)
    filler = registry.build(Store().ref(registry.card("fill-1"), {}), Runtime())
    plain = [picture for _, picture in named]
    scanned = [as_scanned(picture, number) for number, picture in enumerate(plain)]
    print("pictures        false  sound masked: mean    most  energy gone  with harm elsewhere")
    for kind, pictures in (("as they are", plain), ("soft and grainy", scanned)):
        bad = [damaged(picture, number) for number, picture in enumerate(pictures)]
        for false in _FALSE:
            stage = Repair(finder=finder, filler=filler, certainty=Certainty(false_share=false))
            masked = [stage.repaired(Frame(picture)).record.share for picture in pictures]
            before = after = harm = 0.0
            for good, worse in zip(pictures, bad, strict=True):
                where = (good != worse).any(axis=2)
                done = stage.repaired(Frame(worse)).frame.rgb_hwc
                before += energy(worse, good, where)
                after += energy(done, good, where)
                harm += energy(done, good, ~where)
            sound = f"{np.mean(masked):7.3%} {max(masked):7.3%}"
            gone = f"{1 - after / before:11.1%} {1 - (after + harm) / before:20.1%}"
            print(f"{kind:15s} {false:5.2f}              {sound}  {gone}", flush=True)


if __name__ == "__main__":
    main()

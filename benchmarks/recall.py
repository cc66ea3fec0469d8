"""How many faces this version and another find, where it is known which there are.

    python -m benchmarks.recall CHECKOUT --faces FOLDER --scenes FOLDER

The folders are of aligned portraits, and of scenes with the names below, in which nobody is. Sheets
of scenes have portraits laid in at known places: turned and mirrored at random, from the smallest
size that is looked for to 200 px, on a soft, grainy, noisy, compressed, faded or undisturbed
picture. Each sheet has a seed, so every run makes the same. What is found at no portrait's place is
a false find. Of the faces that only one version finds, as many are chance as a coin would give: a
difference above two of its standard deviations is marked.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.detection import HERE, Box, installed, looked_at
from restore_batch.stages.faces.detect import smallest_restorable_px

_SEED = 1604_02878
_SCENE_PX = (1220, 820)
_SCENES_ACROSS = {4: 2, 15: 4}
"""Of how many scenes a sheet is made, each way, by its megapixels."""
_SCENES = (
    *("az_hemlock_2", "az_innsbruck", "az_switzerland", "bcparks_carousel_2"),
    *("budgie_abstract_spiral", "budgie_singaporean_cityscape", "budgie_tea_gardens"),
    *("carp_aims_view", "carp_auckland_unix_door", "carp_harnack", "carp_southern_alps"),
    *("carpdata_chair", "elem_ashim_dsilva", "enclaves_hanford_loc", "enclaves_pachappa"),
    *("enclaves_truckee", "enclaves_truckee_loc", "gov18f_earthquakecenter"),
    *("gov18f_glacier_park", "gov18f_gsahq", "gov18f_iceberg_noaa", "gov18f_microfilm"),
    *("gov18f_the_meeting", "lomiri_life_by_aitzol_berasategi", "ms_rainier"),
    *("lomiri_seeding_by_clements_engelhar", "nextcloud_library", "nextcloud_vineyard"),
    *("opensfm_02", "talk_bunker_entrance", "viewer_tibet_2", "wp_building_exterior"),
)
_LARGEST_PX = 200.0
_FACE_SHARE = 0.62
_FACE_CENTRE = (0.5, 0.545)
"""Side and centre of the face in an aligned portrait, over the portrait's side."""
_TURN_DEGREES = 15.0
_SHARE_OF_SHEET = 0.3
"""Of a sheet, what portraits cover at most."""
_MOST_FACES = 100
_CLASSES = (1.0, 1.2, 1.5, 2.5, 5.0)
"""Where classes of size begin, over the smallest size that is looked for."""
_NEAR_SHARE = 0.35
_SIZES = (0.6, 1.7)
"""How far a find may be from a portrait's face and how large it may be, over the face's side."""

Degrade = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Portrait:
    """A face in a sheet: its centre and side, in pixels."""

    x: float
    y: float
    side_px: float

    def is_at(self, box: Box) -> bool:
        """Whether the box is one of this face."""
        left, top, right, bottom = box[:4]
        aside = np.hypot((left + right) / 2 - self.x, (top + bottom) / 2 - self.y)
        size = ((right - left) * (bottom - top)) ** 0.5 / self.side_px
        return bool(aside < _NEAR_SHARE * self.side_px and _SIZES[0] < size < _SIZES[1])


def _soft(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = rgb_hwc.shape[:2]
    small = cv2.resize(rgb_hwc, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


def _grainy(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grain = rng.normal(0, 40, rgb_hwc.shape[:2]).astype(np.float32)
    return _clipped(rgb_hwc + cv2.GaussianBlur(grain, (0, 0), 0.9)[..., None])


def _noisy(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _clipped(rgb_hwc + rng.normal(0, 14, rgb_hwc.shape).astype(np.float32))


def _compressed(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    _, jpeg = cv2.imencode(".jpg", rgb_hwc, [cv2.IMWRITE_JPEG_QUALITY, 20])
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def _faded(rgb_hwc: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    grey = cv2.cvtColor(rgb_hwc, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    return _clipped(95 + 0.45 * grey * (1.0, 0.92, 0.75) + rng.normal(0, 5, grey.shape))


def _clipped(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).astype(np.uint8)


DEGRADATIONS: Mapping[str, Degrade] = {
    "undisturbed": lambda rgb_hwc, rng: rgb_hwc,
    "soft": _soft,
    "grainy": _grainy,
    "noisy": _noisy,
    "compressed": _compressed,
    "faded": _faded,
}


def sheet(
    number: int, megapixels: int, scenes: list[Path], faces: list[Path]
) -> tuple[np.ndarray, list[Portrait], str]:
    """The sheet of that number, rgb_hwc uint8, its portraits, and how it is degraded."""
    rng = np.random.default_rng([_SEED, megapixels, number])
    rgb_hwc = _laid_out(scenes, _SCENES_ACROSS[megapixels], rng)
    portraits = _place(rgb_hwc, faces, rng)
    kind = list(DEGRADATIONS)[number % len(DEGRADATIONS)]
    return np.ascontiguousarray(DEGRADATIONS[kind](rgb_hwc, rng)), portraits, kind


def _laid_out(scenes: list[Path], across: int, rng: np.random.Generator) -> np.ndarray:
    chosen = iter(rng.choice(len(scenes), across * across, replace=len(scenes) < across**2))
    rows = [[_read(scenes[next(chosen)]) for _ in range(across)] for _ in range(across)]
    filled = [[cv2.resize(scene, _SCENE_PX) for scene in row] for row in rows]
    return np.concatenate([np.concatenate(row, axis=1) for row in filled])


def _place(rgb_hwc: np.ndarray, faces: list[Path], rng: np.random.Generator) -> list[Portrait]:
    """Lay portraits into the picture, none over another."""
    height, width = rgb_hwc.shape[:2]
    least_px = smallest_restorable_px(width, height)
    taken = np.zeros((height, width), bool)
    placed: list[Portrait] = []
    while len(placed) < _MOST_FACES and taken.mean() < _SHARE_OF_SHEET:
        # As many small ones as large ones: of each doubling the same number.
        side_px = least_px * (_LARGEST_PX / least_px) ** rng.random()
        portrait_px = round(side_px / _FACE_SHARE)
        left = int(rng.integers(0, width - portrait_px))
        top = int(rng.integers(0, height - portrait_px))
        rows, columns = slice(top, top + portrait_px), slice(left, left + portrait_px)
        picture, centre = _turned(_read(faces[rng.integers(len(faces))]), portrait_px, rng)
        if taken[rows, columns].any():
            continue
        taken[rows, columns] = True
        mask = _oval(portrait_px)
        under = rgb_hwc[rows, columns]
        under[...] = np.rint(mask * picture + (1 - mask) * under)
        placed.append(Portrait(left + centre[0], top + centre[1], side_px))
    return placed


def _turned(
    portrait: np.ndarray, side_px: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A portrait at that size, turned and perhaps mirrored, and where its face's centre is."""
    own_px = len(portrait)
    if rng.random() < 0.5:
        portrait = portrait[:, ::-1]
    middle = ((own_px - 1) / 2, (own_px - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, rng.uniform(-1, 1) * _TURN_DEGREES, 1)
    turned = cv2.warpAffine(
        np.ascontiguousarray(portrait), matrix, (own_px, own_px), borderMode=cv2.BORDER_REFLECT
    )
    way = cv2.INTER_AREA if side_px < own_px else cv2.INTER_CUBIC
    centre = matrix @ (*(own_px * share for share in _FACE_CENTRE), 1)
    resized = cv2.resize(turned, (side_px, side_px), interpolation=way)
    return np.asarray(resized), centre * side_px / own_px


def _oval(side_px: int) -> np.ndarray:
    """(side, side, 1), one over the head, falling to nought before the edge."""
    across, down = np.meshgrid(*2 * [np.linspace(-1, 1, side_px, dtype=np.float32)])
    away = np.hypot(across / 0.9, down)
    return np.clip((1 - away) / 0.2, 0, 1)[..., None]


def _read(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1])


@dataclass
class Score:
    """What two versions find of the same portraits."""

    portraits: int = 0
    other: int = 0
    this: int = 0
    only_other: int = 0
    only_this: int = 0

    def count(self, by_other: bool, by_this: bool) -> None:
        """Take in one portrait."""
        self.portraits += 1
        self.other += by_other
        self.this += by_this
        self.only_other += by_other and not by_this
        self.only_this += by_this and not by_other

    @property
    def is_worse(self) -> bool:
        """Whether this version misses more than the other by more than chance."""
        fewer = self.only_other - self.only_this
        return fewer > 2 * (self.only_other + self.only_this) ** 0.5

    def row(self) -> str:
        """Cells of a table."""
        if not self.portraits:
            return "0 | | | | | "
        shares = (f"{100 * n / self.portraits:.1f} %" for n in (self.other, self.this))
        return " | ".join(
            (
                str(self.portraits),
                *shares,
                str(self.only_other),
                str(self.only_this),
                "worse" if self.is_worse else "",
            )
        )


def size_class(portrait: Portrait, least_px: float) -> str:
    """The name of the class that a portrait's size is in."""
    begins = max(c for c in _CLASSES if c <= max(portrait.side_px / least_px, 1))
    ends = [c for c in _CLASSES if c > begins]
    return f"{begins:g} to {ends[0]:g}" if ends else f"from {begins:g}"


def false_finds(boxes: Iterable[Box], portraits: list[Portrait]) -> int:
    """How many of the boxes are at no portrait's place."""
    return sum(not any(p.is_at(box) for p in portraits) for box in boxes)


def compare(other: Path, megapixels: list[int], sheets: int, scenes: Path, faces: Path) -> None:
    """Print what both versions find of all sheets, by size and by how they are degraded."""
    scores: dict[str, Score] = {}
    wrong = [0, 0]
    with tempfile.TemporaryDirectory() as folder:
        versions = [installed(root, Path(folder, str(i))) for i, root in enumerate((other, HERE))]
        files = sorted(faces.glob("*.jpg"))
        known = [scenes / f"{name}.jpg" for name in _SCENES]
        for size in megapixels:
            for number in range(sheets):
                rgb_hwc, portraits, kind = sheet(number, size, known, files)
                path = Path(folder, "sheet.png")
                cv2.imwrite(str(path), rgb_hwc[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
                before, after = (
                    looked_at(version, [(str(path), 0)], "--found")[0][1] for version in versions
                )
                wrong[0] += false_finds(before, portraits)
                wrong[1] += false_finds(after, portraits)
                least_px = smallest_restorable_px(rgb_hwc.shape[1], rgb_hwc.shape[0])
                for portrait in portraits:
                    found = [any(map(portrait.is_at, boxes)) for boxes in (before, after)]
                    for name in (
                        f"{size} megapixels, {size_class(portrait, least_px)}",
                        kind,
                        "all",
                    ):
                        scores.setdefault(name, Score()).count(*found)
    print("| faces | number | other | this | only other | only this | beyond chance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in sorted(scores, key=lambda n: (n == "all", not n[0].isdigit(), n)):
        print(f"| {name} | {scores[name].row()} |")
    print(f"| false finds | | {wrong[0]} | {wrong[1]} | | | |")


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("checkout", type=Path, help="of the other version")
    parser.add_argument("--faces", type=Path, required=True, help="a folder of aligned portraits")
    parser.add_argument("--scenes", type=Path, required=True, help="a folder of scenes")
    parser.add_argument("--megapixels", type=int, nargs="+", default=[4, 15], choices=[4, 15])
    parser.add_argument("--sheets", type=int, default=6, help="of each size")
    arguments = parser.parse_args()
    compare(
        arguments.checkout.resolve(),
        arguments.megapixels,
        arguments.sheets,
        arguments.scenes,
        arguments.faces,
    )


if __name__ == "__main__":
    main()

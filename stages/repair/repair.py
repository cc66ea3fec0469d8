"""Repair of whole pictures: damage is filled, faded tones are given back their range."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from PIL import Image

from restore_batch.jobs.units import Photo, Unit
from restore_batch.models.base import DamageFinder, Filler, ModelRef
from restore_batch.stages.base import Cost, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.media import (
    MASK_SUFFIX,
    Chunk,
    Failure,
    Frame,
    RepairRecord,
    Sidecar,
)
from restore_batch.stages.parallel import ordered_map
from restore_batch.stages.repair.blocks import Where
from restore_batch.stages.repair.certain import BLINDLY, WHOLLY, Certainty
from restore_batch.stages.repair.draw import draw
from restore_batch.stages.repair.fading import unfaded
from restore_batch.stages.repair.fill import fill
from restore_batch.stages.repair.find import find_damage
from restore_batch.stages.repair.mask import EDGE_PX, grown
from restore_batch.stages.repair.width import narrow, widest_px
from restore_batch.stages.rows import blocks_of_rows

Scratches = Literal["auto", "off"]
Fading = Literal["off", "auto"]

_FRINGE_PX = 1
"""By which found damage is grown: the network's pixels reach into its soft edges, and each more
that is filled in vain is a loss. What is drawn from keeps farther off."""
_LEAST_REACHES = 2
"""A picture whose shorter side is less than so many reaches of the finder has no pixel that the
finder sees all it goes by of."""
_WORTH_SAYING = 1e-4
_TOO_WIDE = "of the picture is damage too wide to be filled: left as it is"


@dataclass(frozen=True, eq=False)
class RepairedPicture:
    """A picture, and what was done to it. ``mask``: how far it was filled, (H, W) uint8, 255
    wholly; ``left``: the share of it, in [0, 1], that is certain, but too wide to be filled."""

    frame: Frame
    record: RepairRecord
    mask: np.ndarray
    left: float


class Repair(Stage):
    """Fill scratches, dust, hairs, creases and small tears; undo fading.

    In and out: ``frames``, uint8 or uint16. Outside of the mask that is filled, every pixel stays
    as it is, unless the picture is faded. Grey stays grey, alpha as it is. Out also: ``repairs``,
    a record a frame, and with ``mask`` a sidecar: what was filled, as a PNG.

    ``scratches``: "auto" fills what the ``model`` finds in pictures that are large enough for it to
    be judged, "off" nothing. ``fading``: "auto" changes the tones of pictures that are faded
    (:mod:`restore_batch.stages.repair.fading`). ``strength`` in [0, 1] blends between the picture
    and the repaired one.

    Frames of films pass: what is damage in them is seen beside their neighbours
    (:mod:`restore_batch.stages.film`).
    """

    name = "repair"
    version = 9
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(
            6, "marks are judged as a whole, and four times as much is found", only_with="model"
        ),
        3: Raised(
            7,
            "light marks in black without tones, and dark ones in such white, are left alone",
            only_with="model",
        ),
        4: Raised(
            8,
            "where a large picture is cut into tiles changes nothing, faint marks are filled only"
            " among many, and pictures too small for the network are not filled",
            only_with="model",
        ),
        5: Raised(
            10,
            "more damage is found, above all specks, and a network draws what lies there",
            only_with="model",
        ),
        6: Raised(
            11,
            "pictures strewn with damage lose more of it; cords, belts and margins of others are"
            " left alone",
            only_with="model",
        ),
        7: Raised(
            12,
            "in pictures thickly strewn with damage what is less certain is filled in part; margins"
            " speak for none, and small pictures are filled where more does",
            only_with="model",
        ),
        8: Raised(
            13,
            "scratches that run down a picture or across it, several of them, are taken together",
            only_with="model",
        ),
        9: Raised(
            15,
            "of such scratches nothing is left to shine through, and gaps in them are bridged",
            only_with="model",
        ),
    }
    after = "decode"
    needs = Resources(gpus=0.2)
    # All is looked at twice; tiles overlap, copies of half the size and so on are looked at too, a
    # few places are filled.
    cost = Cost(megapixel_s=0.3, megapixels={"model": 3.6, "fill_model": 0.2})
    reads = frozenset({"frames", "sidecars"})
    writes = frozenset({"frames", "repairs", "sidecars"})
    takes: ClassVar[Mapping[str, str]] = {
        "scratches": "repair.scratches",
        "fading": "repair.fading",
        "strength": "repair.strength",
        "mask": "repair.mask",
    }
    added: ClassVar[Mapping[str, object]] = {
        "scratches": "off",
        "fading": "off",
        "strength": 1.0,
        "mask": False,
    }
    networks: ClassVar[Mapping[str, Role]] = {"model": "damage", "fill_model": "fill"}

    def __init__(
        self,
        scratches: Scratches = "auto",
        fading: Fading = "off",
        strength: float = 1.0,
        mask: bool = False,
        model: ModelRef | None = None,
        fill_model: ModelRef | None = None,
        finder: DamageFinder | None = None,
        filler: Filler | None = None,
        certainty: Certainty | None = None,
    ) -> None:
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"strength is {strength}: expected 0 to 1")
        self.fills = scratches == "auto" and (model is not None or finder is not None)
        self.unfades = fading == "auto"
        self.strength = strength
        self.mask = mask
        self.model = model
        self.fill_model = fill_model
        self.certainty = certainty or Certainty()
        self._finder = finder
        self._filler = filler
        self._pool: ThreadPoolExecutor | None = None
        self._threads = 1

    @classmethod
    def works_on(cls, kinds: frozenset[type[Unit]]) -> bool:
        """Only on photos: the frames of a film pass."""
        return Photo in kinds

    @property
    def is_idle(self) -> bool:
        return self.strength == 0 or not (self.fills or self.unfades)

    def open(self, worker: WorkerContext) -> None:
        """Load the network, and start the threads that tiles are spread over."""
        if self.model is None or not self.fills:
            return
        from restore_batch.models import registry

        self._finder = registry.build(self.model, worker.runtime, worker.weights_dir)
        if self.fill_model is not None:
            self._filler = registry.build(self.fill_model, worker.runtime, worker.weights_dir)
        self._threads = worker.threads if worker.runtime.device == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._threads, "tile", initializer=_one_torch_thread)

    def close(self) -> None:
        """Free the network, end the threads."""
        if self.model is not None:
            self._finder = None
        if self.fill_model is not None:
            self._filler = None
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._repair)

    def _repair(self, chunk: Chunk) -> Chunk:
        if chunk.unit.is_film:
            return chunk
        done = [self.repaired(frame) for frame in chunk.frames]
        left = [f"{each.left:.2%} {_TOO_WIDE}" for each in done if each.left >= _WORTH_SAYING]
        masks = [Sidecar(MASK_SUFFIX, _as_png(each.mask)) for each in done] if self.mask else []
        return replace(
            chunk,
            frames=tuple(each.frame for each in done),
            repairs=tuple(each.record for each in done),
            sidecars=(*chunk.sidecars, *masks),
            warnings=(*chunk.warnings, *left),
        )

    def repaired(self, frame: Frame) -> RepairedPicture:
        """One picture, repaired; the stage must be open."""
        mask, found = self._damage(frame)
        done = self._filled(frame, mask, found)
        toned = unfaded(done, self.strength) if self.unfades else None
        by = (ref.card.name if ref and self.fills else "" for ref in (self.model, self.fill_model))
        record = RepairRecord(np.count_nonzero(mask) / mask.size, toned is not None, *by)
        too_wide = float((found >= WHOLLY).mean() - (mask >= WHOLLY).mean())
        return RepairedPicture(toned or done, record, mask, too_wide)

    def _damage(self, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
        """Two (H, W) uint8 masks: the fill strength, and what it would be without the limit on
        width."""
        nothing = np.zeros((frame.height, frame.width), np.uint8)
        if not self.fills:
            return nothing, nothing
        if self._finder is None:
            raise RuntimeError("Repair is not open")
        if min(frame.width, frame.height) < _LEAST_REACHES * self._finder.reach_px:
            return nothing, nothing
        found = grown(
            find_damage(frame.rgb_hwc, self._finder, self.certainty, self._mapped), _FRINGE_PX
        )
        most_px = widest_px(frame.width, frame.height)
        mask = narrow(found >= WHOLLY, most_px)
        partly = _in_part(found)
        if partly.any():
            # What is certain is judged by itself: with what is not, it would seem wider.
            partly &= narrow(found > 0, most_px)
            mask |= partly
        return found * mask, found

    def _mapped(self, step: Callable[[Any], Any], tiles: Iterable[Any]) -> Iterable[Any]:
        if self._pool is None:
            return map(step, tiles)
        return ordered_map(self._pool, step, tiles, self._threads + 1)

    def _filled(self, frame: Frame, mask: np.ndarray, found: np.ndarray) -> Frame:
        if not mask.any():
            return frame
        before = frame.rgb_hwc[..., :1] if frame.colourless else frame.rgb_hwc
        certain = Where(mask, WHOLLY, BLINDLY), Where(found, WHOLLY, BLINDLY)
        shown = self._not_shown(before, mask, found)
        filled = self._drawn(shown, *certain, in_place=shown is not before)
        partly = _in_part(mask).any()
        if partly:  # after what is certain, which would lie around it
            self._drawn(filled, Where(mask, 1, WHOLLY - 1), Where(found, 1, BLINDLY), in_place=True)
        if self.strength < 1 or partly:
            for rows in blocks_of_rows(frame.height, frame.width):
                far = np.minimum(mask[rows], WHOLLY) / np.float32(WHOLLY)
                _blend(before[rows], filled[rows], np.float32(self.strength) * far)
        if frame.colourless:
            filled = np.repeat(filled, 3, axis=2)
        return replace(frame, rgb_hwc=filled)

    def _not_shown(self, samples: np.ndarray, mask: np.ndarray, found: np.ndarray) -> np.ndarray:
        """The picture as a filler is to see it: a copy, drawn plainly where damage is certain
        whatever lies there, or itself. A filler leaves what it takes for a part of the picture."""
        if self._filler is None or mask.max() < BLINDLY:
            return samples
        blindly, damage = Where(mask, BLINDLY, BLINDLY), Where(found, 1, BLINDLY)
        return fill(samples, blindly, damage, _reach_px(samples), self._mapped)

    def _drawn(
        self, samples: np.ndarray, mask: Where, found: Where, in_place: bool = False
    ) -> np.ndarray:
        """A copy of a picture, or itself ``in_place``, that is filled at ``mask``, and not drawn
        from at ``found``."""
        if self._filler is not None:
            return draw(samples, mask, found, self._filler, self._mapped, in_place)
        whole = slice(None), slice(None)
        damage = grown(mask[whole]) | found[whole]
        return fill(samples, mask[whole], damage, _reach_px(samples), self._mapped, in_place)


def _reach_px(samples: np.ndarray) -> int:
    """How far a pixel that is drawn plainly looks: across the widest damage that is filled."""
    return widest_px(samples.shape[1], samples.shape[0]) + 2 * EDGE_PX


def _blend(before: np.ndarray, filled: np.ndarray, far: np.ndarray) -> None:
    """Take ``filled`` back to ``before``, (H, W, C), where ``far``, (H, W) float32, is below 1."""
    at = (far > 0) & (far < 1)
    was = before[at].astype(np.float32)
    blend = was + far[at][:, None] * (filled[at] - was)
    filled[at] = np.rint(blend).astype(before.dtype)


def _in_part(far: np.ndarray) -> np.ndarray:
    """Where something is filled in part, (H, W) bool."""
    some = far > 0
    some &= far < WHOLLY  # in place: of a large picture each mask weighs a hundred megabytes
    return some


def _one_torch_thread() -> None:
    import torch

    # More threads would change the last bit of what the network says, and with it a mask.
    torch.set_num_threads(1)


def _as_png(mask: np.ndarray) -> bytes:
    """(H, W) uint8 as a PNG: white where it was filled, grey where in part."""
    file = io.BytesIO()
    Image.fromarray(np.where(mask >= WHOLLY, np.uint8(255), mask)).save(file, "PNG", optimize=True)
    return file.getvalue()

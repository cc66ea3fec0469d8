"""Enlarging whole frames: by a network in tiles, by plain Lanczos, or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import cv2
import numpy as np

from restore_batch.errors import MediaError
from restore_batch.models.base import ModelRef
from restore_batch.stages import heap
from restore_batch.stages.base import Cost, Pool, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.enlarge.hidden import without_hidden_colours
from restore_batch.stages.enlarge.tiles.axis import SMALLEST_TILE_PX
from restore_batch.stages.geometry import output_size
from restore_batch.stages.media import Chunk, Failure, Frame
from restore_batch.stages.specks import keep_rare_specks

if TYPE_CHECKING:
    from restore_batch.models.base import Upscaler

MOST_FRAMES_AT_ONCE = 16
_TILE_OF_HUGE_PX = 640
"""Beside a picture as large as that no more is to be held; it takes a twentieth more time."""


class Upscale(Stage):
    """Enlarge frames to ``round(width * scale)`` x ``round(height * scale)``.

    With a model: the network runs on overlapping tiles and its result is resampled to the
    wanted size, also when the network enlarges less than wanted. Without: Lanczos.
    ``scale`` 1 passes the frames through untouched, unless the network's own scale is 1: then it
    restores them at their size. ``tile_px`` is the side of a tile of the
    source including its halo; None chooses it from the network's memory need (on the CPU
    independently of what is free at the moment, so that a run can be repeated to the bit).

    uint8 and uint16 keep their dtype; a grey frame stays exactly grey; alpha is resampled, and
    colours that it hides lend nothing to those beside them. Of a photo, specks that the network
    took away are put back where they are few, if it is one that takes them
    (``Card.takes_specks``, :mod:`restore_batch.stages.specks`).
    Raises MediaError (for one chunk) when even the smallest tile does not fit in memory.
    """

    name = "upscale"
    version = 3
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(
            13,
            "specks stay where few would be taken away, such as lights in eyes, and what is grey"
            " stays so in files with colours",
            only_with="model",
        ),
        3: Raised(
            19,
            "colours under full transparency draw no outline around what is seen",
            only_where="has_alpha",
        ),
    }
    after = "restore"
    pool: ClassVar[Pool] = "pictures"
    needs = Resources(gpus=0.5)
    cost = Cost(megapixels={"model": 1.0})
    reads = frozenset({"frames"})
    writes = frozenset({"upscaled"})
    takes: ClassVar[Mapping[str, str]] = {
        "scale": "background.scale",
        "tile_px": "background.tile_px",
    }
    networks: ClassVar[Mapping[str, Role]] = {"model": "background"}

    def __init__(
        self, model: ModelRef | None, scale: float = 2, tile_px: int | None = None
    ) -> None:
        if scale <= 0:
            raise ValueError(f"scale is {scale}: expected more than 0")
        if tile_px is not None and tile_px < SMALLEST_TILE_PX:
            raise ValueError(f"tile_px is {tile_px}: expected at least {SMALLEST_TILE_PX}")
        self.model = model
        self.scale = scale
        self.tile_px = tile_px
        self.takes_specks = model is not None and model.card.takes_specks
        self.upscaler: Upscaler | None = None
        self._device = "cpu"
        self._tile_limit_px: int | None = None

    def open(self, worker: WorkerContext) -> None:
        """Load the network, when there is one and it is needed."""
        self._device = worker.runtime.device
        if self.model is not None and (self.scale != 1 or self.model.card.scale == 1):
            from restore_batch.models import registry

            self.upscaler = registry.build(self.model, worker.runtime, worker.weights_dir)

    def close(self) -> None:
        """Free the network."""
        self.upscaler = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._upscale)

    def _upscale(self, chunk: Chunk) -> Chunk:
        if self.scale == 1 and (self.upscaler is None or self.upscaler.scale != 1):
            return replace(chunk, upscaled=chunk.frames)
        if self.upscaler is None:
            done = tuple(enlarge_plainly(frame, self.scale) for frame in chunk.frames)
            return replace(chunk, upscaled=done)
        warnings: list[str] = []
        upscaled: list[Frame] = []
        for group in _alike([without_hidden_colours(frame) for frame in chunk.frames]):
            upscaled += self._through_network(self.upscaler, group, warnings)
        # In films specks are judged beside their neighbours: here some frames would keep them.
        if self.takes_specks and not chunk.unit.is_film:
            for before, after in zip(chunk.frames, upscaled, strict=True):
                keep_rare_specks(before.rgb_hwc, after.rgb_hwc)
        return replace(
            chunk, upscaled=tuple(upscaled), warnings=(*chunk.warnings, *dict.fromkeys(warnings))
        )

    def _through_network(
        self, upscaler: Upscaler, frames: Sequence[Frame], warnings: list[str]
    ) -> list[Frame]:
        """Frames of one shape, as many at once as fit, in smaller tiles when memory runs out."""
        from restore_batch.stages.enlarge.tiles import memory
        from restore_batch.stages.enlarge.tiles.network import tiling_of, upscale_in_tiles

        first = frames[0]
        size_wh = output_size(first.width, first.height, self.scale)
        tile_px = self.tile_px or memory.tile_side_px(
            upscaler.bytes_per_pixel(), self._device, tiling_of(upscaler).largest_px
        )
        # On a GPU tiles lie elsewhere.
        if first.nbytes >= heap.HUGE_BYTES and self._device == "cpu" and self.tile_px is None:
            tile_px = min(tile_px, _TILE_OF_HUGE_PX)
        if self._tile_limit_px is not None:
            tile_px = min(tile_px, self._tile_limit_px)
        together = self._frames_at_once(upscaler, first, tile_px)
        done: list[Frame] = []
        while len(done) < len(frames):
            group = frames[len(done) : len(done) + together]
            try:
                pictures = upscale_in_tiles(
                    upscaler,
                    [frame.rgb_hwc for frame in group],
                    size_wh,
                    tile_px,
                    self._device,
                    first.colourless,
                )
            except Exception as error:
                if not memory.is_out_of_memory(error):
                    raise
                pictures = None
            # Outside the handler: the exception's traceback keeps the tensors alive.
            if pictures is not None:
                done += [
                    _with_alpha(frame, rgb) for frame, rgb in zip(group, pictures, strict=True)
                ]
                continue
            memory.free_cached_memory(self._device)
            if together > 1:
                together = (together + 1) // 2
            else:
                tile_px = self._smaller(tile_px, first)
                warnings.append(f"upscale: memory ran out, tiles reduced to {tile_px} px")
        return done

    def _frames_at_once(self, upscaler: Upscaler, frame: Frame, tile_px: int) -> int:
        if not self._device.startswith("cuda"):
            return 1  # nothing to gain, and the result must not depend on the batch
        from restore_batch.stages.enlarge.tiles import memory

        pixels = min(tile_px, frame.width) * min(tile_px, frame.height)
        fits = memory.budget_bytes(self._device) // max(1, upscaler.bytes_per_pixel() * pixels)
        return int(min(max(1, fits), MOST_FRAMES_AT_ONCE))

    def _smaller(self, tile_px: int, frame: Frame) -> int:
        """The next tile size to try after ``tile_px`` did not fit."""
        tried = min(tile_px, max(frame.width, frame.height))
        if tried <= SMALLEST_TILE_PX:
            raise MediaError(
                f"not enough memory to upscale {frame.width}x{frame.height} px even in tiles of "
                f"{SMALLEST_TILE_PX} px: use fewer workers or a smaller model"
            )
        smaller = max(SMALLEST_TILE_PX, tried // 2 // 32 * 32)
        self._tile_limit_px = smaller
        return smaller


def enlarge_plainly(frame: Frame, scale: float) -> Frame:
    """Resize without a network: Lanczos to enlarge, area average to shrink."""
    if scale == 1:
        return frame
    frame = without_hidden_colours(frame)
    size_wh = output_size(frame.width, frame.height, scale)
    kernel = cv2.INTER_LANCZOS4 if scale > 1 else cv2.INTER_AREA
    rgb = np.asarray(cv2.resize(frame.rgb_hwc, size_wh, interpolation=kernel))
    return _with_alpha(frame, rgb)


def _with_alpha(frame: Frame, rgb_hwc: np.ndarray) -> Frame:
    """``rgb_hwc`` as a frame like ``frame``, its alpha resized along."""
    if frame.alpha_hw is None:
        return replace(frame, rgb_hwc=rgb_hwc)
    height, width = rgb_hwc.shape[:2]
    # Cubic rather than Lanczos: hard edges are common in alpha, and Lanczos rings wider.
    shrinks = width < frame.width
    kernel = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    alpha: Any = cv2.resize(frame.alpha_hw, (width, height), interpolation=kernel)
    return replace(frame, rgb_hwc=rgb_hwc, alpha_hw=np.asarray(alpha))


def _alike(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Runs of neighbouring frames that can share a network call: same shape, dtype and grey."""
    groups: list[list[Frame]] = []
    for frame in frames:
        kind = (frame.rgb_hwc.shape, frame.rgb_hwc.dtype, frame.colourless)
        if groups:
            last = groups[-1][0]
            if kind == (last.rgb_hwc.shape, last.rgb_hwc.dtype, last.colourless):
                groups[-1].append(frame)
                continue
        groups.append([frame])
    return groups

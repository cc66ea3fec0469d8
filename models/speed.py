"""How fast a model is on this machine: measured on request, kept beside the weights.

``<weights folder>/speed.json`` holds machine → model → device → :class:`Speed`, so that a folder
which many machines share says each its own. It is a note, not a ledger: where it cannot be
read, the models are measured anew.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from restore_batch.files import whole
from restore_batch.models.base import Card, Runtime
from restore_batch.models.weights import cache as weight_cache

_FACES_A_BATCH = 8
_PICTURE_PX = 1024
_SMALLEST_TILE_PX = 64
_LONG_ENOUGH_S = 0.5
"""A run this long is measured to a few percent."""
_SO_LONG_S = 10.0
"""After a first run this long, what the first run does only once no longer counts."""


@dataclass(frozen=True)
class Speed:
    """``seconds`` a face (512 px crop) or a megapixel of input, and how it was measured."""

    seconds: float
    per: Literal["face", "megapixel"]
    precision: str
    date: str

    def __str__(self) -> str:
        digits = 0 if self.seconds >= 10 else 1 if self.seconds >= 1 else 3
        return f"{self.seconds:.{digits}f} s a {self.per}"


def device_name(device: str) -> str:
    """The processor that ``device`` of a Runtime is: "cpu, 8 threads" or a GPU's name."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device}, {torch.get_num_threads()} threads"


def measure(model: Any, card: Card, runtime: Runtime) -> Speed:
    """Time ``model``, the protocol object of ``card``'s task that was built for ``runtime``.

    On the same pictures each time, of noise: no network here is faster on another content, but
    for a detector's candidates, which are few in any picture.
    """
    per: Literal["face", "megapixel"] = "megapixel"
    if card.task == "upscale":
        seconds = _seconds_a_megapixel(model, card)
    elif card.task == "detect":
        picture = _noise(1, _PICTURE_PX)
        seconds = _best_s(lambda: model(picture, 0.8)) / (_PICTURE_PX**2 / 1e6)
    else:
        per = "face"
        count = 1 if runtime.device == "cpu" else _FACES_A_BATCH
        crops = _noise(count, getattr(model, "face_px", 512))
        seconds = _best_s(lambda: model(crops)) / count
    date = datetime.now(UTC).date().isoformat()
    return Speed(seconds, per, runtime.precision, date)


def _noise(count: int, side_px: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, side_px, side_px, 3), np.uint8))


def _seconds_a_megapixel(upscaler: Any, card: Card) -> float:
    """By the smallest tile that takes long enough; a network with one size gets that."""
    import torch

    side = card.input_px or _SMALLEST_TILE_PX
    while True:
        tile = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        # Copying the result to the host waits for the GPU.
        seconds = _best_s(lambda tile=tile: upscaler(tile).cpu())  # type: ignore[misc]
        if seconds >= _LONG_ENOUGH_S or card.input_px or side >= _PICTURE_PX:
            return seconds / (side**2 / 1e6)
        side *= 2


def _best_s(call: Callable[[], object]) -> float:
    """The shortest of a few runs: what disturbs a run only ever makes it longer."""
    times = [_timed_s(call)]
    if times[0] >= _SO_LONG_S:
        return times[0]
    while len(times) < 3 or (sum(times[1:]) < 2 * _LONG_ENOUGH_S and len(times) < 10):
        times.append(_timed_s(call))
    return min(times[1:])


def _timed_s(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def read(folder: Path) -> dict[str, dict[str, Speed]]:
    """What was measured on this machine: model → device → speed."""
    mine = _content(folder).get(platform.node(), {})
    try:
        return {
            name: {device: Speed(**speed) for device, speed in devices.items()}
            for name, devices in mine.items()
        }
    except (AttributeError, TypeError):
        return {}


def record(folder: Path, card: Card, device: str, speed: Speed) -> None:
    """Note ``speed`` of ``card`` on ``device`` (a name) of this machine in ``folder``.

    Raises WeightsError when the folder cannot be written.
    """
    with weight_cache.locked(folder):
        content = _content(folder)
        models = content.setdefault(platform.node(), {})
        models.setdefault(card.name, {})[device] = asdict(speed)
        with whole(folder / "speed.json") as written:
            written.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "speed.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

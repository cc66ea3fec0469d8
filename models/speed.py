"""How long a network takes on this machine: measured where it was, else counted.

Every time that is foretold comes from here. The speed of a network is what ``models measure``
recorded for this device and precision; where it recorded nothing, it is what the card says the
network costs over what the device computes in a second, measured on a plain matrix product. What
a film takes from end to end is measured with the same watch (:func:`timed`).

``<weights folder>/speed.json`` holds machine → model → list of :class:`Speed`, so that a folder
which many machines share says each its own. It is a note, not a ledger: what cannot be read of
it is measured anew.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from restore_batch.errors import UsageError
from restore_batch.files import whole
from restore_batch.models.base import Card, Per, Precision, Runtime
from restore_batch.models.weights import cache as weight_cache

Source = Literal["measured", "counted"]

_FACES_A_BATCH = 8
_PICTURE_PX = 1024
_SMALLEST_TILE_PX = 64
_LONG_ENOUGH_S = 0.5
"""A run this long is measured to a few percent."""
_SO_LONG_S = 10.0
"""After a first run this long, what the first run does only once no longer counts."""
_PRODUCTS = 5
_PRODUCT_PX = 1536
_SHARE_OF_PRODUCT = 0.8
"""What convolutions reach of the speed of a plain matrix product on a core."""
_GPU_FLOPS = 40e12
"""What networks reach on a GPU of the data centre in float16, within a factor of a few."""


@dataclass(frozen=True)
class Speed:
    """``seconds`` a face (512 px crop) or a megapixel of input, and how it was measured.

    ``device``: "cpu" or the name of a GPU; ``threads`` of the CPU that were used; ``date`` as
    YYYY-MM-DD.
    """

    seconds: float
    per: Per
    device: str
    threads: int
    precision: Precision
    date: str

    def __str__(self) -> str:
        digits = 0 if self.seconds >= 10 else 1 if self.seconds >= 1 else 3
        return f"{self.seconds:.{digits}f} s a {self.per}"

    @property
    def where(self) -> str:
        """The device in words: "cpu, 4 threads, float32"."""
        threads = f", {self.threads} threads" if self.device == "cpu" else ""
        return f"{self.device}{threads}, {self.precision}"


Speeds = Mapping[str, Sequence[Speed]]
"""Model → what was measured of it, on this machine."""


@dataclass(frozen=True)
class Pace:
    """Seconds that a face or a megapixel of input takes one worker, and how that is known."""

    seconds: float
    source: Source


def pace(card: Card, runtime: Runtime, threads: int, speeds: Speeds) -> Pace | None:
    """How fast ``card``'s network is in a worker of ``threads`` threads on ``runtime``.

    None where it was neither measured nor counted.
    """
    alike = [
        speed
        for speed in speeds.get(card.name, ())
        if (speed.per, speed.precision) == (card.per, runtime.precision)
        and speed.device == device_name(runtime.device)
    ]
    if alike:
        nearest = min(alike, key=lambda speed: abs(speed.threads - threads))
        # As good as linear for the few threads that a worker has.
        share = nearest.threads / threads if runtime.device == "cpu" else 1.0
        return Pace(nearest.seconds * share, "measured")
    if card.tflop is None:
        return None
    flops = core_flops() * _SHARE_OF_PRODUCT * threads if runtime.device == "cpu" else _GPU_FLOPS
    return Pace(card.tflop * 1e12 / flops, "counted")


def device_name(device: str) -> str:
    """The processor that ``device`` of a Runtime is: "cpu" or a GPU's name."""
    if device == "cpu":
        return device
    import torch

    # A plan may be made where the GPUs of its workers are not.
    return torch.cuda.get_device_name(device) if torch.cuda.is_available() else device


@cache
def core_flops() -> float:
    """Operations a second of one core in a float32 matrix product: half a second well spent.

    By the time that the processor spent, on all its cores: other programs at work do not count.
    """
    factor = np.ones((_PRODUCT_PX, _PRODUCT_PX), np.float32)
    fastest = math.inf
    for _ in range(_PRODUCTS):
        began = time.process_time()
        factor @ factor
        fastest = min(fastest, time.process_time() - began)
    return float(2 * _PRODUCT_PX**3 / fastest)


# --- measuring ---------------------------------------------------------------------------------


def measure(model: Any, card: Card, runtime: Runtime) -> Speed:
    """Time ``model``, the protocol object of ``card``'s task that was built for ``runtime``.

    On the same pictures each time, of noise: no network here is faster on another content, but
    for a detector's candidates, which are few in any picture. Raises UsageError for a network
    that no job runs.
    """
    if card.task == "features":
        raise UsageError("only training uses it, at whatever size its recipe says")
    if card.task == "upscale":
        return _measure_upscaler(model, card, runtime)
    if card.task == "detect":
        picture = _noise(1, _PICTURE_PX)
        return timed(lambda: model(picture, 0.8), _PICTURE_PX**2 / 1e6, card.per, runtime)
    if card.task == "damage":
        picture = _noise(1, _PICTURE_PX)
        return timed(lambda: model(picture[0]), _PICTURE_PX**2 / 1e6, card.per, runtime)
    if card.task == "fill":
        rgb = _noise(1, _PICTURE_PX)[0].astype(np.float32) / 255
        missing = np.zeros(rgb.shape[:2], np.bool_)
        return timed(lambda: model(rgb, missing), _PICTURE_PX**2 / 1e6, card.per, runtime)
    count = 1 if runtime.device == "cpu" else _FACES_A_BATCH
    crops = _noise(count, getattr(model, "face_px", 512))
    return timed(lambda: model(crops), count, card.per, runtime)


def timed(call: Callable[[], object], amount: float, per: Per, runtime: Runtime) -> Speed:
    """The speed of ``call``, which does ``amount`` faces or megapixels on ``runtime``."""
    import torch

    seconds = _best_s(call) / amount
    date = datetime.now(UTC).date().isoformat()
    device, threads = device_name(runtime.device), torch.get_num_threads()
    return Speed(seconds, per, device, threads, runtime.precision, date)


def _noise(count: int, side_px: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, side_px, side_px, 3), np.uint8))


def _measure_upscaler(upscaler: Any, card: Card, runtime: Runtime) -> Speed:
    """By the smallest tile that takes long enough; a network with one size gets that."""
    import torch

    side = card.input_px or _SMALLEST_TILE_PX
    while True:
        tile = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
        megapixels = side**2 / 1e6
        # Copying the result to the host waits for the GPU.
        speed = timed(lambda tile=tile: upscaler(tile).cpu(), megapixels, card.per, runtime)  # type: ignore[misc]
        long_enough = speed.seconds * megapixels >= _LONG_ENOUGH_S
        if long_enough or card.input_px or side >= _PICTURE_PX:
            return speed
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


# --- the record --------------------------------------------------------------------------------


def read(folder: Path) -> dict[str, tuple[Speed, ...]]:
    """What was measured on this machine, by the names of the models."""
    mine = _content(folder).get(platform.node())
    found = mine.items() if isinstance(mine, dict) else ()
    return {name: speeds for name, rows in found if (speeds := tuple(_readable(rows)))}


def record(folder: Path, card: Card, speed: Speed) -> None:
    """Note ``speed`` of ``card`` on this machine in ``folder``, in place of an earlier one of the
    same device, threads and precision.

    Raises WeightsError when the folder cannot be written.
    """
    with weight_cache.locked(folder):
        content = _content(folder)
        mine = content.get(platform.node())
        models = content[platform.node()] = mine if isinstance(mine, dict) else {}
        kept = [old for old in _readable(models.get(card.name)) if old.where != speed.where]
        models[card.name] = [asdict(one) for one in (*kept, speed)]
        with whole(folder / "speed.json") as written:
            written.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", "utf-8")


def _readable(rows: object) -> Iterator[Speed]:
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.keys() == Speed.__dataclass_fields__.keys():
            yield Speed(**row)


def _content(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "speed.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

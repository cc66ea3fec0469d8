"""How much memory a network may take here, and what running out of it looks like."""

from __future__ import annotations

import math

import psutil
import torch

from restore_batch.stages.enlarge.tiles.axis import SMALLEST_TILE_PX

CPU_BUDGET_BYTES = 2 << 30
LARGEST_CPU_TILE_PX = 512
LARGEST_GPU_TILE_PX = 1024
_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate")


def is_out_of_memory(error: BaseException) -> bool:
    """True for every way in which Python, torch, CUDA or OpenCV say that memory is short."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(message in text for message in _MESSAGES)


def free_cached_memory(device: str) -> None:
    """Give back what torch keeps for reuse, before trying again with less."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()


def budget_bytes(device: str) -> int:
    """Working memory one network call may take.

    On a GPU a share of what is free now. On the CPU a constant (less only on a machine with
    little memory in total): what happens to be free there changes from run to run, and the tile
    size, hence the last bits of the result, must not.
    """
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(device)
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(0.6 * (free + reusable))
    return min(CPU_BUDGET_BYTES, int(psutil.virtual_memory().total) // 8)


def tile_side_px(bytes_per_pixel: int, device: str, largest_px: int | None = None) -> int:
    """Side of the largest square tile that fits the budget, a multiple of 32; ``largest_px``: of
    what a network is best given, None: what most are."""
    usual = LARGEST_GPU_TILE_PX if device.startswith("cuda") else LARGEST_CPU_TILE_PX
    largest = largest_px or usual
    side = math.isqrt(budget_bytes(device) // max(1, bytes_per_pixel))
    return min(max(side // 32 * 32, SMALLEST_TILE_PX), largest)

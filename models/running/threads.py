"""Keep this process's numeric libraries to the cores it was given."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


def limit_threads(threads: int) -> None:
    """Let torch (if it was imported) and OpenCV use ``threads`` cores, at least one.

    Two workers that both take every core run slower than one; so each worker is told its share.
    """
    threads = max(1, threads)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)
    if "cv2" in sys.modules:
        import cv2

        cv2.setNumThreads(threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one core for as long as this lasts: small layers are summed up in another order
    by more threads, which changes the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

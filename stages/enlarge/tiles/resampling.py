"""Resampling along one axis as a stream: pieces in, finished pieces out, the same as at once.

A picture that a network enlarged four times is 16 times its size in pixels and 64 times in
bytes as float32. Here it never exists: tile results go through the horizontal stream, what comes
out of that through the vertical one of its place, and only final pixels come out.

Source: Lanczos windowed sinc, a = 3; when shrinking, the kernel is stretched by the ratio, so
that it is also the anti-aliasing filter (Turkowski 1990, "Filters for common resampling tasks").
Pixel centres are at half-integers: output pixel j lies at (j + 0.5) * n_in / n_out of the input.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from restore_batch.stages.enlarge.tiles.axis import TiledAxis

LOBES = 3


def lanczos_taps(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """For every output pixel the first input pixel it needs and the weights from there on.

    Returns ``first`` (n_out,) int64, which may be negative, and ``weights`` (n_out, K) float32.
    Weights beyond the picture are zero and every row sums to 1, so that the border neither
    darkens nor mirrors.
    """
    ratio = n_in / n_out
    stretch = max(ratio, 1.0)
    centre = (np.arange(n_out) + 0.5) * ratio
    first = np.ceil(centre - LOBES * stretch - 0.5).astype(np.int64)
    count = int(np.ceil(2 * LOBES * stretch)) + 1
    position = first[:, None] + np.arange(count)
    distance = (position + 0.5 - centre[:, None]) / stretch
    weights = np.sinc(distance) * np.sinc(distance / LOBES)
    weights[(np.abs(distance) >= LOBES) | (position < 0) | (position >= n_in)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)


class LineResampler:
    """Resamples one axis of a tensor from ``n_in`` to ``n_out`` pixels, piece by piece."""

    def __init__(self, n_in: int, n_out: int, dim: int, device: str = "cpu") -> None:
        self._n_in, self._n_out, self._dim = n_in, n_out, dim
        self._pending: torch.Tensor | None = None
        self._start = 0  # input pixel at which the pending piece begins
        self._done = 0
        if n_in != n_out:
            first, weights = lanczos_taps(n_in, n_out)
            self._needs_until = np.minimum(first + weights.shape[1], n_in)
            self._first = torch.from_numpy(first).to(device)
            self._weights = torch.from_numpy(weights).to(device)

    def push(self, piece: torch.Tensor) -> torch.Tensor:
        """Take the next input pixels; return all output pixels that are now complete."""
        if self._n_in == self._n_out:
            return piece
        if self._pending is not None:
            piece = torch.cat([self._pending, piece], dim=self._dim)
        available = self._start + piece.shape[self._dim]
        stop = int(np.searchsorted(self._needs_until, available, side="right"))
        rows = slice(self._done, stop)
        out = self._weigh(piece, self._first[rows] - self._start, self._weights[rows])
        self._done = stop
        keep_from = available if stop == self._n_out else max(int(self._first[stop]), self._start)
        # A copy, else the view would keep the whole piece alive.
        self._pending = piece.narrow(
            self._dim, keep_from - self._start, available - keep_from
        ).clone()
        self._start = keep_from
        return out

    def _weigh(
        self, piece: torch.Tensor, first: torch.Tensor, weights: torch.Tensor
    ) -> torch.Tensor:
        taps = torch.arange(weights.shape[1], device=first.device)
        index = (first[:, None] + taps).clamp_(0, piece.shape[self._dim] - 1)
        lines = piece.movedim(self._dim, 0)
        # Sums of weighted rows of a table in one pass: several times faster than tap by tap.
        out = F.embedding_bag(
            index, lines.flatten(1), per_sample_weights=weights, mode="sum"
        ).unflatten(1, lines.shape[1:])
        return out.movedim(0, self._dim)


class SeamBlender:
    """Joins the results of one axis' tiles, pushed in order, by their cross-fade weights."""

    def __init__(self, axis: TiledAxis, scale: int, dim: int, device: str = "cpu") -> None:
        self._axis, self._scale, self._dim, self._device = axis, scale, dim, device
        self._carry: torch.Tensor | None = None  # weighted sum of what later tiles still add to
        self._next = 0

    def push(self, contribution: torch.Tensor) -> torch.Tensor:
        """Take the next tile's contribution (halo cut off); return the pixels now complete.

        The tensor given is modified.
        """
        tiles, index = self._axis.tiles, self._next
        self._next += 1
        if len(tiles) == 1:
            return contribution
        shape = [1] * contribution.ndim
        shape[self._dim] = -1
        weights = torch.from_numpy(self._axis.weights(index, self._scale)).to(self._device)
        total = contribution.mul_(weights.reshape(shape))
        if self._carry is not None:
            total.narrow(self._dim, 0, self._carry.shape[self._dim]).add_(self._carry)
        size = total.shape[self._dim]
        if self._next == len(tiles):
            return total
        complete = (tiles[self._next].start - tiles[index].start) * self._scale
        self._carry = total.narrow(self._dim, complete, size - complete).clone()
        return total.narrow(self._dim, 0, complete)

"""What each network costs, beside the papers' order of work and what the machine can do.

    python -m benchmarks networks [--threads 1] [--rounds 3] [NAME ...]

In one run and in turn: ours in float32, ours with `engine: {precision: bfloat16}`, and the papers'
order (:mod:`benchmarks.published`). The best of the rounds counts. FLOP are counted of ours. The
machine's peak is that of a plain 3x3 convolution of 256 channels. Weights are random where none are
here: time does not depend on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published import contiguous, published
from restore_batch.models import registry
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.running.crops import mixed

NETWORKS = ("photo-1", "photo-2", "realesrgan-x4plus", "compact-1", "gfpgan-1.4")
_PICTURE_PX = {"realesrgan-x4plus": 192}
_LARGE_PX = 768


@dataclass(frozen=True)
class Cost:
    """Seconds a unit (a face, a megapixel of input): ours, in bfloat16, in the papers' order."""

    name: str
    per: str
    ours_s: float
    half_s: float
    published_s: float
    gflop: float
    difference: float

    def row(self, peak: float) -> str:
        """A line of the table; ``peak`` in GFLOP/s."""
        rate = self.gflop / self.ours_s
        return (
            f"| `{self.name}`, a {self.per} | {self.ours_s:.3g} s | {self.published_s:.3g} s"
            f" | {self.published_s / self.ours_s:.2f} | {self.half_s:.3g} s"
            f" | {self.published_s / self.half_s:.2f} | {self.gflop:.4g}"
            f" | {rate:.0f} ({rate / peak:.0%}) |"
        )


def cost(name: str, rounds: int) -> Cost:
    """The cost of the network of that card."""
    card = registry.card(name)
    net = registry.family_of(card).network(None, **card.architecture).eval()
    side = card.input_px or _PICTURE_PX.get(name, _LARGE_PX)
    units = 1.0 if card.per == "face" else side * side / 1e6
    ours, plain = channels_last(deepcopy(net)), contiguous(net)
    x = torch.rand(1, 3, side, side)
    last = x.contiguous(memory_format=torch.channels_last)
    counter = FlopCounterMode(display=False)
    stored = {"randomize_noise": False} if card.family == "gfpgan" else {}
    with torch.inference_mode(), counter:
        ours(last, **stored)
    seconds: dict[str, float] = {}
    results: dict[str, torch.Tensor] = {}
    for _ in range(rounds):
        for way, runs, order, precision in (
            ("ours", lambda: ours(last, **stored), nullcontext(), "float32"),
            ("half", lambda: ours(last, **stored), nullcontext(), "bfloat16"),
            ("published", lambda: plain(x, **stored), published(), "float32"),
        ):
            with torch.inference_mode(), order, mixed("cpu", precision):
                taken, results[way] = timed(runs)
            seconds[way] = min(taken, seconds.get(way, taken))
    return Cost(
        name,
        card.per,
        *(seconds[way] / units for way in ("ours", "half", "published")),
        counter.get_total_flops() / 1e9 / units,
        float((results["ours"] - results["published"]).abs().max()),
    )


def timed(run: Callable[[], object]) -> tuple[float, torch.Tensor]:
    """Seconds, and the picture that came out."""
    begun = time.perf_counter()
    result = run()
    taken = time.perf_counter() - begun
    while isinstance(result, tuple):
        result = result[-1] if isinstance(result[-1], torch.Tensor) else result[0]
    assert isinstance(result, torch.Tensor)
    return taken, result


def peak_gflops(rounds: int) -> float:
    """What a plain 3x3 convolution of 256 channels reaches here, in GFLOP/s."""
    conv = channels_last(nn.Conv2d(256, 256, 3, padding=1))
    x = torch.rand(1, 256, 96, 96).contiguous(memory_format=torch.channels_last)
    flop = 2 * 9 * 256 * 256 * 96 * 96
    with torch.inference_mode():
        return flop / 1e9 / min(timed(lambda: conv(x))[0] for _ in range(2 + rounds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks networks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(chosen.threads)
    peak = peak_gflops(chosen.rounds)
    print(f"A plain 3x3 convolution reaches {peak:.0f} GFLOP/s on {chosen.threads} thread(s).\n")
    print("| network | ours | papers' order | ratio | bfloat16 | ratio | GFLOP | GFLOP/s |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    costs = []
    for name in chosen.names or NETWORKS:
        costs.append(cost(name, chosen.rounds))
        print(costs[-1].row(peak), flush=True)
    found = {each.name: each.ours_s for each in costs}
    if {"photo-2", "realesrgan-x4plus"} <= found.keys():
        times = found["realesrgan-x4plus"] / found["photo-2"]
        print(f"\nphoto-2 takes a {times:.0f}th of realesrgan-x4plus' time for the same picture.")
    worst = max(each.difference for each in costs)
    print(f"\nOurs and the papers' order differ by {worst:.1e} at most.")


if __name__ == "__main__":
    main()

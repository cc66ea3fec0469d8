"""Several processes that train one network together, each on its share of every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import distributed, nn

from restore_batch.errors import UsageError

Numbers = dict[str, float]


def _itself(net: nn.Module) -> nn.Module:
    return net


def _as_they_are(values: Numbers) -> Numbers:
    return values


@dataclass(frozen=True)
class Crew:
    """This process's place among ``size``; the default is a process by itself.

    ``wrapped`` makes a network whose gradients are averaged over all processes; ``averaged`` does
    so with numbers, and is called by all of them at the same time.
    """

    rank: int = 0
    size: int = 1
    wrapped: Callable[[nn.Module], nn.Module] = _itself
    averaged: Callable[[Numbers], Numbers] = _as_they_are

    @property
    def leads(self) -> bool:
        """Whether this process writes what is written once."""
        return self.rank == 0

    def share(self, batch: int) -> range:
        """The pairs of a batch that are this process's.

        Raises UsageError for a batch that cannot be shared evenly: an uneven one would weigh some
        faces more.
        """
        if batch % self.size:
            raise UsageError(f"run.batch {batch}: expected a multiple of the {self.size} workers")
        each = batch // self.size
        return range(self.rank * each, (self.rank + 1) * each)


def mean_over_processes(values: Numbers) -> Numbers:
    """The means of numbers over all processes of torch's process group."""
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    numbers = torch.tensor(list(values.values()), dtype=torch.float64, device=device)
    distributed.all_reduce(numbers)
    means = (numbers / distributed.get_world_size()).tolist()
    return dict(zip(values, means, strict=True))

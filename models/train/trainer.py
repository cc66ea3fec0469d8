"""The loop: from a recipe to weights, in steps that can be interrupted and gone on with.

A run's state after step k is a function of the recipe and of k. What a checkpoint holds is all of
it: interrupted and resumed on one CPU, a run gives the same weights to the last bit.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from restore_batch.errors import UsageError
from restore_batch.models.nets.layout import channels_last
from restore_batch.models.running.crops import mixed
from restore_batch.models.train.checkpoint import Checkpoints
from restore_batch.models.train.crew import Crew
from restore_batch.models.train.curves import Curve
from restore_batch.models.train.data.loading import Streams, batches
from restore_batch.models.train.losses.base import Judges, Losses, Objective, Sample
from restore_batch.models.train.losses.objectives import objective_of
from restore_batch.models.train.losses.verdicts import MAIN
from restore_batch.models.train.recipe import Adam, Recipe, Schedule
from restore_batch.models.train.trainees import Trainee, trainee
from restore_batch.models.train.validate import Validator

Watch = Callable[[int, dict[str, float]], None]


def unaided(objective: Objective, side_px: int) -> Judges:
    """The judges of an objective that asks no fixed network: its discriminators."""
    return Judges(objective.discriminators(side_px))


class Trainer:
    """One run of one recipe; ``run`` goes on from the newest checkpoint where told to."""

    def __init__(
        self,
        recipe: Recipe,
        judges: Callable[[Objective, int], Judges] = unaided,
        crew: Crew | None = None,
    ) -> None:
        """``judges``: makes what an objective asks, for pictures of so many pixels a side. It is
        called with the recipe's seed set: discriminators begin with random weights.
        ``crew``: the processes that share the work; all must have access to the recipe's folders.

        Raises UsageError for folders without faces and WeightsError for weights that do not fit.
        """
        self.recipe = recipe
        self.device = device_of(recipe)
        if recipe.run.threads is not None:
            torch.set_num_threads(recipe.run.threads)
        torch.manual_seed(recipe.run.seed)
        self.trainee: Trainee = trainee(recipe.network)
        channels_last(self.trainee.to(self.device).train())
        self.average = {key: value.clone() for key, value in self.trainee.state_dict().items()}
        self.objective = objective_of(recipe.objective)
        self.judges = judges(self.objective, recipe.side_px).to(self.device)
        self.optimiser = adam([(self.trainee, recipe.optimiser)])
        rivals = self.judges.discriminators
        self.rival_optimiser = (
            adam([(net, settings_of(recipe, name)) for name, net in rivals.items()])
            if list(rivals.parameters())
            else None
        )
        # Gradients of half precision vanish unless they are scaled up.
        self.scaler = torch.amp.GradScaler(
            self.device, enabled=recipe.run.precision == "float16" and self.device == "cuda"
        )
        self._crew = crew or Crew()
        self._share = self._crew.share(recipe.run.batch)
        self._wrapped = self._crew.wrapped(self.trainee)
        self._judges = replace(
            self.judges,
            discriminators=nn.ModuleDict(
                {name: self._crew.wrapped(net) for name, net in rivals.items()}
            ),
        )
        self.step = 0
        self._checkpoints = Checkpoints(recipe)

    def resume(self) -> bool:
        """Take up the newest checkpoint of the recipe's output, if there is one.

        Raises UsageError when it is another recipe's.
        """
        saved = self._checkpoints.newest()
        if saved is None:
            return False
        self.trainee.load_state_dict(saved["network"])
        self.average = {k: v.to(self.device) for k, v in saved["average"].items()}
        self.optimiser.load_state_dict(saved["optimiser"])
        self.judges.discriminators.load_state_dict(saved["discriminators"])
        if self.rival_optimiser is not None:
            self.rival_optimiser.load_state_dict(saved["discriminator_optimiser"])
        self.scaler.load_state_dict(saved["scaler"])
        torch.set_rng_state(saved["rng"])
        self.step = int(saved["step"])
        return True

    def save(self) -> Path:
        """Write a checkpoint of the present step."""
        rival = self.rival_optimiser
        return self._checkpoints.write(
            {
                "step": self.step,
                "network": self.trainee.state_dict(),
                "average": self.average,
                "optimiser": self.optimiser.state_dict(),
                "discriminators": self.judges.discriminators.state_dict(),
                "discriminator_optimiser": rival.state_dict() if rival is not None else {},
                "scaler": self.scaler.state_dict(),
                "rng": torch.get_rng_state(),
            }
        )

    def run(self, watch: Watch | None = None, stop: Callable[[], bool] = lambda: False) -> bool:
        """Train to the last step, or until ``stop()``; a checkpoint is written at the end.

        True when the last step is done. ``watch`` is called with step and losses of every row
        of the curves.
        """
        recipe, leads = self.recipe, self._crew.leads
        recipe.output.mkdir(parents=True, exist_ok=True)
        curve = Curve(recipe.output / "losses.csv", after=self.step) if leads else None
        streams = Streams.of(recipe, self.trainee.shrinks)
        validator = Validator.of(recipe, self.trainee.shrinks, after=self.step) if leads else None
        if validator is not None and self.step == 0:
            validator(0, self.averaged())
        with contextlib.closing(batches(streams, recipe, self.step, self._share)) as loaded:
            for degraded, true, *same in loaded:
                losses = self.train_step(degraded, true, *same)
                self.step += 1
                if self.step % recipe.run.log_every_steps == 0:
                    row = {"learning_rate": self.rate()} | self._crew.averaged(losses())
                    _check_finite(self.step, row)
                    if curve is not None:
                        curve.append(self.step, row)
                    if watch is not None:
                        watch(self.step, row)
                if validator is not None and self.step % validator.every_steps == 0:
                    validator(self.step, self.averaged())
                if leads and self.step % recipe.run.checkpoint_every_steps == 0:
                    self.save()
                if stop():
                    break
        if leads:
            self.save()
        return self.step >= recipe.run.steps

    def train_step(
        self, degraded: torch.Tensor, true: torch.Tensor, same: torch.Tensor | None = None
    ) -> Callable[[], dict[str, float]]:
        """One step on uint8 pictures (N, 3, S, S), see
        :data:`~restore_batch.models.train.data.loading.Batch`. Returns what reads its losses:
        waiting for the device at each step would slow a GPU down."""
        z, y = (signed(pictures, self.device) for pictures in (degraded, true))
        also = None if same is None else signed(same, self.device)
        now = rate(self.recipe.schedule, self.step, self.recipe.run.steps)
        for group, settings in self._groups():
            group["lr"] = settings.learning_rate * now
        with mixed(self.device, self.recipe.run.precision):
            restored, pyramid = self._wrapped(z)
            seen = z if z.shape == y.shape else None
            sample = Sample(restored, y, seen, pyramid, also)
            losses = self.objective.generator_loss(sample, self._judges, self.step)
        self._descend(self.optimiser, self.trainee, losses, self.recipe.optimiser)
        rivals = Losses({})
        if self.rival_optimiser is not None:
            apart = Sample(restored.detach(), y, seen)
            with mixed(self.device, self.recipe.run.precision):
                rivals = self.objective.discriminator_loss(apart, self._judges, self.step)
            settings = settings_of(self.recipe, MAIN)
            self._descend(self.rival_optimiser, self.judges.discriminators, rivals, settings)
        self.scaler.update()
        self.trainee.after_step()
        self._average()

        def read() -> dict[str, float]:
            against = (
                {f"discriminator/{k}": v for k, v in rivals.logged().items()}
                if rivals.terms
                else {}
            )
            return losses.logged() | against

        return read

    def _descend(
        self, optimiser: torch.optim.Optimizer, net: nn.Module, losses: Losses, settings: Adam
    ) -> None:
        optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(losses.total).backward()
        if settings.clip_norm is not None:
            self.scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(net.parameters(), settings.clip_norm)
        self.scaler.step(optimiser)

    def _groups(self) -> Iterator[tuple[dict[str, Any], Adam]]:
        yield self.optimiser.param_groups[0], self.recipe.optimiser
        if self.rival_optimiser is not None:
            rivals = (settings_of(self.recipe, name) for name in self.judges.discriminators)
            yield from zip(self.rival_optimiser.param_groups, rivals, strict=True)

    @torch.no_grad()
    def _average(self) -> None:
        # Early on the average follows quickly: the first weights are worth nothing.
        decay = min(self.recipe.run.ema, (1 + self.step) / (10 + self.step))
        for key, value in self.trainee.state_dict().items():
            mean = self.average[key]
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    def rate(self) -> float:
        """The restorer's learning rate of the step that was done last."""
        return float(self.optimiser.param_groups[0]["lr"])

    def averaged(self) -> Trainee:
        """A trainee with the averaged weights, in eval mode."""
        twin = copy.deepcopy(self.trainee)
        twin.load_state_dict(self.average)
        return channels_last(twin).eval().requires_grad_(False)

    def export(self) -> Path:
        """Write the averaged weights and what is known of them; the path of the weights, the last
        where they are several networks."""
        from restore_batch.models.train.export import export

        parts = self.trainee.parts(self.average)
        return [export(self.recipe, state, self.step, name) for name, state in parts.items()][-1]


def _check_finite(step: int, row: dict[str, float]) -> None:
    broken = [name for name, value in row.items() if not math.isfinite(value)]
    if broken:
        raise UsageError(
            f"{broken[0]} is {row[broken[0]]} at step {step}: lower optimiser.learning_rate, or set"
            " optimiser.clip_norm, and go on from the last checkpoint with --resume"
        )


def device_of(recipe: Recipe) -> str:
    """Where the recipe runs on this machine. Raises UsageError where that is not to be had."""
    wanted = recipe.run.device
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("run.device is cuda, but this machine has no GPU; set it to auto or cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def adam(nets: Sequence[tuple[nn.Module, Adam]]) -> torch.optim.AdamW:
    """One optimiser of several networks, each a group with its own settings."""
    return torch.optim.AdamW(
        [
            {
                "params": list(net.parameters()),
                "lr": settings.learning_rate,
                "betas": settings.betas,
                "weight_decay": settings.weight_decay,
            }
            for net, settings in nets
        ]
    )


def settings_of(recipe: Recipe, discriminator: str) -> Adam:
    """How the discriminator of that name learns."""
    others = recipe.discriminator_optimiser or recipe.optimiser
    return others if discriminator == MAIN else recipe.component_optimiser or others


def rate(schedule: Schedule, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at ``step``, counted from 0, of ``steps``."""
    factor = float(schedule.factor ** sum(step >= at for at in schedule.halve_at))
    factor *= min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.cosine_steps:
        factor *= (1 + math.cos(math.pi * min(1.0, step / schedule.cosine_steps))) / 2
    left = steps - step
    return factor * min(1.0, left / (schedule.decay_steps + 1))


def signed(pictures: torch.Tensor, device: str) -> torch.Tensor:
    """uint8 (N, 3, S, S) to float32 in [-1, 1], channels last in memory."""
    moved = pictures.to(device, non_blocking=True)
    return moved.to(memory_format=torch.channels_last).float().div_(127.5).sub_(1)

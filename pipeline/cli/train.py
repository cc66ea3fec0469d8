"""``restore-batch train``."""

from __future__ import annotations

from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.cli.interrupts import INTERRUPTED, interruptible
from restore_batch.pipeline.cli.output import say
from restore_batch.pipeline.cli.streams import goes_on
from restore_batch.pipeline.training.recipe_file import load_recipe

if TYPE_CHECKING:
    from restore_batch.models.train.recipe import Recipe


@click.command()
@click.argument("recipe", type=click.Path())
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint, if there is one.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="Change an option of the recipe, e.g. --set run.steps=1000; may be repeated.",
)  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but where the weights are.")
def train(recipe: str, resume: bool, overrides: tuple[str, ...], quiet: bool) -> None:
    """Train the network that RECIPE describes and write its weights.

    The first Ctrl-C ends the run after a checkpoint; `--resume` goes on from there as if nothing
    had happened. Exit codes: 0 done, 2 wrong recipe or usage, 130 interrupted.
    """
    goes_on("the training")
    chosen = load_recipe(recipe, overrides)
    _check(recipe, chosen, resume)
    if chosen.run.workers > 1:
        from restore_batch.models.train.trainer import device_of

        try:
            from restore_batch.pipeline.training.ray_train import train_with_ray
        except ImportError as error:
            raise UsageError(
                "run.workers above 1 needs Ray Train: pip install 'restore-batch[train]'"
            ) from error
        gpus = device_of(chosen) == "cuda"
        say(str(train_with_ray(chosen, resume=resume, gpus=gpus, quiet=quiet)))
    else:
        _train_here(chosen, resume, quiet)


def _check(name: str, recipe: Recipe, resume: bool) -> None:
    """What only the objective and the output folder can say."""
    from restore_batch.models.train.checkpoint import Checkpoints
    from restore_batch.models.train.losses.objectives import objective_of

    try:
        objective_of(recipe.objective)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name}: objective.weights: {error}") from None
    if Checkpoints(recipe).there() and not resume:
        raise UsageError(
            f"{recipe.output} holds checkpoints of an earlier run: add --resume to go on from"
            " them, or give another output"
        )


def _train_here(recipe: Recipe, resume: bool, quiet: bool) -> None:
    from restore_batch.models.train.losses.judges import load_judges
    from restore_batch.models.train.trainer import Trainer
    from restore_batch.models.weights.store import Store

    trainer = Trainer(recipe, partial(load_judges, store=Store()))
    if resume and trainer.resume() and not quiet:
        say(f"goes on after step {trainer.step}")

    def show(step: int, values: dict[str, float]) -> None:
        say(f"{step}/{recipe.run.steps}  " + _listed(values))

    interrupted = Event()
    # However long the step takes: ended before its checkpoint, it would be lost.
    with interruptible(interrupted.set, within_s=None):
        finished = trainer.run(None if quiet else show, interrupted.is_set)
    if not finished:
        say(f"interrupted after step {trainer.step}; --resume goes on", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    say(str(trainer.export()))


def _listed(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())

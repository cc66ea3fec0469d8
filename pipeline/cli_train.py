"""``restore-batch train``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from restore_batch.errors import UsageError
from restore_batch.pipeline.recipe_file import load_recipe

_INTERRUPTED = 130


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
    from restore_batch.models.train.judges import load_judges
    from restore_batch.models.train.objectives import OBJECTIVES
    from restore_batch.models.train.trainer import Trainer
    from restore_batch.models.weights import Store

    chosen = load_recipe(recipe, overrides)
    try:
        objective = OBJECTIVES[chosen.objective.name](**chosen.objective.weights)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{recipe}: objective.weights: {error}") from None
    trainer = Trainer(chosen, load_judges(objective, chosen.data[0].side_px, Store()))
    if trainer.has_checkpoint() and not resume:
        raise UsageError(
            f"{chosen.output} holds checkpoints of an earlier run: add --resume to go on from"
            " them, or give another output"
        )
    if resume and trainer.resume() and not quiet:
        click.echo(f"goes on after step {trainer.step}")

    def show(step: int, values: dict[str, float]) -> None:
        click.echo(f"{step}/{chosen.run.steps}  " + _listed(values))

    with _interruptible() as interrupted:
        finished = trainer.run(None if quiet else show, interrupted)
    if not finished:
        click.echo(f"interrupted after step {trainer.step}; --resume goes on", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    click.echo(str(trainer.export()))


def _listed(values: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C (or SIGTERM) is only noted; the second stops at once."""
    asked: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, old in before.items():
            signal.signal(number, old)

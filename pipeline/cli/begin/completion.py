"""``restore-batch completion``: what makes a shell complete commands, options and paths."""

from __future__ import annotations

import click

_VARIABLE = "_RESTORE_BATCH_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the lines that teach SHELL to complete restore-batch.

    For bash, in ~/.bashrc: eval "$(restore-batch completion bash)"; zsh the same, in ~/.zshrc; for
    fish, in its folder completions: restore-batch completion fish > restore-batch.fish
    """
    from click.shell_completion import get_completion_class

    from restore_batch.pipeline.cli.main import NAME, cli

    kind = get_completion_class(shell)
    assert kind is not None  # one of the three that click knows
    click.echo(kind(cli, {}, NAME, _VARIABLE).source())

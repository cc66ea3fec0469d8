"""Every command and its options, as ``--help`` says it."""

from __future__ import annotations

from collections.abc import Iterator

import click
from markdown_text import paragraphs, prose, table

from restore_batch.pipeline.cli.main import NAME, cli


def markdown() -> str:
    """A heading for each command, those of a group below it."""
    return paragraphs(*_commands(cli, click.Context(cli, info_name=NAME), 2))


def brief() -> str:
    """A line for each command."""
    context = click.Context(cli, info_name=NAME)
    named = ((name, cli.get_command(context, name)) for name in cli.list_commands(context))
    rows = [(f"`{name}`", prose(each.get_short_help_str(200))) for name, each in named if each]
    return table(("command", "what it does"), rows)


def _commands(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, parent=context, info_name=name)
        yield f"{'#' * level} {inner.command_path.removeprefix(f'{NAME} ')}"
        usage = command.get_usage(inner).removeprefix("Usage: ")
        yield f"```text\n{' '.join(usage.split())}\n```"
        yield from (prose(part) for part in (command.help or "").split("\n\n"))
        if isinstance(command, click.Group):
            yield from _commands(command, inner, level + 1)
            continue
        records = [param.get_help_record(inner) for param in command.get_params(inner)]
        rows = [(f"`{flags}`", prose(text)) for flags, text in filter(None, records) if text]
        yield table(("option", "what it does"), rows)

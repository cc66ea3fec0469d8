"""The command line. Commands are imported when they are called: ``--help`` answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from restore_batch import __version__
from restore_batch.errors import JobFileError, RestoreBatchError
from restore_batch.pipeline.cli.interrupts import INTERRUPTED, Interrupts, interruptible
from restore_batch.pipeline.cli.output import say, warn_in_lines
from restore_batch.pipeline.cli.streams import UNSHOWN, kept_streams, lost

NAME = "restore-batch"
_COMMANDS = {
    "run": ("run:run", "Restore photos, films and folders, or what a job file names."),
    "plan": ("plan:plan", "Show what a run would do, without doing it."),
    "init": ("begin.init:init", "Look at a folder and write a job file that says why it is so."),
    "preview": ("begin.preview:preview", "Try a job on a few photos: one sheet, and the time."),
    "status": ("status:status", "Show what is done, failed and left of a job."),
    "report": ("report:report", "Write a page that shows before and after of every item."),
    "provenance": (
        "handover.provenance:provenance",
        "Describe results for others: RO-Crate, PREMIS.",
    ),
    "bag": ("handover.provenance:bag", "Copy a finished output into a BagIt bag, and validate it."),
    "serve": ("serve:serve", "Show that page in a browser while a run goes on."),
    "retry": ("run:retry", "Run a job again, with another try for what failed."),
    "repair-manifest": (
        "repair:repair_manifest",
        "Rebuild a damaged or lost manifest, so that no result is made again.",
    ),
    "evaluate": ("judge.evaluate:evaluate", "Score results against true pictures, or without any."),
    "degrade": (
        "judge.degrade:degrade",
        "Make bad pictures of good ones, to restore and to compare.",
    ),
    "models": ("models:models", "List, fetch, check and add networks."),
    "crops": ("crops:crops", "Cut out faces, aligned, for training."),
    "train": ("train:train", "Train a restorer on folders of good faces."),
    "doctor": ("doctor:doctor", "Check this machine: Ray, GPU, memory, codecs, weights."),
    "completion": ("begin.completion:completion", "Teach a shell to complete all this."),
    "schema": ("plan:schema", "Print the JSON Schema of job files, for editors."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        found: Any = getattr(
            importlib.import_module(f"restore_batch.pipeline.cli.{module}"), attribute
        )
        return found  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and name not in _COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(_COMMANDS)}"
            raise click.UsageError(f"no command {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name=NAME)
def cli() -> None:
    """Restore old photos and films in bulk: faces, background, metadata, resumable.

    Start with `restore-batch run FOLDER -o FOLDER-restored`; `plan` with the same words shows what
    would be done.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: every error a user can meet is one line (or one a mistake), no traceback.

    ``arguments``: instead of those that the process was given. Always ends with SystemExit.
    """
    warn_in_lines()
    with kept_streams():
        try:
            with interruptible() as asked:
                code = _call(arguments, asked)
        except KeyboardInterrupt:  # just before, or just after
            code = _interrupted()
        # Nothing is claimed to be done that was to be shown and could not be.
        sys.exit(code or (UNSHOWN if lost() else 0))


def _call(arguments: Sequence[str] | None, asked: Interrupts) -> int:
    try:
        # Without its standalone mode, click returns the code of an Exit that a command raised.
        # Called by its name also where the program is `python -m restore_batch`.
        return int(cli(arguments, NAME, standalone_mode=False) or 0)
    except click.ClickException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group that is called alone answers with its help
            click.echo(message, err=True)
        else:
            say(f"restore-batch: {message}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except RestoreBatchError as error:
        # Mistakes in a job file begin with their place, where an editor looks for it.
        name = "" if isinstance(error, JobFileError) else "restore-batch: "
        for line in error.lines:
            say(f"{name}{line}", err=True)
        return error.exit_code
    except Exception as error:
        if not asked.times:
            from restore_batch.pipeline.cli.crash import CRASHED, say_crashed

            say_crashed(error, sys.argv[1:] if arguments is None else arguments)
            return CRASHED
        # A library that is interrupted while it is imported may raise what it likes.
        return _interrupted()


def _interrupted() -> int:
    say("restore-batch: interrupted", err=True)
    return INTERRUPTED

"""Every command ends with the exit status that scripts rely on, and says why in one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from restore_batch.pipeline.cli.main import cli

from support.command_line import call


def _commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(_commands(cli))
WRONG = {
    ("run",): ["no-such.yaml"],
    ("plan",): ["no-such.yaml"],
    ("status",): ["no-such.yaml"],
    ("report",): ["no-such.yaml"],
    ("provenance",): ["no-such.yaml"],
    ("bag",): ["no-such.yaml", "--to", "bag"],
    ("serve",): ["no-such.yaml"],
    ("init",): ["no-such-folder"],
    ("preview",): ["no-such.yaml"],
    ("completion",): ["no-such-shell"],
    ("retry",): ["no-such.yaml"],
    ("repair-manifest",): ["no-such.yaml"],
    ("crops",): ["no-such-folder", "-o", "out"],
    ("degrade",): ["no-such-folder", "-o", "out", "-r", "mixed"],
    ("evaluate",): ["no-such-folder"],
    ("train",): ["no-such.yaml"],
    ("doctor",): ["surplus"],
    ("schema",): ["surplus"],
    ("models", "list"): ["--task", "paint"],
    ("models", "pull"): ["no-such-model"],
    ("models", "verify"): ["no-such-model"],
    ("models", "add"): ["no-such.pth"],
    ("models", "measure"): ["no-such-model"],
    ("models", "describe"): ["no-such-model"],
}


LOOK_AT_AN_OUTPUT = [
    ("status",), ("report",), ("provenance",), ("serve",), ("bag", "--to", "bag"),
]  # fmt: skip


@pytest.mark.parametrize("command", LOOK_AT_AN_OUTPUT, ids=" ".join)
def test_an_output_that_is_not_there_or_was_never_run_is_one_line_with_the_programs_name(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    name, *options = command
    for output, why in ((tmp_path / "none", "no such file or folder"), (tmp_path, "nothing was")):
        called = call(name, output, *options)
        assert called.exit_code == 2
        assert called.stderr.startswith(f"restore-batch: {output}: {why}")
        assert len(called.stderr.splitlines()) == 1


def test_the_wrong_arguments_below_are_those_of_every_command() -> None:
    assert set(COMMANDS) == set(WRONG)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_wrong_argument_ends_every_command_with_2_and_one_line(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESTORE_BATCH_WEIGHTS_DIR", str(tmp_path / "weights"))
    for arguments in (WRONG[command], ["--no-such-option"]):
        done = call(*command, *arguments)
        assert done.exit_code == 2, done.output
        (line,) = done.stderr.splitlines()
        assert line.startswith(("restore-batch: ", "no-such.yaml: "))
        assert done.stdout == ""
    assert not list(tmp_path.iterdir())


def test_the_status_that_a_command_ends_with_reaches_the_shell() -> None:
    @click.command()
    def failing() -> None:
        raise click.exceptions.Exit(7)

    found = cli.get_command
    try:
        cli.get_command = lambda ctx, name: failing  # type: ignore[method-assign]
        assert call("doctor").exit_code == 7
    finally:
        cli.get_command = found  # type: ignore[method-assign]


def test_a_group_alone_shows_its_help() -> None:
    assert call("models").stderr.startswith("Usage: ")

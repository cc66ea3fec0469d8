"""Everything commands print goes through one place, which lets no text act on the terminal."""

from __future__ import annotations

import ast
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from restore_batch.pipeline.cli.output import say, say_json, warn_in_lines
from restore_batch.pipeline.cli.screen import Screen

from support.command_line import captured

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = sorted((ROOT / "pipeline" / "cli").glob("*.py"))
PLACES = {"output.py", "screen.py"}
ANY = st.text(st.characters(codec=None, exclude_categories=()))
NASTY = "a\x1b[2J\nb\r\x9b\u202e[red]c[/] :bomb: \udce9"
SHOWN = r"a\x1b[2J\nb\r\x9b\u202e[red]c[/] :bomb: \udce9"


def _prints(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "click.echo", "click.secho", "Console", "rich.print") or (
                called.endswith((".stdout.write", ".stderr.write"))
            ):
                yield f"{path.name}:{node.lineno}: {called}"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.name)
def test_no_command_writes_to_the_terminal_by_itself(path: Path) -> None:
    found = list(_prints(path))
    if path.name in PLACES:
        return
    # The help that click composes has line ends of its own, and nothing in it is from outside.
    assert [
        place for place in found if not (path.name == "main.py" and "click.echo" in place)
    ] == []
    assert len(found) <= 1


@given(ANY)
def test_a_line_is_one_line_and_no_command(text: str) -> None:
    with captured() as (out, err):
        say(text)
        say(text, err=True)
    for stream in (out, err):
        shown = stream.getvalue()
        assert shown.endswith("\n")
        assert shown[:-1] == "" or shown[:-1].splitlines() == [shown[:-1]]
        assert "\x1b" not in shown


@given(ANY)
def test_json_is_ascii_and_gives_every_name_back(text: str) -> None:
    with captured() as (out, _):
        say_json({"name": text})
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue())["name"] == text


def test_a_warning_of_another_package_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    warn_in_lines()
    assert warnings.formatwarning(NASTY, UserWarning, "f", 1) == f"UserWarning: {SHOWN}\n"


def _screen(**settings: object) -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    return Screen(file=file, **settings), file


def test_a_screen_shows_markup_and_emoji_codes_as_they_are() -> None:
    screen, file = _screen()
    screen.say(NASTY)
    assert file.getvalue() == SHOWN + "\n"


def test_text_that_nobody_escaped_cannot_act_on_the_terminal() -> None:
    screen, file = _screen(force_terminal=True, width=80, color_system="standard")
    table = Table("a column that is wide enough for what the escapes add")
    table.add_row("a\x1b[2Jb\x9bc\u202ed")
    screen.print(table)
    screen.print("e\x08f\rg")
    screen.print("title\x1b]0;x\x07", style="bold")
    shown = file.getvalue()
    assert r"a\x1b[2Jb\x9bc\u202ed" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]" not in shown
    assert not set("\x9b\u202e\x08\r\x07") & set(shown)
    assert "\x1b[1m" in shown, "rich's own commands are left"


def test_a_row_of_a_table_is_one_line_where_there_is_no_terminal() -> None:
    screen, file = _screen()
    table = Table("name", "result", box=None)
    for number in range(3):
        table.add_row("x" * 4000, f"{number}" * 5000)
    screen.print(table)
    assert len(file.getvalue().splitlines()) == 4

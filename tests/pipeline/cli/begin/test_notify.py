"""The end of a run is told by the bell of a terminal and by a program of the desktop."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest

from restore_batch.pipeline.cli.begin.notify import notify

from support.archive import command, scene
from support.host import read_until_closed

PLAIN = ["--restorer", "none", "--upscaler", "none", "--set", "engine.kind=local", "--set",
         "report=false", "--notify"]  # fmt: skip


@pytest.fixture
def desktop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program as the desktop's, which notes what it is told; the file with that."""
    told = tmp_path / "told.json"
    program = tmp_path / "bin" / "notify-send"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\njson.dump(sys.argv[1:], open({str(told)!r}, 'w'))\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(program.parent), os.environ["PATH"]]))
    monkeypatch.setenv("DISPLAY", ":99")
    return told


def test_a_terminal_rings_and_the_desktop_is_told_what_came_of_a_run(
    desktop: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    scene(20, 20).save(tmp_path / "in" / "a.png")
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        arguments = command("run", "in", "-o", "out", *PLAIN)
        os.execve(arguments[0], arguments, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    screen = read_until_closed(master)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, screen
    assert screen.count(b"\a") == 1
    _, dashes, title, text = json.loads(desktop.read_text())
    assert (dashes, title) == ("--", "restore-batch: finished")
    assert text == f"1 restored, 0 failed; {tmp_path / 'out'}"


def test_names_are_neither_markup_nor_options_nor_commands(desktop: Path) -> None:
    notify("--help", "<b>\x1b[31m\nx</b>")
    assert json.loads(desktop.read_text())[2:] == ["--help", "&lt;b&gt;\\x1b[31m\\nx&lt;/b&gt;"]

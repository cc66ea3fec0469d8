"""Word at the end of a long run: the terminal's bell and, on a desktop, a notification."""

from __future__ import annotations

import contextlib
import html
import os
import shutil
import subprocess
import sys

from restore_batch.text import legible

_PROGRAM = "notify-send"
_WAITS_S = 5.0


def notify(title: str, text: str) -> None:
    """Ring the bell of the terminal, where standard error is one, and ask the desktop, where there
    is one, to show the two lines. Never fails, and never takes longer than a few seconds."""
    if sys.stderr.isatty():
        sys.stderr.write("\a")
        sys.stderr.flush()
    program = shutil.which(_PROGRAM)
    if program is None or not (os.environ.get("DBUS_SESSION_BUS_ADDRESS") or _has_screen()):
        return
    # Some desktops take the text for markup.
    lines = [legible(title), html.escape(legible(text), quote=False)]
    with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
        subprocess.run(
            [program, "--app-name=restore-batch", "--", *lines], check=False, timeout=_WAITS_S,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))

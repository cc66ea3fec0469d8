"""Faults injected below the output: the library of ``below.c``, and how a process is armed."""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CALLS = ("open", "write", "sync", "rename", "remove")
"""Kinds of calls that can be struck at; opening means opening to write, and making a folder."""
_SOURCE = Path(__file__).with_name("below.c")
_VARIABLES = ("FOLDER", "CALLS", "NTH", "ERROR", "SIGNAL", "LASTING", "COUNT")


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def library(folder: Path) -> Path:
    """The compiled library, made in ``folder``."""
    path = folder / "below.so"
    if not path.exists():
        subprocess.run(
            [str(compiler()), "-shared", "-fPIC", "-O1", "-o", path, _SOURCE, "-ldl"], check=True
        )
    return path


@dataclass(frozen=True)
class Strike:
    """What happens at the ``nth`` call of ``calls``: an error, which may last, or a signal.
    ``below``: a folder in the one that is struck in, else all of it."""

    calls: tuple[str, ...]
    nth: int
    error: int = 0
    signal: int = 0
    lasting: bool = False
    below: str = ""

    def variables(self, folder: Path, count: Path) -> dict[str, str]:
        """The environment of a process that is to be struck in ``folder``; ``count``: see
        :class:`Count`."""
        values = (
            str(folder / self.below), " ".join(self.calls), str(self.nth), str(self.error),
            str(self.signal), str(int(self.lasting)), str(count),
        )  # fmt: skip
        return {f"BELOW_{name}": value for name, value in zip(_VARIABLES, values, strict=True)}


NEVER = Strike(CALLS, nth=1 << 60)
"""Only counts."""


class Count:
    """How many calls there were in all processes of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(8))

    def value(self) -> int:
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ) as page:
            return int.from_bytes(page[:8], "little")


def arm(loaded: Path, variables: Mapping[str, str]) -> None:
    """Arm this process, which was started with the library at ``loaded`` preloaded."""
    os.environ.update(variables)
    ctypes.CDLL(str(loaded)).below_arm()

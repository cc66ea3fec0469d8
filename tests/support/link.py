"""Two machines of this one: network namespaces with a link between them that can be cut.

Nothing in them is reached from outside, and nothing outside from them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Machine:
    """``space``: the name of its namespace. ``ip``: the address that it has there."""

    space: str
    ip: str

    @property
    def inside(self) -> list[str]:
        """What a command begins with that is to run there."""
        return ["ip", "netns", "exec", self.space]


class Link:
    """``near`` and ``far``: the machines at its ends."""

    def __init__(self) -> None:
        name = f"rb{os.getpid()}"
        self.near, self.far = Machine(f"{name}n", "10.213.7.1"), Machine(f"{name}f", "10.213.7.2")

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        _ip("-n", self.near.space, "link", "set", self.near.space, "down")

    def heal(self) -> None:
        """It does again."""
        _ip("-n", self.near.space, "link", "set", self.near.space, "up")


@contextmanager
def link() -> Iterator[Link]:
    """Skips where this machine does not allow it."""
    if shutil.which("ip") is None:
        pytest.skip("no program ip")
    found = Link()
    ends = found.near, found.far
    try:
        try:
            for end in ends:
                _ip("netns", "add", end.space)
            _ip(
                "-n", found.near.space, "link", "add", found.near.space, "type", "veth",
                "peer", "name", found.far.space, "netns", found.far.space,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            pytest.skip(str(error.stderr).strip())
        for end in ends:
            _ip("-n", end.space, "addr", "add", f"{end.ip}/30", "dev", end.space)
            for device in (end.space, "lo"):
                _ip("-n", end.space, "link", "set", device, "up")
        yield found
    finally:
        for end in ends:
            subprocess.run(["ip", "netns", "del", end.space], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)

"""What a program does outside of itself, as the kernel saw it (``strace``)."""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Their first path is only read or given away; what they make or change is the second.
_SECOND_PATH = frozenset({"link", "linkat", "symlink", "symlinkat"})
_WRITES = _SECOND_PATH | frozenset(
    {"creat", "mkdir", "mkdirat", "mknod", "mknodat", "rmdir", "unlink", "unlinkat", "truncate"}
    | {"rename", "renameat", "renameat2", "chmod", "fchmodat", "chown", "lchown", "fchownat"}
    | {"utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "removexattr"}
)
_OPENS = frozenset({"open", "openat", "openat2"})
_TO_WRITE = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_LINE = re.compile(r"^\d+ +(\w+)\((.*)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_FAILED = re.compile(r"= -1 E[A-Z]+ ")
_ADDRESS = re.compile(r'sa_family=AF_INET6?.*?(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')


@dataclass(frozen=True)
class Watched:
    """``written``: every path that was made, changed or opened to write; ``contacted``: every
    internet address that something was sent to or that was connected to."""

    exit_code: int
    stderr: str
    written: frozenset[Path]
    contacted: frozenset[str]

    def written_outside(self, folders: Sequence[Path]) -> set[Path]:
        return {
            path
            for path in self.written
            if not any(path.is_relative_to(folder) for folder in folders)
        }

    @property
    def contacted_beyond_loopback(self) -> set[str]:
        return {address for address in self.contacted if not _is_loopback(address)}


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def watched(arguments: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str]) -> Watched:
    """Run a program under strace, with all its children; skips where that cannot be done."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("watching a run needs strace (apt-get install strace)")
    command = [
        strace, "-f", "-y", "-s", "4096", "-e", "trace=%file,%network", "-e", "signal=none",
        "-o", str(log),
    ]  # fmt: skip
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine lets nobody trace a process")
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=cwd, env=env,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = log.read_text(errors="replace").splitlines()
    return Watched(
        done.returncode, done.stderr, frozenset(_written(lines, cwd)), frozenset(_contacted(lines))
    )


def _written(lines: Sequence[str], cwd: Path) -> Iterator[Path]:
    for line in lines:
        found = _LINE.match(line)
        if found is None or _FAILED.search(line):
            continue
        call, arguments = found[1], found[2]
        if call in _WRITES or (call in _OPENS and _TO_WRITE.search(arguments)):
            paths = _PATH.findall(arguments)
            for base, path in paths[1:] if call in _SECOND_PATH else paths[:2]:
                plain = path.encode().decode("unicode_escape").encode("latin-1", "replace")
                yield Path(os.path.normpath(cwd / base / os.fsdecode(plain)))


def _contacted(lines: Sequence[str]) -> Iterator[str]:
    for line in lines:
        found = _LINE.match(line)
        if found and found[1] in ("connect", "sendto", "sendmsg", "sendmmsg"):
            yield from _ADDRESS.findall(found[2])

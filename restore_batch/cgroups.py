"""What the control groups of this process allow it: those of Linux, of both versions.

A limit holds for a group and all below it, so the smallest on the way up counts: a container, a
Slurm job and ``systemd-run -p MemoryMax=`` set theirs at different heights. How far up can be
seen, and where the groups are mounted, the kernel says; nothing is taken from the usual places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

UNIFIED = ""
"""Of version 2, where all controllers are one hierarchy."""
_ROOT = Path("/")
_NO_LIMIT = 1 << 60
"""Version 1 knows no word for it, but a number near 2 ** 63."""


def memory_bytes(root: Path = _ROOT) -> int | None:
    """The most memory that this process may take together with its group; None: no limit.

    ``root``: below which ``/proc`` and what is mounted are found, here and elsewhere."""
    texts = [_read(each / "memory.max") for each in folders(UNIFIED, root)]
    texts += [_read(each / "memory.limit_in_bytes") for each in folders("memory", root)]
    return min((n for n in map(_number, texts) if n is not None and n < _NO_LIMIT), default=None)


def cores(root: Path = _ROOT) -> float | None:
    """The same of the processor time, in cores."""
    texts = [_read(each / "cpu.max") for each in folders(UNIFIED, root)]
    texts += [
        f"{_read(each / 'cpu.cfs_quota_us')} {_read(each / 'cpu.cfs_period_us')}"
        for each in folders("cpu", root)
    ]
    return min(filter(None, map(_share, texts)), default=None)


def folders(controller: str, root: Path = _ROOT) -> tuple[Path, ...]:
    """The group of this process for ``controller``, UNIFIED or one of version 1, and those above
    it as far as they are seen, its own first; none where there is no such hierarchy."""
    mounts = list(_mounts(controller, root))
    own = _own(controller, root)
    if own is None or not mounts:
        return ()
    for top, mounted_at in mounts:
        if own.is_relative_to(top) and ".." not in (steps := own.relative_to(top).parts):
            return tuple(mounted_at.joinpath(*steps[:n]) for n in range(len(steps), -1, -1))
    # What a container is given without a namespace of its own may have any name outside. A group
    # that lies outside the namespace is in no folder here, nor are those above it.
    return () if ".." in own.parts else (mounts[0][1],)


def _own(controller: str, root: Path) -> PurePosixPath | None:
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_it = number == "0" if controller == UNIFIED else controller in controllers.split(",")
        if is_it and path.startswith("/"):
            return PurePosixPath(path)
    return None


def _mounts(controller: str, root: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Which group is mounted as the top of the hierarchy of ``controller``, and where."""
    for line in _read(root / "proc/self/mountinfo").splitlines():
        mount, _, what = line.partition(" - ")
        places, kind = mount.split(" ")[3:5], what.split(" ")
        if len(places) < 2 or len(kind) < 3:
            continue
        if controller == UNIFIED:
            is_it = kind[0] == "cgroup2"
        else:
            is_it = kind[0] == "cgroup" and controller in kind[2].split(",")
        if is_it:
            top, mounted_at = map(_unescaped, places)
            yield PurePosixPath(top), root / mounted_at.lstrip("/")


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path)


def _share(text: str) -> float | None:
    """Of a quota and a period, ``max 100000`` or ``-1 100000`` where there is no limit."""
    first, _, second = text.strip().partition(" ")
    quota, period = _number(first), _number(second)
    return quota / period if quota is not None and period is not None else None


def _number(text: str) -> int | None:
    """A positive one, else None."""
    return int(text) if re.fullmatch(r"\s*0*[1-9][0-9]{0,30}\s*", text, re.ASCII) else None


def _read(path: Path) -> str:
    """ "" where it is not to be read: kernels differ in which files they have."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (OSError, ValueError):
        return ""

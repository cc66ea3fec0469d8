"""What a schedule is made of: runs, each with one disturbance that a seed decides on."""

from __future__ import annotations

import errno
import random
import signal
from dataclasses import dataclass
from typing import Literal

from support.schedules.below import CALLS, NEVER, Strike

Kind = Literal[
    "kill", "kill a worker", "interrupt", "terminate", "stop and go on", "second run",
    "original removed", "disk full", "quota used up", "read-only", "disk fails once", "disk fails",
]  # fmt: skip
_ERRORS: dict[Kind, tuple[int, bool]] = {
    "disk full": (errno.ENOSPC, True),
    "quota used up": (errno.EDQUOT, True),
    "read-only": (errno.EROFS, True),
    "disk fails once": (errno.EIO, False),
    "disk fails": (errno.EIO, True),
}
_SIGNALS: dict[Kind, signal.Signals] = {
    "kill": signal.SIGKILL,
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "stop and go on": signal.SIGSTOP,
    "second run": signal.SIGSTOP,
    "original removed": signal.SIGSTOP,
}
_TO_ITS_END: tuple[Kind, ...] = ("stop and go on", "second run", "original removed")
"""In this order: what fails for want of its original stays so until it is asked for again."""
_RARITY = {"open": 5, "write": 3, "sync": 5, "rename": 30, "remove": 30}
"""Of how many calls one is of a kind, roughly."""
LOCAL: tuple[Kind, ...] = ("kill", "kill", *(k for k in (*_SIGNALS, *_ERRORS) if k != "kill"))
RAY: tuple[Kind, ...] = ("kill", "kill a worker", "interrupt", "disk full", "disk fails once")


@dataclass(frozen=True)
class Step:
    """A run that is struck. ``of``: which original is removed; ``after_s``: when a worker is
    killed, which no call of ours is known by."""

    kind: Kind
    strike: Strike
    of: int = 0
    after_s: float = 0.0

    def __str__(self) -> str:
        if self.kind == "kill a worker":
            return f"{self.kind} after {self.after_s:.1f} s"
        which = "any call" if self.strike.calls == CALLS else "/".join(self.strike.calls)
        return f"{self.kind} at {which} {self.strike.nth}"


def schedule(seed: int, engine: str, calls: int) -> list[Step]:
    """One to three disturbed runs; ``calls``: how many calls an undisturbed one makes."""
    chance = random.Random(f"{engine} {seed}")
    steps = [_step(chance, engine, calls) for _ in range(chance.choice((1, 1, 2, 3)))]
    # A run that goes to its end leaves nothing to disturb.
    order = {kind: place for place, kind in enumerate(_TO_ITS_END, start=1)}
    return sorted(steps, key=lambda step: order.get(step.kind, 0))


def failing_write(number: int) -> Step:
    """A run in which one write of a result, or its way to the disk, fails."""
    strike = Strike(("write", "sync"), number, error=errno.EIO, below=".restore-batch/tmp")
    return Step("disk fails once", strike)


def _step(chance: random.Random, engine: str, calls: int) -> Step:
    kind = chance.choice(RAY if engine == "ray" else LOCAL)
    # Most of them at any call, some at a kind of which there are few.
    if chance.random() < 0.7:
        which, nth = CALLS, chance.randint(1, calls)
    else:
        call = chance.choice(CALLS)
        which, nth = (call,), chance.randint(1, max(2, calls // _RARITY[call]))
    after_s = chance.uniform(4, 12)
    if kind in _ERRORS:
        error, lasting = _ERRORS[kind]
        return Step(kind, Strike(which, nth, error=error, lasting=lasting))
    if kind in _SIGNALS:
        return Step(kind, Strike(which, nth, signal=_SIGNALS[kind]), of=chance.randrange(6))
    return Step(kind, NEVER, after_s=after_s)

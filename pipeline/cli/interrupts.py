"""Ctrl-C, SIGTERM, and SIGHUP of a closed terminal: asked once, a command ends in good order;
asked twice, at once; and whatever hangs, it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

INTERRUPTED = 130
WITHIN_S = 9.0
"""From the first request to the end of the process, whatever the main thread is stuck in."""
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_LOOKS_S = 0.5
_SHOW_CURSOR = b"\x1b[?25h"
_HUNG = (
    b"restore-batch: interrupted while something hung; what is done is kept, run the same command"
    b" again\n"
)


@dataclass
class Interrupts:
    """``times``: how often the process was asked to end."""

    times: int = 0


@contextmanager
def interruptible(
    end: Callable[[], None] | None = None, within_s: float | None = WITHIN_S
) -> Iterator[Interrupts]:
    """Within, the first request calls ``end``, the second raises KeyboardInterrupt; without
    ``end`` the first does. ``within_s`` after the first the process ends with status 130, unless
    it is None. A request just before the block is entered raises KeyboardInterrupt, too. SIGHUP
    stays ignored where the process was started so, as by ``nohup``."""
    asked = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # handlers are the main thread's
        return

    def handle(number: int, frame: FrameType | None) -> None:
        asked.times += 1
        if asked.times > 1 or end is None:
            raise KeyboardInterrupt
        end()

    # Not so SIGINT, which shell scripts have their background jobs ignore: whoever sends it to
    # one means it.
    spared = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    before = {}
    with _ended_within(within_s):
        try:
            for number in _SIGNALS - spared:
                before[number] = signal.signal(number, handle)
            yield asked
        finally:
            for number, old in before.items():
                signal.signal(number, old)


@contextmanager
def _ended_within(seconds: float | None) -> Iterator[None]:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    # Written to the moment a signal comes; handlers have to wait for what the main thread is at.
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, seconds), daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        watch.join()
        os.close(reader)


def _watch(reader: int, seconds: float | None) -> None:
    # What the main thread holds back for a while must stay pending, not come to this thread.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    asked_at = None
    while True:
        came, _, _ = select.select([reader], [], [], _LOOKS_S)
        numbers = os.read(reader, 64) if came else bytes(signal.sigpending() & _SIGNALS)
        if came and not numbers:
            return
        if asked_at is None and _SIGNALS.intersection(numbers):
            asked_at = time.monotonic()
        if seconds is not None and asked_at is not None and time.monotonic() - asked_at > seconds:
            _end_now()


def _end_now() -> None:
    with contextlib.suppress(Exception):
        if sys.stdout.isatty():
            _write(sys.stdout.fileno(), _SHOW_CURSOR)
        _write(sys.stderr.fileno(), _HUNG)
    os._exit(INTERRUPTED)


def _write(descriptor: int, data: bytes) -> None:
    # Never waiting: it may be what hangs.
    if select.select([], [descriptor], [], 0)[1]:
        os.write(descriptor, data)

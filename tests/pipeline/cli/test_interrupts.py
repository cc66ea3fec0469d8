"""Asked to end, a process does: in good order, at once when asked again, and whatever hangs."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

HEAD = """
import os, signal, sys, threading, time
from restore_batch.pipeline.cli.interrupts import interruptible
def ask(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
"""
LONG_S = 120


def ended(script: str, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", HEAD + script],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_request_is_heard_and_the_second_is_an_interrupt(number: int) -> None:
    done = ended(f"""
try:
    with interruptible(lambda: print("ending")) as asked:
        ask({number})
        print("goes on", asked.times)
        ask({number})
        time.sleep(60)
except KeyboardInterrupt:
    print("at once", asked.times)
""")
    assert done.stdout.splitlines() == ["ending", "goes on 1", "at once 2"]


def test_a_process_that_hangs_in_a_wait_ends_all_the_same() -> None:
    done = ended("""
lock = threading.Lock()
lock.acquire()
with interruptible(lambda: None, within_s=0.5):
    threading.Timer(0.2, ask).start()
    lock.acquire()
""")
    assert done.returncode == 130
    assert done.stderr == (
        "restore-batch: interrupted while something hung; what is done is kept, run the same"
        " command again\n"
    )


def test_a_request_that_is_held_back_for_too_long_ends_the_process() -> None:
    done = ended("""
with interruptible(lambda: None, within_s=0.5):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    ask()
    time.sleep(60)
""")
    assert done.returncode == 130


def test_without_a_limit_there_is_none() -> None:
    done = ended("""
with interruptible(lambda: None, within_s=None):
    ask()
    time.sleep(1.5)
print("finished")
""")
    assert (done.returncode, done.stdout) == (0, "finished\n")


def test_a_closed_terminal_is_ignored_where_the_process_was_started_so() -> None:
    script = """
with interruptible():
    ask(signal.SIGHUP)
print("still here")
"""
    assert ended(script, ("nohup",)).stdout == "still here\n"
    assert "KeyboardInterrupt" in ended(script).stderr


def test_an_interrupt_is_heard_also_by_a_background_job_of_a_script() -> None:
    script = """
with interruptible():
    ask(signal.SIGINT)
print("still here")
"""
    assert "KeyboardInterrupt" in ended(script, ("sh", "-c", '"$@" & wait $!', "sh")).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_request_that_comes_the_moment_it_can_be_heard_is_one_line(number: int) -> None:
    done = ended(f"""
from restore_batch.pipeline.cli.main import main
take = signal.signal
def taken(number, handler):
    before = take(number, handler)
    if number == {number} and handler is not before and asked.pop(1, None):
        ask(number)
    return before
asked = {{1: True}}
signal.signal = taken
main(["--version"])
""")
    assert (done.returncode, done.stderr) == (130, "restore-batch: interrupted\n")

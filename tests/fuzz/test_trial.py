"""What would be a fault is seen as one, and does not end the trials."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, sys, time
from pathlib import Path
from restore_batch.errors import MediaError
from support.fuzz import trial
from support.fuzz.readers import Reader

def burn(path):
    while time.process_time() < 1.5:
        pass

def one(path):
    raise MediaError("x.png: no picture")

def two(path):
    raise MediaError("x.png: no\\npicture")

readers = {
    "is good": lambda path: None,
    "says what is wrong": one,
    "says it in two lines": two,
    "raises something else": lambda path: [][1],
    "is killed": lambda path: os.kill(os.getpid(), 11),
    "ends its process": lambda path: os._exit(3),
    "takes too long": burn,
    "takes too much": lambda path: bytearray(1 << 28),
    "never ends": lambda path: time.sleep(1000),
}
trial.MOST_CPU_S, trial.MOST_BYTES = 1.0, 1 << 27
trials = trial.Trials({name: Reader(read, (MediaError,)) for name, read in readers.items()})
for name in readers:
    trial._HANG_S = 2.0 if name == "never ends" else 60.0
    print(f"{name}: {trials.read(name, Path('x')).outcome}")
trials.close()
"""


def test_every_way_in_which_a_reader_can_end_is_told_apart() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    outcomes = dict(line.split(": ") for line in done.stdout.splitlines())
    assert outcomes == {
        "is good": "done",
        "says what is wrong": "refused",
        "says it in two lines": "fault",
        "raises something else": "fault",
        "is killed": "died",
        "ends its process": "died",
        "takes too long": "slow",
        "takes too much": "large",
        "never ends": "hung",
    }, done.stderr

"""What would be a fault is seen as one."""

from __future__ import annotations

import subprocess
import sys

import pytest

READERS = {
    "says what is wrong": ("raise MediaError('x.png: no picture')", "refused"),
    "says it in two lines": ("raise MediaError('x.png: no\\npicture')", "fault"),
    "raises something else": ("[][1]", "fault"),
    "is killed": ("os.kill(os.getpid(), 11)", "died"),
    "takes its time": ("while True: pass", "hung"),
    "takes too long": ("import time\nwhile time.process_time() < 1.5: pass", "slow"),
    "takes too much": ("bytearray(1 << 28)", "large"),
    "reads it": ("pass", "done"),
}
PROGRAM = """
import os, sys
from pathlib import Path
from restore_batch.errors import MediaError
from support.fuzz import trial
from support.fuzz.readers import Reader

def read(path):
    exec(sys.argv[1])

trial._HANG_S = 1.0 if "True: pass" in sys.argv[1] else 60.0
trial.MOST_CPU_S, trial.MOST_BYTES = 1.0, 1 << 27
trials = trial.Trials({"x": Reader(read, (MediaError,))})
print([trials.read("x", Path("x")).outcome for _ in range(2)])
trials.close()
"""


@pytest.mark.parametrize(("code", "outcome"), READERS.values(), ids=READERS)
def test_every_way_in_which_a_reader_can_end_is_told_apart(code: str, outcome: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, code], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == str([outcome, outcome]), done.stderr

"""A call that goes wrong costs itself, whatever it does to its process; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from restore_batch.errors import ExecutorError
from restore_batch.isolation import Bounds, Isolated, Lost

from support.misdeeds import Misdeeds, Unopenable

PATIENT = Bounds(time_s=60.0)


def started(folder: Path) -> set[int]:
    """The processes that there were."""
    return {int(mark.name) for mark in folder.iterdir()}


def wait_until(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.02)


def all_gone(folder: Path) -> bool:
    return not any(psutil.pid_exists(number) for number in started(folder))


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("crash", "crashed (SIGSEGV)"),
        ("abort", "crashed (SIGABRT)"),
        ("exit", "ended its process (exit 7)"),
        ("leave", "ended its process (exit 1)"),
        ("hang", "took longer than 1 s"),
        ("stop", "took longer than 1 s"),
        ("gorge", "failed: there is not enough memory"),
        ("babble", "gave no proper answer"),
        ("raise", "failed: KeyError: 'raise'"),
    ],
)
def test_a_misdeed_costs_its_own_call_and_no_other(tmp_path: Path, deed: str, reason: str) -> None:
    time_s = 1.0 if "took longer" in reason else 60.0
    with Isolated(Misdeeds(str(tmp_path)), Bounds(time_s, memory_bytes=300 << 20)) as calls:
        found = list(calls.answers(["a", deed, "b"]))
    assert found == ["a", Lost(reason), "b"]
    assert all_gone(tmp_path)


def test_answers_come_in_the_order_of_the_requests(tmp_path: Path) -> None:
    naps = [0.3, 0.0, 0.1, "exit", 0.0, 0.2, 0.0]
    with Isolated(Misdeeds(str(tmp_path)), PATIENT) as calls:
        found = list(calls.answers(naps, processes=3))
    assert [nap if isinstance(nap, float) else "exit" for nap in naps] == [
        answer if isinstance(answer, float) else "exit" for answer in found
    ]
    assert 3 <= len(started(tmp_path)) <= 4


def test_no_process_is_started_for_nothing(tmp_path: Path) -> None:
    with Isolated(Misdeeds(str(tmp_path)), PATIENT) as calls:
        assert list(calls.answers([], processes=3)) == []
        assert list(calls.answers(["a"], processes=3)) == ["a"]
        assert list(calls.answers(["b"])) == ["b"], "and the one there is goes on"
    assert len(started(tmp_path)) == 1


def test_requests_are_taken_as_processes_come_to_them(tmp_path: Path) -> None:
    taken = []
    with Isolated(Misdeeds(str(tmp_path)), PATIENT) as calls:
        for answer in calls.answers(taken.append(n) or str(n) for n in range(5)):
            assert len(taken) <= int(answer) + 2


def test_who_stops_asking_leaves_no_process(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Isolated(Misdeeds(str(tmp_path)), PATIENT) as calls:
        for _ in calls.answers(["a", "hang", "hang"], processes=2):
            wait_until(lambda: len(started(tmp_path)) == 2)
            raise KeyboardInterrupt
    assert all_gone(tmp_path)


def test_a_process_whose_caller_is_killed_ends_even_within_a_codec(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from restore_batch.isolation import Bounds, Isolated\n"
        "from support.misdeeds import Misdeeds\n"
        "with Isolated(Misdeeds(sys.argv[1]), Bounds(600)) as calls:\n"
        "    list(calls.answers(['hang']))"
    )
    tests = str(Path(__file__).parent)
    caller = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=os.environ | {"PYTHONPATH": tests}
    )
    wait_until(lambda: len(started(tmp_path)) == 1)
    time.sleep(0.2)
    caller.send_signal(signal.SIGKILL)
    caller.wait()
    wait_until(lambda: all_gone(tmp_path))


def test_a_task_that_cannot_be_opened_ends_the_whole_with_the_reason() -> None:
    with (
        pytest.raises(ExecutorError, match="cannot be started: it failed: no such codec"),
        Isolated(Unopenable(), PATIENT) as calls,
    ):
        list(calls.answers(["a"]))


def test_a_process_holds_no_more_than_its_task_imports(tmp_path: Path) -> None:
    with Isolated(Misdeeds(str(tmp_path)), PATIENT) as calls:
        (modules,) = calls.answers(["modules"])
    assert not {"torch", "ray", "numpy"} & set(modules)

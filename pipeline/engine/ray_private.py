"""A Ray of our own on this machine: started, looked after, and gone whatever happens.

Its processes live in sessions of their own and with the signals held back that ask a process to
end. So Ctrl-C in a terminal, ``kill`` of the process group and the stop of a service come to the
driver alone, which finishes what is in flight. Should it die, ``ray_warden`` ends them.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import services

from restore_batch.errors import ExecutorError
from restore_batch.pipeline.engine import ray_coroner, ray_warden
from restore_batch.pipeline.engine.ray_alone import without_idle_processes
from restore_batch.pipeline.engine.ray_tokens import use_tokens

_LONGEST_TEMP_DIR = 16
"""Paths of Unix sockets end at 107 characters, 104 on a Mac: ours adds 22 to it, Ray's 64."""
_PREFIX = "rb-"
_LOCKED_WITHIN_S = 60
"""A folder is made, then locked."""
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_VITAL = ("raylet", "gcs_server")
_STARTS_WITHIN_S = 300.0
"""On a busy machine a start takes its time; Ray itself gives up after half a minute."""
_ASKS_AGAIN_S = 0.1
_WAIT_FOR_GCS = "RAY_gcs_server_port_wait_time_s"


class PrivateRay:
    """Raises what ``ray.init`` raises."""

    def __init__(self, cpus: float, store_bytes: int, metrics_port: int | None = None) -> None:
        remove_orphans()
        # Only its owner may enter it: Ray opens its own folder, with its sockets, to everybody.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_parent()))
        self._lock = os.open(self.folder, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.deaths = self.folder / "deaths"
        self.deaths.mkdir()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._warden = _start_warden(self.folder)
        # Whatever mode the environment sets for a cluster: here nobody else has a business.
        use_tokens()
        try:
            with (
                _processes_noted(self._processes, self.folder),
                patience(self.check),
                without_idle_processes(metrics=metrics_port is not None),
            ):
                ray.init(
                    # Whatever RAY_ADDRESS says.
                    address="local",
                    num_cpus=max(1, int(cpus)),
                    object_store_memory=store_bytes,
                    include_dashboard=False,
                    _metrics_export_port=metrics_port,
                    _node_ip_address="127.0.0.1",
                    _temp_dir=str(self.folder / "r"),
                    # Our workers are started otherwise, so that these would do nothing.
                    _system_config={"prestart_worker_first_driver": False},
                    **quiet(),
                )
        except BaseException:
            self.close()
            raise

    @property
    def worker_python(self) -> str:
        """What to start workers with: Python, and somebody who notes how they end."""
        words = [sys.executable, "-I", "-S", ray_coroner.__file__, str(self.deaths), sys.executable]
        return shlex.join(words)

    def check(self) -> None:
        """Raises ExecutorError where a process that Ray cannot do without has died."""
        for process in self._processes:
            name = Path(str(process.args[0])).name  # type: ignore[index]
            if name in _VITAL and process.poll() is not None:
                raise ExecutorError(
                    f"Ray's own process {name} has died (status {process.returncode}); what is"
                    " done is kept, run again to go on"
                )

    def close(self) -> None:
        """End all of it."""
        shut_down()
        # The end of its input is the warden's sign.
        self._warden.communicate()
        os.close(self._lock)


@contextlib.contextmanager
def patience(check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """A node that is started within may take minutes, as long as ``check`` raises nothing and
    nobody asks for an end."""
    theirs = services.get_node

    def get_node(*asked: Any) -> Any:
        end = time.monotonic() + _STARTS_WITHIN_S
        while True:
            try:
                return theirs(*asked)
            except RuntimeError:  # it is not registered yet
                if time.monotonic() > end:
                    raise
            check()
            if signal.sigpending() & set(_ASKING):
                raise ExecutorError("asked to end while Ray starts")
            time.sleep(_ASKS_AGAIN_S)

    before = os.environ.get(_WAIT_FOR_GCS)
    os.environ.setdefault(_WAIT_FOR_GCS, f"{_STARTS_WITHIN_S:g}")
    services.get_node = get_node
    try:
        yield
    finally:
        services.get_node = theirs
        if before is None:
            os.environ.pop(_WAIT_FOR_GCS, None)


def quiet() -> dict[str, Any]:
    """Settings under which Ray says nothing."""
    return {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}


def shut_down() -> None:
    """Leave Ray, without the words that it has kept for that moment."""
    with (
        handlers_kept(),
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        ray.shutdown()


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Ray takes SIGTERM when it starts, also below Python, and leaves it without a handler when it
    ends. Meanwhile the signals wait; afterwards the handlers are what they were. One that comes to
    a thread that was there before does not wait: it finds our handler, never Ray's."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Ray does not take them there
        return
    before = {number: signal.getsignal(number) for number in _ASKING}
    # Threads that Ray starts inherit this, and never get what is meant for the main thread.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    theirs = signal.signal

    def kept(number: Any, handler: Any) -> Any:
        return before[number] if number in before else theirs(number, handler)

    signal.signal = kept  # type: ignore[assignment]
    try:
        yield
    finally:
        signal.signal = theirs
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _parent() -> Path:
    """Where its folder lies."""
    usual = tempfile.gettempdir()
    return Path(usual if len(usual) <= _LONGEST_TEMP_DIR else "/tmp")


def remove_orphans() -> None:
    """End and remove what is left of runs that were killed together with their wardens."""
    for folder in _parent().glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and _is_orphan(folder, int(owner)):
            ray_warden.end_all(str(folder))


def _is_orphan(folder: Path, owner: int) -> bool:
    # The number of a process says little: it may be given again, or be of another container that
    # shares the folder. The kernel frees the lock when its holder dies, however it dies.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        settled = time.time() - os.fstat(handle).st_mtime > _LOCKED_WITHIN_S
    except OSError:
        return False
    finally:
        os.close(handle)
    return settled or not psutil.pid_exists(owner)


def _start_warden(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", ray_warden.__file__, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextlib.contextmanager
def _processes_noted(noted: list[subprocess.Popen[bytes]], folder: Path) -> Iterator[None]:
    """Ray's processes are started in sessions of their own, with the folder in their environment,
    and noted."""
    theirs = services.ConsolePopen

    class Own(theirs):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "start_new_session": True})
            noted.append(self)

        # Asking is held back, see above, and Ray waits a second for each that does not listen.
        terminate = theirs.kill

    # Ray's processes write their titles over what is behind their arguments, unless told not to.
    marks = {ray_warden.MARK: str(folder), "SPT_NOENV": "1"}
    services.ConsolePopen = Own  # type: ignore[misc]
    os.environ.update(marks)
    try:
        with handlers_kept():
            yield
    finally:
        services.ConsolePopen = theirs  # type: ignore[misc]
        for name in marks:
            os.environ.pop(name, None)

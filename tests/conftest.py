"""Settings for all tests: few threads, and worker processes that can import the helpers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from hypothesis import settings

pytest_plugins = ("support.object_store",)
"""Whose fixtures any test may ask for."""

_TESTS = str(Path(__file__).parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_TESTS, os.environ.get("PYTHONPATH")]))
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Ray reads it when it is imported: what tests start is on the loopback interface alone.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

# Programs that tests start and ask to end must hear it, whatever shell the tests were started in.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine and day: a rare one found by chance belongs into an @example,
# not into somebody else's build. HYPOTHESIS_PROFILE=explore looks for new ones.
# No deadline: how long an example takes says something of the machine.
settings.register_profile("default", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

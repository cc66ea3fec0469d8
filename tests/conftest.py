"""Settings for all tests: few threads, and worker processes that can import the helpers."""

from __future__ import annotations

import os
from pathlib import Path

_TESTS = str(Path(__file__).parent)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_TESTS, os.environ.get("PYTHONPATH")]))
os.environ.setdefault("OMP_NUM_THREADS", "2")

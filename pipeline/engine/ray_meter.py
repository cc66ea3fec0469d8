"""What a run does as Ray's metrics, for Prometheus to fetch where Ray offers them.

All of them come from the driver: what is counted is what is committed, and there are as many series
whether one worker runs or a thousand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress

from ray.util.metrics import Counter, Gauge, Histogram

from restore_batch.pipeline.engine.backend import Change, Load

_LOOKS_S = 5.0
_ENDS_WITHIN_S = 2.0
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
_IDLE = Load({}, {}, {}, 0, 0)


class RayMeter:
    """A meter, see ``engine/backend.py``. Ray puts ``ray_`` before each name, ``_total`` behind
    that of a counter."""

    def __init__(self) -> None:
        self._units = Counter(
            "restore_batch_units", "Changes of units by kind, state and node.",
            ("kind", "state", "node"),
        )  # fmt: skip
        self._faces = Counter("restore_batch_faces", "Faces found in what is done.", ())
        self._unit_seconds = Histogram(
            "restore_batch_unit_seconds", "From a worker to the commit, by kind.",
            [*_SECONDS], ("kind",),
        )  # fmt: skip
        self._stage_seconds = Histogram(
            "restore_batch_stage_seconds", "Work of a stage on a unit.", [*_SECONDS], ("stage",)
        )
        self._items = Gauge("restore_batch_items", "Items of the job by state.", ("state",))
        self._waiting = Gauge("restore_batch_units_waiting", "Before each pool.", ("pool",))
        self._working = Gauge("restore_batch_units_working", "With the workers.", ("pool",))
        self._workers = Gauge("restore_batch_workers", "Workers that are up.", ("pool",))
        self._live = Gauge("restore_batch_live_bytes", "Estimated, of the units in flight.", ())
        self._limit = Gauge("restore_batch_limit_bytes", "Most that may be in flight.", ())
        self._pools: set[str] = set()
        self._ends = threading.Event()
        self._thread: threading.Thread | None = None

    def changed(self, change: Change) -> None:
        with suppress(Exception):  # whatever Ray has against it, it is no matter of the run
            self._count(change)

    def watch(self, load: Callable[[], Load], items: Callable[[], Mapping[str, int]]) -> None:
        self._thread = threading.Thread(
            target=self._watch, args=(load, items), name="meter", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Look no longer; nothing waits or works any more."""
        self._ends.set()
        if self._thread is not None:
            self._thread.join(_ENDS_WITHIN_S)
            with suppress(Exception):
                self._show(_IDLE)

    def _count(self, change: Change) -> None:
        kind = change.unit.kind
        self._units.inc(1, {"kind": kind, "state": change.state, "node": change.node})
        if change.state != "done":
            return
        if change.faces:
            self._faces.inc(change.faces)
        self._unit_seconds.observe(change.seconds, {"kind": kind})
        for stage, seconds in change.stages.items():
            self._stage_seconds.observe(seconds, {"stage": stage})

    def _watch(self, load: Callable[[], Load], items: Callable[[], Mapping[str, int]]) -> None:
        while True:
            # The scheduler goes on meanwhile: what changes under this hand is counted next time.
            with suppress(Exception):
                for state, number in items().items():
                    self._items.set(number, {"state": state})
                self._show(load())
            if self._ends.wait(_LOOKS_S):
                return

    def _show(self, load: Load) -> None:
        self._pools |= {*load.waiting, *load.working, *load.workers}
        for pool in self._pools:
            self._waiting.set(load.waiting.get(pool, 0), {"pool": pool})
            self._working.set(load.working.get(pool, 0), {"pool": pool})
            self._workers.set(load.workers.get(pool, 0), {"pool": pool})
        self._live.set(load.live_bytes)
        self._limit.set(load.limit_bytes)

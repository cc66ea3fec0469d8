"""Units given to the workers of a backend, until all that follows from them is settled.

A private Ray takes seconds to start. Where results are there and only the contents of originals are
to be compared, threads of this process read them, on the same machine, until something is to be
restored. A cluster is asked at once: its nodes may see files that this machine does not.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from restore_batch.jobs.units import Content, Unit
from restore_batch.pipeline.drive.events import Events
from restore_batch.pipeline.engine.backend import Outcome
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.plan.groups import CONTENTS, Group, serving
from restore_batch.pipeline.plan.plan import Plan
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.pipeline.plan.time_limits import time_limits

_FACES_PER_CALL_ON_GPU = 8


class Working:
    """``settle``: makes outcomes durable and says which units follow; ``items``: how many are in
    each state. ``on_admit``, ``on_start``: see :class:`Scheduler`."""

    def __init__(
        self,
        plan: Plan,
        events: Events,
        settle: Callable[[Sequence[Outcome]], list[Unit]],
        items: Callable[[], Mapping[str, int]],
        on_admit: Callable[[Sequence[Unit]], Sequence[Unit]],
        on_start: Callable[[Unit, str], None],
    ) -> None:
        self._plan, self._events = plan, events
        self._settle, self._items = settle, items
        self._on_admit, self._on_start = on_admit, on_start
        self._scheduler: Scheduler | None = None
        self._is_drained = False
        self._within_s: float | None = None

    def drain(self, within_s: float | None) -> None:
        """Begin nothing more; see :meth:`Scheduler.drain`."""
        self._is_drained, self._within_s = True, within_s
        if self._scheduler is not None:
            self._scheduler.drain(within_s)

    def keep(self, wanted: Callable[[Unit], bool]) -> None:
        """Drop what follows and was not begun, unless it is ``wanted``."""
        if self._scheduler is not None:
            self._scheduler.keep(wanted)

    def do(self, first: Unit, others: Iterator[Unit | None]) -> None:
        """Work on ``first``, on ``others``, and on what follows from all of them. None: the next
        one is not known yet."""
        plan, following, units = self._plan, list[Unit](), chain([first], others)
        if plan.engine.is_private_ray and isinstance(first, Content):
            behind = self._compare(units, following)
            if self._is_drained or not (behind or following):
                return
            units = chain(behind, units)
        with (
            self._scheduled(plan.engine, plan.groups) as scheduler,
            contextlib.closing(scheduler.run(units)) as outcomes,
        ):
            scheduler.add(following)
            for together in outcomes:
                scheduler.add(self._settle(together))

    def _compare(self, units: Iterator[Unit | None], following: list[Unit]) -> list[Unit]:
        """Compare the contents that ``units`` begin with, until something is ``following`` from
        that. Returns the unit behind them that was taken as well, if there is one."""
        behind: list[Unit] = []

        def contents() -> Iterator[Unit | None]:
            for unit in units:
                if unit is not None and not isinstance(unit, Content):
                    behind.append(unit)
                    return
                yield unit
                if following:
                    return

        threads = replace(self._plan.engine, kind="local")
        with (
            self._scheduled(threads, serving(self._plan.groups, CONTENTS)) as scheduler,
            contextlib.closing(scheduler.run(contents())) as outcomes,
        ):
            for together in outcomes:
                following += self._settle(together)
        return behind

    @contextlib.contextmanager
    def _scheduled(self, engine: Engine, groups: Sequence[Group]) -> Iterator[Scheduler]:
        """A scheduler on a backend of its own."""
        plan, limits = self._plan, self._plan.job.limits
        backend = open_backend(engine, plan.context)
        self._events.follow(backend)
        # A million items stay until the end: whoever looks for garbage need not look at them.
        gc.freeze()
        try:
            batch = _FACES_PER_CALL_ON_GPU if plan.share.runtime.device != "cpu" else 1
            scheduler = self._scheduler = Scheduler(
                groups,
                backend,
                Budget(plan.share.budget_bytes, plan.budget_workers),
                Limits(limits.max_attempts, time_limits(plan), batch, limits.no_worker_s),
                on_admit=self._on_admit,
                on_start=self._on_start,
                on_loss=self._events.lost,
            )
            if backend.meter is not None:
                backend.meter.watch(scheduler.load, self._items)
            if self._is_drained:
                scheduler.drain(self._within_s)
            # Whoever has run it closes that before the backend: workers are stopped while it runs.
            yield scheduler
        finally:
            backend.close()
            gc.unfreeze()

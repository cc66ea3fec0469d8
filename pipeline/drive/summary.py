"""How a run goes, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from restore_batch.jobs.units import Unit
from restore_batch.pipeline.engine.backend import Outcome
from restore_batch.pipeline.plan.plan import Plan


@dataclass
class Summary:
    """How a run went. ``failed``: (source, stage, reason) of each item without a result.
    ``segments``: those to be restored in the films that were begun so far. ``passed_over``: other
    files in the inputs' folders, their number by suffix. ``output_dir``: the local folder of the
    job; ``output``: where its results are, that folder or a URL. ``earlier``: what is to be said of
    results that were made with something else than they would be today."""

    output_dir: Path
    total: int = 0
    done: int = 0
    unchanged: int = 0
    faces: int = 0
    segments: int = 0
    segments_done: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    warned: list[tuple[str, str]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    busy: dict[str, float] = field(default_factory=dict)
    interrupted: bool = False
    aborted: str = ""
    output: str = ""
    earlier: list[str] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Items that this run did not come to."""
        return self.total - self.done - self.unchanged - len(self.failed)

    def items(self) -> dict[str, int]:
        """How many are in each state."""
        failed = len(self.failed)
        return {
            "done": self.done, "unchanged": self.unchanged, "failed": failed, "left": self.left,
        }  # fmt: skip

    @property
    def segments_left(self) -> int:
        """Segments of the films begun that are still to be done."""
        return self.segments - self.segments_done

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed, 3 aborted, 130 interrupted and resumable."""
        if self.aborted:
            return 3
        if self.interrupted:
            return 130
        return 1 if self.failed else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        failed = [{"source": s, "stage": g, "reason": r} for s, g, r in self.failed]
        warned = [{"source": s, "warning": w} for s, w in self.warned]
        return {
            **asdict(self), "output_dir": str(self.output_dir), "notes": list(self.notes),
            "output": self.output or str(self.output_dir),
            "failed": failed, "warned": warned, "left": self.left, "exit_code": self.exit_code,
        }  # fmt: skip


class Watcher(Protocol):
    """Whoever shows the progress of a run."""

    def begin(self, plan: Plan, summary: Summary) -> None:
        """Work is about to start."""
        ...

    def started(self, unit: Unit) -> None:
        """A unit was given to a worker."""
        ...

    def ended(self, unit: Unit) -> None:
        """A unit that is no part of a result is not worked on any more."""
        ...

    def update(self, outcome: Outcome, summary: Summary) -> None:
        """A unit is finished and committed."""
        ...


class Unwatched:
    """A :class:`Watcher` of a run that nobody looks at."""

    def begin(self, plan: Plan, summary: Summary) -> None:
        """Nothing."""

    def started(self, unit: Unit) -> None:
        """Nothing."""

    def ended(self, unit: Unit) -> None:
        """Nothing."""

    def update(self, outcome: Outcome, summary: Summary) -> None:
        """Nothing."""

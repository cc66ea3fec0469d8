"""Admission by bytes: a slow sink stops the source before memory or disk fills."""

from __future__ import annotations

from restore_batch.jobs.units import Unit

_LEAST_BYTES = 1 << 20


def estimated_bytes(unit: Unit) -> int:
    """Bytes a unit keeps alive between workers: its decoded picture, 16 bits a channel at worst.

    What a header could not tell is taken as 30 bytes for each byte of the file (a JPEG); what is
    only read through is never there as a whole.
    """
    if not unit.is_decoded:
        return _LEAST_BYTES
    decoded = int(unit.megapixels * 1e6) * 3 * 2
    return max(decoded if unit.megapixels else unit.size_bytes * 30, _LEAST_BYTES)


class Budget:
    """Counts the bytes in flight. A unit larger than the whole budget is let in when it would
    be alone, so that every unit can run.

    ``workers``: for how many the limit is meant; with more, on nodes that join, it grows as they
    do. None: it is for all.
    """

    def __init__(self, limit_bytes: int, workers: int | None = None) -> None:
        self.limit_bytes = self._planned_bytes = limit_bytes
        self._planned_workers = workers
        self._live: dict[str, int] = {}
        self.live_bytes = 0
        """Estimated, of all admitted units."""

    def serve(self, workers: int) -> None:
        """So many there may be now."""
        if self._planned_workers:
            share = max(1.0, workers / self._planned_workers)
            self.limit_bytes = int(self._planned_bytes * share)

    def admits(self, size_bytes: int) -> bool:
        """Whether a unit of that estimated size may start now."""
        return not self._live or self.live_bytes + size_bytes <= self.limit_bytes

    def take(self, unit_id: str, size_bytes: int) -> None:
        """Admit a unit."""
        self.live_bytes += size_bytes - self._live.get(unit_id, 0)
        self._live[unit_id] = size_bytes

    def release(self, unit_id: str) -> None:
        """A unit is finished, one way or the other."""
        self.live_bytes -= self._live.pop(unit_id, 0)

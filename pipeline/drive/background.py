"""Work that waits for disks and networks, in threads beside the commit loop, which waits for none
of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Beside(Generic[Asked, Answer]):
    """Threads, started when there is something to do, that answer what is asked.

    Nobody waits for their end: what they are at when a run is stopped is worth nothing any more,
    and a disk that does not answer must not keep the process. ``at_end``: what each of them does
    last.
    """

    def __init__(
        self,
        work: Callable[[Asked], Answer],
        threads: int,
        at_end: Callable[[], object] = lambda: None,
    ) -> None:
        self._work, self._threads, self._at_end = work, threads, at_end
        self._started = 0
        self._asked: SimpleQueue[Asked | None] = SimpleQueue()
        self._answered: SimpleQueue[tuple[Asked, Answer | Exception]] = SimpleQueue()
        self._closed = False
        self.waiting = 0
        """Of what was asked, how much is not answered."""

    def ask(self, asked: Asked) -> None:
        """The answer comes with :meth:`answers`, in any order."""
        self.waiting += 1
        self._asked.put(asked)
        if self._started < min(self._threads, self.waiting):
            self._started += 1
            threading.Thread(target=self._serve, name="beside", daemon=True).start()

    def answers(self, within_s: float = 0.0) -> list[tuple[Asked, Answer | Exception]]:
        """What was answered since; where that is nothing, what is within that time."""
        found: list[tuple[Asked, Answer | Exception]] = []
        while self.waiting:
            try:
                found.append(self._answered.get(timeout=0.0 if found else within_s))
            except Empty:
                break
            self.waiting -= 1
        return found

    def close(self) -> None:
        """Nothing more is asked."""
        self._closed = True
        for _ in range(self._started):
            self._asked.put(None)

    def _serve(self) -> None:
        while (asked := self._asked.get()) is not None and not self._closed:
            try:
                self._answered.put((asked, self._work(asked)))
            except Exception as error:
                self._answered.put((asked, error))
        self._at_end()

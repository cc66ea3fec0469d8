"""Keeps a board up to date with a ledger, for as long as somebody may look."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.outputs import FOLDER
from restore_batch.jobs.proof.kept import NAME
from restore_batch.jobs.proof.looking import Stamp, stamp_of
from restore_batch.pipeline.serve.board import Board
from restore_batch.pipeline.serve.looks import Look, look_at
from restore_batch.pipeline.serve.pictures import Pictures

_EVERY_S = 0.5
_MOST_S = 5.0
_REST = 10
"""Times as long as a look took nothing is asked: looking on is to cost next to nothing."""


class Watch:
    """``output_dir``, looked at from time to time; only a ledger that changed is opened."""

    def __init__(self, output_dir: Path, board: Board, pictures: Pictures) -> None:
        self._output_dir, self._board, self._pictures = output_dir, board, pictures
        self._manifest = output_dir / FOLDER / NAME
        self._stamp: Stamp | None = None
        self._last: Look | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def start(self) -> None:
        """Look once, then in a thread. Raises ManifestError where there is nothing to look at."""
        self._look()
        self._thread.start()

    def end(self) -> None:
        """Look no longer."""
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        pause_s = _EVERY_S
        while not self._ended.wait(pause_s):
            began = time.monotonic()
            try:
                self._look()
            except RestoreBatchError as error:
                self._board.cannot_look(str(error))
                self._stamp = None
            pause_s = min(_MOST_S, max(_EVERY_S, _REST * (time.monotonic() - began)))

    def _look(self) -> None:
        # Before it is read: what comes meanwhile is for the next look.
        stamp = stamp_of(self._manifest)
        if stamp is not None and stamp == self._stamp:
            return
        look = look_at(self._output_dir, self._last)
        if look.runs:
            moments = {u: film.moment for u, film in look.films.items() if film.moment is not None}
            self._pictures.about(look.runs[-1].get("job") or {}, moments)
        self._board.take(look)
        self._last, self._stamp = look, stamp

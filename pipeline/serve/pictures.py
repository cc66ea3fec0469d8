"""Previews for who looks at them: those that workers left for the report or that it has, else made
when they are asked for, into a folder that goes with the server. What nobody looks at costs the run
nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restore_batch.errors import RestoreBatchError
from restore_batch.jobs.history import Entry
from restore_batch.jobs.outputs import FOLDER, REPORT
from restore_batch.pipeline.report.cache import PreviewCache, Previews
from restore_batch.pipeline.report.previews import MakePreviews

_MOST_BYTES = 1 << 30
_MOST_WAITING = 200
_IDLE_S = 60.0
_END_S = 3.0
_SHAPE = (4, 3)


@dataclass(frozen=True)
class MakePreviewsAside(MakePreviews):
    """The same, in time that nobody else wants: a run goes on beside it."""

    def open(self) -> None:
        """Step back as far as the system lets one, and begin."""
        os.nice(19)
        if sys.platform == "linux":
            # Its own session is a group of its own for the scheduler, whose nice value counts.
            with suppress(OSError):
                Path("/proc/self/autogroup").write_text("19", encoding="ascii")
        super().open()


class Pictures:
    """The previews of one output folder. ``folder``: where those that lack are made."""

    made: Callable[[Entry], None] = staticmethod(lambda entry: None)
    """Told of each item when its own were made, or could not be."""

    def __init__(self, output_dir: Path, folder: Path) -> None:
        self.folders = (folder, output_dir / REPORT, output_dir / FOLDER)
        self._own, self._reported, self._waiting = (
            PreviewCache(place, output_dir, {}, {}, task=MakePreviewsAside())
            for place in self.folders
        )
        self._bytes: OrderedDict[str, int] = OrderedDict()
        # A film that is read for minutes does not keep the photos waiting.
        self._makers = {is_film: _Maker(self._own, self._answered) for is_film in (False, True)}

    def about(self, job: Mapping[str, Any], moments: Mapping[str, int]) -> None:
        """The newest job, and frames that films' clips are cut around."""
        self._own.job = job
        self._own.moments = {**self._own.moments, **moments}

    def key(self, entry: Entry) -> str:
        """What an item's previews are named by; "" for one without a result."""
        return self._own.key(entry)

    def known(self, entry: Entry) -> Previews | None:
        """Those that are there; None where they are not."""
        caches = (self._own, self._reported, self._waiting)
        return next((found for cache in caches if (found := cache.known(entry))), None)

    def of(self, entry: Entry) -> tuple[Previews | None, str]:
        """Those that are there, or that will be when they are asked for; or why there are none."""
        key = self.key(entry)
        if not key:
            return None, ""
        if (known := self.known(entry)) is not None:
            return known, ""
        if key in self._own.errors:
            return None, self._own.errors[key]
        shape = list(entry.size_wh or _SHAPE)
        return Previews(self._own.path(key), {"after": shape}), ""

    def make(self, entry: Entry) -> Future[Previews | None]:
        """Those of an item with a result, made now; None where they cannot be."""
        return self._makers[entry.kind not in ("photo", "")].ask(entry)

    def close(self) -> None:
        """End the making."""
        for maker in self._makers.values():
            maker.end()

    def _answered(self, entry: Entry, previews: Previews | None) -> None:
        if previews is not None:
            files = previews.facts["files"]
            self._bytes[previews.path] = sum(files.values())
            while sum(self._bytes.values()) > _MOST_BYTES and len(self._bytes) > 1:
                path, _ = self._bytes.popitem(last=False)
                place = self.folders[0] / path
                for file in place.parent.glob(f"{place.name}-*"):
                    file.unlink(missing_ok=True)
        self.made(entry)


class _Maker:
    """One process that makes previews, the last asked for first, while there is anything to do."""

    def __init__(
        self, cache: PreviewCache, answered: Callable[[Entry, Previews | None], None]
    ) -> None:
        self._cache, self._answered = cache, answered
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, tuple[Entry, Future[Previews | None]]] = OrderedDict()
        self._at: dict[str, Future[Previews | None]] = {}
        self._thread: threading.Thread | None = None
        self._is_ended = False

    def ask(self, entry: Entry) -> Future[Previews | None]:
        key = self._cache.key(entry)
        with self._changed:
            if key in self._at:
                return self._at[key]
            _, future = self._waiting.pop(key, (entry, Future()))
            self._waiting[key] = (entry, future)
            if len(self._waiting) > _MOST_WAITING:  # long scrolled past
                _, (_, given_up) = self._waiting.popitem(last=False)
                given_up.set_result(None)
            if self._thread is None and not self._is_ended:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
            self._changed.notify()
            return future

    def end(self) -> None:
        with self._changed:
            self._is_ended = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            # It may be at a long film; its process ends with this one.
            thread.join(_END_S)

    def _work(self) -> None:
        while True:
            can_go_on = self._make_all()
            with self._changed:
                if self._waiting and can_go_on and not self._is_ended:
                    continue  # asked for while the process was ended that had nothing to do
                self._thread = None
                left = [*self._at.values(), *(future for _, future in self._waiting.values())]
                self._waiting.clear()
                self._at.clear()
                break
        for future in left:
            future.set_result(None)

    def _make_all(self) -> bool:
        try:
            for entry, previews in self._cache.make(self._entries(), lambda: self._is_ended, 1):
                # Told before who asked is answered: what it asks next is then up to date.
                self._answered(entry, previews)
                with self._changed:
                    future = self._at.pop(self._cache.key(entry))
                future.set_result(previews)
        except (RestoreBatchError, OSError):
            return False  # no process can be started now: who asks again tries again
        return True

    def _entries(self) -> Iterator[Entry]:
        while True:
            with self._changed:
                if not self._waiting and not self._is_ended:
                    self._changed.wait(_IDLE_S)
                if not self._waiting or self._is_ended:
                    return
                key, (entry, future) = self._waiting.popitem()
                self._at[key] = future
            yield entry

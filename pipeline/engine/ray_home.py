"""The files of a job through Ray: an actor where they are, and what the workers of other nodes ask
of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from restore_batch.models.base import ModelRef
from restore_batch.pipeline.engine.travel.home import (
    PIECE_BYTES,
    FilesHere,
    HomeLostError,
    State,
    WeightPiece,
)
from restore_batch.pipeline.plan.landmarks import Landmarks, Mark, Sees

_CALLS_AT_ONCE = 16
_PIECES_AHEAD = 3
_WEIGHT_PIECE_BYTES = 32 << 20
_ANSWER_WITHIN_S = 30.0
_AT_HOME = 2
"""One joins while the other reads."""


# What it does can be done again: a piece more than once, too.
@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class _FilesActor:
    """See :class:`FilesHere`. Weights are put into the object store once, for all nodes."""

    def __init__(self, staging_dir: str, weights_dir: Path | None) -> None:
        self._files = FilesHere(staging_dir, weights_dir)
        self._weights: dict[Path, list[Any]] = {}
        self._putting = threading.Lock()

    def state_of(self, source: str) -> State:
        return self._files.state_of(source)

    def read(self, source: str, first: int, count: int) -> bytes:
        return self._files.read(source, first, count)

    def names_in(self, folder: str) -> Sequence[str]:
        return self._files.names_in(folder)

    def content_of(self, source: str) -> str:
        return self._files.content_of(source)

    def write(self, name: str, first: int, piece: bytes) -> None:
        self._files.write(name, first, piece)

    def settle(self, name: str, sha256: str) -> None:
        self._files.settle(name, sha256)

    def weights(self, ref: ModelRef) -> list[tuple[int, str, list[Any]]]:
        with self._putting:
            found = self._files.weight_files(ref)
            return [(number, path.name, self._put(path)) for number, path in found]

    def _put(self, path: Path) -> list[Any]:
        if path not in self._weights:
            size = path.stat().st_size
            self._weights[path] = [
                ray.put(self._files.read(str(path), first, _WEIGHT_PIECE_BYTES))
                for first in range(0, size, _WEIGHT_PIECE_BYTES)
            ]
        return self._weights[path]


class RayHome:
    """A :class:`Home` that is asked through its actor, some pieces ahead."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def state_of(self, source: str) -> State:
        """See :class:`Home`."""
        return _got(self._actor.state_of.remote(source))

    def pieces(self, source: str, first: int, stop: int) -> Iterator[bytes]:
        """See :class:`Home`."""
        coming: deque[Any] = deque()
        for place in range(first, stop, PIECE_BYTES):
            coming.append(self._actor.read.remote(source, place, min(PIECE_BYTES, stop - place)))
            if len(coming) == _PIECES_AHEAD:
                yield _got(coming.popleft())
        while coming:
            yield _got(coming.popleft())

    def names_in(self, folder: str) -> Sequence[str]:
        """See :class:`Home`."""
        return _got(self._actor.names_in.remote(folder))

    def content_of(self, source: str) -> str:
        """See :class:`Home`."""
        return _got(self._actor.content_of.remote(source))

    def put(self, staged: Path, name: str, sha256: str) -> None:
        """See :class:`Home`."""
        going: deque[Any] = deque()
        place = 0
        with staged.open("rb") as file:
            for piece in iter(partial(file.read, PIECE_BYTES), b""):
                going.append(self._actor.write.remote(name, place, piece))
                place += len(piece)
                if len(going) == _PIECES_AHEAD:
                    _got(going.popleft())
        while going:
            _got(going.popleft())
        _got(self._actor.settle.remote(name, sha256))

    def weights(self, ref: ModelRef) -> Iterator[WeightPiece]:
        """See :class:`Home`."""
        for number, name, pieces in _got(self._actor.weights.remote(ref)):
            for piece in pieces:
                yield WeightPiece(number, name, _got(piece))


def _got(ref: Any) -> Any:
    """An answer, or the error that it is."""
    try:
        return ray.get(ref)
    except exceptions.RayTaskError as error:
        raise error.cause from None
    except exceptions.RayError as error:
        raise HomeLostError(f"the driver's node does not answer ({type(error).__name__})") from None


class Travel(NamedTuple):
    """What a worker is told of the files of its job. ``actor``: where they are."""

    landmarks: Landmarks
    actor: Any


class Departures:
    """The files of a job on the node of its driver, for workers of others. Raises OSError where
    nothing can be written to the staging folder."""

    def __init__(self, landmarks: Landmarks) -> None:
        # A new name: whoever finds it sees this folder, and no other of the same path.
        self._token = Path(landmarks.staging_dir) / f"seen.{token_hex(16)}"
        self._token.write_bytes(b"")
        here = ray.get_runtime_context().get_node_id()
        self._actor = _FilesActor.options(  # type: ignore[attr-defined] # added by the decorator
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
            max_concurrency=_CALLS_AT_ONCE,
        ).remote(landmarks.staging_dir, landmarks.weights_dir)
        self.travel = Travel(replace(landmarks, staging=Mark.of(self._token)), self._actor)

    def close(self) -> None:
        """Nothing more is asked for."""
        with suppress(Exception):
            ray.kill(self._actor)
        self._token.unlink(missing_ok=True)


@ray.remote(num_cpus=0)
def _seen_here(landmarks: Landmarks) -> Sees:
    return landmarks.seen_here()


class Sight:
    """What the nodes of a cluster see of a job's files, as they answer."""

    def __init__(self, landmarks: Landmarks) -> None:
        self._landmarks = landmarks
        self._asked: dict[str, Any] = {}
        self._asked_at = 0.0
        self._home = ray.get_runtime_context().get_node_id()
        self.sees: dict[str, Sees] = {}

    def of_files(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Those of ``nodes`` that are known to see all files; where none does, and none that could
        still say so is waited for, two workers on the node of the driver. Waits for nothing."""
        self.ask(nodes)
        self.hear(0.0)
        seeing = tuple(node for node in nodes if node in self.sees and self.sees[node].files)
        unheard = any(node not in self.sees for node in nodes)
        is_late = time.monotonic() - self._asked_at > _ANSWER_WITHIN_S
        if seeing or not nodes or (unheard and not is_late):
            return seeing
        return (self._home,) * _AT_HOME

    def ask(self, nodes: Iterable[str]) -> None:
        """Ask each of ``nodes`` that was not asked before."""
        for node in set(nodes) - self._asked.keys():
            where = NodeAffinitySchedulingStrategy(node, soft=False)
            self._asked[node] = _seen_here.options(scheduling_strategy=where).remote(
                self._landmarks
            )
            self._asked_at = time.monotonic()

    def hear(self, within_s: float) -> None:
        """Take note of what has been answered, at most that late."""
        waited = {ref: node for node, ref in self._asked.items() if node not in self.sees}
        if not waited:
            return
        answered, _ = ray.wait(list(waited), num_returns=len(waited), timeout=within_s)
        for ref in answered:
            # One that has left, or whose process could not start, sees nothing.
            self.sees[waited[ref]] = Sees(staging=False, inputs=False, weights=False)
            with suppress(exceptions.RayError):
                self.sees[waited[ref]] = ray.get(ref)


def seen_by(nodes: Iterable[str], landmarks: Landmarks) -> Mapping[str, Sees]:
    """What each of ``nodes`` sees, of those that answer soon."""
    sight = Sight(landmarks)
    sight.ask(nodes)
    sight.hear(_ANSWER_WITHIN_S)
    return sight.sees

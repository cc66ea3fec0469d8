"""Restore one segment of a film: two streaming passes, a few frames in memory.

The first pass looks for faces in every frame, with context on both sides, and makes them steady
(:mod:`restore_batch.stages.film.faces`). The second decodes the frames again, takes each through
the same stages as a photo, and feeds the encoder. Decoding twice costs little beside restoring
once, and memory does not depend on the length of a segment.

On the CPU every frame is worked on by one thread, several frames side by side: torch's own
threads change the last bit of a result, and a frame's result must not depend on how many workers
share the machine. On a GPU frames go through the networks in batches.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Kind
from restore_batch.models.running.threads import limit_threads
from restore_batch.stages.base import Resources, Stage, WorkerContext
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.steady.deflicker import DEFLICKER_FRAMES, deflickered
from restore_batch.stages.film.batch import Batch
from restore_batch.stages.film.faces import FilmFaces, find_faces
from restore_batch.stages.film.source import read_film
from restore_batch.stages.film.work import Reading, SegmentWork
from restore_batch.stages.media import Chunk, FaceRecord, Failure
from restore_batch.stages.parallel import ordered_map
from restore_batch.stages.video.types import VideoFrame
from restore_batch.stages.video.write import PartWriter

_FRAMES_A_CALL_ON_GPU = 8


class Film(Stage):
    """Restore the segment of a unit and write its part.

    ``detect``: the photo graph's detector, None to find no faces. ``per_frame``: the stages that
    follow in the photo graph (align, restore, upscale, paste), which must be opened by the same
    worker. ``scale``: output size over input size. ``steady``: follow faces and smooth them.
    ``deflicker``: average what restoration adds along their tracks.

    In: chunks whose unit carries a :class:`SegmentWork`. Out: the artifact (the part file,
    fsynced), the records of its own frames, and a warning for every frame that something stands
    in for: one that could not be decoded shows its neighbour, one that could not be restored is
    enlarged plainly. The part has exactly the segment's frames.
    """

    name: ClassVar[str] = "film"
    needs: ClassVar[Resources] = Resources(cpus=1.0, gpus=0.5, memory_mb=3000)
    writes: ClassVar[frozenset[str]] = frozenset({"artifact", "records"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"segment"})
    version: ClassVar[int] = 1

    def __init__(
        self,
        detect: Detect | None,
        per_frame: Sequence[Stage],
        scale: float,
        *,
        reading: Reading = Reading(),  # noqa: B008 - frozen
        steady: bool = True,
        deflicker: bool = False,
    ) -> None:
        self.detect = detect
        self.per_frame = tuple(per_frame)
        self.scale = scale
        self.reading = reading
        self.steady = steady
        self.deflicker = deflicker and "restore" in [stage.name for stage in self.per_frame]
        self._pool: ThreadPoolExecutor | None = None
        self._torch_threads = 1
        self._ahead = 1
        self._frames_a_call = 1

    def open(self, worker: WorkerContext) -> None:
        """Start the threads that frames are spread over."""
        on_cpu = worker.runtime.device == "cpu"
        threads = worker.threads if on_cpu else 1
        self._torch_threads = worker.threads
        self._pool = ThreadPoolExecutor(threads, "frame", initializer=limit_threads, initargs=(1,))
        self._ahead = threads + 1
        self._frames_a_call = 1 if on_cpu else _FRAMES_A_CALL_ON_GPU

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        # Torch keeps one number of threads for the whole process: photos get theirs back.
        limit_threads(1)
        try:
            return self.each(batch, self._segment)
        finally:
            limit_threads(self._torch_threads)

    def _segment(self, chunk: Chunk) -> Chunk:
        work = chunk.unit.payload
        if not isinstance(work, SegmentWork):
            raise TypeError(f"a segment's payload is a SegmentWork, got {type(work).__name__}")
        began = time.perf_counter()
        found = self._find_faces(chunk, work)
        seconds = {"detect": time.perf_counter() - began}
        warnings = [_told(work, i, f"no face was looked for ({why})") for i, why in found.faults]
        records: list[tuple[FaceRecord, ...]] = []
        path = chunk.unit.staged_path
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = PartWriter(path, work.format, work.facts.time_base_s)
        try:
            for batch in self._restored(chunk, work, found):
                began = time.perf_counter()
                for done in batch.finished(self.scale):
                    position = work.segment.before + len(records)
                    writer.write(done.frame, done.pts, done.duration)
                    warnings += [_told(work, position, fault) for fault in done.faults]
                    records.append(done.records)
                spent = {**batch.seconds, "encode": time.perf_counter() - began}
                for name, share in spent.items():
                    seconds[name] = seconds.get(name, 0.0) + share
            if len(records) != work.segment.own_count:
                raise MediaError(
                    f"{chunk.unit.source}: {len(records)} frames restored, expected"
                    f" {work.segment.own_count}; please report this"
                )
            part = writer.close()
        except BaseException:
            writer.abort()
            raise
        return replace(
            chunk,
            artifact=part,
            records=tuple(records),
            warnings=(*chunk.warnings, *warnings),
            seconds={**chunk.seconds, **seconds},
        )

    # -- first pass ---
    def _find_faces(self, chunk: Chunk, work: SegmentWork) -> FilmFaces:
        if self.detect is None or work.plain:
            count = len(work.segment.pts)
            return FilmFaces(((),) * count, ((),) * count, (False,) * count)
        detect = self.detect
        return find_faces(
            self._frames(chunk, work),
            lambda frame: detect.find([frame])[0],
            self._threads(),
            pixel_aspect=float(work.facts.upright_aspect),
            steady=self.steady,
            ahead=self._ahead,
        )

    def _frames(self, chunk: Chunk, work: SegmentWork) -> Iterable[VideoFrame]:
        return read_film(chunk.unit.source, work.facts, work.segment, self.reading)

    # -- second pass ---
    def _restored(self, chunk: Chunk, work: SegmentWork, found: FilmFaces) -> Iterator[Batch]:
        """The segment's own frames, through all stages, in order."""
        if work.plain:
            for place in self._read(chunk, work, 0):
                yield Batch((place,), chunk, failed="its worker was lost")
            return
        faces, rest = self._halves()
        pool, ahead = self._threads(), self._ahead
        batches = self._batches(chunk, work, found)
        begun = ordered_map(pool, lambda batch: self._through(faces, batch), batches, ahead)
        restored: Iterator[Batch] = chain.from_iterable(begun)
        if self.deflicker:
            restored = self._without_flicker(restored, work, found)
        done = ordered_map(pool, lambda batch: self._through(rest, batch), restored, ahead)
        yield from chain.from_iterable(done)

    def _halves(self) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
        """The stages up to the restorer, and those behind it."""
        names = [stage.name for stage in self.per_frame]
        cut = names.index("restore") + 1 if "restore" in names else 0
        return self.per_frame[:cut], self.per_frame[cut:]

    def _read(
        self, chunk: Chunk, work: SegmentWork, around: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Own frames with their position in the segment, and ``around`` more on each side."""
        first = max(0, work.segment.before - around)
        stop = work.segment.before + work.segment.own_count + around
        return islice(enumerate(self._frames(chunk, work)), first, stop)

    def _batches(self, chunk: Chunk, work: SegmentWork, found: FilmFaces) -> Iterator[Batch]:
        frames = self._read(chunk, work, DEFLICKER_FRAMES if self.deflicker else 0)
        while some := tuple(islice(frames, 1 if self.deflicker else self._frames_a_call)):
            yield Batch(
                some,
                Chunk(
                    chunk.unit,
                    frames=tuple(frame.frame for _, frame in some),
                    faces=tuple(found.faces[position] for position, _ in some),
                    pixel_aspect=float(work.facts.upright_aspect),
                ),
            )

    def _through(self, stages: Sequence[Stage], batch: Batch) -> list[Batch]:
        """A batch through some stages; frames that fail together are tried one by one."""
        if batch.failed:
            return [batch]
        chunk, seconds = batch.chunk, dict(batch.seconds)
        for stage in stages:
            began = time.perf_counter()
            (reply,) = stage([chunk])
            seconds[stage.name] = seconds.get(stage.name, 0.0) + time.perf_counter() - began
            if isinstance(reply, Failure):
                if len(batch.frames) == 1:
                    return [replace(batch, failed=reply.message, seconds=seconds)]
                return [done for one in batch.apart() for done in self._through(stages, one)]
            chunk = reply
        return [replace(batch, chunk=chunk, seconds=seconds)]

    def _without_flicker(
        self, restored: Iterator[Batch], work: SegmentWork, found: FilmFaces
    ) -> Iterator[Batch]:
        """The segment's own frames; those around it end here. Every batch is one frame."""
        batches: deque[Batch] = deque()

        def chunks() -> Iterator[tuple[int, Chunk]]:
            for batch in restored:
                batches.append(batch)
                yield batch.frames[0][0], batch.chunk

        own = range(work.segment.before, work.segment.before + work.segment.own_count)
        for position, chunk in deflickered(chunks(), found.faces, found.tracks, found.cuts):
            batch = batches.popleft()
            if position in own:
                yield replace(batch, chunk=chunk)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            raise RuntimeError("Film is not open")
        return self._pool


def _told(work: SegmentWork, position: int, text: str) -> str:
    number = work.segment.first - work.segment.before + position
    return f"frame {number} at {_time(work, position)}: {text}"


def _time(work: SegmentWork, position: int) -> str:
    seconds = float(work.segment.pts[position] * work.facts.time_base_s)
    return f"{seconds:.2f} s"

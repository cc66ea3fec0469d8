"""Restore one segment of a film: two streaming passes, a few frames in memory.

The first pass looks for faces in every frame, with context on both sides, and makes them steady
(:mod:`restore_batch.stages.film_faces`). The second decodes the frames again, takes each through
the same stages as a photo, and feeds the encoder. Decoding twice costs little beside restoring
once, and memory does not depend on the length of a segment.

On the CPU every frame is worked on by one thread, several frames side by side: torch's own
threads change the last bit of a result, and a frame's result must not depend on how many workers
share the machine. On a GPU frames go through the networks in batches.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Kind
from restore_batch.models.base import Face
from restore_batch.models.threads import limit_threads
from restore_batch.stages.base import Resources, Stage, WorkerContext
from restore_batch.stages.detect import Detect
from restore_batch.stages.film_faces import FilmFaces, find_faces
from restore_batch.stages.film_work import Reading, SegmentWork
from restore_batch.stages.media import Artifact, Chunk, FaceRecord, Failure, Frame
from restore_batch.stages.ordered_map import ordered_map
from restore_batch.stages.upscale import enlarge_plainly
from restore_batch.stages.video_read import SegmentReader
from restore_batch.stages.video_types import VideoFrame
from restore_batch.stages.video_write import PartWriter

_FRAMES_A_CALL_ON_GPU = 8


@dataclass(frozen=True)
class _Finished:
    """One restored frame. ``faults``: what went wrong with it, for the user."""

    frame: Frame
    pts: int
    duration: int
    records: tuple[FaceRecord, ...]
    faults: tuple[str, ...]
    seconds: dict[str, float]


@dataclass(frozen=True)
class _Task:
    """Frames to restore in one call: (position in the segment, frame)."""

    frames: tuple[tuple[int, VideoFrame], ...]


class Film(Stage):
    """Restore the segment of a unit and write its part.

    ``detect``: the photo graph's detector, None to find no faces. ``per_frame``: the stages that
    follow in the photo graph (align, restore, upscale, paste), which must be opened by the same
    worker. ``scale``: output size over input size. ``steady``: follow faces and smooth them.

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
    ) -> None:
        self.detect = detect
        self.per_frame = tuple(per_frame)
        self.scale = scale
        self.reading = reading
        self.steady = steady
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
            for done in self._restored(chunk, work, found):
                began = time.perf_counter()
                writer.write(done.frame, done.pts, done.duration)
                done.seconds["encode"] = time.perf_counter() - began
                position = work.segment.before + len(records)
                warnings += [_told(work, position, fault) for fault in done.faults]
                records.append(done.records)
                for name, spent in done.seconds.items():
                    seconds[name] = seconds.get(name, 0.0) + spent
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
            artifact=Artifact(
                str(path), part.size_bytes, part.sha256, work.format.width, work.format.height
            ),
            records=tuple(records),
            warnings=(*chunk.warnings, *warnings),
            seconds={**chunk.seconds, **seconds},
        )

    # -- first pass ---
    def _find_faces(self, chunk: Chunk, work: SegmentWork) -> FilmFaces:
        if self.detect is None or work.plain:
            nothing: tuple[tuple[Face, ...], ...] = ((),) * len(work.segment.pts)
            return FilmFaces(nothing, ((),) * len(work.segment.pts))
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
        return SegmentReader(
            chunk.unit.source,
            work.facts,
            work.segment,
            deinterlace=self.reading.deinterlace,
            tonemap=self.reading.tonemap,
        )

    # -- second pass ---
    def _restored(self, chunk: Chunk, work: SegmentWork, found: FilmFaces) -> Iterator[_Finished]:
        def restore(task: _Task) -> list[_Finished]:
            if work.plain:
                return [self._plainly(f, "its worker was lost") for _, f in task.frames]
            return self._restore(chunk, work, found, task)

        for batch in ordered_map(self._threads(), restore, self._tasks(chunk, work), self._ahead):
            yield from batch

    def _tasks(self, chunk: Chunk, work: SegmentWork) -> Iterator[_Task]:
        first, count = work.segment.before, work.segment.own_count
        own = islice(enumerate(self._frames(chunk, work)), first, first + count)
        while frames := tuple(islice(own, self._frames_a_call)):
            yield _Task(frames)

    def _restore(
        self, chunk: Chunk, work: SegmentWork, found: FilmFaces, task: _Task
    ) -> list[_Finished]:
        """The frames of one call; where the call fails, frame by frame, then plainly."""
        alone = Chunk(
            chunk.unit,
            frames=tuple(f.frame for _, f in task.frames),
            faces=tuple(found.faces[i] for i, _ in task.frames),
            pixel_aspect=float(work.facts.upright_aspect),
        )
        seconds: dict[str, float] = {}
        for stage in self.per_frame:
            began = time.perf_counter()
            (reply,) = stage([alone])
            seconds[stage.name] = (time.perf_counter() - began) / len(task.frames)
            if isinstance(reply, Failure):
                if len(task.frames) == 1:
                    return [self._plainly(task.frames[0][1], reply.message)]
                apart = [self._restore(chunk, work, found, _Task((one,))) for one in task.frames]
                return [finished for some in apart for finished in some]
            alone = reply
        return [
            _Finished(
                alone.pasted[i], f.pts, f.duration, alone.records[i] if alone.records else (),
                (f.fault,) if f.fault else (), dict(seconds),
            )
            for i, (_, f) in enumerate(task.frames)
        ]  # fmt: skip

    def _plainly(self, video_frame: VideoFrame, why: str) -> _Finished:
        frame = video_frame.frame
        enlarged = frame if self.scale == 1 else enlarge_plainly(frame, self.scale)
        faults = (*((video_frame.fault,) if video_frame.fault else ()), f"not restored: {why}")
        return _Finished(enlarged, video_frame.pts, video_frame.duration, (), faults, {})

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

"""Restore one segment of a film: two streaming passes, a few frames in memory.

The first pass, with context on both sides, looks for faces everywhere in every fifth frame and
around those in the frames between (:mod:`restore_batch.stages.film.looks`), and makes them steady
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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from typing import ClassVar

from restore_batch.errors import MediaError
from restore_batch.jobs.units import Segment, Unit
from restore_batch.models.base import Face, ModelRef
from restore_batch.models.running.threads import limit_threads
from restore_batch.stages.base import Cost, Pool, Raised, Resources, Role, Stage, WorkerContext
from restore_batch.stages.chain import run_stages
from restore_batch.stages.faces.paste import MatchGrain
from restore_batch.stages.faces.steady.deflicker import DEFLICKER_FRAMES, deflickered
from restore_batch.stages.film.batch import Batch
from restore_batch.stages.film.chain import FrameChain
from restore_batch.stages.film.faces import FilmFaces, find_faces, square, with_grain
from restore_batch.stages.film.looks import Search
from restore_batch.stages.film.repaired import repaired_frames
from restore_batch.stages.film.seen import SeenFrames
from restore_batch.stages.film.source import read_film
from restore_batch.stages.film.work import Deinterlace, Reading, SegmentWork, ToneMap
from restore_batch.stages.media import Chunk, FaceRecord, Failure, Frame
from restore_batch.stages.parallel import ordered_map
from restore_batch.stages.repair.repair import Scratches
from restore_batch.stages.video.headers.captions import CAPTION_CODECS, captions_lost
from restore_batch.stages.video.types import VideoFrame
from restore_batch.stages.video.write import PartWriter
from restore_batch.text import plural

_FRAMES_A_CALL_ON_GPU = 8


class RestoreSegment(Stage):
    """Restore the segment of a unit and write its part, by the stages of a photo.

    In: chunks whose unit carries a :class:`SegmentWork`. Out: the artifact (the part file,
    fsynced), the records of its own frames, and a warning for every frame that something stands
    in for: one that could not be decoded shows its neighbour, one that could not be restored is
    enlarged plainly. The part has exactly the segment's frames.

    ``scale``: output size over input size. ``steady``: follow faces and smooth them.
    ``deflicker``: average what restoration adds along their tracks. ``deinterlace``, ``tonemap``:
    see :class:`Reading`. ``match_grain``: measure it in all frames, for :class:`Paste` to make it
    steady. ``repair``: "auto" takes dirt and scratches out of the frames before all else, by
    ``repair_strength``; "off" leaves them. ``detector``: None where no faces are to be looked for.
    """

    name: ClassVar[str] = "segment"
    after: ClassVar[str] = "preview"
    needs: ClassVar[Resources] = Resources(gpus=0.5)
    cost: ClassVar[Cost] = Cost(picture_s=0.09, megapixel_s=0.25)
    writes: ClassVar[frozenset[str]] = frozenset({"artifact", "records", "repairs", "quality"})
    kinds: ClassVar[frozenset[type[Unit]]] = frozenset({Segment})
    of_frames: ClassVar[bool] = False
    reads_source = "parts"
    pool: ClassVar[Pool] = "films"
    takes: ClassVar[Mapping[str, str]] = {
        "scale": "background.scale",
        "steady": "video.steady",
        "deflicker": "video.deflicker",
        "deinterlace": "video.deinterlace",
        "tonemap": "video.tonemap",
        "match_grain": "paste.match_grain",
        "repair": "repair.scratches",
        "repair_strength": "repair.strength",
    }
    added: ClassVar[Mapping[str, object]] = {"repair": "off", "repair_strength": 1.0}
    networks: ClassVar[Mapping[str, Role]] = {"detector": "detect"}
    version: ClassVar[int] = 4
    raised: ClassVar[Mapping[int, Raised]] = {
        2: Raised(
            5,
            "faces are looked for everywhere in every fifth frame, else where they are expected",
            only_with="detector",
        ),
        3: Raised(
            18,
            "scratches of films are followed through more frames, and found where they are faint",
            only_with="repair",
        ),
        4: Raised(
            19,
            "what is shown in one place in frame after frame, such as a timecode, and what flies"
            " fast is no dirt",
            only_with="repair",
        ),
    }

    def __init__(
        self,
        scale: float,
        *,
        steady: bool = True,
        deflicker: bool = False,
        deinterlace: Deinterlace = "auto",
        tonemap: ToneMap | None = None,
        match_grain: MatchGrain = "off",
        repair: Scratches = "off",
        repair_strength: float = 1.0,
        detector: ModelRef | None = None,
    ) -> None:
        self.scale = scale
        self.reading = Reading(deinterlace, tonemap)
        self.steady = steady
        self.match_grain = match_grain
        self.repair_strength = repair_strength if repair == "auto" else 0.0
        self.finds_faces = detector is not None
        self.deflicker = deflicker and self.finds_faces
        self._chain: FrameChain | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._torch_threads = 1
        self._ahead = 1
        self._frames_a_call = 1

    def open(self, worker: WorkerContext) -> None:
        """Start the threads that frames are spread over."""
        self._chain = FrameChain.of(worker.frame_stages)
        on_cpu = worker.runtime.device == "cpu"
        threads = worker.threads if on_cpu else 1
        self._torch_threads = worker.threads
        self._pool = ThreadPoolExecutor(threads, "frame", initializer=limit_threads, initargs=(1,))
        self._ahead = threads + 1
        self._frames_a_call = 1 if on_cpu else _FRAMES_A_CALL_ON_GPU

    def close(self) -> None:
        """End the threads."""
        self._chain = None
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
        unit = chunk.unit
        if not isinstance(unit, Segment) or not isinstance(unit.work, SegmentWork):
            raise TypeError(f"expected a segment of a film with its work, got {unit!r}")
        work = unit.work
        began = time.perf_counter()
        found = self._find_faces(chunk, work)
        seconds = {"detect": time.perf_counter() - began}
        warnings = [_told(work, i, f"no face was looked for ({why})") for i, why in found.faults]
        records: list[tuple[FaceRecord, ...]] = []
        seen = SeenFrames(work)
        captions = False
        path = chunk.unit.staged_path
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = PartWriter(path, work.format, work.facts.time_base_s)
        try:
            for batch in self._restored(chunk, work, found, seen):
                began = time.perf_counter() - seen.seconds
                for done in batch.finished(self.scale):
                    position = work.frames.before + len(records)
                    writer.write(done.frame, done.pts, done.duration, done.captions)
                    seen.finished(position, done.frame)
                    warnings += [_told(work, position, fault) for fault in done.faults]
                    captions = captions or bool(done.captions)
                    records.append(done.records)
                encoding = time.perf_counter() - seen.seconds - began
                for name, share in {**batch.chunk.seconds, "encode": encoding}.items():
                    seconds[name] = seconds.get(name, 0.0) + share
            if len(records) != work.frames.own_count:
                raise MediaError(
                    f"{chunk.unit.source}: {plural(len(records), 'frame')} restored, expected"
                    f" {work.frames.own_count}; please report this"
                )
            if captions and work.format.codec not in CAPTION_CODECS and not work.facts.captions:
                warnings.append(captions_lost(work.format.codec))  # else the index has said so
            part = writer.close()
        except BaseException as error:
            writer.abort()
            if isinstance(error, MediaError) and chunk.unit.source not in str(error):
                raise MediaError(f"{chunk.unit.source}: {error}") from error
            raise
        seconds["assess"] = seen.seconds
        return replace(
            chunk,
            artifact=part,
            records=tuple(records),
            repairs=seen.own_repairs(),
            quality=seen.quality,
            warnings=(*chunk.warnings, *warnings),
            seconds={**chunk.seconds, **seconds},
        )

    # -- first pass ---
    def _find_faces(self, chunk: Chunk, work: SegmentWork) -> FilmFaces:
        if not self.finds_faces or work.plain_because:
            count = len(work.frames.pts)
            return FilmFaces(((),) * count, ((),) * count, (False,) * count)
        stages, aspect = self._stages(), float(work.facts.upright_aspect)

        def one(frame: Frame) -> Chunk:
            return Chunk(chunk.unit, (frame,), pixel_aspect=aspect)

        def measure(face: Face, decoded: Frame) -> Face:
            return with_grain(face, decoded, aspect)

        return find_faces(
            self._frames(chunk, work),
            work.frames.first - work.frames.before,
            Search(
                prepare=lambda frame: stages.prepared(one(frame)),
                look=lambda frame, expected: stages.faces_in(one(frame), expected),
                fallback=lambda frame: square(frame, aspect),
                sparse=self.steady,
                measure=measure if self.steady and self.match_grain == "auto" else None,
            ),
            self._threads(),
            pixel_aspect=aspect,
            steady=self.steady,
            ahead=self._ahead,
        )

    def _frames(
        self, chunk: Chunk, work: SegmentWork, seen: SeenFrames | None = None
    ) -> Iterable[VideoFrame]:
        """The frames that are read, by position; what they show joins ``seen``."""
        frames = read_film(chunk.unit.source, work.facts, work.frames, self.reading)
        if seen is not None:
            frames = seen.looking(frames)
        if not self.repair_strength or work.plain_because:
            yield from frames
            return
        for position, done in enumerate(repaired_frames(frames, self.repair_strength)):
            if seen is not None:
                seen.repairs[position] = done.record
            yield done.video

    # -- second pass ---
    def _restored(
        self,
        chunk: Chunk,
        work: SegmentWork,
        found: FilmFaces,
        seen: SeenFrames,
    ) -> Iterator[Batch]:
        """The segment's own frames, through all stages, in order."""
        if work.plain_because:
            for place in self._read(chunk, work, 0, seen):
                yield Batch((place,), chunk, failed=work.plain_because)
            return
        stages, pool, ahead = self._stages(), self._threads(), self._ahead
        batches = self._batches(chunk, work, found, seen)
        begun = ordered_map(pool, lambda batch: _through(stages.restoring, batch), batches, ahead)
        restored: Iterator[Batch] = chain.from_iterable(begun)
        if self.deflicker:
            restored = self._without_flicker(restored, work, found)
        done = ordered_map(pool, lambda batch: _through(stages.finishing, batch), restored, ahead)
        yield from chain.from_iterable(done)

    def _read(
        self, chunk: Chunk, work: SegmentWork, around: int, seen: SeenFrames
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Own frames with their position in the segment, and ``around`` more on each side."""
        first = max(0, work.frames.before - around)
        stop = work.frames.before + work.frames.own_count + around
        return islice(enumerate(self._frames(chunk, work, seen)), first, stop)

    def _batches(
        self,
        chunk: Chunk,
        work: SegmentWork,
        found: FilmFaces,
        seen: SeenFrames,
    ) -> Iterator[Batch]:
        frames = self._read(chunk, work, DEFLICKER_FRAMES if self.deflicker else 0, seen)
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

    def _without_flicker(
        self, restored: Iterator[Batch], work: SegmentWork, found: FilmFaces
    ) -> Iterator[Batch]:
        """The segment's own frames; those around it end here. Every batch is one frame."""
        batches: deque[Batch] = deque()

        def chunks() -> Iterator[tuple[int, Chunk]]:
            for batch in restored:
                batches.append(batch)
                yield batch.frames[0][0], batch.chunk

        own = range(work.frames.before, work.frames.before + work.frames.own_count)
        for position, chunk in deflickered(chunks(), found.faces, found.tracks, found.cuts):
            batch = batches.popleft()
            if position in own:
                yield replace(batch, chunk=chunk)

    def _stages(self) -> FrameChain:
        if self._chain is None:
            raise RuntimeError("RestoreSegment is not open")
        return self._chain

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            raise RuntimeError("RestoreSegment is not open")
        return self._pool


def _through(stages: Sequence[Stage], batch: Batch) -> list[Batch]:
    """A batch through some stages; frames that fail together are tried one by one."""
    if batch.failed:
        return [batch]
    (reply,) = run_stages(stages, [batch.chunk])
    if isinstance(reply, Chunk):
        return [replace(batch, chunk=reply)]
    if len(batch.frames) == 1:
        return [replace(batch, failed=reply.message)]
    return [done for one in batch.apart() for done in _through(stages, one)]


def _told(work: SegmentWork, position: int, text: str) -> str:
    number = work.frames.first - work.frames.before + position
    return f"frame {number} at {_time(work, position)}: {text}"


def _time(work: SegmentWork, position: int) -> str:
    seconds = float(work.frames.pts[position] * work.facts.time_base_s)
    return f"{seconds:.2f} s"

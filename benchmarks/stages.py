"""What stages cost, beside the reference way (:mod:`benchmarks.reference`), in one run and in turn.

    python -m benchmarks stages [--threads 1] [--rounds 2]

Pictures are those of the sample archive, enlarged. Seconds are those of the processor, of processes
that were started too, so that other work does not count; the best of the rounds counts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from benchmarks.reference import Reference, detector
from restore_batch.jobs.units import Photo
from restore_batch.models import registry
from restore_batch.models.weights.store import Store
from restore_batch.stages.base import WorkerContext
from restore_batch.stages.enlarge.upscale import Upscale
from restore_batch.stages.faces.align import Align
from restore_batch.stages.faces.detect import Detect
from restore_batch.stages.faces.paste import Paste
from restore_batch.stages.film.looks import Search
from restore_batch.stages.media import Chunk, Failure, Frame
from restore_batch.stages.video.types import VideoFrame

SAMPLES = Path(__file__).resolve().parents[1] / "jobs" / "samples"
FILM = SAMPLES / "video" / "home_movie.mp4"
_FILM_FRAMES = 15
_FILM_HEIGHT = 1080
_FACE_PX = 512
_PHOTO = Photo(id="photo", source="photo", output="photo.png")

Way = Callable[[], object]


def megapixels(name: str, size: float) -> np.ndarray:
    """A sample enlarged to that many megapixels, rgb_hwc uint8."""
    picture = np.asarray(cv2.imread(str(SAMPLES / name)))[:, :, ::-1]
    scale = (size * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5
    return np.ascontiguousarray(
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    )


def film_frames(count: int) -> list[np.ndarray]:
    """The first frames of the sample film, rgb_hwc uint8."""
    with av.open(str(FILM)) as container:
        decoded = container.decode(video=0)
        return [f.to_ndarray(format="rgb24") for _, f in zip(range(count), decoded, strict=False)]


def compared() -> Iterator[tuple[str, Way, Way]]:
    """What is done, our way, the reference way."""
    plain = Reference()
    detect = Detect(None, detector=detector())
    scan = megapixels("album_page.jpg", 4)
    yield (
        "find faces in 4 megapixels",
        lambda: detect.find([Frame(scan)]),
        lambda: plain.faces(scan),
    )

    def taller(frame: np.ndarray) -> np.ndarray:
        scale = _FILM_HEIGHT / frame.shape[0]
        return np.asarray(cv2.resize(frame, None, fx=scale, fy=scale))

    film = [taller(frame) for frame in film_frames(_FILM_FRAMES)]
    yield (
        f"find faces in {_FILM_FRAMES} frames of {_FILM_HEIGHT} lines",
        lambda: searched(detect, film),
        lambda: [plain.faces(frame) for frame in film],
    )
    small = megapixels("portrait_print.jpg", 0.05)
    large = Reference(enlarger="realesrgan-x4plus")
    upscale = Upscale(Store().ref(registry.card("photo-2"), {}), 2)
    upscale.open(WorkerContext())
    yield (
        "enlarge 0.05 megapixels twice, photo-2",
        lambda: done(upscale([Chunk(_PHOTO, (Frame(small),))])),
        lambda: large.enlarged(small, 2),
    )
    frame = Frame(scan)
    smallest = detect.find([frame])[0][-1:]
    (aligned,) = Align(_FACE_PX)([Chunk(_PHOTO, (frame,), faces=(smallest,))])
    assert isinstance(aligned, Chunk)
    ((crop,),), ((alignment,),) = aligned.crops, aligned.alignments
    restored = crop // 2 + 60
    paste = Paste(1, match_grain="off")
    chunk = replace(aligned, restored=(restored[None],), upscaled=aligned.frames)
    yield (
        "paste a face into 4 megapixels",
        lambda: pasted(paste, chunk),
        lambda: plain.pasted(frame.rgb_hwc, alignment.matrix, restored, 1),
    )


def pasted(paste: Paste, chunk: Chunk) -> None:
    """Paste the only face of a chunk, which must not be left out."""
    records = done(paste([chunk])).records
    if not records[0][0].restored:
        raise RuntimeError(f"the face was not pasted: {records[0][0]}")


def searched(detect: Detect, film: Sequence[np.ndarray]) -> list[object]:
    """The frames of a film, looked at as films are."""
    search = Search(
        lambda frame: frame,
        lambda frame, expected: detect.find([frame], () if expected is None else (expected,))[0],
        lambda frame: frame,
        sparse=True,
    )
    frames = (VideoFrame(Frame(rgb), pts=i, duration=1) for i, rgb in enumerate(film))
    with ThreadPoolExecutor(1) as pool:
        return [one.faces for one in search.frames(frames, 0, pool, 2)]


def done(replies: Sequence[Chunk | Failure]) -> Chunk:
    """The only reply, which must be no failure."""
    (reply,) = replies
    if isinstance(reply, Failure):
        raise RuntimeError(reply.message)
    return reply


def table(what: str, rows: Iterator[tuple[str, Way, Way]], rounds: int) -> None:
    """Time both ways of each row in turn, and print the table."""
    print(f"| {what} | ours | reference way | ratio |")
    print("| --- | --- | --- | --- |")
    for name, *ways in rows:
        # The first time a network is prepared for its shapes.
        taken = [[_timed(way) for way in ways] for _ in range(1 + rounds)]
        ours, reference = (min(some) for some in zip(*taken, strict=True))
        print(f"| {name} | {ours:.3g} s | {reference:.3g} s | {reference / ours:.1f} |", flush=True)


def _timed(way: Way) -> float:
    begun = sum(os.times()[:4])
    way()
    return sum(os.times()[:4]) - begun


def chosen(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    """``threads`` (set) and ``rounds`` of a benchmark of that name."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_num_threads(asked.threads)
    cv2.setNumThreads(asked.threads)
    return asked


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    table("stage", compared(), chosen("stages", arguments).rounds)

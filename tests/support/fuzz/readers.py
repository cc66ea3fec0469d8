"""Everything of ours that reads files of others, and the errors by which it may refuse them."""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from restore_batch.errors import JobFileError, MediaError, RestoreBatchError, WeightsError
from restore_batch.stages.photo.formats import catalogue

MEGAPIXELS = 50.0
_FRAMES = 12
_NEEDED = (
    "jobs.manifest", "jobs.source", "models.weights.safe_load", "pipeline.training.recipe_file",
    "stages.film.source", "stages.photo.read", "stages.photo.write",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """``read`` reads a file; one of ``refusals`` is an answer, of one line unless
    ``several_lines``, and any other exception is a fault."""

    read: Callable[[Path], None]
    refusals: tuple[type[Exception], ...]
    several_lines: bool = False


def load() -> None:
    """Import all that the readers need, without starting a thread."""
    for name in ("av", "cv2", "torch", *(f"restore_batch.{each}" for each in _NEEDED)):
        importlib.import_module(name)
    catalogue.formats()


def _photo(path: Path) -> None:
    """What plan, decode and encode do with a photo."""
    from restore_batch.stages.photo.read import probe, read
    from restore_batch.stages.photo.write import suffix_for, write

    header = probe(str(path))
    suffix = suffix_for(header.container, "keep", path.suffix)
    frame, meta, _ = read(str(path), MEGAPIXELS, target=catalogue.of_suffix(suffix))
    if frame.width * frame.height <= 1 << 20:
        out = path.with_name(f"out-{os.getpid()}{suffix}")
        try:
            write(frame, meta, out)
        finally:
            out.unlink(missing_ok=True)


def _film(path: Path) -> None:
    """What plan, index and the first pass over a segment do with a film."""
    from restore_batch.stages.film.source import index_film, read_film
    from restore_batch.stages.film.work import Reading
    from restore_batch.stages.video.probe import probe_video
    from restore_batch.stages.video.segments import cut_segments

    probe_video(str(path))
    index = index_film(str(path), 24.0)
    if index.facts.width * index.facts.height > MEGAPIXELS * 1e6:
        return
    segments = cut_segments(index, 4.0, 64 << 20, 2)
    frames = read_film(str(path), index.facts, segments[0], Reading())
    for _ in islice(frames, _FRAMES):
        pass


def _weights(path: Path) -> None:
    from restore_batch.models.weights.safe_load import read_state

    read_state(path)


def _ncnn(path: Path) -> None:
    """A pair in one file: the length of the description in four bytes, it, and the numbers."""
    from restore_batch.models.weights.ncnn import read_ncnn

    data = path.read_bytes()
    size = int.from_bytes(data[:4], "little")
    path.with_suffix(".param").write_bytes(data[4 : 4 + size])
    binary = path.with_suffix(".bin")
    binary.write_bytes(data[4 + size :])
    read_ncnn(binary)


def _job(path: Path) -> None:
    from restore_batch.jobs.source import load_job

    load_job(path)


def _recipe(path: Path) -> None:
    from restore_batch.pipeline.training.recipe_file import load_recipe

    load_recipe(path)


def _record(path: Path) -> None:
    """The record beside weights in the cache."""
    from restore_batch.models.weights.cache import read_record, record_path

    entry = path.with_suffix(".safetensors")
    shutil.copyfile(path, record_path(entry))
    read_record(entry)


def _manifest(path: Path) -> None:
    """What plan, status and run do with a manifest."""
    from restore_batch.jobs.manifest import FOLDER, Manifest

    from support.ledger import do, photo, source_facts

    output = path.with_suffix("")
    (output / FOLDER).mkdir(parents=True)
    shutil.copyfile(path, output / FOLDER / "manifest.sqlite")
    unit = photo(output, "done.png")
    reader = Manifest.read(output)
    if reader is not None:
        with reader:
            source_facts(reader, "/in/done.png", "1 2", "probe")
            list(reader.items())
            reader.counts()
            reader.last_run()
            reader.at_work()
    with Manifest.open(output) as manifest:
        manifest.recover()
        manifest.begin_run("0", "job.yaml", {}, [])
        manifest.state_of(unit, verify=True)
        do(manifest, photo(output, "new.png"), 1)
        manifest.end_run("finished")


def _h264(path: Path) -> None:
    from restore_batch.stages.video.headers.h264 import H264Headers

    data = path.read_bytes()
    for start in (None, data[:64], b"\x01" + data[:64]):
        H264Headers(start).read(data)


def _matroska(path: Path) -> None:
    """Times below zero, by our own reader."""
    from restore_batch.stages.video.headers.early_blocks import _early_times

    _early_times(path)


_MEDIA = (MediaError,)
READERS: Mapping[str, Reader] = {
    "job file": Reader(_job, (JobFileError,), several_lines=True),
    "training recipe": Reader(_recipe, (JobFileError,), several_lines=True),
    **{
        f"photo {name}": Reader(_photo, _MEDIA)
        for name in (
            "jpeg", "png", "tiff", "webp", "jpeg2000", "jpegxl", "avif", "heif", "psd", "pnm",
            "gif", "bmp", "raw", "other",
        )
    },
    **{
        f"film {name}": Reader(_film, _MEDIA)
        for name in ("mp4", "mkv", "avi", "ts", "mpg", "webm", "other")
    },
    "h264 headers": Reader(_h264, ()),
    "matroska times": Reader(_matroska, ()),
    "ncnn": Reader(_ncnn, (WeightsError,)),
    "pickle": Reader(_weights, (WeightsError,)),
    "safetensors": Reader(_weights, (WeightsError,)),
    "joblib": Reader(_weights, (WeightsError,)),
    "record of weights": Reader(_record, (WeightsError,)),
    "manifest": Reader(_manifest, (RestoreBatchError,)),
}  # fmt: skip

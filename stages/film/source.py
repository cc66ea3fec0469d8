"""Where a film comes from: a file, or a folder of numbered pictures (``reel/frame_%06d.png``)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path, PurePath

import av.error

from restore_batch.errors import MediaError
from restore_batch.jobs.numbered import follows, is_numbered
from restore_batch.stages.film.work import Reading
from restore_batch.stages.media import Frame
from restore_batch.stages.photo.source import AWAY
from restore_batch.stages.video.frame_folder import (
    FrameSequence,
    SequenceReader,
    find_sequence,
    index_frames,
    sequence_of,
)
from restore_batch.stages.video.index import VideoIndex, index_video
from restore_batch.stages.video.limits import largest_picture, refuse_large
from restore_batch.stages.video.probe import probe_video
from restore_batch.stages.video.read import FrameRangeReader
from restore_batch.stages.video.segments import cut_segments
from restore_batch.stages.video.types import FrameRange, VideoFacts, VideoFrame

_FINEST_RATE = 1001
_ANY_SIZE = float("inf")


def probe_film(source: str, frame_rate: float, max_megapixels: float = _ANY_SIZE) -> VideoFacts:
    """What its header says. ``frame_rate``: of numbered pictures. Raises MediaError, also for a
    film file whose frames are larger than ``max_megapixels``."""
    with _reading(source):
        if is_numbered(source):
            return index_frames(_sequence(source), _rate(frame_rate)).facts
        return probe_video(source, max_megapixels)


def index_film(source: str, frame_rate: float, max_megapixels: float = _ANY_SIZE) -> VideoIndex:
    """Every frame of it. Raises MediaError, also for frames larger than ``max_megapixels``."""
    with _reading(source):
        if is_numbered(source):
            index = index_frames(_sequence(source), _rate(frame_rate))
        else:
            index = index_video(source, max_megapixels)
        refuse_large(index.facts.width, index.facts.height, max_megapixels, source)
        return index


def read_film(
    source: str, facts: VideoFacts, segment: FrameRange, reading: Reading
) -> Iterable[VideoFrame]:
    """The frames of a segment, one for each of its timestamps."""
    if is_numbered(source):
        most = largest_picture(facts.width * facts.height) / 1e6
        return SequenceReader(_sequence(source), facts, segment, max_megapixels=most)
    return FrameRangeReader(
        source, facts, segment, deinterlace=reading.deinterlace, tonemap=reading.tonemap
    )


def read_frame(source: str, index: VideoIndex, number: int, reading: Reading) -> Frame:
    """The frame of that number, counted from 0, upright. Raises MediaError."""
    (look,) = cut_segments(index, 1.0, 1, 0, span=range(number, number + 1))
    (seen,) = read_film(source, index.facts, look, reading)
    return seen.frame


@contextmanager
def _reading(source: str) -> Iterator[None]:
    """Turn whatever numbers that cannot be true lead to into one line that names the film."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:  # damaged sizes ask for absurd amounts, too
        raise MediaError(f"{source}: not enough memory to read it") from error
    except (ArithmeticError, ValueError, LookupError, av.error.FFmpegError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MediaError(
            f"{source}: a damaged film, or not a film ({reason}); copy it again from where it "
            "came, or take it out of the inputs"
        ) from error


def _sequence(source: str) -> FrameSequence:
    try:
        if source.startswith(AWAY):
            from fsspec.core import url_to_fs

            folder = source.rpartition("/")[0]
            files, place = url_to_fs(folder)
            found = sequence_of(folder, map(posixpath.basename, files.ls(place, detail=False)))
        else:
            found = find_sequence(Path(source).parent)
    except OSError as error:
        raise MediaError(f"{source}: {error.strerror or error}") from None
    if found is None or not follows(found.names[0], PurePath(source).name):
        raise MediaError(
            f"{source}: expected a folder of pictures that are named so, and of no others"
        )
    return found


def _rate(frame_rate: float) -> Fraction:
    return Fraction(frame_rate).limit_denominator(_FINEST_RATE)

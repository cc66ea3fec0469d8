"""A folder of numbered pictures as a film, and a film as a folder of numbered pictures.

What scanners of film and editing programs hand over: ``frame_000001.png`` and so on, all with
one name around the number. The number is the time; a missing one is a lost frame.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path, PurePath

import numpy as np

from restore_batch.errors import MediaError
from restore_batch.files import sync_file, sync_folder
from restore_batch.jobs.numbered import NUMBERED_SUFFIXES
from restore_batch.stages.media import Frame, PhotoMeta
from restore_batch.stages.photo import read as photo_read
from restore_batch.stages.photo import write as photo_write
from restore_batch.stages.photo.source import AWAY
from restore_batch.stages.video.index import VideoIndex
from restore_batch.stages.video.types import (
    FRAME_FOLDER,
    ColourTags,
    FrameRange,
    StreamFacts,
    VideoFacts,
    VideoFrame,
)
from restore_batch.stages.video.uniform import LOST_FRAME, conform_to_first

__all__ = [
    "FrameFolderWriter",
    "FrameSequence",
    "SequenceReader",
    "find_sequence",
    "index_frames",
    "sequence_of",
]

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)")
_SRGB = ColourTags(primaries=1, transfer=13, matrix=0, full_range=True)


@dataclass(frozen=True)
class FrameSequence:
    """Numbered pictures of one folder. ``names``: of the files there are, by rising number."""

    folder: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of frames, the missing ones included."""
        return self.numbers[-1] - self.numbers[0] + 1

    @property
    def missing(self) -> int:
        return self.count - len(self.numbers)

    def path(self, name: str) -> str:
        """Of the picture of that name, as it is opened."""
        if self.folder.startswith(AWAY):
            return f"{self.folder}/{name}"
        return str(Path(self.folder, name))


def find_sequence(folder: Path) -> FrameSequence | None:
    """The film that a folder's pictures are; None where they are not one.

    They are one if there are at least two, all named alike but for the number at the end, no
    number twice, and no more numbers missing than there are pictures. Other files and hidden
    ones are overlooked. Raises OSError for what is not a readable folder.
    """
    files = (path.name for path in folder.iterdir() if _may_be_of_one(path) and path.is_file())
    return sequence_of(str(folder), files)


def sequence_of(folder: str, names: Iterable[str]) -> FrameSequence | None:
    """The same, of a folder whose files are known; also one that is ``AWAY``."""
    found: dict[int, str] = {}
    kinds = set()
    for path in sorted(map(PurePath, names)):
        if not _may_be_of_one(path):
            continue
        match = _NUMBERED.fullmatch(path.stem)
        if match is None or int(match["number"]) in found:
            return None
        kinds.add((match["prefix"], path.suffix.lower()))
        found[int(match["number"])] = path.name
    if len(found) < 2 or len(kinds) != 1 or max(found) - min(found) >= 2 * len(found):
        return None
    numbers = tuple(sorted(found))
    return FrameSequence(folder, numbers, tuple(found[number] for number in numbers))


def _may_be_of_one(path: PurePath) -> bool:
    return path.suffix.lower() in NUMBERED_SUFFIXES and not path.name.startswith(".")


def index_frames(sequence: FrameSequence, rate: Fraction) -> VideoIndex:
    """Facts and times of a sequence at ``rate`` frames a second, each frame its own keyframe.

    Size and depth are those of the first picture that can be read. Timestamps count frames from
    the first. Raises MediaError where no picture can be read or ``rate`` is not above 0.
    """
    if rate <= 0:
        raise MediaError(f"{sequence.folder}: expected a frame rate above 0, got {rate}")
    seen = _first_readable(sequence)
    warnings = []
    if sequence.missing:
        warnings.append(
            f"{sequence.missing} of {sequence.count} numbers are missing; neighbours stand in"
        )
    if seen.has_alpha:
        warnings.append("its transparency is not kept")
    bits = 16 if seen.bits > 8 else 8
    grey = "gray" if bits == 8 else "gray16le"
    colour = "rgb24" if bits == 8 else "rgb48le"
    facts = VideoFacts(
        container=FRAME_FOLDER,
        codec=seen.container,
        pix_fmt=grey if seen.channels == 1 else colour,
        width=seen.width,
        height=seen.height,
        rotation_deg=0,
        sample_aspect=Fraction(1),
        bits=bits,
        field_order="progressive",
        colour=_SRGB,
        time_base_s=1 / rate,
        frame_count=sequence.count,
        duration_s=float(sequence.count / rate),
        mean_fps=float(rate),
        streams=(StreamFacts(0, "video", seen.container),),
        video_stream=0,
        warnings=tuple(warnings),
    )
    places = np.arange(sequence.count, dtype=np.int64)
    return VideoIndex(facts, pts=places, durations=np.ones_like(places), keyframes=places)


def _first_readable(sequence: FrameSequence) -> photo_read.Probe:
    first_error: MediaError | None = None
    for name in sequence.names:
        try:
            return photo_read.probe(sequence.path(name))
        except MediaError as error:
            first_error = first_error or error
    raise MediaError(f"{sequence.folder}: none of its pictures can be read: {first_error}")


class SequenceReader:
    """The frames of a range of a sequence: like ``FrameRangeReader``, from pictures.

    Frames are upright sRGB of the first one's size and depth, without alpha. A missing or
    unreadable picture is replaced by the good one before it, at the beginning by the one after;
    its ``fault`` says so, as does that of a damaged picture and one of another size. Raises
    MediaError when no picture can be read. ``max_megapixels``: of a picture, larger ones count as
    unreadable.
    """

    def __init__(
        self,
        sequence: FrameSequence,
        facts: VideoFacts,
        frame_range: FrameRange,
        *,
        max_megapixels: float = float("inf"),
    ) -> None:
        self._sequence = sequence
        self._facts = facts
        self._range = frame_range
        self._max_megapixels = max_megapixels
        self._names = dict(zip(sequence.numbers, sequence.names, strict=True))

    def __iter__(self) -> Iterator[VideoFrame]:
        good: Frame | None = None
        for pts, duration in zip(self._range.pts, self._range.durations, strict=True):
            number = self._sequence.numbers[0] + pts
            frame, fault = self._read(number)
            good = frame or good or self._neighbour(number)
            yield VideoFrame(good, pts, duration, fault)

    def _read(self, number: int) -> tuple[Frame | None, str]:
        name = self._names.get(number)
        if name is None:
            return None, f"number {number} is missing; its neighbour stands in"
        path = self._sequence.path(name)
        try:
            frame, _, warnings = photo_read.read(path, self._max_megapixels)
        except MediaError:
            return None, LOST_FRAME
        size = self._facts.width, self._facts.height
        rgb_hwc, fault = conform_to_first(frame.rgb_hwc, size, self._facts.bits)
        damage = next((text for text in warnings if text.startswith(photo_read.DAMAGED)), "")
        return replace(frame, rgb_hwc=rgb_hwc, alpha_hw=None), fault or damage

    def _neighbour(self, number: int) -> Frame:
        """The last good frame before ``number``, else the first one after it."""
        for other in self._by_preference(number):
            frame, _ = self._read(other)
            if frame is not None:
                return frame
        raise MediaError(
            f"{self._sequence.folder}: none of its pictures can be read; expected PNG, JPEG or "
            "TIFF; copy them again from where they came"
        )

    def _by_preference(self, number: int) -> Iterable[int]:
        yield from (other for other in reversed(self._sequence.numbers) if other < number)
        yield from (other for other in self._sequence.numbers if other > number)


class FrameFolderWriter:
    """Writes ``frame_000001.png`` and so on; what stands in the folder is always whole.

    ``digits``: of the number, filled with zeros. ``suffix``: names the format (.png, .tif, .jpg);
    deep frames become 16 bits where it holds them. Equal frames give equal bytes.
    """

    def __init__(self, folder: Path, digits: int = 6, suffix: str = ".png") -> None:
        """Creates the folder. Raises ValueError for a suffix no sequence is written with."""
        if suffix.lower() not in NUMBERED_SUFFIXES or digits < 1:
            known = ", ".join(sorted(NUMBERED_SUFFIXES))
            raise ValueError(f"frames as {suffix!r} with {digits} digits: expected one of {known}")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._digits = digits
        self._suffix = suffix

    def path(self, number: int) -> Path:
        """Where frame ``number`` (from 1) stands."""
        return self._folder / f"frame_{number:0{self._digits}}{self._suffix}"

    def write(self, frame: Frame, number: int) -> tuple[str, ...]:
        """Write one frame, replacing what stood there; the file is fsynced and then renamed.

        Returns warnings: what the format cannot hold. Raises MediaError when it cannot be written.
        """
        final = self.path(number)
        partial = final.with_name(f".partial-{final.name}")
        bits = 8 * frame.rgb_hwc.itemsize
        try:
            warnings = photo_write.write(frame, PhotoMeta(container="png", bits=bits), partial)
            sync_file(partial)
            partial.replace(final)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise MediaError(f"{final}: cannot be written: {error.strerror or error}") from error
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        return warnings

    def close(self) -> None:
        """Make the new names durable. Frames can still be written afterwards."""
        sync_folder(self._folder)

"""Matroska's times below zero, which FFmpeg leaves out.

A block counts its time from its cluster's, at the usual scale up to 32.768 s back (RFC 9559,
section 10). Where that leads below zero, FFmpeg's reader gives a packet without a time, though the
file has one: a film cut by copying begins so, as do captures whose clock was set afterwards.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from restore_batch.files import open_regular
from restore_batch.stages.video.headers.matroska import LONGEST_HEADER, read_element_header

__all__ = ["early_begin_ticks", "with_early_times"]

# Elements that are entered; all others are passed over.
_SEGMENT, _INFO, _TRACKS, _TRACK = 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE
_CLUSTER, _GROUP = 0x1F43B675, 0xA0
_ENTERED = frozenset({_SEGMENT, _INFO, _TRACKS, _TRACK, _CLUSTER, _GROUP})
_SCALE, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_DELAY = 0x2AD7B1, 0xD7, 0x83, 0x56AA
_CLUSTER_TIME, _SIMPLE_BLOCK, _BLOCK = 0xE7, 0xA3, 0xA1
_VALUES = frozenset({_SCALE, _TRACK_NUMBER, _TRACK_TYPE, _CODEC_DELAY, _CLUSTER_TIME})
# Of these kinds FFmpeg makes streams, in the order of the file: picture, sound, text, data.
_STREAMS = frozenset({1, 2, 0x11, 0x21})
_USUAL_SCALE_NS = 1_000_000
_FURTHEST_BACK = 1 << 15
_BLOCK_HEADER = 12
_LONGEST_NUMBER = 8
_LACED = 0x06

Times = dict[int, list[int | None]]
"""Number of a stream → times of its packets below zero, in its units and in order; None for those
inside a block with several, whose first has the time."""


def with_early_times(
    container: InputContainer, packets: Iterable[av.Packet]
) -> Iterator[av.Packet]:
    """The same packets, read from the start of ``container``; those below zero have their times."""
    if not container.format.name.startswith("matroska"):
        yield from packets
        return
    waiting: dict[int, deque[int | None]] | None = None
    for packet in packets:
        # Where nothing is reordered, FFmpeg makes times up that are below zero.
        if (packet.pts is None or packet.pts < 0) and packet.size:
            if waiting is None:
                found = _early_times(Path(container.name))
                waiting = {index: deque(times) for index, times in found.items()}
            times = waiting.get(packet.stream_index)
            if times:
                packet.pts = times.popleft()
                if packet.stream.type != "video":
                    packet.dts = packet.pts
        yield packet


def early_begin_ticks(container: InputContainer) -> dict[int, int]:
    """Number of a stream → its first time, for those of a Matroska file that begin below zero."""
    if not container.format.name.startswith("matroska"):
        return {}
    found = _early_times(Path(container.name))
    known = {i: [time for time in times if time is not None] for i, times in found.items()}
    return {index: min(times) for index, times in known.items() if times}


@dataclass
class _Track:
    number: int = 0
    kind: int = 0
    delay_ns: int = 0
    early: list[int | None] = field(default_factory=list)


def _early_times(path: Path) -> Times:
    """Everything below zero that the first clusters of a file hold; what can be read of them."""
    tracks: list[_Track] = []
    try:
        with open_regular(path) as file:
            _scan(file, tracks)
    except (OSError, IndexError):
        pass  # cut off or damaged: what was found before is what there is
    streams = [track for track in tracks if track.kind in _STREAMS]
    return {index: track.early for index, track in enumerate(streams) if track.early}


def _scan(file: BinaryIO, tracks: list[_Track]) -> None:
    scale_ns, cluster = _USUAL_SCALE_NS, 0
    at, end = 0, file.seek(0, 2)
    while at < end:
        file.seek(at)
        head = file.read(LONGEST_HEADER)
        identifier, header, size = read_element_header(head)
        if identifier == _TRACK:
            tracks.append(_Track())
        elif identifier in _VALUES:
            file.seek(at + header)
            value = int.from_bytes(file.read(max(0, min(size, _LONGEST_NUMBER))), "big")
            if identifier == _SCALE:
                scale_ns = value
            elif identifier == _CLUSTER_TIME:
                cluster = value if size < 8 or value < 1 << 63 else value - (1 << 64)
                if cluster > _FURTHEST_BACK:
                    return
            elif tracks:
                _describe(tracks[-1], identifier, value)
        elif identifier in (_SIMPLE_BLOCK, _BLOCK):
            file.seek(at + header)
            _note(tracks, file.read(_BLOCK_HEADER), cluster, scale_ns)
        at += header if identifier in _ENTERED else header + max(size, 0)


def _describe(track: _Track, identifier: int, value: int) -> None:
    if identifier == _TRACK_NUMBER:
        track.number = value
    elif identifier == _TRACK_TYPE:
        track.kind = value
    elif identifier == _CODEC_DELAY:
        track.delay_ns = value


def _note(tracks: list[_Track], block: bytes, cluster: int, scale_ns: int) -> None:
    """A block begins with the track's number, its time from the cluster's, and flags."""
    wide = 9 - block[0].bit_length()
    number = int.from_bytes(block[:wide], "big") - (1 << 7 * wide)
    time = cluster + int.from_bytes(block[wide : wide + 2], "big", signed=True)
    track = next((each for each in tracks if each.number == number), None)
    if track is None or time >= 0 or cluster < 0:
        return
    laced = block[wide + 3] if block[wide + 2] & _LACED else 0
    track.early += [time - round(track.delay_ns / scale_ns), *[None] * laced]

"""What is written beside the picture: the packets of all streams that are carried, in the order of
the source. Damage costs what it has hit, and is counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
from av.container import InputContainer

from restore_batch.stages.video.headers.early_blocks import with_early_times
from restore_batch.stages.video.streams.carried import CarriedStreams
from restore_batch.stages.video.streams.carriers import Carrier
from restore_batch.text import plural

__all__ = ["packets_beside"]

# A demuxer may report damage and go on behind it; after this many reports in a row it will not.
_MAX_STUMBLES = 100


def packets_beside(
    source: InputContainer,
    carried: CarriedStreams,
    span_s: tuple[Fraction, Fraction] | None = None,
) -> Iterator[av.Packet]:
    """Of ``span_s`` alone where that is given. ``carried.warnings`` is complete at the end.

    Raises ChangedSoundError for sound that turns out not to be what its beginning said.
    """
    carriers = carried.carriers
    for packet in _demuxed(source, carried, span_s):
        if packet.dts is not None:
            time_s = float(packet.dts * packet.time_base)
            for waiting in carriers.values():
                yield from _written(waiting, waiting.until(time_s))
        carrier = carriers[packet.stream.index]
        yield from _written(carrier, carrier.packets(packet))
    for index, carrier in carriers.items():
        yield from _written(carrier, carrier.flush())
        if carrier.unreadable:
            packets = plural(carrier.unreadable, "packet")
            carrier.remarks.append(f"{packets} cannot be read, left out")
        carried.warnings += [f"{carried.name(index)}: {remark}" for remark in carrier.remarks]


def _written(carrier: Carrier, packets: Iterable[av.Packet]) -> list[av.Packet]:
    """What a carrier gives; damage is counted."""
    try:
        return list(packets)
    except (av.FFmpegError, ValueError):
        carrier.unreadable += 1
        return []


def _demuxed(
    source: InputContainer, carried: CarriedStreams, span_s: tuple[Fraction, Fraction] | None
) -> Iterator[av.Packet]:
    wanted = [source.streams[index] for index in carried.carriers]
    time_s, stumbles, places = 0.0, 0, list[float]()
    while wanted and stumbles < _MAX_STUMBLES:
        try:
            for packet in with_early_times(source, source.demux(wanted)):
                stumbles = 0
                if packet.dts is not None:
                    time_s = float(packet.dts * packet.time_base)
                if span_s is None or span_s[0] <= time_s < span_s[1]:
                    yield packet
            break
        except IndexError:
            # PyAV at the end of a file in which a stream turned up late: it has no object for it.
            late = "a stream that the beginning of the file does not announce is left out"
            carried.warnings.append(late)
            break
        except av.FFmpegError as error:
            stumbles += 1
            if stumbles == 1:
                places.append(time_s)
            if isinstance(error, OSError) or stumbles == _MAX_STUMBLES:
                reason = error.strerror or error
                carried.warnings.append(
                    f"the source is damaged at {places.pop():.1f} s, where its sound and subtitles"
                    f" end: {reason}"
                )
                break
    if places:
        carried.warnings.append(
            f"the source is damaged at {places[0]:.1f} s"
            + f" and in {plural(len(places) - 1, 'other place')}" * (len(places) > 1)
            + ": what lies there of its sound and subtitles is left out"
        )

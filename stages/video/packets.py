"""The packets of one stream, numbered in file order, however often the demuxer stumbles."""

from __future__ import annotations

from collections.abc import Iterator

import av
import av.error
from av.container import InputContainer

# A demuxer may report damage and go on behind it; after this many reports in a row it will not.
_MAX_STUMBLES = 100


def numbered_packets(
    container: InputContainer, stream: av.VideoStream
) -> Iterator[tuple[int, av.Packet]]:
    """(number, packet) of every packet of ``stream`` that has data, from where the file stands.

    Numbers count from 0 and are the same in every pass that begins at the file's start, so that
    a number names a packet where timestamps cannot.
    """
    number = 0
    for packet in packets_of(container, stream):
        if packet.stream_index == stream.index:
            yield number, packet
            number += 1


def packets_of(
    container: InputContainer, stream: av.VideoStream | None = None
) -> Iterator[av.Packet]:
    """All packets with data (of ``stream``, if given); damaged places are stepped over.

    Raises OSError when the file itself cannot be read any more.
    """
    stumbles = 0
    while stumbles < _MAX_STUMBLES:
        try:
            for packet in container.demux(*([] if stream is None else [stream])):
                if packet.size:
                    stumbles = 0
                    yield packet
        except av.error.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            stumbles += 1
        except IndexError:
            # PyAV at the end of a file in which a stream turned up late, as in broadcasts: it has
            # no object for that stream. All packets of the others were given by then.
            return
        else:
            return

"""Which packets give frames, and in which order, found out by decoding: slow but always right."""

from __future__ import annotations

import av
import av.error
import numpy as np

from restore_batch.stages.video.packets import numbered_packets
from restore_batch.stages.video.probe import open_video, video_stream


def shown_packets(source: str, limit: int | None = None) -> np.ndarray:
    """The number of the packet behind every frame that the decoder gives, in order of presentation.

    Numbers are those of :func:`numbered_packets`; (N,) int64. Only the first ``limit`` packets
    are decoded, if given. Pictures that cannot be decoded are missing. Raises MediaError as
    :func:`open_video` does.
    """
    numbers: list[int] = []
    with open_video(source) as container:
        stream = video_stream(container, source)
        stream.codec_context.thread_type = "AUTO"
        for number, packet in numbered_packets(container, stream):
            if number == limit:
                break
            # A decoder hands a packet's time on to the frame; it does not look at it.
            packet.pts = number
            numbers += _decoded(stream, packet)
        numbers += _decoded(stream, None)
    return np.array(numbers, np.int64)


def _decoded(stream: av.VideoStream, packet: av.Packet | None) -> list[int]:
    try:
        return [frame.pts for frame in stream.decode(packet) if frame.pts is not None]
    except av.error.FFmpegError:  # a damaged picture; the next ones may be fine
        return []

"""Peak memory of a long film against that of a short one, over all processes.

    python benchmarks/film_memory.py                     # 1 and 10 minutes of 640×360
    python benchmarks/film_memory.py --minutes 1 60 --engine local

Makes the films, restores each with nothing but the pipeline (no faces, size kept), and prints
both peaks and their ratio. Exits with 1 where the long film takes over a tenth more. Linux only.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from peak_memory import watch

RATE, SIZE = 25, (640, 360)
MOST = 1.10


def minute() -> list[av.Packet]:
    """The coded pictures of one minute: a soft pattern that drifts."""
    width, height = SIZE
    coder = av.CodecContext.create("mpeg4", "w")
    assert isinstance(coder, av.VideoCodecContext)
    coder.width, coder.height, coder.pix_fmt = width, height, "yuv420p"
    coder.time_base, coder.framerate, coder.gop_size = Fraction(1, RATE), Fraction(RATE), RATE
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    packets: list[av.Packet] = []
    for number in range(60 * RATE):
        luma = 128 + 80 * np.sin(2 * np.pi * (x + y + number / (60 * RATE)))
        planes = np.full((height * 3 // 2, width), 128, np.uint8)
        planes[:height] = luma
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = number
        packets += coder.encode(frame)
    return packets + coder.encode(None)


def write_film(path: Path, packets: list[av.Packet], minutes: int) -> None:
    """The same minute again and again."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=RATE)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(minutes):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = copy.dts = (packet.pts or 0) + number * 60 * RATE
                copy.time_base, copy.duration = Fraction(1, RATE), 1
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                output.mux(copy)


def peak_bytes(film: Path, engine: str) -> int:
    """The largest sum of proportional set sizes while ``film`` is restored."""
    job = film.with_suffix(".yaml")
    settings = {
        "inputs": [str(film)],
        "output": str(film.with_suffix("")),
        "engine": {"kind": engine},
        "restore": {"model": "none"},
        "background": {"model": "none", "scale": 1},
        "video": {"preset": "ultrafast"},
    }
    job.write_text(json.dumps(settings))
    program = Path(sys.executable).with_name("restore-batch")
    peak, code = watch([str(program), "run", str(job), "--quiet"])
    if code:
        raise SystemExit(f"restore-batch ended with {code}")
    return sum(peak.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, nargs=2, default=(1, 10), metavar=("SHORT", "LONG"))
    parser.add_argument("--engine", choices=("ray", "local"), default="ray")
    arguments = parser.parse_args()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        packets = minute()
        for minutes in arguments.minutes:
            film = Path(folder) / f"{minutes}min.mp4"
            write_film(film, packets, minutes)
            began = time.monotonic()
            peaks.append(peak_bytes(film, arguments.engine))
            print(
                f"{minutes} min: peak {peaks[-1] / 2**20:.0f} MiB over all processes,"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.3f} (at most {MOST:g})")
    return int(ratio > MOST)


if __name__ == "__main__":
    sys.exit(main())

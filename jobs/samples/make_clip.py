"""Make the sample film: two seconds of a portrait, as a hand-held home movie with a beat.

    python jobs/samples/make_clip.py [file]

The picture comes with scikit-image and is free of copyright (README.md beside this file). All
chance is seeded: the same pixels and samples go to the encoders every time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange
from degrade import blur, dyes, fade, grain, load, store, vignette, wear
from PIL import Image

FILENAME = "home_movie.mp4"
WIDTH_PX, HEIGHT_PX = 320, 240
FRAME_RATE = 25
FRAMES = 50
SAMPLE_RATE_HZ = 48_000
BEAT_S = 0.5
BEAT_PITCHES_HZ = (440.0, 554.4, 659.3, 880.0)
"""One for every beat, so that each says which it is."""


def frames() -> Iterator[np.ndarray]:
    """The pictures in order, each (240, 320, 3) uint8 sRGB."""
    from skimage import data

    portrait = data.astronaut()
    rng = np.random.default_rng(1966)
    flicker = 1.0 + 0.035 * rng.standard_normal(FRAMES)
    scratch_x = 231.0 + np.cumsum(rng.normal(0.0, 0.5, FRAMES))
    for number in range(FRAMES):
        picture = blur(load(seen(portrait, number)), 1.2)
        picture = dyes(picture, cyan=0.64, magenta=0.84, yellow=0.86)
        picture = vignette(picture, 0.3) * flicker[number]
        # The chromatic part is weaker: every dye layer has grain of its own.
        picture = grain(picture, rng, 0.035)
        picture += 0.012 * rng.standard_normal(picture.shape)
        if 12 <= number < 37:
            picture = scratched(picture, float(scratch_x[number]))
        picture = wear(fade(picture, 0.07, 0.95), rng, scratches=0, specks=int(rng.poisson(1.2)))
        yield store(picture)


def seen(portrait: np.ndarray, number: int) -> np.ndarray:
    """What the camera sees: a slow pan and zoom by hand, and the film's weave in the gate.

    ``portrait`` is (512, 512, 3) uint8; so is the result, in the size of the film.
    """
    time_s = number / FRAME_RATE
    done = number / (FRAMES - 1)
    swing = 2.0 * np.pi * time_s
    # Pixels of the portrait to a pixel of the film: it comes nearer.
    zoom = 1.12 - 0.16 * done * done * (3.0 - 2.0 * done)
    centre_x = 214.0 + 20.0 * done + 2.6 * np.sin(1.3 * swing) + 1.1 * np.sin(2.9 * swing + 1.0)
    centre_y = 138.0 - 10.0 * done + 2.2 * np.sin(1.7 * swing + 2.0) + 0.8 * np.sin(3.7 * swing)
    weave = np.random.default_rng((1966, number)).normal(0.0, 0.25, 2)
    turn = np.deg2rad(1.2 * np.sin(0.6 * swing) + 0.4 * np.sin(2.1 * swing + 0.5))
    across = zoom * np.cos(turn), -zoom * np.sin(turn)
    down = zoom * np.sin(turn), zoom * np.cos(turn)
    middle_x, middle_y = WIDTH_PX / 2, HEIGHT_PX / 2
    matrix = (
        *across,
        centre_x + weave[0] - across[0] * middle_x - across[1] * middle_y,
        *down,
        centre_y + weave[1] - down[0] * middle_x - down[1] * middle_y,
    )
    image = Image.fromarray(portrait)
    size = (WIDTH_PX, HEIGHT_PX)
    turned = image.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.asarray(turned)


def scratched(picture: np.ndarray, at_x: float) -> np.ndarray:
    """A faint bright line from top to bottom, as a grain of sand in the projector leaves it."""
    line = np.clip(0.9 - np.abs(np.arange(picture.shape[1]) - at_x), 0.0, 1.0)
    return picture + 0.16 * line[None, :, None]


def sound() -> np.ndarray:
    """(N,) int16 mono: every half second, from 0 s on, a beat of 80 ms over a quiet hum."""
    time_s = np.arange(FRAMES * SAMPLE_RATE_HZ // FRAME_RATE) / SAMPLE_RATE_HZ
    since_s = time_s % BEAT_S
    pitch_hz = np.take(BEAT_PITCHES_HZ, (time_s // BEAT_S).astype(int))
    edge = np.clip(np.minimum(since_s, 0.08 - since_s) / 0.004, 0.0, 1.0)
    beat = 0.5 * edge * np.sin(2.0 * np.pi * pitch_hz * since_s)
    return np.rint(32767 * (beat + 0.01 * np.sin(2.0 * np.pi * 60.0 * time_s))).astype(np.int16)


def write(path: Path) -> None:
    """Encode H.264 and AAC to the MP4 file ``path``."""
    muxing = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", options=muxing) as output:
        output.metadata["title"] = "Home movie, sample film of restore-batch"
        output.metadata["copyright"] = "Public domain (NASA)"
        video = output.add_stream("libx264", rate=FRAME_RATE)
        video.width, video.height, video.pix_fmt = WIDTH_PX, HEIGHT_PX, "yuv420p"
        video.gop_size = FRAME_RATE
        video.codec_context.thread_count = 1
        # BT.601, 625 lines: the code points of ITU-T H.273.
        video.color_primaries, video.color_trc, video.colorspace = 5, 6, 5
        video.color_range = int(ColorRange.MPEG)
        video.options = {"crf": "23", "preset": "slow", "x264-params": "mbtree=0"}
        audio = output.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono", bit_rate=64_000)
        packets: list[av.Packet] = []
        for number, rgb in enumerate(frames()):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG", threads=1
            )
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
            packets += video.encode(frame)
        packets += video.encode(None)
        block = av.AudioFrame.from_ndarray(sound()[None], format="s16", layout="mono")
        block.sample_rate, block.pts = SAMPLE_RATE_HZ, 0
        packets += [*audio.encode(block), *audio.encode(None)]
        packets.sort(key=lambda packet: (packet.dts or 0) * packet.time_base)
        output.mux(packets)


def main() -> None:
    default = Path(__file__).resolve().parent / "video" / FILENAME
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    print(f"{path}  {FRAMES} frames {WIDTH_PX}x{HEIGHT_PX}  {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""What whole jobs cost, beside the reference way (:mod:`benchmarks.reference`), in one run.

    python -m benchmarks jobs [--threads 1] [--rounds 2]

Both read the original and write a result; ours plans, commits and keeps a manifest besides. The
restorer is compact-1.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np

import restore_batch as rb
from benchmarks.reference import Reference
from benchmarks.stages import FILM, Way, chosen, film_frames, megapixels, table

_SCALE = 2


def compared(folder: Path, threads: int) -> Iterator[tuple[str, Way, Way]]:
    """What is restored, our way, the reference way."""
    picture = folder / "portrait.png"
    cv2.imwrite(str(picture), megapixels("portrait_print.jpg", 0.05)[:, :, ::-1])
    network = Reference(enlarger="realesrgan-x4plus")

    def photo() -> None:
        rgb = np.asarray(cv2.imread(str(picture)))[:, :, ::-1]
        result = network.restored(rgb, _SCALE)
        cv2.imwrite(str(folder / "reference.png"), result[:, :, ::-1])

    yield (
        "a photo of 0.05 megapixels, photo-2",
        lambda: ours(folder, picture, "photo-2", threads),
        photo,
    )
    plain = Reference()

    def film() -> None:
        with av.open(str(folder / "reference.mp4"), "w") as result:
            stream = result.add_stream("libx264", 25)
            for position, rgb in enumerate(film_frames(1 << 20)):
                frame = av.VideoFrame.from_ndarray(plain.restored(rgb, _SCALE), format="rgb24")
                if position == 0:
                    stream.width, stream.height = frame.width, frame.height
                    stream.pix_fmt = "yuv420p"
                result.mux(stream.encode(frame))
            result.mux(stream.encode())

    yield "the sample film", lambda: ours(folder, FILM, "none", threads), film


def ours(folder: Path, source: Path, background: str, threads: int) -> None:
    """Restore one file as a job does."""
    with tempfile.TemporaryDirectory(dir=folder) as output:
        summary = rb.run(
            {
                "inputs": [str(source)],
                "output": output,
                "engine": {"kind": "local", "workers": 1, "threads": threads},
                "restore": {"model": "compact-1"},
                "background": {"model": background, "scale": _SCALE},
                "report": False,
            }
        )
    if summary.done != 1:
        raise RuntimeError(f"{source} was not restored: {summary}")


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    asked = chosen("jobs", arguments)
    with tempfile.TemporaryDirectory() as folder:
        table("job", compared(Path(folder), asked.threads), asked.rounds)

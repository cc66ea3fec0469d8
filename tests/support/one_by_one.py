"""Restores files one by one in a process of their own, and says of each what came of it.

    python -m support.one_by_one FOLDER < names of files, a line each

A line of JSON a file: see :class:`Fate`. The process stands for the driver and its workers at once.
"""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fate:
    """``outcome``: done, failed, refused (as a whole), died or hung. ``words``: all that was said.
    ``peak_mb``: memory above what the process had before."""

    file: str
    outcome: str
    words: tuple[str, ...]
    seconds: float = 0.0
    peak_mb: float = 0.0


def fates(files: Sequence[Path], folder: Path, patience_s: float = 60.0) -> Iterator[Fate]:
    """What comes of each file; a process that dies or hangs is replaced."""
    left = list(files)
    while left:
        # Unbuffered: select sees nothing of a line that lies in a buffer already.
        with tempfile.TemporaryFile() as noise, subprocess.Popen(
            [sys.executable, "-m", "support.one_by_one", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise, bufsize=0,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write("".join(f"{path}\n" for path in left).encode())
            process.stdin.close()
            first = True
            while left:
                # The first answer also waits for the imports.
                limit_s = patience_s + (60 if first else 0)
                ready, _, _ = select.select([process.stdout], [], [], limit_s)
                line = process.stdout.readline() if ready else b""
                if not ready:
                    process.kill()
                    yield Fate(str(left.pop(0)), "hung", ())
                    break
                if not line:
                    code = process.wait()
                    noise.seek(0)
                    words = (noise.read().decode(errors="replace"),)
                    yield Fate(str(left.pop(0)), f"died {code}", words)
                    break
                first = False
                yield Fate(**json.loads(line) | {"words": tuple(json.loads(line)["words"])})
                left.pop(0)


def _memory_mb(field: str) -> float:
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0]) / 1024


def _fate(path: Path, folder: Path) -> Fate:
    import restore_batch as rb
    from restore_batch.errors import RestoreBatchError

    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = _memory_mb("VmRSS")
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.monotonic()
    job = {
        "inputs": [str(path)],
        "output": str(folder / path.stem),
        "engine": {"kind": "local"},
        "detect": {"model": "none"},
        "restore": {"model": "none"},
        "background": {"model": "none", "scale": 1},
        "video": {"preset": "ultrafast"},
    }
    try:
        summary = rb.run(job)
        words = [reason for _, _, reason in summary.failed] + [w for _, w in summary.warned]
        outcome = "failed" if summary.failed else "done"
        if summary.aborted:
            outcome, words = "aborted", [summary.aborted]
    except RestoreBatchError as error:
        outcome, words = "refused", list(error.lines)
    seconds = time.monotonic() - began
    peak = _memory_mb("VmHWM") - before
    return Fate(str(path), outcome, tuple(words), round(seconds, 2), round(peak, 1))


if __name__ == "__main__":
    import torch  # noqa: F401 - not to be counted for the first file

    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for name in sys.stdin:
        fate = _fate(Path(name.removesuffix("\n")), Path(sys.argv[1]))
        print(json.dumps(asdict(fate)), file=out, flush=True)

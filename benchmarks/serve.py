"""What it costs a run that browsers look on.

    python -m benchmarks.serve [--photos 60] [--browsers 10] [--rounds 2]

The same job alone and with `restore-batch serve` beside it, in turn. Each reader does what a page
does: loads it with all lines, looks at a dozen cards and opens one, then listens; and begins again
after half a minute. What the readers themselves take is left out: browsers are on other machines.
CPU seconds are told beside seconds, since on a machine that does other things only they mean
anything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIZE = (1500, 1000)
_CARDS = 12
_AGAIN_S = 30.0
_PROGRAM = Path(sys.executable).with_name("restore-batch")


@dataclass
class Cost:
    """``cpu_s``: of a process and its children."""

    wall_s: float
    cpu_s: float


@dataclass
class Reader:
    """One page. ``loads``: how often it was loaded; ``heard``: lines of news."""

    address: str
    loads: int = 0
    bytes: int = 0
    heard: int = 0

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=120) as answer:
            content: bytes = answer.read()
        self.bytes += len(content)
        return content

    def read(self, ended: threading.Event) -> None:
        """Look on until the run has ended."""
        while not ended.is_set():
            with contextlib.suppress(OSError):
                self.look(ended)

    def look(self, ended: threading.Event) -> None:
        """Load the page, look at some of it, listen for a while."""
        page = self.get("").decode()
        self.loads += 1
        found = re.search(r'id="told">(.*?)</script>', page)
        assert found is not None
        told = json.loads(found[1])
        for script in re.findall(r'src="((?:assets|data)/[^"]*)"', page):
            text = self.get(script).decode()
            if "/lines-0" in script:
                self.look_at(json.loads(text[text.index("[") : text.rindex("]") + 1]), told)
        live = told["live"]
        begun = time.monotonic()
        events = f"events?of={live['generation']}&since={live['sequence']}"
        with urllib.request.urlopen(self.address + events, timeout=60) as news:
            while time.monotonic() - begun < _AGAIN_S and not ended.is_set():
                self.bytes += len(news.readline())
                self.heard += 1

    def look_at(self, lines: list[dict[str, Any]], told: dict[str, Any]) -> None:
        """The first cards, and one of them opened."""
        shown = [(number, line) for number, line in enumerate(lines) if "preview" in line]
        for _, line in shown[-_CARDS:]:
            with contextlib.suppress(OSError):
                self.get(f"{line['preview']}-thumb.jpg")
        if shown:
            self.get(f"{told['data']}/details-{shown[-1][0]}.js")


def ended(process: subprocess.Popen[str], began: float) -> Cost:
    """What a process took, once it has ended."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.args
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime)


def run(job: Path, output: Path) -> subprocess.Popen[str]:
    command = [_PROGRAM, "run", job, "--quiet", "--set", f"output={output}"]
    return subprocess.Popen([*map(str, command)], text=True)


def alone(job: Path, output: Path) -> Cost:
    """The run by itself."""
    began = time.monotonic()
    return ended(run(job, output), began)


def looked_at(job: Path, output: Path, browsers: int) -> tuple[Cost, Cost, list[Reader]]:
    """The run, the server beside it, and who looked on."""
    began = time.monotonic()
    going = run(job, output)
    while not (output / ".restore-batch" / "manifest.sqlite").exists():
        time.sleep(0.05)
    server = subprocess.Popen(
        [str(_PROGRAM), "serve", str(output)], text=True, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    address = server.stdout.readline().rpartition(": ")[2].strip()
    over = threading.Event()
    readers = [Reader(address) for _ in range(browsers)]
    threads = [threading.Thread(target=reader.read, args=[over]) for reader in readers]
    for thread in threads:
        thread.start()
    cost = ended(going, began)
    over.set()
    for thread in threads:
        thread.join()
    server.send_signal(signal.SIGINT)
    return cost, ended(server, began), readers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    random = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(arguments.photos):
            coarse = random.integers(0, 255, (25, 40, 3), np.uint8)
            picture = Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC)
            picture.save(folder / "in" / f"{number:04}.jpg", quality=92)
        job = folder / "job.yaml"
        described = {
            "inputs": ["in"], "output": "out", "report": False, "engine": {"kind": "local"},
            "restore": {"model": "none"}, "background": {"model": "none", "scale": 2},
        }  # fmt: skip
        job.write_text(json.dumps(described), encoding="utf-8")
        for turn in range(arguments.rounds):
            cost = alone(job, folder / f"alone{turn}")
            print(f"alone: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU seconds", flush=True)
            cost, server, readers = looked_at(job, folder / f"seen{turn}", arguments.browsers)
            loads, heard = (sum(getattr(r, of) for r in readers) for of in ("loads", "heard"))
            print(
                f"looked at by {arguments.browsers}: {cost.wall_s:.1f} s, {cost.cpu_s:.1f} CPU"
                f" seconds; the server and its previews {server.cpu_s:.1f},"
                f" {100 * server.cpu_s / cost.cpu_s:.1f} % of the run's; {loads} pages loaded,"
                f" {heard} lines of news heard, {sum(r.bytes for r in readers) / 1e6:.1f} MB sent",
                flush=True,
            )


if __name__ == "__main__":
    main()

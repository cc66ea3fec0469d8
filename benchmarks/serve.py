"""What it costs a run that browsers look on.

    python -m benchmarks.serve [--photos 240] [--browsers 10] [--rounds 2] [--chromium]

The same job alone and with `restore-batch serve` beside it, in turn, each first in half of the
rounds. A reader does over HTTP what a page does: loads it with all lines, looks at a dozen cards
and opens one, then hears the news; and begins again after half a minute. Ten Chromiums would take
the cores of the run themselves, while browsers are on other machines: with `--chromium` one of the
readers is one. Processor seconds are told beside seconds, since on a machine that does other things
only they mean anything; those of the readers are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_SIZE = (1500, 1000)
_CARDS = 12
_AGAIN_S = 30.0
_PROGRAM = Path(sys.executable).with_name("restore-batch")


@dataclass(frozen=True)
class Cost:
    """``cpu_s``: of a process and its children."""

    wall_s: float
    cpu_s: float


@dataclass
class Reader:
    """One page. ``loads``: how often it was loaded; ``heard``: pieces of news."""

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
                line = news.readline()
                self.bytes += len(line)
                self.heard += line.startswith(b"data:")

    def look_at(self, lines: list[dict[str, Any]], told: dict[str, Any]) -> None:
        """The first cards, and one of them opened."""
        shown = [(number, line) for number, line in enumerate(lines) if "preview" in line]
        for _, line in shown[-_CARDS:]:
            self.get(f"{line['preview']}-thumb.jpg")
        if shown:
            number, line = shown[-1]
            self.get(f"{told['data']}/details-{number}.js")
            for half in ("before", "after"):
                self.get(f"{line['preview']}-{half}.jpg")


def ended(process: subprocess.Popen[str], began: float) -> Cost:
    """What a process took, once it has ended."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args} ended with {process.returncode}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime)


def run(job: Path, output: Path) -> subprocess.Popen[str]:
    command = [_PROGRAM, "run", job, "--quiet", "--set", f"output={output}"]
    return subprocess.Popen([*map(str, command)], text=True)


def alone(job: Path, output: Path) -> Cost:
    """The run by itself."""
    began = time.monotonic()
    return ended(run(job, output), began)


def looked_at(
    job: Path, output: Path, browsers: int, *, chromium: bool
) -> tuple[Cost, Cost, list[Reader]]:
    """The run, the server beside it, and who looked on."""
    began = time.monotonic()
    going = run(job, output)
    while not (output / ".restore-batch" / "manifest.sqlite").exists():
        time.sleep(0.05)
    server_began = time.monotonic()
    server = subprocess.Popen(
        [str(_PROGRAM), "serve", str(output)], text=True, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    address = server.stdout.readline().rpartition(": ")[2].strip()
    if not address:
        raise SystemExit("nothing is served")
    over = threading.Event()
    readers = [Reader(address) for _ in range(browsers - chromium)]
    threads = [threading.Thread(target=reader.read, args=[over]) for reader in readers]
    for thread in threads:
        thread.start()
    with page_of(address) if chromium else contextlib.nullcontext():
        cost = ended(going, began)
    over.set()
    for thread in threads:
        thread.join()
    server.send_signal(signal.SIGINT)
    return cost, ended(server, server_began), readers


@contextlib.contextmanager
def page_of(address: str) -> Iterator[None]:
    """A Chromium that has the page open."""
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as driver,
        driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        ) as browser,
    ):
        browser.new_page().goto(address)
        yield


def originals(folder: Path, count: int) -> None:
    """Pictures without faces."""
    random = np.random.default_rng(7)
    folder.mkdir()
    for number in range(count):
        coarse = random.integers(0, 255, (25, 40, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04}.jpg", quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=240)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--chromium", action="store_true")
    asked = parser.parse_args()
    ratios: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals(folder / "in", asked.photos)
        job = folder / "job.yaml"
        described = {
            "inputs": ["in"], "output": "out", "engine": {"kind": "local"},
            "restore": {"model": "none"}, "background": {"model": "none", "scale": 2},
        }  # fmt: skip
        job.write_text(json.dumps(described), encoding="utf-8")
        for turn in range(asked.rounds):
            by_itself = alone(job, folder / f"alone{turn}") if turn % 2 == 0 else None
            seen, server, readers = looked_at(
                job, folder / f"seen{turn}", asked.browsers, chromium=asked.chromium
            )
            by_itself = by_itself or alone(job, folder / f"alone{turn}")
            for output in (f"alone{turn}", f"seen{turn}"):
                shutil.rmtree(folder / output)
            loads, heard = (sum(getattr(r, of) for r in readers) for of in ("loads", "heard"))
            each = server.cpu_s / asked.browsers / (server.wall_s / 60)
            print(f"alone:     {by_itself.wall_s:6.1f} s, {by_itself.cpu_s:6.1f} CPU seconds")
            print(f"looked at: {seen.wall_s:6.1f} s, {seen.cpu_s:6.1f} CPU seconds")
            print(
                f"server:    {server.cpu_s:.1f} CPU seconds,"
                f" {100 * server.cpu_s / seen.cpu_s:.1f} % of the run's, {each:.2f} a browser and"
                f" minute; {loads} pages loaded, {heard} pieces of news heard,"
                f" {sum(r.bytes for r in readers) / 1e6:.1f} MB sent",
                flush=True,
            )
            ratios.append((seen.wall_s / by_itself.wall_s, seen.cpu_s / by_itself.cpu_s))
    wall, cpu = (100 * (statistics.median(each) - 1) for each in zip(*ratios, strict=True))
    print(f"the run takes {wall:+.1f} % of its seconds and {cpu:+.1f} % of its CPU seconds")


if __name__ == "__main__":
    main()

"""What it costs a run that browsers look on, and how far behind it what they show is.

    python -m benchmarks.serve [--photos 4000] [--browsers 10] [--window 60] [--chromium]

One long run, by turns alone and with `restore-batch serve` beside it that so many browsers look at:
results a minute of the one against the other, by the times in the run's events, each time with its
neighbours, so that what the machine does otherwise meanwhile counts for both. A reader does over
HTTP what a page does: loads it with all lines, looks at a dozen cards and opens one, then hears the
news. Server and readers begin anew each time; browsers that stay open cost less. Readers take what
the run leaves of the processor, since browsers are on other machines.

With `--chromium` a Chromium has the page open first, for one turn that does not count: how long
after the ledger has a number of results the page shows it.
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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from restore_batch.jobs.history import History
from restore_batch.jobs.outputs import FOLDER
from restore_batch.pipeline.drive import events

_SIZE = (1500, 1000)
_CARDS = 12
_LOOK_S = 0.05
_NICE = 19
_PROGRAM = Path(sys.executable).with_name("restore-batch")
_DONE = """Number(document.querySelector('[data-count="done"] b').textContent)"""


@dataclass
class Reader:
    """One page. ``heard``: pieces of news."""

    address: str
    bytes: int = 0
    heard: int = 0

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.address + path, timeout=120) as answer:
            content: bytes = answer.read()
        self.bytes += len(content)
        return content

    def read(self, ended: threading.Event) -> None:
        """Load the page, look at some of it, listen."""
        with contextlib.suppress(OSError):
            page = self.get("").decode()
            found = re.search(r'id="told">(.*?)</script>', page)
            assert found is not None
            told = json.loads(found[1])
            for script in re.findall(r'src="((?:assets|data)/[^"]*)"', page):
                text = self.get(script).decode()
                if "/lines-0" in script:
                    self.look_at(json.loads(text[text.index("[") : text.rindex("]") + 1]), told)
            live = told["live"]
            asked = f"events?of={live['generation']}&since={live['sequence']}"
            with urllib.request.urlopen(self.address + asked, timeout=60) as news:
                while not ended.is_set():
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


@dataclass(frozen=True)
class Turn:
    """A time of the run. ``cpu_s``: of the server; 0 without one."""

    began: float
    ended: float
    cpu_s: float = 0.0
    readers: Sequence[Reader] = ()

    def a_minute(self, done_at: Sequence[float]) -> float:
        """Results a minute."""
        done = sum(self.began <= at < self.ended for at in done_at)
        return 60 * done / (self.ended - self.began)


@contextlib.contextmanager
def served(output: Path, spent: list[float]) -> Iterator[str]:
    """The address; at the end ``spent`` gets the seconds of the processor."""
    server = subprocess.Popen(
        [str(_PROGRAM), "serve", str(output)], text=True, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    address = server.stdout.readline().rpartition(": ")[2].strip()
    if not address:
        raise SystemExit("nothing is served")
    try:
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        _, status, used = os.wait4(server.pid, 0)
        server.returncode = os.waitstatus_to_exitcode(status)
        spent.append(used.ru_utime + used.ru_stime)


def looked_at(output: Path, browsers: int, seconds: float) -> Turn:
    """So many browsers look on for a while."""
    began, over, spent = time.time(), threading.Event(), list[float]()
    with served(output, spent) as address:
        readers = [Reader(address) for _ in range(browsers)]
        threads = [threading.Thread(target=reader.read, args=[over]) for reader in readers]
        for thread in threads:
            thread.start()
        time.sleep(max(0.0, began + seconds - time.time()))
        ended = time.time()
        over.set()
        for thread in threads:
            thread.join()
    return Turn(began, ended, spent[0], readers)


def alone(seconds: float) -> Turn:
    """Nobody looks on."""
    began = time.time()
    time.sleep(seconds)
    return Turn(began, time.time())


def lags(output: Path, seconds: float) -> list[float]:
    """Seconds from when the ledger has a number of results until a Chromium shows it."""
    from playwright.sync_api import sync_playwright

    waiting: dict[int, float] = {}
    found = []
    with (
        served(output, []) as address,
        sync_playwright() as driver,
        driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        ) as browser,
    ):
        page = browser.new_page()
        page.goto(address)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            done = History.glance(output, lambda history: history.counts().get("done", 0))
            waiting.setdefault(done, time.monotonic())
            shown = page.evaluate(_DONE)
            for number in [number for number in waiting if number <= shown]:
                found.append(time.monotonic() - waiting.pop(number))
            time.sleep(_LOOK_S)
    return found


def done_at(output: Path) -> list[float]:
    """When each result was committed."""
    found = []
    for path in (output / FOLDER).glob(f"{events.NAME}*"):
        for line in path.read_text(encoding="ascii").splitlines():
            event = json.loads(line)
            if event["kind"] == "photo" and event["state"] == "done":
                found.append(datetime.fromisoformat(event["time"]).timestamp())
    return found


def originals(folder: Path, count: int) -> None:
    """Pictures without faces."""
    random = np.random.default_rng(7)
    folder.mkdir()
    for number in range(count):
        coarse = random.integers(0, 255, (25, 40, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(_SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:04}.jpg", quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=4000)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--window", type=float, default=60.0, help="seconds of a turn")
    parser.add_argument("--turns", type=int, default=10, help="pairs of turns at most")
    parser.add_argument("--chromium", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals(folder / "in", asked.photos)
        job, output = folder / "job.yaml", folder / "out"
        described = {
            "inputs": ["in"], "output": "out", "engine": {"kind": "local"},
            "restore": {"model": "none"}, "background": {"model": "none", "scale": 2},
        }  # fmt: skip
        job.write_text(json.dumps(described), encoding="utf-8")
        run = subprocess.Popen([str(_PROGRAM), "run", str(job), "--quiet"])
        try:
            while not (output / FOLDER / "manifest.sqlite").exists():
                time.sleep(_LOOK_S)
            if asked.chromium:
                behind = sorted(lags(output, asked.window))
                print(
                    f"a page is behind the ledger by {statistics.median(behind):.2f} s (median),"
                    f" {behind[-1]:.2f} s at most, of {len(behind)} numbers",
                    flush=True,
                )
            os.nice(_NICE)
            pairs: list[tuple[Turn, Turn]] = []
            for number in range(asked.turns):
                # Each is first in half of the pairs.
                if number % 2 == 0:
                    without, seen = (
                        alone(asked.window),
                        looked_at(output, asked.browsers, asked.window),
                    )
                else:
                    seen, without = (
                        looked_at(output, asked.browsers, asked.window),
                        alone(asked.window),
                    )
                if run.poll() is not None:
                    break
                pairs.append((without, seen))
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()
        if not pairs:
            raise SystemExit("the run ended before a pair of turns; give it more --photos")
        at = done_at(output)
        slower = []
        for without, seen in pairs:
            rates = without.a_minute(at), seen.a_minute(at)
            slower.append(100 * (1 - rates[1] / rates[0]))
            print(
                f"alone {rates[0]:6.1f} a minute, looked at {rates[1]:6.1f}: {slower[-1]:+.1f} %"
                f" slower; the server {seen.cpu_s:.1f} CPU seconds,"
                f" {sum(r.heard for r in seen.readers)} pieces of news heard,"
                f" {sum(r.bytes for r in seen.readers) / 1e6:.1f} MB sent"
            )
        error = statistics.stdev(slower) / len(slower) ** 0.5 if len(slower) > 1 else float("nan")
        print(f"slower by {statistics.mean(slower):.1f} % ± {error:.1f} (standard error)")


if __name__ == "__main__":
    main()

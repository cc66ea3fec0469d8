"""How long a report of many items takes to be written, to open in a browser, and to filter.

    python benchmarks/report_size.py [--items 10000] [--screenshot list.png]

The items are synthetic: one small picture with up to six faces and a warning here and there, put
on record by a real manifest, in memory where there is a file system for it; its previews stand for
those of all. Opening ends when the first cards are painted; a filter, a search or another order
when the cards that it leaves are. Needs Chromium and the driver of the extra ``dev``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from restore_batch.jobs.history import History
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import PREVIEWS, REPORT, REPORT_MARK
from restore_batch.jobs.records import FaceRow, StagedResult
from restore_batch.jobs.units import Photo, unit_id
from restore_batch.pipeline.report.cache import PreviewCache
from restore_batch.pipeline.report.previews import PreviewRequest, make_previews
from restore_batch.pipeline.report.writing import write_report

LANDMARKS = ((20.0, 20.0), (40.0, 20.0), (30.0, 30.0), (22.0, 40.0), (38.0, 40.0))
STEPS = {
    "show failed": ("show", "failed"),
    "show low likeness": ("show", "low"),
    "show all again": ("show", "all"),
    "search a word": ("search", "scan 77"),
    "clear the search": ("search", ""),
    "a folder": ("folder", "album07/"),
    "all folders": ("folder", ""),
    "sort by name": ("sort", "name"),
    "sort by likeness": ("sort", "identity"),
}
# The change is made as a person makes it; two frames later what it led to is painted.
TIMED = """([id, value]) => new Promise(done => {
  const began = performance.now();
  const control = document.getElementById(id);
  control.value = value;
  control.dispatchEvent(new Event(id === "search" ? "input" : "change", {bubbles: true}));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began)));
})"""


def record(output: Path, count: int) -> None:
    """A manifest of ``count`` photos that were restored, or failed."""
    random = np.random.default_rng(7)
    originals = output.parent / "in"
    originals.mkdir()
    picture = originals / "picture.jpg"
    Image.fromarray(random.integers(0, 255, (90, 120, 3), np.uint8)).save(picture)
    content = picture.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    with Manifest.open(output) as manifest:
        staging = output / FOLDER / "tmp"
        manifest.begin_run("0", "many.yaml", {"inputs": [str(originals)]}, [], count)
        for number in range(count):
            name = f"album{number % 100:02}/scan {number:05}.jpg"
            unit = Photo(
                id=unit_id(sha256, name, "b", "f"), source=str(picture), output=name,
                staging_dir=str(staging), base_key="b", face_key="f",
            )  # fmt: skip
            begun = manifest.start(unit, sha256)
            if number % 50 == 0:
                manifest.fail(begun, "decode", "MediaError", f"{picture}: cut off at {number}")
                continue
            begun.staged_path.write_bytes(content)
            faces = tuple(
                FaceRow(0, (10.0 + f, 10.0, 50.0, 60.0), LANDMARKS, 0.9, True, likeness, 1.0, "")
                for f, likeness in enumerate(random.uniform(0.2, 1, random.integers(0, 7)))
            )
            warnings = (f"{number % 9} of its colours are odd",) if number % 7 == 0 else ()
            manifest.commit(
                begun,
                StagedResult(
                    str(begun.staged_path), len(content), sha256, 120, 90, faces, warnings,
                    {"decode": 0.1, "restore": 1.5},
                ),
            )  # fmt: skip
        manifest.end_run("finished")


def share_previews(output: Path) -> None:
    """Give every item the previews of the first."""
    history = History.read(output)
    assert history is not None
    report = output / REPORT
    cache = PreviewCache(report, output, {})
    first = ""
    with history:
        for key in filter(None, map(cache.key, history.entries())):
            folder = report / PREVIEWS / key[:2]
            if not first:
                picture = str(output.parent / "in" / "picture.jpg")
                boxes = ((10.0, 10.0, 50.0, 60.0),) * 6
                make_previews(PreviewRequest(str(folder), key, picture, picture, boxes=boxes))
                first = key
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for path in (report / PREVIEWS / first[:2]).glob(f"{first}-*"):
                (folder / path.name.replace(first, key)).hardlink_to(path)
    mark = {"what": "a report", "of": str(output.absolute())}
    (report / REPORT_MARK).write_text(json.dumps(mark), encoding="utf-8")


def opened(page: Page, index: Path) -> float:
    """Seconds from the request to the first cards on the screen."""
    began = time.perf_counter()
    page.goto(index.as_uri())
    page.locator(".card").first.wait_for()
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--screenshot", type=Path)
    arguments = parser.parse_args()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder, sync_playwright() as driver:
        output = Path(folder) / "out"
        record(output, arguments.items)
        share_previews(output)
        began = time.perf_counter()
        report = write_report(output)
        assert not report.made and not report.left
        print(f"written in {time.perf_counter() - began:.1f} s, all previews being there")
        data = sum(path.stat().st_size for path in report.page.parent.glob("data/*/lines-*.js"))
        print(f"data read at once: {data / 1e6:.1f} MB of {arguments.items:,} items")
        program = shutil.which("chromium")
        with driver.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser:
            page = browser.new_page(viewport={"width": 1360, "height": 900})
            times = [opened(page, report.page) for _ in range(3)]
            print(f"opens in {sorted(times)[1]:.2f} s (median of 3; {max(times):.2f} s at most)")
            for label, step in STEPS.items():
                taken = sorted(page.evaluate(TIMED, list(step)) for _ in range(5))
                print(f"{label}: {taken[2]:.0f} ms (median of 5; {taken[-1]:.0f} ms at most)")
            if arguments.screenshot:
                page.screenshot(path=arguments.screenshot)


if __name__ == "__main__":
    main()

"""Output folders with small pictures and a manifest, as a run leaves them, and a browser to look at
their reports."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import assign_outputs
from restore_batch.jobs.records import FaceRow, Quality, SidecarFile, StagedResult
from restore_batch.jobs.units import Photo, unit_id

from support.archive import scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_LOOKS_S = 0.05
LANDMARKS = ((20.0, 20.0), (40.0, 20.0), (30.0, 30.0), (22.0, 40.0), (38.0, 40.0))


@dataclass(frozen=True)
class Item:
    """One photo of such a folder. ``error``: it failed so; ``mask``: share that was repaired."""

    name: str
    faces: tuple[FaceRow, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    mask: float = 0.0
    exif: dict[int, str] = field(default_factory=dict)
    size: tuple[int, int] = (96, 64)
    quality: Quality | None = None


def found_face(identity: float | None = None, note: str = "", left: float = 10.0) -> FaceRow:
    """A face of 40 px."""
    return FaceRow(0, (left, 10.0, left + 40.0, 50.0), LANDMARKS, 0.99, True, identity, 0.8, note)


def restored(folder: Path, items: Sequence[Item], **job: Any) -> Path:
    """Originals in ``folder/in`` and results, twice as large, in ``folder/out``; the output."""
    output, originals = folder / "out", folder / "in"
    with Manifest.open(output) as manifest:
        plain = {"inputs": [str(originals)], "output": str(output), **job}
        model = {
            "role": "restore",
            "card": "toy-1",
            "title": "Toy",
            "licence": "MIT",
            "sha256": "0" * 64,
        }
        manifest.begin_run("1.0", "toy.yaml", plain, [model], len(items))
        for number, item in enumerate(items):
            add(manifest, originals, item, number)
        manifest.end_run("finished")
    return output


def add(manifest: Manifest, originals: Path, item: Item, number: int = 0) -> Photo:
    """Make original and result of one item and commit it, as a run would."""
    source = originals / item.name
    source.parent.mkdir(parents=True, exist_ok=True)
    width, height = item.size
    picture = scene(width, height, number)
    exif = Image.Exif()
    exif.update(item.exif)
    picture.save(source, exif=exif)
    staging = manifest.output_dir / FOLDER / "tmp"
    source_sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    (output,) = assign_outputs([(item.name, source.suffix)])
    unit = Photo(
        id=unit_id(source_sha256, output, "base", "face"), source=str(source), output=output,
        staging_dir=str(staging), base_key="base", face_key="face",
    )  # fmt: skip
    begun = manifest.start(unit, source_sha256)
    if item.error:
        manifest.fail(begun, "decode", "MediaError", f"{source}: {item.error}")
        return begun
    # Brighter, so that before and after can be told apart by their pixels.
    large = picture.resize((2 * width, 2 * height)).point(lambda value: min(255, value + 60))
    large.save(begun.staged_path, format=Image.registered_extensions()[source.suffix], exif=exif)
    sidecars = ()
    if item.mask:
        mask = np.zeros((2 * height, 2 * width), np.uint8)
        mask[: round(item.mask * 2 * height)] = 255
        path = begun.staged_path.with_name(begun.staged_path.name + ".mask.png")
        Image.fromarray(mask).save(path)
        sidecars = (SidecarFile(".mask.png", path.stat().st_size, _sha256(path)),)
    result = StagedResult(
        str(begun.staged_path), begun.staged_path.stat().st_size, _sha256(begun.staged_path),
        2 * width, 2 * height, item.faces, item.warnings, {"decode": 0.25, "paste": 0.5},
        sidecars=sidecars, repaired=item.mask, quality=item.quality,
    )  # fmt: skip
    manifest.commit(begun, result)
    return begun


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def browser() -> Iterator[Browser]:
    """The Chromium that is installed; skips the test where it, or its driver, is missing."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("chromium is not installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@dataclass
class Watched:
    """A page with what went wrong on it, and what it asked for elsewhere than in its folder."""

    page: Page
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@contextmanager
def opened(
    browser: Browser, index: Path, inside: Path | None = None, **context: Any
) -> Iterator[Watched]:
    """The report at ``index`` as a person sees it who opens it from the disk. Ends with an error
    where the page had one, or asked for anything outside of ``inside``, by default its folder."""
    within = (inside or index.parent).absolute().as_uri()
    with opened_at(browser, index.absolute().as_uri(), within, **context) as watched:
        yield watched


@contextmanager
def opened_at(browser: Browser, address: str, within: str, **context: Any) -> Iterator[Watched]:
    """The page at an address, as :func:`opened` gives one."""
    with browser.new_context(viewport={"width": 1200, "height": 800}, **context) as session:
        page = session.new_page()
        watched = Watched(page)
        page.on("console", lambda m: watched.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("requestfailed", lambda r: watched.errors.extend(_failed(r)))
        page.on(
            "request",
            lambda r: None if r.url.startswith((within, "data:", "blob:")) else
            watched.foreign.append(r.url),
        )  # fmt: skip
        page.goto(address)
        yield watched
        assert not watched.errors, watched.errors
        assert not watched.foreign, watched.foreign


def _failed(request: Request) -> list[str]:
    """What went wrong; nothing where the page itself gave up, as a film that is no longer shown."""
    reason = request.failure or ""
    return [] if reason == "net::ERR_ABORTED" else [f"failed {request.url}: {reason}"]


def wait_until(page: Page, expression: str, timeout_s: float = 60.0) -> None:
    """Wait for a JavaScript expression to hold; the page itself may evaluate none."""
    for _ in range(int(timeout_s / _LOOKS_S)):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(1000 * _LOOKS_S)
    raise AssertionError(f"never came true: {expression}")

"""A film in the `<video>` element of a real browser: a witness that shares no code with us."""

from __future__ import annotations

import base64
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.web import serving

__all__ = ["played"]

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_NEAR_S = 0.3
_PAGE = """<!doctype html><video muted></video><script>
const told = name => new Promise((good, bad) => {
  video.addEventListener(name, good, {once: true});
  video.addEventListener("error", () => bad(video.error), {once: true});
});
const video = document.querySelector("video");
const painted = () => new Promise(done =>
  video.requestVideoFrameCallback((_, frame) => done(frame)));
async function watch(times) {
  const film = await (await fetch("/film")).blob();
  video.src = URL.createObjectURL(film);
  await told("loadeddata");
  const seen = {width: video.videoWidth, height: video.videoHeight, duration: video.duration};
  const ended = told("ended");
  await video.play();
  await ended;
  seen.frames = video.webkitDecodedFrameCount;
  seen.sound = video.webkitAudioDecodedByteCount;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  seen.pictures = [];
  for (const time of times) {
    const sought = told("seeked");
    // "seeked" may come before the picture: on a busy machine another is still shown.
    const near = painted().then(function look(frame) {
      return Math.abs(frame.mediaTime - time) < NEAR_S ? frame : painted().then(look);
    });
    video.currentTime = time;
    await sought;
    await near;
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    seen.pictures.push(canvas.toDataURL("image/png").split(",")[1]);
  }
  return seen;
}
watch(TIMES).catch(error => ({error: error.message || String(error)}))
  .then(seen => fetch("/seen", {method: "POST", body: JSON.stringify(seen)}));
</script>"""


def played(film: Path, seek_s: Sequence[float], timeout_s: float = 300) -> dict[str, Any]:
    """Play ``film`` to its end, then seek to each of ``seek_s``.

    Returns width, height, duration (s), frames (decoded while playing), sound (bytes decoded)
    and pictures ((H, W, 3) uint8, one for each of ``seek_s``), or ``error`` alone. Skips the test
    where there is no browser.
    """
    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    if program is None:
        pytest.skip("chromium is not installed")
    page = _PAGE.replace("TIMES", json.dumps(list(seek_s))).replace("NEAR_S", f"{_NEAR_S}")
    with (
        _served({"/": page.encode(), "/film": film.read_bytes()}) as (address, answers),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        browser = subprocess.Popen(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={profile}",
                f"{address}/",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            seen = json.loads(answers.get(timeout=timeout_s))
        finally:
            browser.terminate()
            browser.wait(timeout=60)
            with suppress(ProcessLookupError):  # its helpers write into the profile for a while
                os.killpg(browser.pid, signal.SIGKILL)
    coded = [base64.b64decode(picture) for picture in seen.pop("pictures", [])]
    seen["pictures"] = [np.asarray(Image.open(BytesIO(png)).convert("RGB")) for png in coded]
    return seen


@contextmanager
def _served(pages: dict[str, bytes]) -> Iterator[tuple[str, queue.Queue[bytes]]]:
    answers: queue.Queue[bytes] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = pages.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.send_header("Content-Type", "text/html" if self.path == "/" else "video/mp4")
            self.end_headers()
            self.wfile.write(found or b"")

        def do_POST(self) -> None:
            answers.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with serving(Handler) as address:
        yield address, answers

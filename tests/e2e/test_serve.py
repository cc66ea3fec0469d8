"""A run that somebody looks at: what a browser shows is what the ledger has."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from restore_batch.jobs.history import History

from support.archive import checksums, command, scene, write_job
from support.reports import browser, opened_at, wait_until

PHOTOS = 12
SHOWN = """['done', 'failed', 'left'].map(name => Number(
  document.querySelector(`[data-count="${name}"] b`).textContent))"""


def a_job(folder: Path) -> Path:
    (folder / "in").mkdir()
    for number in range(PHOTOS):
        scene(700, 500, number).save(folder / "in" / f"{number:02}.png")
    (folder / "in" / "broken.png").write_bytes(b"no picture")
    return write_job(
        folder / "job.yaml", inputs=["in"], output="out", engine={"kind": "local", "workers": 1},
        restore={"model": "none"}, background={"model": "none", "scale": 2},
    )  # fmt: skip


def tree(output: Path) -> dict[Path, int]:
    """All that is there, and when it was changed last."""
    return {path: path.stat().st_mtime_ns for path in output.rglob("*")}


def committed(output: Path) -> list[int]:
    def ask(history: History) -> list[int]:
        counts = history.counts()
        done, failed = counts.get("done", 0), counts.get("failed", 0)
        return [done, failed, PHOTOS + 1 - done - failed]

    return History.glance(output, ask)


def test_a_browser_follows_a_run_to_its_end_and_leaves_nothing_there(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    job = a_job(tmp_path)
    output = tmp_path / "out"
    run = subprocess.Popen(command("run", job, "--quiet"), stderr=subprocess.DEVNULL)
    server = None
    try:
        while not (output / ".restore-batch" / "manifest.sqlite").exists():
            assert run.poll() is None
            time.sleep(0.05)
        server = subprocess.Popen(
            command("serve", output), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert server.stdout is not None
        address = server.stdout.readline().rpartition(": ")[2].strip()
        with browser() as chromium, opened_at(chromium, address, address) as watched:
            page = watched.page
            while run.poll() is None:
                least = committed(output)[0]
                wait_until(page, f"({SHOWN})[0] >= {least}")
                shown = page.evaluate(SHOWN)
                assert sum(shown) == PHOTOS + 1
                assert shown[0] <= committed(output)[0], "nothing is shown that is not there"
            assert run.returncode == 1  # one of the originals is no picture
            wait_until(page, f"String({SHOWN}) === '{PHOTOS},1,0'")
            assert committed(output) == [PHOTOS, 1, 0]
            page.get_by_text("The last run has ended: finished.").wait_for()
            at_rest = tree(output)
            page.fill("#search", "03.png")
            page.locator(".card").first.click()
            wait_until(page, "document.getElementById('after').naturalWidth > 0")
            assert page.locator("#viewer-name").text_content() == "03.png"
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=60)
        assert (server.returncode, said) == (0, "")
    finally:
        for process in filter(None, (run, server)):
            process.kill()
            process.communicate()
    assert tree(output) == at_rest
    assert not list(output.rglob("*-wal"))
    assert set(checksums(output)) == {f"{number:02}.png" for number in range(PHOTOS)}

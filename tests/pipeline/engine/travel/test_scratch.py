"""Folders of workers on the disks of their nodes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from restore_batch.pipeline.engine.travel.scratch import Scratch


def _works(here: str, tells: Connection) -> None:
    os.environ["TMPDIR"] = here
    scratch = Scratch()
    with scratch.room() as room:
        (room / "picture").write_bytes(b"some of it")
        tells.send(str(scratch.folder))
        signal.pause()


def test_what_a_killed_worker_left_goes_with_the_next_and_a_living_ones_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    hears, tells = multiprocessing.Pipe()
    worker = multiprocessing.get_context("spawn").Process(
        target=_works, args=(str(tmp_path), tells)
    )
    worker.start()
    folder = Path(hears.recv())
    (tmp_path / "of somebody else").mkdir()
    first = Scratch()
    assert (folder / "0" / "picture").exists()
    worker.kill()
    worker.join()
    second = Scratch()
    assert not folder.exists()
    assert first.folder.exists()
    first.close()
    second.close()
    assert [path.name for path in tmp_path.iterdir()] == ["of somebody else"]

"""Small stages that behave badly on command: what a unit does is in its source's name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from restore_batch.jobs.units import Photo
from restore_batch.pipeline.plan.groups import Group
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.media import RESULT_FIELDS, Artifact, Chunk, Failure, Frame


def unit(name: str, megapixels: float = 0.01) -> Photo:
    return Photo(
        id=name, source=name, output=f"{name}.png", staging_dir="/nowhere", base_key="b",
        face_key="f", megapixels=megapixels,
    )  # fmt: skip


def groups(*pools: Sequence[Stage], workers: Sequence[int] = ()) -> tuple[Group, ...]:
    """Groups for photos that keep what the later ones read."""
    return tuple(
        Group(
            tuple(stages),
            frozenset({Photo}),
            RESULT_FIELDS.union(*(stage.reads for later in pools[i + 1 :] for stage in later)),
            workers=workers[i] if workers else 1,
        )
        for i, stages in enumerate(pools)
    )


class Load(Stage):
    """Makes a small picture; fails on ``bad…``."""

    name = "load"
    writes = frozenset({"frames"})

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._load)

    def _load(self, chunk: Chunk) -> Chunk:
        if chunk.unit.source.startswith("bad"):
            raise ValueError("not a picture")
        return replace(chunk, frames=(Frame(np.full((400, 300, 3), 7, np.uint8)),))


class Work(Stage):
    """``kill…`` kills its process; ``once…`` kills it the first time only (``marks`` remembers);
    ``signal 11`` and ``status 7`` end it so; ``fill FOLDER`` takes more
    memory than the control group allows; ``slow…`` sleeps; ``hang…`` sleeps for ever;
    ``boom…`` raises for the whole batch."""

    name = "work"
    reads = frozenset({"frames"})
    writes = frozenset({"artifact"})

    def __init__(self, marks: str = "", nap_s: float = 0.0) -> None:
        self.marks, self.nap_s = marks, nap_s
        self.opened = 0

    def open(self, worker: WorkerContext) -> None:
        self.opened += 1
        if self.marks:
            (Path(self.marks) / f"opened-{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        if any(c.unit.source.startswith("boom") for c in batch):
            raise RuntimeError("the whole batch is lost")
        return self.each(batch, self._work)

    def _work(self, chunk: Chunk) -> Chunk:
        source = chunk.unit.source
        if self.marks:
            with (Path(self.marks) / f"ran-{source}").open("a") as file:
                file.write("x")
        if source.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        kind, _, number = source.partition(" ")
        if kind == "signal":
            os.kill(os.getpid(), int(number))
        if kind == "fill":
            (Path(number) / "tasks").write_text(str(os.getpid()))
            bytearray(1 << 30)
        if kind == "status":
            os._exit(int(number))
        if source.startswith("once"):
            mark = Path(self.marks) / f"died-{source}"
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if source.startswith("hang"):
            time.sleep(3600)
        time.sleep(1.0 if source.startswith("slow") else self.nap_s)
        total = int(chunk.frames[0].rgb_hwc.sum())
        return replace(chunk, artifact=Artifact(source, total, "0" * 64, 300, 400))


class Broken(Stage):
    """Cannot be opened."""

    name = "broken"
    reads = frozenset({"frames"})

    def open(self, worker: WorkerContext) -> None:
        from restore_batch.errors import WeightsError

        raise WeightsError("no weights here")

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return list(batch)

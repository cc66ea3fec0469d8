"""What workers of a cluster leave on a node that does not see the job's files: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import fsspec
import pytest

from restore_batch.pipeline.engine.backend import Done
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.engine.scheduler import Scheduler
from restore_batch.pipeline.plan.landmarks import Landmarks, Mark
from restore_batch.pipeline.plan.layout import Layout
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import Stage, WorkerContext
from restore_batch.stages.media import Artifact, Chunk, Failure

from support import ray_nodes
from support.toys import groups, unit

BEGINS = b"of a film"


class Parts(Stage):
    """Reads its source in parts, and counts the files that its node has of it. Leaves a mark when
    it is closed, or not."""

    name = "parts"
    writes = frozenset({"artifact"})
    reads_source = "parts"

    def __init__(self, node_dir: Path, mark: Path, *, fails: bool = False) -> None:
        self.node_dir, self.mark, self.fails = node_dir, mark, fails

    def __call__(self, batch: list[Chunk]) -> list[Chunk | Failure]:
        return self.each(batch, self._read)

    def _read(self, chunk: Chunk) -> Chunk:
        with fsspec.open(chunk.unit.source) as file:
            assert file.read(len(BEGINS)) == BEGINS
        return replace(chunk, artifact=Artifact("a", len(files_in(self.node_dir)), "0" * 64, 1, 1))

    def close(self) -> None:
        if self.fails:
            raise OSError("cannot be closed")
        self.mark.write_text(str(os.getpid()))


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def node_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for temporary files of the only node."""
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def cluster(node_dir: Path) -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.nodes() as found, pytest.MonkeyPatch.context() as there:
        there.setenv("TMPDIR", str(node_dir))
        found.add(cpus=1)
        yield found


def run(cluster: ray_nodes.Nodes, folder: Path, *stages: Stage) -> list[int]:
    """What the stages give of a film in ``folder``, from the beginning to the end of a backend. The
    node is told of originals in another state than it finds: they are sent to it."""
    film = folder / "film"
    film.write_bytes(BEGINS + bytes(3 << 20))
    unseen = Landmarks(str(folder), Mark.of(folder), (Mark(str(film), "another state"),))
    engine = Engine("ray", cluster.address, 0, 0, 1.0, Layout(False, threads=1), landmarks=unseen)
    backend = open_backend(engine, WorkerContext(threads=1))
    try:
        units = [replace(unit(f"u{i}"), source=str(film)) for i in range(3)]
        scheduler = Scheduler(groups(stages), backend, Budget(1 << 30))
        found = list(chain.from_iterable(scheduler.run(units)))
    finally:
        backend.close()
    assert all(isinstance(outcome, Done) for outcome in found), found
    done = [outcome.chunk for outcome in found if isinstance(outcome, Done)]
    return [chunk.artifact.size_bytes for chunk in done if chunk.artifact is not None]


def test_a_worker_closes_its_stages_and_takes_with_it_what_was_brought_to_its_node(
    cluster: ray_nodes.Nodes, node_dir: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "closed"
    brought = run(cluster, tmp_path, Parts(node_dir, mark))
    assert len(brought) == 3
    assert min(brought) > 0, "something was there to be left"
    assert mark.read_text().isdigit()
    assert list(node_dir.iterdir()) == []


def test_it_does_so_too_where_a_stage_cannot_be_closed(
    cluster: ray_nodes.Nodes, node_dir: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "closed"
    brought = run(
        cluster, tmp_path, Parts(node_dir, mark), Parts(node_dir, tmp_path / "not", fails=True)
    )
    assert len(brought) == 3
    assert mark.read_text().isdigit()
    assert list(node_dir.iterdir()) == []

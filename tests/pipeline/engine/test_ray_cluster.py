"""Runs on a cluster of real nodes that join and die meanwhile."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from restore_batch.errors import ExecutorError, WeightsError
from restore_batch.models.base import Runtime
from restore_batch.pipeline.engine.backend import Backend, Done
from restore_batch.pipeline.engine.budget import Budget
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.engine.scheduler import Limits, Scheduler
from restore_batch.pipeline.plan.groups import Group
from restore_batch.pipeline.plan.layout import Layout
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import Resources, WorkerContext
from restore_batch.stages.media import Chunk

from support import ray_nodes
from support.toys import Broken, Load, Work, groups, unit


class Marked(Work):
    """Notes the node and the GPU of each unit's worker among its warnings."""

    name = "marked"
    needs = Resources(gpus=0.5)

    def _work(self, chunk: Chunk) -> Chunk:
        import ray

        node = ray.get_runtime_context().get_node_id()
        done = super()._work(chunk)
        return replace(done, warnings=(node, os.environ.get("CUDA_VISIBLE_DEVICES", "")))


@pytest.fixture(scope="module")
def cluster() -> Iterator[ray_nodes.Nodes]:
    with ray_nodes.nodes() as found:
        yield found


def opened(cluster: ray_nodes.Nodes, *, on_gpu: bool = False) -> Backend:
    engine = Engine("ray", cluster.address, 0, 0, 1.0, Layout(on_gpu, threads=1))
    return open_backend(engine, WorkerContext(Runtime("cuda" if on_gpu else "cpu"), threads=1))


def pools(tmp_path: Path, nap_s: float) -> tuple[Group, ...]:
    reading, computing = groups((Load(),), (Marked(str(tmp_path), nap_s),))
    return replace(reading, pool="io"), computing


def test_results_keep_coming_while_nodes_die_and_join(
    cluster: ray_nodes.Nodes, tmp_path: Path
) -> None:
    """The head offers nothing; GPUs are those of the others."""
    first, second = cluster.add(gpus=1), cluster.add(gpus=1)
    third = ""
    names = [f"u{i}" for i in range(60)]
    # One attempt: whoever was charged for a lost machine would fail.
    limits = Limits(max_attempts=1, timeout_s=120)
    where: list[str] = []
    backend = opened(cluster, on_gpu=True)
    try:
        scheduler = Scheduler(pools(tmp_path, 0.3), backend, Budget(1 << 30), limits)
        source = (unit(name) for name in names)
        for outcome in chain.from_iterable(scheduler.run(source)):
            assert isinstance(outcome, Done), outcome
            node, gpu = outcome.chunk.warnings
            assert gpu == "0"
            where.append(node)
            if not third and {first, second} <= set(where):
                cluster.kill(first)
                killed_at = len(where)
                third = cluster.add(gpus=1)
    finally:
        backend.close()
    assert len(where) == len(names)
    assert set(where) == {first, second, third}
    assert first not in where[killed_at + 2 :], "but what it had finished when it was killed"
    ran = [len((tmp_path / f"ran-{name}").read_text()) for name in names]
    # What the node was at, and what its worker had been given beside that.
    assert sum(ran) - len(names) <= 2


@pytest.mark.slow
def test_a_worker_without_room_is_told_from_one_that_cannot_start(
    cluster: ray_nodes.Nodes, tmp_path: Path
) -> None:
    cluster.add(cpus=1)
    backend = opened(cluster)
    try:
        import ray

        from restore_batch.pipeline.engine.ray_cluster import nodes

        # Another job that holds every core.
        hold = ray.remote(num_cpus=1)(type("Hold", (), {"held": lambda self: True}))
        cores = sum(int(node.cores) for node in nodes())
        holding = [hold.remote() for _ in range(cores)]
        assert ray.get([each.held.remote() for each in holding]) == [True] * cores
        begun = Scheduler(
            pools(tmp_path, 0.0), backend, Budget(1 << 30), Limits(no_worker_s=10)
        ).run([unit("a")])
        with pytest.raises(ExecutorError, match="others hold what it needs: the cluster has 0 CPU"):
            list(begun)
        for each in holding:
            ray.kill(each)
        broken = groups((Load(), Broken()))
        with pytest.raises(WeightsError, match="no weights here"):
            list(Scheduler(broken, backend, Budget(1 << 30)).run([unit("a")]))
    finally:
        backend.close()


def test_a_cluster_is_asked_for_the_workers_it_lacks_until_the_run_ends(
    cluster: ray_nodes.Nodes,
) -> None:
    cluster.add(cpus=1)
    backend = opened(cluster)  # whose connection is used
    try:
        from ray.experimental.internal_kv import _internal_kv_get

        from restore_batch.pipeline.engine.ray_cluster import Places, nodes

        wanted = len(nodes()) + 5
        places = Places(Layout(False, threads=1, most=wanted))
        asked = json.loads(_internal_kv_get(b"autoscaler_resource_request"))
        assert asked == [{"CPU": 1.0}] * wanted
        places.close()
        assert json.loads(_internal_kv_get(b"autoscaler_resource_request")) == []
    finally:
        backend.close()

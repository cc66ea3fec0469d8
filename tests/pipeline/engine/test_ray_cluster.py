"""Runs on a cluster of real nodes that join and die meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
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
from restore_batch.pipeline.plan.layout import Layout, Node
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.stages.base import Resources, WorkerContext
from restore_batch.stages.media import Chunk

from support import ray_nodes
from support.toys import Broken, Load, Work, groups, unit

WITHIN_S = 60.0


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


def asked_of_the_cluster() -> object:
    from ray.experimental.internal_kv import _internal_kv_get

    return json.loads(_internal_kv_get(b"autoscaler_resource_request") or b"[]")


def await_that(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.05)


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
        from restore_batch.pipeline.engine.ray_cluster import Places, nodes

        wanted = len(nodes()) + 5
        places = Places(Layout(False, threads=1, most=wanted))
        assert asked_of_the_cluster() == [{"CPU": 1.0}] * wanted
        places.close()
        assert asked_of_the_cluster() == []
    finally:
        backend.close()


def test_a_cluster_that_refuses_to_grow_is_asked_again(
    cluster: ray_nodes.Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(cluster)  # whose connection is used
    try:
        from ray.autoscaler import sdk
        from ray.exceptions import RpcError

        from restore_batch.pipeline.engine.ray_cluster import Places, nodes

        theirs, refusals = sdk.request_resources, [RpcError("busy"), AssertionError("not now")]

        def request_resources(bundles: list[dict[str, float]]) -> None:
            if refusals:
                raise refusals.pop(0)
            theirs(bundles=bundles)

        monkeypatch.setattr(sdk, "request_resources", request_resources)
        wanted = len(nodes()) + 5
        places = Places(Layout(False, threads=1, most=wanted))
        assert places.refusal == "busy"
        await_that(lambda: asked_of_the_cluster() == [{"CPU": 1.0}] * wanted)
        await_that(lambda: places.refusal == "")
        places.check()
        places.close()
        assert asked_of_the_cluster() == []
    finally:
        backend.close()


def test_a_head_that_does_not_answer_is_asked_for_its_nodes_again(
    cluster: ray_nodes.Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = opened(cluster)
    try:
        from ray.exceptions import RpcError

        from restore_batch.pipeline.engine import ray_cluster

        theirs, silence = ray_cluster.nodes, [RpcError("no answer"), ConnectionError("no way")]

        def nodes() -> tuple[Node, ...]:
            if silence:
                raise silence.pop()
            return theirs()

        monkeypatch.setattr(ray_cluster, "nodes", nodes)
        joined = cluster.add(cpus=1)
        (group,) = groups((Load(),))
        await_that(lambda: joined in backend.places(group))
        assert silence == []
        assert backend.wait([], [], 0.0) == []
    finally:
        backend.close()


class Miscounting(Layout):
    """Wrong from the second look on."""

    def computing(self, nodes: Sequence[Node], before: Sequence[str] = ()) -> tuple[str, ...]:
        assert not before, "a defect"
        return super().computing(nodes, before)


def test_a_defect_in_the_watch_of_the_nodes_ends_the_run(
    cluster: ray_nodes.Nodes, tmp_path: Path
) -> None:
    cluster.add(cpus=1)
    engine = Engine("ray", cluster.address, 0, 0, 1.0, Miscounting(False, threads=1))
    backend = open_backend(engine, WorkerContext(threads=1))
    try:
        scheduler = Scheduler(pools(tmp_path, 0.3), backend, Budget(1 << 30), Limits(timeout_s=120))
        source = (unit(f"u{i}") for i in range(10_000))
        with pytest.raises(AssertionError, match="a defect"):
            for _ in scheduler.run(source):
                pass
    finally:
        backend.close()

"""Which workers the nodes of a cluster have."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restore_batch.pipeline.plan.layout import Layout, Node, gpu_share


def node(name: str, cores: float = 8, gpus: float = 0, memory_gb: float = 64) -> Node:
    return Node(name, f"host-{name}", cores, gpus, int(memory_gb * 1e9), 1 << 30)


def test_nodes_without_a_gpu_restore_nothing_where_gpus_are_asked_for_but_read_files() -> None:
    nodes = [node("head", cores=0), node("cpu"), node("g1", gpus=1), node("g2", gpus=4)]
    layout = Layout(on_gpu=True, threads=4)
    computing = layout.computing(nodes)
    assert Counter(computing) == {"g1": 1, "g2": 4}
    assert Counter(layout.reading(nodes, computing)) == {"cpu": 1, "g1": 1, "g2": 2}


def test_a_node_without_cores_gets_no_worker() -> None:
    nodes = [node("head", cores=0), node("a", cores=9), node("b", cores=2)]
    layout = Layout(on_gpu=False, threads=4)
    computing = layout.computing(nodes)
    assert Counter(computing) == {"a": 2, "b": 1}
    assert set(layout.reading(nodes, computing)) == {"a", "b"}


def test_memory_bounds_the_workers_of_a_node() -> None:
    assert Layout(on_gpu=False, threads=1).room(node("a", cores=64, memory_gb=10)) == 4


def test_fewer_workers_than_there_is_room_for_are_spread() -> None:
    nodes = [node("a", cores=64), node("b", cores=8)]
    assert Counter(Layout(False, 4, most=4).computing(nodes)) == {"a": 2, "b": 2}


def test_workers_keep_their_nodes_when_others_come_and_go() -> None:
    a, b, c = node("a"), node("b"), node("c")
    layout = Layout(on_gpu=False, threads=4, most=4)
    before = layout.computing([a, b])
    assert Counter(layout.computing([a, b, c], before)) == {"a": 2, "b": 2}
    assert Counter(layout.computing([b, c], before)) == {"b": 2, "c": 2}


@given(
    cores=st.floats(0.5, 256), gpus=st.integers(0, 8), threads=st.integers(1, 64),
    per_gpu=st.integers(1, 4), groups=st.integers(1, 3), on_gpu=st.booleans(),
)  # fmt: skip
def test_the_workers_of_all_groups_fit_into_their_node(
    cores: float, gpus: int, threads: int, per_gpu: int, groups: int, on_gpu: bool
) -> None:
    layout = Layout(on_gpu, threads, per_gpu, groups=groups)
    host = node("a", cores, gpus)
    workers, cpus = layout.room(host) * groups, layout.cpus(host)
    assert workers * cpus <= cores
    assert cpus <= threads
    assert cpus < 1 or cpus.is_integer()
    assert workers * layout.gpu_share <= gpus


@pytest.mark.parametrize(("gpus", "workers", "share"), [(1, 1, 1.0), (4, 1, 1.0), (1, 3, 0.3333)])
def test_workers_share_gpus_evenly(gpus: int, workers: int, share: float) -> None:
    assert gpu_share(gpus, workers) == share

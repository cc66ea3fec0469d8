"""What Prometheus gets of a real run, and what the dashboard asks it for."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from restore_batch.errors import JobFileError
from restore_batch.pipeline.engine.opening import open_backend
from restore_batch.pipeline.plan.resources import Engine
from restore_batch.pipeline.session import read_job
from restore_batch.stages.base import WorkerContext

from support.archive import cli, command, make_archive, write_job
from support.data import ROOT

pytest.importorskip("opencensus", reason="metrics need restore-batch[metrics]")
pytest.importorskip("skimage")

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
OURS = re.compile(r"\bray_restore_batch_\w+")
LABELLED = re.compile(r"(ray_restore_batch_\w+)\{([^}]*)\}")
FACES, SCENES = 2, 40


def asked_for() -> dict[str, set[str]]:
    """The metrics that the dashboard asks for, with the labels that it tells them apart by."""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [t["expr"] for panel in board["panels"] for t in panel.get("targets", ())]
    found: dict[str, set[str]] = {name: set() for query in queries for name in OURS.findall(query)}
    for query in queries:
        by = {label.strip() for g in re.findall(r"by \(([^)]*)\)", query) for label in g.split(",")}
        for name in OURS.findall(query):
            found[name] |= by
        for name, labels in LABELLED.findall(query):
            found[name] |= set(re.findall(r"(\w+) *[=!]", labels))
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def scraped(port: int) -> dict[str, set[str]]:
    """Names and labels of our metrics; none before there are any."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: dict[str, set[str]] = {name: set() for name in OURS.findall(text)}
    for name, labels in LABELLED.findall(text):
        found[name] |= set(re.findall(r'(\w+)="', labels))
    return found


@pytest.mark.slow
def test_a_run_shows_every_metric_that_the_dashboard_asks_for(tmp_path: Path) -> None:
    make_archive(tmp_path / "in", faces=FACES, scenes=SCENES, side_px=160)
    port = free_port()
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out",
        engine={"workers": 1, "threads": 1, "metrics_port": port},
        restore={"model": "compact-1"}, background={"model": "none", "scale": 1},
        weights={"download": False},
    )  # fmt: skip
    wanted, seen = asked_for(), {}
    # Ray hands its metrics on every ten seconds otherwise, and fast machines are done by then.
    env = {**os.environ, "RAY_metrics_report_interval_ms": "300"}
    running = subprocess.Popen(
        command("run", job, "--json"), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    listening: set[str] = set()
    while running.poll() is None:
        for name, labels in scraped(port).items():
            seen.setdefault(name, set()).update(labels)
        listening |= addresses_of(port)
        time.sleep(0.2)
    out, err = running.communicate()
    assert (running.returncode, err) == (0, "")
    assert json.loads(out)["done"] == FACES + SCENES
    assert wanted
    assert set(seen) >= set(wanted)
    assert {name: labels - seen[name] for name, labels in wanted.items()} == {
        name: {"le"} & labels - seen[name] for name, labels in wanted.items()
    }
    assert listening == {"127.0.0.1"}


def addresses_of(port: int) -> set[str]:
    """Where something listens at ``port``."""
    found = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        address, state = line.split()[1], line.split()[3]
        host, _, hexadecimal = address.partition(":")
        if state == "0A" and int(hexadecimal, 16) == port:
            found.add(".".join(str(byte) for byte in reversed(bytes.fromhex(host))))
    everywhere = Path("/proc/net/tcp6")
    for line in (
        everywhere.read_text(encoding="ascii").splitlines()[1:] if everywhere.exists() else ()
    ):
        address, state = line.split()[1], line.split()[3]
        if state == "0A" and int(address.rpartition(":")[2], 16) == port:
            found.add(address.rpartition(":")[0])
    return found


def agent(metrics_port: int | None) -> list[str]:
    """How a private Ray is told to start the agent of its node."""
    backend = open_backend(
        Engine("ray", None, 1, 128 << 20, metrics_port=metrics_port), WorkerContext(threads=1)
    )
    try:
        ours = psutil.Process().children(recursive=True)
        words = [word for process in ours for word in process.cmdline()]
        (told,) = [word for word in words if word.startswith("--dashboard_agent_command=")]
        return told.split()
    finally:
        backend.close()


def test_a_private_ray_offers_nothing_that_it_is_not_asked_for() -> None:
    assert "--minimal" in agent(None)
    asked = agent(port := free_port())
    assert "--minimal" not in asked
    assert f"--metrics-export-port={port}" in asked


def test_a_port_that_is_taken_is_said_before_anything_is_done(tmp_path: Path) -> None:
    make_archive(tmp_path / "in", faces=0, scenes=1, side_px=32)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        job = write_job(
            tmp_path / "job.yaml", inputs=["in"], output="out", restore={"model": "none"},
            background={"model": "none", "scale": 1}, engine={"metrics_port": port},
        )  # fmt: skip
        done = cli("run", job, "--quiet")
    assert done.returncode == 3
    assert f"engine.metrics_port: port {port} is not free" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("other", [{"kind": "local"}, {"address": "auto"}])
def test_a_port_for_metrics_is_refused_where_no_ray_is_started(
    other: dict[str, str], tmp_path: Path
) -> None:
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", engine={**other, "metrics_port": 9000}
    )
    with pytest.raises(JobFileError, match=r"engine\.metrics_port"):
        read_job(job)

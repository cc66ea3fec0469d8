"""Whole runs on a cluster of real nodes: photos and a film, while nodes die and join."""

from __future__ import annotations

import json
import os
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from support import ray_nodes
from support.archive import checksums, cli, command, make_archive, write_job
from support.clips import clip
from support.films_e2e import moving_face, sections
from support.progress import WITHIN_S, await_done, results

SEGMENTS = {"codec": "ffv1", "container": "mkv", "segment_s": 2.0, "deflicker": True}
PICTURES = 18


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nodes_that_die_and_join_change_no_byte_of_photos_and_a_film(
    weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "in", faces=4, scenes=PICTURES - 4, side_px=160)
    clip(
        archive / "film.mp4", frames=30, size=(144, 108), rate=Fraction(5), gop=5, b_frames=2,
        picture=moving_face(blurred=range(12, 15), cut=22),
    )  # fmt: skip
    common = {"inputs": [str(archive)], "video": SEGMENTS}
    local = write_job(
        tmp_path / "local.json",
        **sections(
            weights_dir,
            output=str(tmp_path / "local"),
            engine={"kind": "local", "threads": 1},
            **common,
        ),
    )
    done = cli("run", local, "--quiet", env=env)
    assert done.returncode == 0, done.stderr
    with ray_nodes.nodes_apart(**env) as cluster:
        first, second = cluster.add(cpus=1), cluster.add(cpus=1)
        job = write_job(
            tmp_path / "job.json",
            **sections(
                weights_dir, output=str(tmp_path / "out"),
                engine={"address": cluster.address, "threads": 1}, **common,
            ),
        )  # fmt: skip
        planned = json.loads(cli("plan", job, "--json", env=env).stdout)
        assert sorted(node["workers"] for node in planned["cluster"]) == [0, 1, 1]
        process = subprocess.Popen(
            command("run", job, "--json"), env={**os.environ, **env}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        await_done(tmp_path / "out", 4, process)
        cluster.kill(first)
        so_far = dict(results(tmp_path / "out"))["done"]
        # Only the second node is there: results go on.
        await_done(tmp_path / "out", so_far + 3, process)
        cluster.add(cpus=1)
        cluster.kill(second)
        said, told = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, told
    assert told == ""
    summary = json.loads(said)
    assert (summary["done"], summary["failed"]) == (PICTURES + 1, [])
    assert checksums(tmp_path / "out") == checksums(tmp_path / "local")


@pytest.mark.slow
def test_a_run_without_a_node_is_given_up_with_the_reason_and_goes_on_when_there_is_one(
    tmp_path: Path,
) -> None:
    archive = make_archive(tmp_path / "in", faces=0, scenes=3)
    with ray_nodes.nodes_apart() as cluster:
        job = write_job(
            tmp_path / "job.json", inputs=[str(archive)], output=str(tmp_path / "out"),
            restore={"model": "none"}, background={"model": "none", "scale": 1.5},
            engine={"address": cluster.address}, limits={"no_worker_s": 5},
        )  # fmt: skip
        done = cli("run", job, "--quiet")
        assert done.returncode == 3
        assert "nothing has run for 5." in done.stderr
        assert "no node of the cluster has a core for it" in done.stderr
        cluster.add(cpus=1)
        done = cli("run", job, "--quiet", "--set", "limits.no_worker_s=300")
        assert (done.returncode, done.stderr) == (0, "")
    assert len(checksums(tmp_path / "out")) == 3


@pytest.mark.slow
def test_a_head_without_a_gpu_uses_those_of_the_other_nodes(tmp_path: Path) -> None:
    """They are only claimed; so nothing is asked of a network."""
    archive = make_archive(tmp_path / "in", faces=0, scenes=4)
    clip(archive / "film.mp4", frames=20, size=(64, 48), rate=Fraction(5), gop=5)
    sections = {
        "inputs": [str(archive)], "restore": {"model": "none"}, "video": SEGMENTS,
        "background": {"model": "none", "scale": 1.5}, "detect": {"model": "none"},
    }  # fmt: skip
    local = write_job(
        tmp_path / "local.json",
        output=str(tmp_path / "local"),
        engine={"kind": "local"},
        **sections,
    )
    done = cli("run", local, "--quiet")
    assert done.returncode == 0, done.stderr
    with ray_nodes.nodes_apart() as cluster:
        cluster.add(cpus=1)
        for _ in range(2):
            cluster.add(cpus=2, gpus=1)
        engine = {"address": cluster.address, "threads": 1, "precision": "float32"}
        job = write_job(
            tmp_path / "job.json", output=str(tmp_path / "out"), engine=engine, **sections
        )
        planned = json.loads(cli("plan", job, "--json").stdout)
        assert planned["device"] == "cuda"
        assert sorted((node["gpus"], node["workers"]) for node in planned["cluster"]) == [
            (0, 0), (0, 0), (1, 1), (1, 1),
        ]  # fmt: skip
        done = cli("run", job, "--quiet")
        assert (done.returncode, done.stderr) == (0, "")
    assert checksums(tmp_path / "out") == checksums(tmp_path / "local")

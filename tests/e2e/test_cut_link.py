"""A run on a node at the other end of a link that is cut, and healed."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from support import ray_nodes
from support.archive import checksums, cli, command, make_archive, write_job
from support.films_e2e import sections
from support.link import link
from support.progress import WITHIN_S, await_done, results

PICTURES = 12

pytestmark = pytest.mark.skipif(bool(why := ray_nodes.why_not_apart()), reason=why)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cut_s", [8.0, 90.0], ids=["unnoticed", "until it counts as lost"])
def test_a_link_that_is_cut_and_healed_changes_no_byte(
    cut_s: float, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "in", faces=4, scenes=PICTURES - 4, side_px=160)
    local = write_job(
        tmp_path / "local.json",
        **sections(
            weights_dir, inputs=[str(archive)], output=str(tmp_path / "local"),
            engine={"kind": "local", "threads": 1},
        ),
    )  # fmt: skip
    assert cli("run", local, "--quiet", env=env).returncode == 0
    own = [tmp_path / "own", archive, tmp_path / "out", weights_dir]
    for folder in own:
        folder.mkdir(exist_ok=True)
    # Where it is "0", Ray is on the loopback interface whatever else it is told.
    env = {**env, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    with link() as between, ray_nodes.nodes_apart(between.near, **env) as cluster:
        cluster.add(cpus=1, own=own, on=between.far)
        job = write_job(
            tmp_path / "job.json",
            **sections(
                weights_dir, inputs=[str(archive)], output=str(tmp_path / "out"),
                engine={"address": cluster.address, "threads": 1},
            ),
        )  # fmt: skip
        run = subprocess.Popen(
            [*between.near.inside, *command("run", job, "--json")], env={**os.environ, **env},
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        await_done(tmp_path / "out", 3, run)
        between.cut()
        time.sleep(cut_s)
        assert dict(results(tmp_path / "out"))["done"] < PICTURES, "it was not cut"
        cluster.add(cpus=1)
        between.heal()
        said, told = run.communicate(timeout=WITHIN_S)
    assert (run.returncode, told) == (0, "")
    summary = json.loads(said)
    assert (summary["done"], summary["failed"]) == (PICTURES, [])
    assert checksums(tmp_path / "out") == checksums(tmp_path / "local")

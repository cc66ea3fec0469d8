"""Whole runs on nodes that see nothing of the job's files: no original, no weights, no output."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path

import pytest

from support import ray_nodes
from support.archive import checksums, cli, make_archive, write_job
from support.clips import clip
from support.films_e2e import moving_face, sections

SEGMENTS = {"codec": "ffv1", "container": "mkv", "segment_s": 1.0, "deflicker": True}
NOTHING = {"staging": False, "inputs": False, "weights": False}

pytestmark = pytest.mark.skipif(bool(why := ray_nodes.why_not_apart()), reason=why)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("apart", "together"), [(1, 0), (2, 1)])
def test_nodes_that_see_no_file_give_every_byte_of_a_local_run(
    apart: int, together: int, weights_dir: Path, env: dict[str, str], tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "in", faces=3, scenes=5, side_px=160)
    (archive / "broken.png").write_bytes((archive / "album/face00.png").read_bytes()[:90])
    clip(
        archive / "film.mp4", frames=20, size=(144, 108), rate=Fraction(5), gop=5, b_frames=2,
        picture=moving_face(cut=12),
    )  # fmt: skip
    common = {"inputs": [str(archive)], "video": SEGMENTS}
    local = write_job(
        tmp_path / "local.json",
        **sections(
            weights_dir, output=str(tmp_path / "local"),
            engine={"kind": "local", "threads": 1}, **common,
        ),
    )  # fmt: skip
    here = cli("run", local, "--json", env=env)
    assert here.returncode == 1, here.stderr
    own = [tmp_path / "own", archive, tmp_path / "out", weights_dir]
    for folder in own:
        folder.mkdir(exist_ok=True)
    with ray_nodes.nodes_apart(**env) as cluster:
        for _ in range(apart):
            cluster.add(cpus=1, own=own)
        for _ in range(together):
            cluster.add(cpus=1)
        job = write_job(
            tmp_path / "job.json",
            **sections(
                weights_dir, output=str(tmp_path / "out"),
                engine={"address": cluster.address, "threads": 1}, **common,
            ),
        )  # fmt: skip
        planned = cli("plan", job, "--json", env=env)
        sees = [node["sees"] for node in json.loads(planned.stdout)["cluster"] if node["workers"]]
        assert [each for each in sees if each == NOTHING] == [NOTHING] * apart
        assert [all(each.values()) for each in sees if each != NOTHING] == [True] * together
        shown = cli("plan", job, env=env).stdout
        assert f"results come back through this machine: {apart} node" in shown
        assert (f"only names travel: {together} node" in shown) == (together > 0)
        there = cli("run", job, "--json", env=env, timeout_s=1200)
        made = checksums(tmp_path / "out")
        for path in filter(Path.is_file, archive.rglob("*")):
            os.utime(path)
        again = cli("run", job, "--json", env=env, timeout_s=600)
    assert (there.returncode, there.stderr) == (1, "")
    expected, summary = json.loads(here.stdout), json.loads(there.stdout)
    assert summary["done"] == 9
    assert summary["failed"] == expected["failed"]
    told = [sorted(map(str, each["warned"])) for each in (summary, expected)]
    assert told[0] == told[1]
    assert checksums(tmp_path / "out") == made == checksums(tmp_path / "local")
    assert (again.returncode, again.stderr) == (1, "")
    compared = json.loads(again.stdout)
    assert [compared[each] for each in ("done", "unchanged", "segments")] == [0, 9, 0]
    (failed,) = compared["failed"]
    assert (Path(failed["source"]).name, failed["stage"]) == ("broken.png", "earlier run")

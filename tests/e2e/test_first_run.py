"""A first run: photos on the command line, again, and again from the job that was kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from restore_batch.jobs.outputs import CRATE

from support.archive import checksums, cli, scene, write_job

PLAIN = ["--restorer", "none", "--upscaler", "none", "--scale", "1.5", "--set", "engine.kind=local"]


def photos(folder: Path) -> Path:
    (folder / "album").mkdir(parents=True)
    scene(48, 32).save(folder / "album" / "a.png")
    scene(40, 32, 1).save(folder / "b.jpg")
    return folder


def test_photos_are_restored_without_a_job_file_and_a_second_run_goes_on(tmp_path: Path) -> None:
    inputs = photos(tmp_path / "in")
    before = checksums(inputs)
    first = cli("run", "in", "-o", "out", *PLAIN, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    page = tmp_path / "out" / "report" / "index.html"
    assert first.stdout.splitlines()[-1] == f"report: {page.as_uri()}"
    assert checksums(inputs) == before
    hidden = (".restore-batch", "report", "job.yaml", CRATE)
    results = checksums(tmp_path / "out", hidden)
    assert sorted(results) == ["album/a.png", "b.jpg"]
    assert (tmp_path / "out" / CRATE).is_file()

    scene(48, 32, 2).save(inputs / "c.png")
    second = json.loads(cli("run", "in", "-o", "out", *PLAIN, "--json", cwd=tmp_path).stdout)
    assert (second["done"], second["unchanged"]) == (1, 2)

    record = (tmp_path / "out" / CRATE).read_text()
    assert '"album/a.png"' in record
    assert '"c.png"' in record

    (tmp_path / "elsewhere").mkdir()
    kept = tmp_path / "out" / "job.yaml"
    third = json.loads(cli("run", kept, "--json", cwd=tmp_path / "elsewhere").stdout)
    assert (third["done"], third["unchanged"]) == (0, 3)
    assert (tmp_path / "out" / CRATE).read_text() == record
    assert json.loads(cli("status", "out", "--json", cwd=tmp_path).stdout)["counts"] == {"done": 3}

    same = write_job(
        tmp_path / "same.yaml", inputs=["in"], output="out2", engine={"kind": "local"},
        restore={"model": "none"}, background={"model": "none", "scale": 1.5},
    )  # fmt: skip
    assert cli("run", same, "-q").returncode == 0
    assert checksums(tmp_path / "out2") == checksums(tmp_path / "out", hidden)


def test_what_failed_is_tried_again_with_the_command_that_is_named(tmp_path: Path) -> None:
    inputs = photos(tmp_path / "in")
    (inputs / "words.png").write_text("no picture")
    done = cli("run", "in", "-o", "out", *PLAIN, cwd=tmp_path)
    assert done.returncode == 1
    named = f"restore-batch retry {tmp_path / 'out' / 'job.yaml'}"
    assert f"`{named}`" in done.stdout
    scene(16, 16).save(inputs / "words.png")
    assert cli(*named.split()[1:], "-q").returncode == 0


def test_the_package_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "restore_batch", "run", "no-such.yaml"], capture_output=True,
        text=True, check=False, env=os.environ.copy(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, "no-such.yaml: no such file\n")

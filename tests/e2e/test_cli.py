"""The command line as a user meets it: wrong flags, wrong jobs, bad files, a second run, Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from restore_batch.jobs.manifest import Manifest

from support.archive import checksums, cli, command, face, make_archive, scene, write_job
from support.host import read_until_closed

LOCAL: dict[str, Any] = {
    "engine": {"kind": "local"},
    "restore": {"model": "none"},
    "background": {"model": "none", "scale": 1.5},
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    pytest.importorskip("skimage")
    make_archive(tmp_path / "in", faces=1, scenes=3, side_px=64)
    return write_job(tmp_path / "job.yaml", inputs=["in"], output="out", **LOCAL)


def test_help_lists_every_command_with_what_it_does() -> None:
    done = cli("--help")
    assert done.returncode == 0
    for name in ("run", "plan", "status", "report", "retry", "models", "doctor", "schema"):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize(
    "command_name", ["run", "plan", "status", "report", "serve", "retry", "doctor", "schema"]
)
def test_every_command_has_help(command_name: str) -> None:
    done = cli(command_name, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["rnu", "x.yaml"], "did you mean 'run'?"),
        (["run"], "Missing argument 'JOB'"),
        (["run", "--fast", "x.yaml"], "No such option"),
        (["run", "no-such.yaml"], "no-such.yaml"),
        (["run", "job.yaml", "--set", "restore.strenght=1"], "did you mean"),
        (["run", "job.yaml", "--set", "restore.strength"], "--set"),
    ],
)
def test_a_wrong_call_is_one_line_without_a_traceback(
    job: Path, arguments: list[str], expected: str
) -> None:
    done = cli(*arguments, cwd=job.parent)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (job.parent / "out").exists()


def test_all_mistakes_of_a_job_are_reported_at_once_with_their_places(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scene(16, 16).save(tmp_path / "in" / "a.png")
    (tmp_path / "job.yaml").write_text(
        "inputs: [in]\noutput: out\nrestore:\n  strenght: 0.5\nbackground:\n  scale: 99\n"
    )
    done = cli("run", "job.yaml", cwd=tmp_path)
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "job.yaml:4:3: restore.strenght: unknown option, did you mean 'strength'?"
    assert lines[1].startswith("job.yaml:6:10: background.scale: ")
    assert len(lines) == 2


def test_an_unknown_model_is_reported_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scene(16, 16).save(tmp_path / "in" / "a.png")
    (tmp_path / "job.yaml").write_text("inputs: [in]\noutput: out\nrestore:\n  model: gfpgna\n")
    done = cli("plan", "job.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("job.yaml:4:10: restore.model: ")
    assert "did you mean gfpgan" in done.stderr


def test_a_second_run_redoes_nothing_and_says_so(job: Path) -> None:
    first = cli("run", job)
    assert first.returncode == 0, first.stderr
    assert "4 restored" in first.stdout
    before = checksums(job.parent / "out")
    times = {p: p.stat().st_mtime_ns for p in (job.parent / "out").rglob("*.png")}
    second = cli("run", job)
    assert second.returncode == 0
    assert "nothing to do: all 4 results are there" in second.stdout
    assert checksums(job.parent / "out") == before
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_a_deleted_or_altered_result_is_redone_and_no_other(job: Path) -> None:
    out = job.parent / "out"
    assert cli("run", job, "-q").returncode == 0
    before = checksums(out)
    names = sorted(before)
    (out / names[0]).unlink()
    altered = out / names[1]
    altered.write_bytes(b"not a picture any more")
    done = cli("run", job, "--json")
    summary = json.loads(done.stdout)
    assert (summary["done"], summary["unchanged"]) == (2, 2)
    kept = altered.with_name(f"{altered.stem}.altered{altered.suffix}")
    assert kept.read_bytes() == b"not a picture any more"
    assert [each["warning"] for each in summary["warned"]] == [
        f"{names[1]} was altered after it was written: that is kept as"
        f" {kept.relative_to(out)}, and what was made anew has its place"
    ]
    kept.unlink()
    assert checksums(out) == before


def test_changing_the_strength_redoes_only_pictures_with_faces(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    make_archive(tmp_path / "in", faces=1, scenes=2, side_px=128)
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out", engine={"kind": "local"},
        restore={"model": "realesr-animevideov3"}, background={"model": "none", "scale": 1},
    )  # fmt: skip
    first = json.loads(cli("run", job, "--json").stdout)
    assert (first["done"], first["faces"]) == (3, 1)
    again = json.loads(cli("run", job, "--json", "--set", "restore.strength=0.5").stdout)
    assert (again["done"], again["unchanged"]) == (1, 2)


def test_one_bad_file_costs_no_other_its_result(job: Path) -> None:
    inputs = job.parent / "in"
    (inputs / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (inputs / "words.png").write_text("this is no picture")
    done = cli("run", job)
    assert done.returncode == 1
    assert "4 restored" in done.stdout
    assert "2 failed" in done.stdout
    for name in ("broken.jpg", "words.png"):
        assert any(name in line and "failed" in line for line in done.stdout.splitlines())
    assert not list((job.parent / "out").rglob("*.partial"))

    again = cli("run", job)
    assert again.returncode == 1, "a failed item is still a failure, but it is not tried again"
    status = json.loads(cli("status", job, "--json").stdout)
    assert status["counts"] == {"done": 4, "failed": 2}

    face(64).save(inputs / "words.png")
    (inputs / "broken.jpg").unlink()
    mended = cli("retry", job)
    assert mended.returncode == 0, mended.stdout + mended.stderr


def test_copy_original_puts_the_original_in_the_place_of_a_failure(job: Path) -> None:
    (job.parent / "in" / "words.png").write_text("this is no picture")
    done = cli("run", job, "-q", "--set", "on_error=copy-original")
    assert done.returncode == 1
    assert (job.parent / "out" / "words.png").read_text() == "this is no picture"


def test_stop_ends_the_run_at_the_first_failure(job: Path) -> None:
    (job.parent / "in" / "album" / "a.png").write_text("this is no picture")
    done = cli("run", job, "--set", "on_error=stop")
    assert done.returncode == 3
    assert "on_error: stop" in done.stdout


def test_a_file_of_the_user_in_the_output_folder_is_never_replaced(job: Path) -> None:
    mine = job.parent / "out" / "scene00.jpg"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = cli("run", job)
    assert done.returncode == 1
    assert "did not write" in done.stdout
    assert mine.read_text() == "mine"
    assert "3 restored" in done.stdout


def test_originals_are_never_written_to(job: Path) -> None:
    inputs = job.parent / "in"
    before = checksums(inputs)
    for path in inputs.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert cli("run", job, "-q").returncode == 0
        assert checksums(inputs) == before
        inside = cli("run", job, "--set", "output=in")
        assert inside.returncode == 2, "results must not go among the originals"
    finally:
        for path in [inputs, *inputs.rglob("*")]:
            path.chmod(0o755)


def test_plan_shows_files_models_pools_and_cost_and_writes_nothing(job: Path) -> None:
    done = cli("plan", job, "--set", "restore.model=auto", "--set", "background.model=auto")
    assert done.returncode == 0, done.stderr
    for text in ("face00.png", "64×64", "detect", "licence", "group 1", "disk: about", "note: "):
        assert text in done.stdout, text
    assert not (job.parent / "out").exists()
    plain = json.loads(cli("plan", job, "--json").stdout)
    assert len(plain["items"]) == 4
    assert plain["stages"][0] == "checksum"
    assert [pool["stages"].partition("+")[0] for pool in plain["groups"]] == ["checksum", "detect"]


def test_the_schema_is_json_with_a_description_for_every_option() -> None:
    schema = json.loads(cli("schema").stdout)
    assert schema["properties"]["inputs"]["description"]


def test_status_before_any_run_says_how_to_start(job: Path) -> None:
    done = cli("status", job)
    assert done.returncode == 2
    assert "restore-batch run" in done.stderr


def test_two_runs_on_one_output_are_refused(job: Path) -> None:
    output = job.parent / "out"
    with Manifest.open(output) as first:
        first.begin_run("0", str(job), {}, [])
        second = cli("run", job)
        assert second.returncode == 2
        assert f"process {os.getpid()}" in second.stderr
        assert list(first.items()) == []
    assert {path.name for path in output.iterdir()} == {".restore-batch"}


def test_doctor_finds_the_engine_and_the_weights_of_the_registry() -> None:
    done = cli("doctor", "--no-ray")
    assert done.returncode == 0, done.stdout
    assert "mtcnn" in done.stdout
    assert "realesrgan-x4plus" in done.stdout


@pytest.mark.parametrize("presses", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_ctrl_c_in_a_terminal_stops_resumably(tmp_path: Path, presses: int) -> None:
    pytest.importorskip("skimage")
    make_archive(tmp_path / "in", faces=0, scenes=24, side_px=900)
    job = write_job(
        tmp_path / "job.yaml", inputs=["in"], output="out",
        restore={"model": "none"}, background={"model": "none", "scale": 2},
    )  # fmt: skip
    # A session and a controlling terminal of its own: the signal goes to the whole group,
    # as from a keyboard.
    pid, master = pty.fork()
    if pid == 0:
        arguments = command("run", job)
        os.execve(arguments[0], arguments, {**os.environ, "TERM": "xterm", "COLUMNS": "100"})
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.1)
    for _ in range(presses):
        os.write(master, b"\x03")
        time.sleep(0.3)
    screen = read_until_closed(master).decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130, screen[-2000:]
    assert "Traceback" not in screen
    if presses == 1:
        assert "goes on from here" in screen
    done = json.loads(cli("run", job, "--json", "--set", "engine.kind=local").stdout)
    assert done["exit_code"] == 0
    assert done["unchanged"] >= 1
    assert done["done"] + done["unchanged"] == 24
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 24
    assert signal.getsignal(signal.SIGINT) is not None


def test_the_python_api_does_the_same_as_the_command_line(job: Path) -> None:
    import restore_batch as rb

    assert cli("run", job, "-q").returncode == 0
    by_cli = checksums(job.parent / "out")
    summary = rb.run(job, overrides={"output": str(job.parent / "out2")})
    assert (summary.done, summary.exit_code) == (4, 0)
    assert checksums(job.parent / "out2") == by_cli
    assert len(rb.plan(job).items) == 4


def test_a_picture_can_be_restored_in_process(tmp_path: Path) -> None:
    import numpy as np

    import restore_batch as rb

    rgb = np.asarray(scene(60, 40))
    result = rb.restore_image(
        rgb, restore={"model": "none"}, background={"model": "none", "scale": 2}
    )
    assert result.shape == (80, 120, 3)
    assert result.dtype == np.uint8
    with pytest.raises(ValueError, match="expected"):
        rb.restore_image(rgb.astype(np.float32))
    Image.fromarray(result).save(tmp_path / "seen.png")


def test_a_run_says_which_files_it_passed_over_and_fails_what_its_plan_said(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    scene(32, 24).save(tmp_path / "in" / "a.png")
    Image.new("RGB", (8200, 4)).save(tmp_path / "in" / "wide.webp")
    for name in ("a.xmp", "b.xmp", "c.svg"):
        (tmp_path / "in" / name).write_bytes(b"x")
    job = write_job(
        tmp_path / "job.yaml",
        inputs=["in"],
        output="out",
        detect={"model": "none"},
        paste={"mask": "feather"},
        **{**LOCAL, "background": {"model": "none", "scale": 2}},
    )
    planned = json.loads(cli("plan", job, "--json").stdout)
    errors = [item["error"] for item in planned["items"] if item["error"]]
    done = cli("run", job)
    assert done.returncode == 1
    assert "3 files passed over: 2 .xmp, 1 .svg" in done.stdout.splitlines()
    assert f"failed: {errors[0]}" in done.stdout.splitlines()
    assert "photos.format" in errors[0]
    again = json.loads(cli("run", job, "--json").stdout)
    assert again["passed_over"] == {".xmp": 2, ".svg": 1}
    assert (again["unchanged"], len(again["failed"])) == (1, 1)

"""Jobs whose originals and results lie in a bucket, as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

import restore_batch as rb
from restore_batch.jobs.outputs import folder_of

from support.archive import cli, command, scene, write_job
from support.clips import clip
from support.object_store import BUCKET, Faulty, Store, environment

pytest.importorskip("moto")
pytest.importorskip("s3fs")

URL = f"s3://{BUCKET}/restored"
PLAIN: dict[str, Any] = {
    "engine": {"kind": "local", "workers": 2, "threads": 1},
    "restore": {"model": "none"},
    "background": {"model": "none", "scale": 1.5},
    "video": {"codec": "ffv1", "container": "mkv", "segment_s": 1.0},
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("films") / "film.mp4", frames=24, size=(64, 48))


@pytest.fixture
def store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket with photos."""
    for number in range(5):
        path = tmp_path / "photo.png"
        scene(60 + number, 40, number).save(path)
        store.put(f"scans/{number % 2}/{number}.png", path.read_bytes())
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return store


@pytest.fixture
def job(store: Store, film: Path, tmp_path: Path) -> Path:
    inputs = [f"s3://{BUCKET}/scans", str(film)]
    return write_job(tmp_path / "job.yaml", inputs=inputs, output=URL, **PLAIN)


@pytest.fixture
def expected(job: Path, tmp_path: Path) -> dict[str, bytes]:
    """The results of the same job in a folder."""
    done = cli("run", job, "--set", "output=local")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "local"
    found = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".restore-batch" not in path.parts
    }
    assert len(found) == 6
    return found


def test_a_bucket_gets_what_a_folder_would_and_a_second_run_has_nothing_to_do(
    job: Path, store: Store, expected: dict[str, bytes]
) -> None:
    done = cli("run", job)
    assert done.returncode == 0, done.stderr
    assert f"results are in {URL}" in done.stdout
    assert store.objects("restored/") == expected
    again = cli("run", job)
    assert again.returncode == 0
    assert "nothing to do: all 6 results are there" in again.stdout
    for asked in (URL, f"{URL}/", str(job)):
        said = json.loads(cli("status", asked, "--json").stdout)
        assert said["counts"] == {"done": 6}
    items = rb.open(URL).items
    assert {item.output for item in items} == {f"{URL}/{name}" for name in expected}


def test_another_machine_shows_a_job_and_goes_on_with_it(
    job: Path, store: Store, expected: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = cli("run", job, "--set", f"inputs=[s3://{BUCKET}/scans/0]")
    assert first.returncode == 0, first.stderr
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    shown = cli("report", URL)
    assert shown.returncode == 0, shown.stderr
    copy, *_, page = shown.stdout.splitlines()
    assert copy.startswith(f"{URL}: as of ")
    report = folder_of(URL) / "report"
    assert page == f"report: {(report / 'index.html').as_uri()}"
    assert len({path.name[:16] for path in report.glob("previews/*/*.jpg")}) == 3
    before = store.client.head_object(Bucket=BUCKET, Key="restored/0.png")["LastModified"]
    done = cli("run", job, "--set", f"inputs=[s3://{BUCKET}/scans/0, s3://{BUCKET}/scans/1]")
    assert done.returncode == 0, done.stderr
    assert f"note: {URL}: gone on with from the copy of the ledger there, " in done.stdout
    assert "2 restored" in done.stdout
    assert store.client.head_object(Bucket=BUCKET, Key="restored/0.png")["LastModified"] == before
    # The report is now that of the state, whose place it has.
    again = cli("report", URL).stdout.splitlines()
    assert again[-1] == page
    assert copy.partition(" as of ")[0] not in "".join(again[:-1])


@pytest.mark.slow
def test_faults_of_the_connection_change_no_result(
    job: Path, store: Store, expected: dict[str, bytes]
) -> None:
    proxy = Faulty(store.url, faults=20, refusals=5, most_bytes=6_000, seed=3)
    done = cli("run", job, env=environment(proxy.url))
    proxy.close()
    assert done.returncode == 0, done.stderr
    assert proxy.cut == 20
    assert store.objects("restored/") == expected


@pytest.mark.slow
@pytest.mark.parametrize("held", [b"PUT /archive/restored/0", b"PUT /archive/restored/film"])
def test_a_run_killed_while_a_result_is_uploaded_is_gone_on_with(
    held: bytes, job: Path, store: Store, expected: dict[str, bytes]
) -> None:
    proxy = Faulty(store.url, holds=lambda data, _: held in data)
    run = subprocess.Popen(
        command("run", job), env={**os.environ, **environment(proxy.url)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert proxy.held.wait(240)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
        proxy.close()
    assert all(data == expected[name] for name, data in store.objects("restored/").items())
    done = cli("run", job)
    assert done.returncode == 0, done.stderr
    assert store.objects("restored/") == expected
    assert store.uploads() == []


@pytest.mark.slow
def test_a_stranger_in_the_place_of_a_result_is_kept(
    job: Path, store: Store, expected: dict[str, bytes]
) -> None:
    store.put("restored/0/0.png", b"theirs")
    done = cli("run", job)
    assert done.returncode == 1
    assert f"{URL}/0/0.png: a file that this job did not write is there" in done.stdout
    assert store.objects("restored/") == {**expected, "0/0.png": b"theirs"}


def test_a_bucket_that_is_not_there_is_told_in_one_line(job: Path, store: Store) -> None:
    done = cli("run", job, "--set", "output=s3://nowhere/x")
    assert done.returncode == 3
    (line,) = done.stderr.strip().splitlines()
    assert "s3://nowhere/x: there is no bucket 'nowhere'; make it or change `output`" in line


@pytest.mark.slow
def test_originals_are_not_looked_for_among_the_results(job: Path, store: Store) -> None:
    done = cli("run", job, "--set", f"output=s3://{BUCKET}/scans")
    assert done.returncode == 2
    assert "lies inside the output, among the results" in done.stderr


@pytest.mark.slow
def test_the_report_lies_in_the_state_folder_and_shows_the_photos(job: Path, store: Store) -> None:
    done = cli("run", job, "--set", "report=true", "--set", f"inputs=[s3://{BUCKET}/scans]")
    assert done.returncode == 0, done.stderr
    report = folder_of(URL) / "report"
    assert f"report: {(report / 'index.html').as_uri()}" in done.stdout
    assert len(list(report.glob("previews/*/*.jpg"))) >= 5
    assert not any(key.startswith("restored/report") for key in store.objects(own=True))

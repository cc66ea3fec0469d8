"""Results in a bucket: whole or not at all, nobody else's replaced, nothing left half-way."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.outputs import sidecar_of
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.proof.repair import repair
from restore_batch.jobs.records import SidecarFile
from restore_batch.jobs.results import s3_calls
from restore_batch.jobs.results.s3 import S3Results
from restore_batch.jobs.units import Photo

from support.ledger import content, do, photo, staged
from support.object_store import BUCKET, Faulty, Store, environment, talk_to

pytest.importorskip("moto")
pytest.importorskip("s3fs")

SLOW = pytest.mark.slow
URL = f"s3://{BUCKET}/out"
PART = 5 << 20
"""The least that S3 takes for a part that is not the last."""
LARGE = bytes(range(256)) * (11 << 12)
"""Three parts."""


def opened(state: Path, url: str = URL) -> Manifest:
    manifest = Manifest.open(state, S3Results(url, state, PART))
    manifest.begin_run("0", "job.yaml", {}, [])
    return manifest


def test_results_are_objects_that_say_what_they_hold(store: Store, tmp_path: Path) -> None:
    units = [photo(tmp_path, f"{folder}/{n}.png") for folder in "ab" for n in range(3)]
    with opened(tmp_path) as manifest:
        begun = [manifest.start(unit, "source") for unit in units]
        errors = manifest.commit_all([(unit, staged(unit)) for unit in begun])
        assert errors == (None,) * 6
        assert {manifest.state_of(unit) for unit in units} == {"done"}
    assert store.objects("out/") == {unit.output: content(unit) for unit in units}
    assert not list(manifest.staging_dir.iterdir())
    found = store.client.head_object(Bucket=BUCKET, Key="out/a/0.png")
    assert found["ContentType"] == "image/png"
    assert len(found["Metadata"]["restore-batch-sha256"]) == 64
    with opened(tmp_path) as manifest:
        for verify in (False, True):
            assert {manifest.state_of(unit, verify=verify) for unit in units} == {"done"}


def test_a_large_file_goes_in_parts(store: Store, tmp_path: Path) -> None:
    with opened(tmp_path) as manifest:
        unit = manifest.start(photo(tmp_path, "a.tif"), "source")
        manifest.commit(unit, staged(unit, data=LARGE))
        assert manifest.state_of(unit, verify=True) == "done"
    assert store.objects("out/") == {"a.tif": LARGE}
    assert store.client.head_object(Bucket=BUCKET, Key="out/a.tif")["ETag"].endswith('-3"')
    assert store.uploads() == []


@pytest.mark.parametrize("what", ["gone", "other size", "same size"])
def test_an_object_that_was_changed_is_made_again_and_kept(
    what: str, store: Store, tmp_path: Path
) -> None:
    unit, data = photo(tmp_path, "a.png"), b""
    with opened(tmp_path) as manifest:
        do(manifest, unit)
    if what == "gone":
        store.client.delete_object(Bucket=BUCKET, Key="out/a.png")
    else:
        data = b"x" * (len(content(unit)) + (what == "other size"))
        store.put("out/a.png", data)
    with opened(tmp_path) as manifest:
        assert manifest.state_of(unit) == "pending"
        do(manifest, unit)
    kept = {"a.altered.png": data} if data else {}
    assert store.objects("out/") == {"a.png": content(unit), **kept}


def test_a_copy_within_the_store_is_still_the_result(store: Store, tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        begun = manifest.start(unit, "source")
        manifest.commit(begun, staged(begun, data=LARGE))
    before = store.client.head_object(Bucket=BUCKET, Key="out/a.png")["ETag"]
    store.client.copy_object(
        Bucket=BUCKET, Key="out/a.png", CopySource=f"{BUCKET}/out/a.png", StorageClass="STANDARD_IA"
    )
    assert store.client.head_object(Bucket=BUCKET, Key="out/a.png")["ETag"] != before
    with opened(tmp_path) as manifest:
        assert manifest.state_of(unit) == "done"


@pytest.mark.parametrize("data", [b"small", LARGE], ids=["whole", "parts"])
@pytest.mark.parametrize("since", [False, True], ids=["before", "meanwhile"])
def test_what_somebody_else_put_there_is_never_replaced(
    data: bytes, since: bool, store: Store, tmp_path: Path
) -> None:
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        if since:
            # The run has taken its look at the folder by now.
            assert not manifest.results.is_taken("a.png")
        store.put("out/a.png", b"theirs")
        begun = manifest.start(unit, "source")
        with pytest.raises(RestoreBatchError, match=f"{URL}/a.png: a file that this job did not"):
            manifest.commit(begun, staged(begun, data=data))
    assert store.objects("out/") == {"a.png": b"theirs"}
    assert store.uploads() == []


def test_sidecars_come_first_and_go_with_their_result(store: Store, tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        begun = manifest.start(unit, "source")
        result = staged(begun, data=b"result")
        mask = begun.staged_path.with_name(f"{begun.staged_path.name}.mask.png")
        mask.write_bytes(b"mask")
        sidecar = SidecarFile(".mask.png", 4, hashlib.sha256(b"mask").hexdigest())
        manifest.commit(begun, replace(result, sidecars=(sidecar,)))
        assert manifest.state_of(unit, verify=True) == "done"
        beside = sidecar_of("a.png", ".mask.png")
        assert store.objects("out/") == {"a.png": b"result", beside: b"mask"}
        again = manifest.start(unit, "source")
        manifest.commit(again, staged(again, data=b"plain"))
    assert store.objects("out/") == {"a.png": b"plain"}


def test_a_stand_in_is_put_and_taken_away(store: Store, tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        begun = manifest.start(unit, "source")
        with (tmp_path / "original").open("w+b") as original:
            original.write(b"original")
            original.seek(0)
            manifest.put_copy(original, manifest.staging_dir / "copy", "a.jpg")
        manifest.fail(begun, "restore", "Error", "no", "a.jpg")
        assert store.objects("out/") == {"a.jpg": b"original"}
        do(manifest, unit)
    assert store.objects("out/") == {"a.png": content(unit)}


def test_twenty_faults_of_the_connection_lose_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Faulty(store.url, faults=20, refusals=5, most_bytes=150_000, seed=7)
    talk_to(proxy.url, monkeypatch)
    large = photo(tmp_path, "large.tif")
    units = [large]
    with opened(tmp_path) as manifest:
        begun = manifest.start(large, "source")
        manifest.commit(begun, staged(begun, data=LARGE))
        while proxy.cut < 20:
            some = [photo(tmp_path, f"{len(units)}-{n}.png") for n in range(8)]
            begun_some = [manifest.start(unit, "source") for unit in some]
            errors = manifest.commit_all([(unit, staged(unit)) for unit in begun_some])
            assert set(errors) == {None}
            units += some
        manifest.end_run("finished")
    proxy.close()
    found = store.objects("out/")
    assert found.pop("large.tif") == LARGE
    assert found == {unit.output: content(unit) for unit in units[1:]}
    assert store.uploads() == []
    talk_to(store.url, monkeypatch)
    with opened(tmp_path) as manifest:
        assert {manifest.state_of(unit) for unit in units} == {"done"}


def test_a_store_that_does_not_answer_ends_the_run_and_the_next_goes_on(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_calls, "TRIES", 1)
    proxy = Faulty(store.url)
    talk_to(proxy.url, monkeypatch)
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        begun = manifest.start(unit, "source")
        assert not manifest.results.is_taken("a.png")
        proxy.down.set()
        with pytest.raises(ManifestError, match=f"{URL}: the store does not answer"):
            manifest.commit(begun, staged(begun))
        assert [each.state for each in manifest.items()] == ["staged"]
    proxy.close()
    talk_to(store.url, monkeypatch)
    with opened(tmp_path) as manifest:
        assert manifest.recover() == 1
        assert manifest.state_of(unit) == "done"
    assert store.objects("out/") == {"a.png": content(unit)}


# --- a run that is killed --------------------------------------------------------------------

PHOTOS = tuple(f"{n}.png" for n in range(6))
FILMS = ("a.mkv", "b.mkv")
"""Large files: they go in parts."""
RUN = """
import runpy, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2])["run"](Path(sys.argv[3]))
"""


def run(state: Path) -> None:
    """Everything that is not there yet, in one commit."""
    with opened(state) as manifest:
        manifest.recover()
        units = [photo(state, output) for output in (*PHOTOS, *FILMS)]
        units = [unit for unit in units if manifest.state_of(unit) != "done"]
        begun = [manifest.start(unit, "source") for unit in units]
        results = [(unit, staged(unit, data=what(unit))) for unit in begun]
        assert set(manifest.commit_all(results)) <= {None}
        manifest.end_run("finished")


def what(unit: Photo) -> bytes:
    return content(unit) if unit.output in PHOTOS else unit.output.encode() + LARGE


def killed(proxy: Faulty, state: Path, is_reached: Callable[[], bool]) -> None:
    """A run through ``proxy`` that is killed when that holds it, and the server is so far."""
    tests = Path(__file__).parents[2]
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tests), __file__, str(state)],
        env={**os.environ, **environment(proxy.url)},
    )
    try:
        assert proxy.held.wait(120)
        while not is_reached():
            assert child.poll() is None
            time.sleep(0.05)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        proxy.close()


def expect_all_done(store: Store, state: Path) -> None:
    run(state)
    expected = {output: what(photo(state, output)) for output in (*PHOTOS, *FILMS)}
    assert store.objects("out/") == expected
    with opened(state) as manifest:
        units = [photo(state, output) for output in expected]
        assert {manifest.state_of(unit, verify=True) for unit in units} == {"done"}


@pytest.mark.slow
@pytest.mark.parametrize("sent", [250_000, 4_000_000, 16_000_000])
def test_a_run_killed_while_it_uploads_leaves_nothing_half_done(
    sent: int, store: Store, tmp_path: Path
) -> None:
    theirs = [
        store.client.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]
        for key in ("out/a.mkv", "out/c.mkv", "elsewhere.mkv")
    ]
    proxy = Faulty(store.url, holds=lambda _, total: total > sent)
    killed(proxy, tmp_path, lambda: True)
    for output, data in store.objects("out/").items():
        assert data == what(photo(tmp_path, output))
    expect_all_done(store, tmp_path)
    left = store.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ())
    assert {each["UploadId"] for each in left} == set(theirs)


def test_an_upload_whose_id_was_never_heard_of_is_aborted_by_the_next_run(
    store: Store, tmp_path: Path
) -> None:
    proxy = Faulty(store.url, holds=lambda data, _: b"?uploads HTTP" in data and b"POST" in data)
    killed(proxy, tmp_path, lambda: bool(store.uploads()))
    assert store.uploads()
    expect_all_done(store, tmp_path)
    assert store.uploads() == []


@pytest.mark.slow
def test_an_upload_whose_end_was_never_heard_of_is_the_result(store: Store, tmp_path: Path) -> None:
    proxy = Faulty(store.url, holds=lambda data, _: b"POST" in data and b"?uploadId=" in data)
    films = [f"out/{film}" for film in FILMS]
    killed(proxy, tmp_path, lambda: any(key in films for key in store.objects()))
    found = store.client.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]
    before = {each["Key"]: each["LastModified"] for each in found if each["Key"] in films}
    expect_all_done(store, tmp_path)
    found = store.client.list_objects_v2(Bucket=BUCKET, Prefix="out/")["Contents"]
    assert before.items() <= {each["Key"]: each["LastModified"] for each in found}.items()
    assert store.uploads() == []


# --- what is wrong, in one line -----------------------------------------------------------------


def test_a_missing_bucket_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(RestoreBatchError, match="there is no bucket 'nowhere'; make it"):
        opened(tmp_path, "s3://nowhere/out")


def test_missing_credentials_are_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(RestoreBatchError, match="no credentials were found; set AWS_ACCESS_KEY"):
        opened(tmp_path)


def test_the_state_of_another_output_is_refused(store: Store, tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(RestoreBatchError, match=f"it is the state of the output {URL}"):
        opened(tmp_path, f"s3://{BUCKET}/other")


def test_a_damaged_ledger_is_not_rebuilt_without_the_results(store: Store, tmp_path: Path) -> None:
    unit = photo(tmp_path, "a.png")
    with opened(tmp_path) as manifest:
        do(manifest, unit)
    (tmp_path / FOLDER / "manifest.sqlite").write_bytes(b"no manifest")
    with pytest.raises(UsageError, match=f"its results are in {URL}, with a copy"):
        repair(tmp_path)
    shutil.rmtree(tmp_path / FOLDER)
    with opened(tmp_path) as manifest:
        assert manifest.state_of(unit) == "done"


def test_what_credentials_must_allow_is_named(store: Store, tmp_path: Path) -> None:
    store.set_calls_without_rights(0)
    try:
        with pytest.raises(RestoreBatchError, match=r"access denied .* results need s3:ListBucket"):
            opened(tmp_path)
    finally:
        store.set_calls_without_rights(float("inf"))

"""The copy of the ledger beside results in a bucket: what it is good for, and whose it is."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restore_batch.errors import OutputLockedError, RestoreBatchError
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.jobs.results import ledger_copy, noted_copy
from restore_batch.jobs.results.copied_ledger import CopiedLedger
from restore_batch.jobs.results.noted_copy import NAME
from restore_batch.jobs.results.s3 import S3Results

from support.ledger import content, do, photo
from support.object_store import BUCKET, Faulty, Store, talk_to

pytest.importorskip("moto")
pytest.importorskip("s3fs")

SLOW = pytest.mark.slow
URL = f"s3://{BUCKET}/out"
KEY = f"out/{NAME}"
WITHIN_S = 120


def opened(state: Path) -> Manifest:
    manifest = Manifest.open(state, S3Results(URL, state))
    manifest.begin_run("0", "job.yaml", {}, [])
    return manifest


def send_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One copy after the other, for as long as something changes."""
    monkeypatch.setattr(ledger_copy, "EVERY_S", 0)
    monkeypatch.setattr(ledger_copy, "_SHARE", 1)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def copy_in(store: Store, folder: Path) -> Path:
    """The copy that is there now, as a file."""
    path = folder / "copy.sqlite"
    path.write_bytes(store.objects(own=True)[KEY])
    return path


def asked(path: Path, question: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(question).fetchall()


def replace_copy(store: Store, data: bytes, **notes: str) -> None:
    """Another content in the place of the copy, with what is noted of it but for ``notes``."""
    noted = store.client.head_object(Bucket=BUCKET, Key=KEY)["Metadata"]
    store.client.put_object(Bucket=BUCKET, Key=KEY, Body=data, Metadata={**noted, **notes})


def test_a_lost_ledger_is_gone_on_with_from_its_copy(store: Store, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    units = [photo(first, f"{n}.png") for n in range(3)]
    with opened(first) as manifest:
        for unit in units:
            do(manifest, unit)
    with opened(second) as manifest:
        assert {manifest.state_of(unit) for unit in units} == {"done"}
        assert manifest.last_run() is not None
        (note,) = manifest.results.notes
        assert note.startswith(f"{URL}: gone on with from the copy of the ledger there, ")
        assert note.endswith("that had ended; what is newer, and parts of films, are made again")
        do(manifest, photo(second, "3.png"))
    with pytest.raises(RestoreBatchError, match=f"or remove {first / FOLDER} to go on here"):
        opened(first)
    shutil.rmtree(first / FOLDER)
    with opened(first) as manifest:
        assert manifest.state_of(photo(first, "3.png")) == "done"


def test_results_of_another_job_are_left_alone(store: Store, tmp_path: Path) -> None:
    opened(tmp_path / "first").close()
    with Manifest.open(tmp_path / "second"):
        pass
    with pytest.raises(RestoreBatchError, match="results of another ledger are there"):
        opened(tmp_path / "second")


def test_a_result_that_the_copy_does_not_know_is_still_this_jobs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    unit = photo(first, "a.png")
    with monkeypatch.context() as patched, opened(first) as manifest:
        # As if killed before another copy: the first was made when the run began.
        patched.setattr(ledger_copy.LedgerCopy, "send_last", lambda copy, _: copy.leave())
        do(manifest, unit)
        manifest.close()
    with pytest.raises(OutputLockedError, match="minutes ago; wait for it"):
        opened(second)
    monkeypatch.setattr(noted_copy, "OVERDUE", 0)
    with opened(second) as manifest:
        assert manifest.state_of(unit) == "pending"
        do(manifest, photo(second, "a.png"))
    assert store.objects("out/") == {"a.png": content(unit)}


def takes_over(state: Path) -> bool:
    """Whether the other run has not written at the same moment."""
    try:
        opened(state).close()
    except OutputLockedError:
        return False
    return True


def test_a_run_whose_results_were_taken_over_ends(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noted_copy, "OVERDUE", 0)
    send_at_once(monkeypatch)
    with opened(tmp_path / "first") as first:
        until(lambda: takes_over(tmp_path / "second"))
        with pytest.raises(ManifestError, match="has taken the results over"):
            for number in range(10_000):
                do(first, photo(tmp_path / "first", f"{number}.png"))


def test_the_copy_beside_the_results_is_a_ledger_as_of_one_moment(
    store: Store, tmp_path: Path
) -> None:
    with opened(tmp_path) as manifest:
        do(manifest, photo(tmp_path, "a.png"))
        manifest.end_run("finished")
    copy = copy_in(store, tmp_path)
    assert asked(copy, "SELECT item, state FROM units") == [("a.png", "done")]
    assert asked(copy, "SELECT outcome FROM runs") == [("finished",)]


@pytest.mark.parametrize(
    "at", ["_send", pytest.param("note_store", marks=SLOW), pytest.param("publish", marks=SLOW)]
)
@pytest.mark.parametrize("is_first", [True, False], ids=["first run", "taken over"])
def test_a_claim_that_was_cut_short_is_made_by_the_next_run(
    at: str, is_first: bool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def cut(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(noted_copy, "OVERDUE", 0)
    state, unit = tmp_path / "state", photo(tmp_path / "other", "a.png")
    if not is_first:
        with opened(tmp_path / "other") as manifest:
            do(manifest, unit)
    with monkeypatch.context() as patched:
        patched.setattr(ledger_copy.LedgerCopy if at == "_send" else ledger_copy, at, cut)
        with contextlib.suppress(Killed):
            opened(state).close()
    with opened(state) as manifest:
        assert manifest.state_of(unit) == ("pending" if is_first else "done")
        do(manifest, photo(state, "b.png"))
    assert "b.png" in store.objects("out/")


def test_copies_are_sent_while_a_run_goes_on_and_nothing_comes_to_an_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at_once(monkeypatch)
    with opened(tmp_path) as manifest:
        manifest.start(photo(tmp_path, "a.png"), "source")
        begun = "SELECT item, state FROM units"
        until(lambda: asked(copy_in(store, tmp_path), begun) == [("a.png", "pending")])
        found = store.client.head_object(Bucket=BUCKET, Key=KEY)
        assert found["Metadata"]["open"] == "yes"


@pytest.mark.parametrize("is_overdue", [False, True])
def test_a_ledger_that_has_not_changed_is_sent_again_only_to_show_that_its_run_goes_on(
    is_overdue: bool, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        pages = store.client.list_object_versions(Bucket=BUCKET, Prefix=KEY)
        return len(pages.get("Versions", ()))

    versioning = {"Status": "Enabled"}
    store.client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration=versioning)
    send_at_once(monkeypatch)
    with opened(tmp_path) as manifest:
        do(manifest, photo(tmp_path, "a.png"))
        until(lambda: asked(copy_in(store, tmp_path), "SELECT state FROM units") == [("done",)])
        before = count()
        if is_overdue:
            monkeypatch.setattr(noted_copy, "AT_LATEST_S", 0)
            until(lambda: count() > before + 3)
        else:
            time.sleep(2)  # many times what a copy takes here
            assert count() <= before + 1


def test_a_copy_that_cannot_be_made_ends_no_run_and_is_told_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_at_once(monkeypatch)
    units = (photo(tmp_path, f"{number}.png") for number in range(10_000))
    done = []
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with opened(tmp_path) as manifest:
            in_the_way = tmp_path / FOLDER / "manifest.copy"
            in_the_way.mkdir()
            while not warned:
                done.append(do(manifest, next(units)))
            done += [do(manifest, next(units)) for _ in range(20)]
            in_the_way.rmdir()
        (warning,) = warned
    assert "the copy of the ledger beside the results cannot be sent" in str(warning.message)
    states = asked(copy_in(store, tmp_path), "SELECT state FROM units")
    assert states == [("done",)] * len(done)


def test_a_copy_promises_the_next_and_is_waited_for_that_long(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_copy, "_BYTES_A_SECOND", 1)
    with opened(tmp_path / "first"):
        size = store.client.head_object(Bucket=BUCKET, Key=KEY)["ContentLength"]
        assert size > noted_copy.AT_LATEST_S
        with pytest.raises(
            OutputLockedError, match=f"or {3 * size / 60:.0f} minutes if it is gone"
        ):
            opened(tmp_path / "second")


def test_a_damaged_copy_is_not_gone_on_from(store: Store, tmp_path: Path) -> None:
    with opened(tmp_path / "first") as manifest:
        do(manifest, photo(tmp_path / "first", "a.png"))
    sound = store.objects(own=True)[KEY]
    altered = sound.replace(b"a.png", b"b.png")
    for data, notes in (
        (b"no ledger", {}), (altered, {}), (sound[: len(sound) // 2], {"sha256": ""}),
    ):  # fmt: skip
        replace_copy(store, data, **notes)
        with pytest.raises(
            RestoreBatchError, match=f"{URL}/{NAME}: this copy of the ledger is dam"
        ):
            opened(tmp_path / "second")
    replace_copy(store, sound, sha256="")  # as earlier versions sent it
    with opened(tmp_path / "second") as manifest:
        assert manifest.state_of(photo(tmp_path / "first", "a.png")) == "done"


def test_a_copy_of_a_newer_version_is_not_gone_on_from(store: Store, tmp_path: Path) -> None:
    opened(tmp_path / "first").close()
    copy = copy_in(store, tmp_path)
    with contextlib.closing(sqlite3.connect(copy)) as database:
        database.execute("CREATE TABLE colours (name TEXT)")
        database.execute("PRAGMA user_version = 99")
    replace_copy(store, copy.read_bytes())
    with pytest.raises(RestoreBatchError, match=rf"^{URL}/{NAME}: written by a newer .*format 99"):
        opened(tmp_path / "second")


# --- read from elsewhere ---------------------------------------------------------------------


def test_a_copy_is_read_as_the_ledger_would_be_and_only_where_it_is_another_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def count(data: bytes, _: int) -> bool:
        fetched.extend([data] if f"GET /{BUCKET}/{KEY} ".encode() in data else [])
        return False

    proxy = Faulty(store.url, holds=count)
    state, elsewhere = tmp_path / "state", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with opened(state) as manifest:
        do(manifest, photo(state, "a.png"))
    talk_to(proxy.url, monkeypatch)
    copied = CopiedLedger(URL, elsewhere)
    for _ in range(3):
        copied.refresh()
    assert len(fetched) == 1
    assert not copied.noted.is_open
    with opened(state) as manifest:
        copied.refresh()
        assert len(fetched) == 1  # the run has begun, and its ledger is what it was
        assert copied.noted.goes_on
        do(manifest, photo(state, "b.png"))
    before = store.objects(own=True)
    copied.refresh()
    assert len(fetched) == 2
    read = Manifest.read(elsewhere)
    assert read is not None
    with read:
        assert read.counts() == {"done": 2}
    proxy.close()
    assert store.objects(own=True) == before

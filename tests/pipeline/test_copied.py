"""A job is looked at from a machine that has no state of it, by the copy beside its results."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import restore_batch as rb
from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.jobs.manifest import Manifest
from restore_batch.jobs.outputs import folder_of
from restore_batch.jobs.results import noted_copy, s3_calls
from restore_batch.jobs.results.noted_copy import NAME
from restore_batch.jobs.results.s3 import S3Results
from restore_batch.pipeline.cli.report import report
from restore_batch.pipeline.cli.status import status

from support.archive import command
from support.ledger import do, do_fail, photo
from support.object_store import BUCKET, Faulty, Store, talk_to

pytest.importorskip("moto")
pytest.importorskip("s3fs")

URL = f"s3://{BUCKET}/restored"
WITHIN_S = 300


@pytest.fixture
def store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A bucket, seen by a user without any state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    return store


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The state of the job, on the other machine."""
    return tmp_path / "there"


def opened(state: Path) -> Manifest:
    manifest = Manifest.open(state, S3Results(URL, state))
    manifest.begin_run("0", "job.yaml", {}, [], 3)
    return manifest


def two_of_three(state: Path) -> None:
    with opened(state) as manifest:
        do(manifest, photo(state, "a.png"), faces=2)
        do_fail(manifest, photo(state, "b.png"))
        manifest.end_run("interrupted")


def lines(*arguments: str | Path) -> list[str]:
    result = CliRunner().invoke(status, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def test_status_of_a_url_says_what_the_copy_says_and_of_when_it_is(
    store: Store, there: Path
) -> None:
    two_of_three(there)
    before = store.objects(own=True)
    as_of, *rest = lines(URL)
    assert as_of.startswith(f"{URL}: as of 20")
    assert " ago, by the copy of the ledger there; the run on " in as_of
    assert as_of.endswith(" has ended")
    assert rest == [
        "failed   b.png  decode: b.png: not a picture",
        "1 done, 1 failed, 1 left; last run interrupted",
    ]  # fmt: skip
    assert store.objects(own=True) == before
    assert not folder_of(URL).exists()


def test_a_job_file_and_a_url_lead_to_the_same_copy(
    store: Store, there: Path, tmp_path: Path
) -> None:
    two_of_three(there)
    job = tmp_path / "job.yaml"
    job.write_text(f"inputs: [in]\noutput: {URL}/\nstate: nowhere\n", encoding="utf-8")
    for named in (job, f"S3://{BUCKET}/restored/"):
        said = json.loads("\n".join(lines(named, "--json")))
        assert said["counts"] == {"done": 1, "failed": 1}
        assert (said["copy"]["url"], said["copy"]["run"]) == (URL, "has ended")


def test_a_run_seems_to_go_on_until_its_next_copy_is_long_overdue(
    store: Store, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(there):
        assert lines(URL)[0].endswith(" seems to go on")
        monkeypatch.setattr(noted_copy, "OVERDUE", 0)
        assert lines(URL)[0].endswith(" was cut off, or cannot reach the store")


def test_where_the_state_is_no_copy_is_read(store: Store, there: Path) -> None:
    two_of_three(there)
    with Manifest.open(folder_of(URL)) as manifest:
        do(manifest, photo(folder_of(URL), "a.png"))
    assert lines(URL) == ["1 done"]
    assert json.loads("\n".join(lines(URL, "--json")))["copy"] is None
    assert rb.open(URL).copy is None


def test_a_run_that_was_refused_leaves_nothing_in_the_way_of_the_copy(
    store: Store, there: Path
) -> None:
    with opened(there):
        with pytest.raises(RestoreBatchError, match="wait for it"):
            opened(folder_of(URL))
        assert lines(URL)[0].endswith(" seems to go on")


def test_a_watch_goes_on_until_the_copy_says_that_the_run_has_ended(
    store: Store, there: Path
) -> None:
    with opened(there) as manifest:
        do(manifest, photo(there, "a.png"))
    with opened(there) as manifest:
        watching = subprocess.Popen(
            command("status", "--watch", URL), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert watching.stdout is not None
        assert watching.stdout.readline().endswith(" seems to go on\n")
        assert watching.stdout.readline().startswith("1 done")
        do(manifest, photo(there, "b.png"))
        do_fail(manifest, photo(there, "c.png"))
        manifest.end_run("finished")
    out, err = watching.communicate(timeout=WITHIN_S)
    assert err == ""
    *_, as_of, failed, totals = out.splitlines()
    assert as_of.endswith(" has ended")
    assert failed.startswith("failed   c.png")
    assert totals == "2 done, 1 failed; last run finished"


def test_a_run_without_a_life_sign_is_not_watched(
    store: Store, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noted_copy, "OVERDUE", 0)
    with opened(there):
        said = lines("--watch", URL)
    assert said[0].startswith("no run is going on there")
    assert said[1].endswith(" was cut off, or cannot reach the store")


def test_results_are_opened_by_their_url(store: Store, there: Path) -> None:
    two_of_three(there)
    found = rb.open(URL)
    assert [(item.output, item.state) for item in found] == [
        (f"{URL}/a.png", "done"), (f"{URL}/b.png", "failed"),
    ]  # fmt: skip
    assert found.copy is not None
    assert found.copy.run == "has ended"
    assert "by the copy of the ledger there" in found._repr_html_()


def test_the_report_of_a_copy_makes_no_folder_where_the_state_is_elsewhere(
    store: Store, there: Path, tmp_path: Path
) -> None:
    with opened(there) as manifest:
        do_fail(manifest, photo(there, "a.png"))
    job = tmp_path / "job.yaml"
    job.write_text(f"inputs: [in]\noutput: {URL}\nstate: mounted/state\n", encoding="utf-8")
    result = CliRunner().invoke(report, [str(job)], catch_exceptions=False)
    copy, *_, page = result.output.splitlines()
    assert copy.endswith(" has ended")
    assert page == f"report: {(folder_of(URL) / 'report' / 'index.html').as_uri()}"
    shown = folder_of(URL) / "report" / "index.html"
    assert f"{URL}: as of 20" in shown.read_text(encoding="utf-8")
    assert not (tmp_path / "mounted").exists()


# --- what is wrong, in one line -----------------------------------------------------------------


def refused(place: str, error: type[RestoreBatchError], says: str) -> None:
    for look in (lambda: lines(place), lambda: rb.open(place)):
        with pytest.raises(error, match=says) as raised:
            look()
        assert len(raised.value.lines) == 1
        assert "\n" not in raised.value.lines[0]


def test_a_place_without_a_copy_is_told(store: Store) -> None:
    store.put("restored/a.png", b"theirs")
    says = rf"^{URL}: no copy of a ledger lies there \({NAME}\).*no state of this job is in /"
    refused(URL, UsageError, says)
    refused("s3://nowhere/x", RestoreBatchError, "^s3://nowhere/x: there is no bucket 'nowhere'")


def test_missing_credentials_are_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    refused(URL, RestoreBatchError, f"^{URL}: no credentials were found; set AWS_ACCESS_KEY_ID")


def test_rights_that_are_missing_are_told(store: Store) -> None:
    store.set_calls_without_rights(0)
    try:
        refused(URL, RestoreBatchError, "access denied .* needs s3:ListBucket and s3:GetObject")
    finally:
        store.set_calls_without_rights(float("inf"))


def test_a_store_that_does_not_answer_is_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_calls, "TRIES", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy = Faulty(store.url)
    proxy.down.set()
    talk_to(proxy.url, monkeypatch)
    refused(URL, RestoreBatchError, f"^{URL}: the store does not answer")
    proxy.close()


def test_a_damaged_copy_is_told(store: Store, there: Path) -> None:
    two_of_three(there)
    store.put(f"restored/{NAME}", b"no ledger")
    refused(URL, RestoreBatchError, f"^{URL}/{NAME}: this copy of the ledger is damaged")


@pytest.mark.parametrize("url", ["gs://bucket/x", "az://place/x", "memory://x", "s3://"])
def test_other_stores_are_refused_with_what_is_supported(url: str) -> None:
    refused(url, UsageError, "^expected a local folder or s3://bucket/prefix .*, got the URL")

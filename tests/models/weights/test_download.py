"""Downloads against a real server on this machine that cuts, refuses and lies."""

from __future__ import annotations

import hashlib
import io
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest

from restore_batch.errors import WeightsError
from restore_batch.models.weights import download
from restore_batch.models.weights.download import Patience, fetch

from support.web import Page, Site, site

BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()
HASTY = Patience(attempts=3, timeout_s=5.0, backoff_s=0.0)


@pytest.fixture
def web() -> Iterator[Site]:
    with site() as running:
        yield running


def _fetch(urls: list[str], target: Path, **known: object) -> Path:
    fetch(urls, target, patience=HASTY, **known)  # type: ignore[arg-type]
    return target


def test_a_file_arrives_with_its_checksum_and_origin(web: Site, tmp_path: Path) -> None:
    url = web.put("/a.pth", Page(BODY))
    got = fetch([url], tmp_path / "a.pth", sha256=SHA256, size_bytes=len(BODY))
    assert (got.url, got.sha256, got.size_bytes) == (url, SHA256, len(BODY))
    assert (tmp_path / "a.pth").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.pth"]


def test_a_cut_connection_goes_on_where_it_was_cut(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, cut_after=[300_000, 200_000])
    target = _fetch([web.put("/a", page)], tmp_path / "a")
    assert target.read_bytes() == BODY
    assert [request.get("range") for request in page.requests] == [
        None,
        "bytes=300000-",
        "bytes=500000-",
    ]
    assert page.requests[1]["if-range"] == '"v1"'


def test_as_long_as_bytes_keep_coming_it_does_not_give_up(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, cut_after=[100_000] * 8)
    assert _fetch([web.put("/a", page)], tmp_path / "a").read_bytes() == BODY


def test_a_server_without_ranges_starts_again(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, ranges=False, cut_after=[300_000])
    assert _fetch([web.put("/a", page)], tmp_path / "a").read_bytes() == BODY
    assert len(page.requests) == 2


def test_a_server_that_cuts_at_the_same_place_forever_is_given_up(
    web: Site, tmp_path: Path
) -> None:
    page = Page(BODY, ranges=False, cut_after=[1000] * 50)
    with pytest.raises(WeightsError, match=r"the connection ended at 1000 of 1048576 bytes"):
        _fetch([web.put("/a", page)], tmp_path / "a")
    assert len(page.requests) <= 5


def test_a_later_attempt_resumes_what_an_earlier_one_left(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, cut_after=[400_000], statuses=[])
    url = web.put("/a", page)
    with pytest.raises(WeightsError):
        page.cut_after = [400_000, 0, 0, 0, 0, 0]
        _fetch([url], tmp_path / "a")
    assert not (tmp_path / "a").exists()
    page.requests.clear()
    page.cut_after = []
    assert _fetch([url], tmp_path / "a").read_bytes() == BODY
    assert page.requests[0]["range"] == "bytes=400000-"


def test_a_file_that_changed_between_attempts_is_not_mixed(web: Site, tmp_path: Path) -> None:
    old = Page(BODY, cut_after=[400_000, 0, 0, 0, 0, 0])
    url = web.put("/a", old)
    with pytest.raises(WeightsError):
        _fetch([url], tmp_path / "a")
    new_body = BODY[::-1]
    web.put("/a", Page(new_body, etag='"v2"'))
    assert _fetch([url], tmp_path / "a").read_bytes() == new_body


def test_without_validator_or_checksum_nothing_is_resumed(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, etag=None, cut_after=[300_000])
    assert _fetch([web.put("/a", page)], tmp_path / "a").read_bytes() == BODY
    assert all("range" not in request for request in page.requests)


def test_left_over_bytes_of_another_file_cost_one_more_try(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, etag=None, cut_after=[300_000, 0, 0, 0, 0, 0])
    url = web.put("/a", page)
    with pytest.raises(WeightsError):
        _fetch([url], tmp_path / "a", sha256=SHA256)
    part = tmp_path / "a.part"
    part.write_bytes(b"x" * 300_000)
    assert _fetch([url], tmp_path / "a", sha256=SHA256).read_bytes() == BODY


def test_left_over_bytes_longer_than_the_file_are_dropped(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, cut_after=[300_000, 0, 0, 0, 0, 0])
    url = web.put("/a", page)
    with pytest.raises(WeightsError):
        _fetch([url], tmp_path / "a")
    (tmp_path / "a.part").write_bytes(BODY + b"more")
    page.cut_after = []
    assert _fetch([url], tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_missing_file_sends_it_to_the_mirror_at_once(
    web: Site, tmp_path: Path, status: int
) -> None:
    first, second = Page(b"", statuses=[status] * 9), Page(BODY)
    urls = [web.put("/first", first), web.put("/second", second)]
    got = fetch(urls, tmp_path / "a", patience=HASTY)
    assert got.url == urls[1]
    assert len(first.requests) == 1


def test_a_busy_server_is_asked_again(web: Site, tmp_path: Path) -> None:
    page = Page(BODY, statuses=[503, 429])
    assert _fetch([web.put("/a", page)], tmp_path / "a").read_bytes() == BODY


def test_a_wrong_checksum_sends_it_to_the_mirror(web: Site, tmp_path: Path) -> None:
    urls = [web.put("/bad", Page(BODY[:-1] + b"?")), web.put("/good", Page(BODY))]
    assert _fetch(urls, tmp_path / "a", sha256=SHA256).read_bytes() == BODY


def test_a_wrong_checksum_everywhere_leaves_nothing_behind(web: Site, tmp_path: Path) -> None:
    url = web.put("/bad", Page(b"other"))
    with pytest.raises(WeightsError, match=rf"(?s)/bad: has sha256 \w+, {SHA256} expected"):
        _fetch([url], tmp_path / "a", sha256=SHA256)
    assert list(tmp_path.iterdir()) == []


def test_the_first_digits_of_a_checksum_are_checked(web: Site, tmp_path: Path) -> None:
    url = web.put("/a", Page(BODY))
    assert _fetch([url], tmp_path / "a", sha256=SHA256[:8]).exists()
    with pytest.raises(WeightsError, match="sha256"):
        _fetch([url], tmp_path / "b", sha256="0" * 8)


def test_a_wrong_size_is_refused(web: Site, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is 1048576 bytes, 7 expected"):
        _fetch([web.put("/a", Page(BODY))], tmp_path / "a", size_bytes=7)


def test_a_web_page_is_not_taken_for_weights(web: Site, tmp_path: Path) -> None:
    url = web.put("/a.pth", Page(b"<html>log in</html>", content_type="text/html; charset=utf-8"))
    with pytest.raises(WeightsError, match="answers with a web page"):
        _fetch([url], tmp_path / "a")


def test_every_address_is_named_with_its_fault(web: Site, tmp_path: Path) -> None:
    urls = [f"{web.address}/x", "http://127.0.0.1:9/y", "ftp://127.0.0.1/z"]
    with pytest.raises(WeightsError) as caught:
        _fetch(urls, tmp_path / "a.pth")
    message = str(caught.value)
    assert message.startswith("a.pth could not be downloaded")
    assert all(url in message for url in urls)
    assert "HTTP 404" in message
    assert "\n" not in message


def test_a_redirect_is_followed(web: Site, tmp_path: Path) -> None:
    target = web.put("/real", Page(BODY))
    url = web.put("/release", Page(b"", location=target))
    assert _fetch([url], tmp_path / "a").read_bytes() == BODY


def test_a_redirect_from_https_to_http_is_not_followed() -> None:
    handler = download._Redirects()
    request = urllib.request.Request("https://127.0.0.1/a")
    follow = (request, io.BytesIO(), 302, "Found", Message())
    with pytest.raises(download._Refused, match="from https to http"):
        handler.redirect_request(*follow, "http://127.0.0.1/a")
    assert handler.redirect_request(*follow, "https://127.0.0.1/b") is not None


def test_a_local_file_address_is_copied_and_checked(tmp_path: Path) -> None:
    source = tmp_path / "with space.pth"
    source.write_bytes(BODY)
    assert _fetch([source.as_uri()], tmp_path / "a", sha256=SHA256).read_bytes() == BODY
    with pytest.raises(WeightsError, match="no such file"):
        _fetch([(tmp_path / "absent").as_uri()], tmp_path / "b")


def test_progress_counts_up_to_the_whole_file(web: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    page = Page(BODY, cut_after=[300_000])
    fetch(
        [web.put("/a", page)],
        tmp_path / "a.pth",
        progress=lambda *step: seen.append(step),
        patience=HASTY,
    )
    assert seen[-1] == ("a.pth", len(BODY), len(BODY))
    done = [step[1] for step in seen]
    assert done == sorted(done)

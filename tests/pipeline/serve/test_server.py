"""A server gives away what its report names, to who may ask, and changes nothing."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psutil
import pytest

from restore_batch.errors import UsageError
from restore_batch.files import version_of
from restore_batch.jobs.manifest import FOLDER, Manifest
from restore_batch.jobs.proof.faults import ManifestError
from restore_batch.pipeline.report.writing import write_report

from support.command_line import call
from support.reports import Item, found_face, restored

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from restore_batch.pipeline.serve.server import served

SECRET = b"nobody may read this"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    items = [
        Item("album/a.png", (found_face(0.2, "odd"),), ("1 odd thing",)),
        Item("b.jpg", size=(120, 80)),
        Item("broken.png", error="cut off"),
    ]
    (folder / "secret.png").write_bytes(SECRET)
    output = restored(folder, items)
    with Manifest.open(output) as manifest:
        for item in items:
            note(manifest, folder / "in" / item.name)
    return output


def note(manifest: Manifest, source: Path) -> None:
    """Note an original as a run does, so that it is told from what comes into its place."""
    status = source.stat()
    stamp = f"{status.st_size} {version_of(status)}"
    manifest.note_source(str(source), stamp, None, None, "")


@pytest.fixture(scope="module")
def address(output: Path) -> Iterator[str]:
    with served(output) as found:
        yield found


class Answer:
    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.read()


def connected(address: str) -> http.client.HTTPConnection:
    place = urlsplit(address)
    return http.client.HTTPConnection(place.hostname or "", place.port or 0, timeout=120)


def ask(address: str, path: str = "/", method: str = "GET", **headers: str) -> Answer:
    """One request, its path sent as it stands."""
    connection = connected(address)
    connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    try:
        return Answer(connection.getresponse())
    finally:
        connection.close()


def told(address: str) -> dict[str, Any]:
    """What the page's scripts are told."""
    found = re.search(r'id="told">(.*?)</script>', ask(address).body.decode())
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def data_of(answer: Answer) -> Any:
    text = answer.body.decode()
    return json.loads(text[text.index("[") : text.rindex("]") + 1])


def news(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The news of a stream of events, as they come."""
    while line := answer.fp.readline().decode():
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
    }


def test_page_lines_details_previews_and_files_are_served_and_nothing_is_written(
    output: Path, address: str
) -> None:
    before = tree(output)
    about = told(address)
    lines = data_of(ask(address, f"/{about['data']}/lines-0.js"))
    assert [line["output"] for line in lines] == ["album/a.png", "b.jpg", "broken.png"]
    (details,) = data_of(ask(address, f"/{about['data']}/details-0.js"))
    while "files" not in details["previews"]:  # not made yet
        (details,) = data_of(ask(address, f"/{about['data']}/details-0.js"))
    assert details["faces"][0]["note"] == "odd"
    for ending, size in details["previews"]["files"].items():
        assert len(ask(address, f"/{lines[0]['preview']}-{ending}").body) == size
    thumb = ask(address, f"/{lines[1]['preview']}-thumb.jpg")  # of an item that nobody has opened
    while thumb.status == 204:  # not made yet
        thumb = ask(address, f"/{lines[1]['preview']}-thumb.jpg")
    assert thumb.headers["content-type"] == "image/jpeg"
    assert ask(address, f"/{details['result_link']}").body == (output / "album/a.png").read_bytes()
    original = output.parent / "in" / "album" / "a.png"
    assert ask(address, f"/{details['source_link']}").body == original.read_bytes()
    for name in ("report.css", "live.css", "live.js", "start.js", "icon.svg"):
        assert ask(address, f"/assets/{name}").status == 200
    assert tree(output) == before


def test_previews_of_the_own_report_are_used_and_ratings_are_kept_under_its_name(
    tmp_path: Path,
) -> None:
    output = restored(tmp_path, [Item("b.jpg", size=(120, 80))])
    write_report(output)
    thumb = next(output.glob("report/previews/*/*-thumb.jpg"))
    reversed_bytes = thumb.read_bytes()[::-1]  # of the same size, and not what would be made
    thumb.write_bytes(reversed_bytes)
    with served(output) as address:
        answer = ask(address, f"/{thumb.relative_to(output / 'report')}")
        assert answer.body == reversed_bytes
        mark = json.loads((output / "report" / "restore-batch-report.json").read_bytes())
        assert told(address)["id"] == mark["id"]


@pytest.mark.parametrize(
    "path",
    [
        "/..", "/../secret.png", "/../../secret.png", "/%2e%2e/secret.png", "/..%2fsecret.png",
        "/assets/../server.py", "/assets/..%2fserver.py", "/assets/%2e%2e%2f%2e%2e%2fapp.py",
        "/assets/live.html", "/assets/index.html", "/assets/", "/assets",
        "/previews/..%2f..%2f..%2fsecret.png", "/previews/../../secret.png",
        "/previews/00/0000000000000000-thumb.jpg", "/previews/00/0000000000000000-facts.json",
        "/data/x/lines-0.js", "/data/..%2f..%2fsecret.png", "/data/x/..%2f..%2f..%2fsecret.png",
        "/results/0/..%2f..%2fsecret.png", "/results/../secret.png", "/results/2/broken.png",
        "/results/999/a.png", "/results/-1/a.png", "/results/0", "/originals/999/a.png",
        "/secret.png", "//etc/passwd", "/etc/passwd", "/%00", "/assets/live.js%00",
        "/.restore-batch/manifest.sqlite", "/results/0/../../.restore-batch/manifest.sqlite",
        "/%c0%ae%c0%ae/secret.png", "/%5c..%5csecret.png", "/album/a.png", "/favicon.ico",
    ],
)  # fmt: skip
def test_no_address_leads_anywhere_else(output: Path, address: str, path: str) -> None:
    answer = ask(address, path)
    assert answer.status in (400, 404)
    assert SECRET not in answer.body


def test_links_and_files_that_came_into_a_place_are_not_given_away(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("album/a.png"), Item("b.png")])
    secret = tmp_path / "secret.png"
    secret.write_bytes(SECRET)
    (output / "b.png").unlink()
    (output / "b.png").symlink_to(secret)
    source = tmp_path / "in" / "b.png"
    with served(output) as address:
        assert ask(address, "/results/0/a.png").status == 200
        assert ask(address, "/results/1/b.png").status == 404
        (output / "album").rename(output / "moved")
        (output / "album").symlink_to(output / "moved")
        assert ask(address, "/results/0/a.png").status == 404
        assert ask(address, "/originals/1/b.png").status == 404  # nothing is noted of it
        with Manifest.open(output) as manifest:
            note(manifest, source)
        assert ask(address, "/originals/1/b.png").status == 200
        source.write_bytes(SECRET)
        assert ask(address, "/originals/1/b.png").status == 404


def test_only_questions_are_answered(address: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        answer = ask(address, "/", method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    head, get = ask(address, "/results/0/a.png", "HEAD"), ask(address, "/results/0/a.png")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(get.body))
    assert ask(address, "/events", "HEAD").status == 200


def test_parts_of_files_are_given_as_films_need_them(output: Path, address: str) -> None:
    whole = (output / "album/a.png").read_bytes()
    part = ask(address, "/results/0/a.png", Range="bytes=10-19")
    assert (part.status, part.body) == (206, whole[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole)}"
    assert ask(address, "/results/0/a.png", Range=f"bytes={len(whole)}-").status == 416


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:80", "127.9.9.9"])
def test_this_machine_may_be_asked_by_its_own_names(address: str, host: str) -> None:
    assert ask(address, "/", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil", "10.0.0.1", "[::1", "a b"],
)
def test_a_name_that_was_made_to_lead_here_is_refused(address: str, host: str) -> None:
    assert ask(address, "/", Host=host).status in (400, 421)


def test_pages_of_others_may_lead_here_and_take_nothing(address: str) -> None:
    data = f"/{told(address)['data']}/lines-0.js"
    for site in ("cross-site", "same-site"):
        assert ask(address, data, Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors").status == 403
        assert ask(address, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="cors").status == 403
        assert ask(address, "/", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate").status == 200
    answer = ask(address, data, Sec_Fetch_Site="same-origin")
    assert answer.status == 200
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_token_opens_once_and_is_a_cookie_then(output: Path) -> None:
    with served(output, with_token=True) as address:
        token = urlsplit(address).query.removeprefix("token=")
        assert len(token) >= 32
        assert ask(address).status == 401
        for wrong in ("", "x", "é", f"{token}x", token[:-1]):
            assert ask(address, f"/?token={quote(wrong)}").status == 401
        assert ask(address, f"/?token={token}&token=x").status == 401
        answer = ask(address, f"/?token={token}")
        assert (answer.status, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=lax" in cookie.lower()
        kept = cookie.partition(";")[0]
        assert ask(address, "/", Cookie=kept).status == 200
        for path in ("/events", "/assets/live.js", "/results/0/a.png"):
            assert ask(address, path).status == 401
        assert ask(address, "/assets/live.js", Cookie=f"other=1; {kept}").status == 200
        assert ask(address, "/", Cookie=f"{kept}x").status == 401


def test_other_interfaces_are_not_listened_at_unless_asked(output: Path, address: str) -> None:
    others = [
        each.address
        for found in psutil.net_if_addrs().values()
        for each in found
        if each.family == socket.AF_INET and not each.address.startswith("127.")
    ]
    if not others:
        pytest.skip("this machine has no other interface")
    with pytest.raises(OSError):
        socket.create_connection((others[0], urlsplit(address).port or 0), timeout=20)
    with socket.create_server(("127.0.0.1", 0)) as found:
        free = int(found.getsockname()[1])
    with served(output, others[0], free) as asked:
        assert urlsplit(asked).query.startswith("token=")
        assert ask(asked).status == 401
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", urlsplit(asked).port or 0), timeout=20)


def test_who_listens_elsewhere_is_told_why_it_cannot(output: Path, address: str) -> None:
    taken = urlsplit(address).port
    with pytest.raises(UsageError, match=f"port {taken}"), served(output, port=taken):
        pass
    with pytest.raises(UsageError, match="no such address"), served(output, "no..such"):
        pass
    with served(output) as first, served(output) as second:  # none was asked for: any is taken
        assert urlsplit(first).port != urlsplit(second).port


def test_news_are_of_what_came_since_and_a_page_of_another_server_hears_so(address: str) -> None:
    of = told(address)["live"]["generation"]
    connection = connected(address)
    connection.request("GET", f"/events?of={of}&since=0")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    first = next(news(answer))
    assert {line["output"] for _, line in first["lines"]} == {"album/a.png", "b.jpg", "broken.png"}
    assert first["state"]["counts"]["done"] == 2
    connection.close()
    connection.request("GET", "/events?of=earlier&since=0")
    assert connection.getresponse().read().decode().startswith("event: anew\n")
    connection.close()


def test_a_manifest_that_is_gone_is_said_for_as_long_as_it_is(tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("a.png")])
    faults: list[str] = []
    with served(output) as address:
        connection = connected(address)
        connection.request("GET", f"/events?of={told(address)['live']['generation']}")
        for each in news(connection.getresponse()):
            fault = each["state"]["fault"]
            if faults and faults[-1] == fault:
                continue
            faults.append(fault)
            if len(faults) == 3:
                break
            if fault:
                (tmp_path / "hidden").rename(output / FOLDER)
            else:
                (output / FOLDER).rename(tmp_path / "hidden")
        connection.close()
    assert [bool(fault) for fault in faults] == [False, True, False]
    assert "manifest.sqlite" in faults[1]


def test_an_output_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError), served(tmp_path):
        pass
    done = call("serve", str(tmp_path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "nothing was run there yet" in done.stderr
    assert not list(tmp_path.iterdir())

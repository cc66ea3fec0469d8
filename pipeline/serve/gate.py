"""Who may ask: by which method, under which name of this machine, from which page, with which
token. Stands before everything else that the server does."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'"
)
TOKEN = "token"
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)
_HEADERS = {
    "content-security-policy": f"{POLICY}; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Door:
    """What is let in. ``names``: of this machine, lower case; ``is_open``: addresses beyond
    loopback are bound; ``token``: to be shown once in the address, then by a cookie; "" for none.
    """

    names: frozenset[str]
    is_open: bool
    token: str
    cookie: str

    def is_this_machine(self, hosts: Sequence[str]) -> bool:
        """Whether a request's Host names this machine: a page of elsewhere, whose name has come to
        lead here, still goes by its own."""
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return False
        name = found[1].strip("[]").lower()
        try:
            return self.is_open or ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name in self.names


class Gate:
    """An ASGI application before another."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the inner application do so."""
        if scope["type"] != "http":
            return
        refused = self._refused(scope)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await (refused or self._app)(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in ("GET", "HEAD"):
            return _no(405, "Here is nothing to be changed.", {"allow": "GET, HEAD"})
        if not self._door.is_this_machine(headers.getlist("host")):
            return _no(421, "This is not the name that the server was started under.")
        is_first = scope["path"] == "/"
        site, mode = headers.get("sec-fetch-site"), headers.get("sec-fetch-mode")
        if site not in (None, "same-origin", "none") and not (is_first and mode == "navigate"):
            return _no(403, "This is for its own pages.")
        return self._without_token(scope, headers) if self._door.token else None

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        door = self._door
        asked = parse_qs(scope["query_string"].decode("latin-1")).get(TOKEN, [])
        if scope["path"] == "/" and len(asked) == 1 and _same(asked[0], door.token):
            # The address that is left in the browser's history opens nothing.
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(door.cookie, door.token, httponly=True, samesite="lax", path="/")
            return answer
        kept: SimpleCookie = SimpleCookie()
        try:
            kept.load(headers.get("cookie", ""))
        except CookieError:
            kept.clear()
        shown = kept[door.cookie].value if door.cookie in kept else ""
        if _same(shown, door.token):
            return None
        return _no(401, "Open the address that `restore-batch serve` printed, with its token.")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _no(status: int, why: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{why}\n", status_code=status, headers=headers)

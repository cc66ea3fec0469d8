"""What is answered to which address. Nothing of an address is ever a path of the file system: it
names assets of ours, numbers of items, and keys of previews that are known."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import os
import re
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote_from_bytes

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from restore_batch import __version__
from restore_batch.errors import RestoreBatchError
from restore_batch.files import version_of
from restore_batch.jobs.history import Entry, History
from restore_batch.jobs.inputs import SourceFile
from restore_batch.jobs.spec import is_url
from restore_batch.pipeline.report.cache import Previews
from restore_batch.pipeline.report.writing import ASSETS, LINES_A_FILE, PAGE, page, script
from restore_batch.pipeline.serve.board import Board
from restore_batch.pipeline.serve.files import asked_part, open_at, open_below, pieces
from restore_batch.pipeline.serve.gate import POLICY
from restore_batch.pipeline.serve.pictures import Pictures
from restore_batch.text import legible

_LIVE = Path(__file__).with_name("page")
_LIVE_ASSETS = ("live.css", "live.js")
_PREVIEW = re.compile(r"(?P<key>[0-9a-f]{16})-[a-z]+\.(jpg|png|mp4)")
_LINES = re.compile(r"lines-(\d{1,9})\.js")
_DETAILS = re.compile(r"details-(\d{1,9})\.js")
_SHOWN_BY_BROWSERS = ("image/", "video/")
_LOOKS_S = 0.25
_TELLS_S = 2.0
_TELLS_IDLE_S = 15.0
_MOST_LINES = 500
_MOST_STREAMS = 200
_DETAILS_WAIT_S, _PREVIEW_WAIT_S = 20.0, 1.0


@dataclass
class Site:
    """The pages of one output folder. ``identity``: what ratings are kept under by browsers;
    ``ended``: set when the server is to end."""

    output_dir: Path
    identity: str
    board: Board
    pictures: Pictures
    ended: threading.Event
    streams: int = 0
    _messages: tuple[object, dict[int, tuple[str, int, bool]]] = field(
        default_factory=lambda: (None, {}), init=False
    )
    """When they were put together, and the messages by how much was told before."""

    def app(self) -> Starlette:
        """All addresses; whatever else is asked for is not there."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/assets/{name}", self._asset),
                Route("/data/{generation}/{name}", self._data),
                Route("/previews/{folder}/{name}", self._preview),
                Route("/results/{number:int}/{name}", self._result),
                Route("/originals/{number:int}/{name}", self._original),
                Route("/events", self._events),
            ]
        )

    # -- the page -----------------------------------------------------------------------------
    async def _page(self, request: Request) -> Response:
        text = await run_in_threadpool(self._written)
        return Response(text, media_type="text/html")

    def _written(self) -> str:
        board = self.board
        generation = board.generation
        about, sequence = board.about()
        items = len(board.shown)
        about = about | {"output": legible(str(self.output_dir)), "version": __version__}
        told = {
            "id": self.identity,
            "data": f"data/{generation}",
            "items": items,
            "details": 1,
            "live": {"generation": generation, "sequence": sequence, "state": board.state()},
        }
        parts = range((items + LINES_A_FILE - 1) // LINES_A_FILE)
        scripts = [f"data/{generation}/lines-{part}.js" for part in parts]
        assets = (*ASSETS, *_LIVE_ASSETS)
        return page(about, told, scripts, assets=assets, policy=POLICY, live=_LIVE)

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name in ASSETS:
            folder = PAGE
        elif name in _LIVE_ASSETS:
            folder = _LIVE
        else:
            return _nothing()
        content = (folder / name).read_bytes()
        return Response(content, media_type=mimetypes.guess_type(name)[0])

    async def _data(self, request: Request) -> Response:
        if request.path_params["generation"] != self.board.generation:
            return _nothing()
        name = request.path_params["name"]
        if found := _LINES.fullmatch(name):
            content = await run_in_threadpool(self._lines, int(found[1]))
        elif found := _DETAILS.fullmatch(name):
            content = await self._details(int(found[1]))
        else:
            content = b""
        return Response(content, media_type="text/javascript") if content else _nothing()

    def _lines(self, part: int) -> bytes:
        start = part * LINES_A_FILE
        lines = self.board.lines(start, LINES_A_FILE)
        return script("lines", start, lines) if lines else b""

    async def _details(self, number: int) -> bytes:
        if number >= len(self.board.shown):
            return b""
        if self.pictures.key(self.board.shown[number].entry):
            await self._made(self.board.shown[number].entry, _DETAILS_WAIT_S)
        shown = self.board.shown[number]
        previews = await run_in_threadpool(self.pictures.known, shown.entry)
        plain = replace(shown, previews=previews).details(self.output_dir, self.output_dir)
        entry = shown.entry
        if not is_url(entry.source):
            plain["source_link"] = f"originals/{number}/{_last_of(entry.source)}"
        if plain["result_link"]:
            plain["result_link"] = f"results/{number}/{_last_of(entry.output)}"
        return script("details", number, [plain])

    # -- files --------------------------------------------------------------------------------
    async def _made(self, entry: Entry, wait_s: float) -> Previews | None:
        known = await run_in_threadpool(self.pictures.known, entry)
        if known is not None:
            return known
        asked = asyncio.wrap_future(self.pictures.make(entry))
        try:
            # Shielded: others may wait for the same ones.
            return await asyncio.wait_for(asyncio.shield(asked), wait_s)
        except TimeoutError:
            return None

    async def _preview(self, request: Request) -> Response:
        folder, name = request.path_params["folder"], request.path_params["name"]
        found = _PREVIEW.fullmatch(name)
        entry = self.board.entry_of(found["key"]) if found else None
        if found is None or entry is None or folder != found["key"][:2]:
            return _nothing()
        if await self._made(entry, _PREVIEW_WAIT_S) is None:
            # A browser has few connections, and news are to come through: its card is shown anew
            # once they are made.
            return Response(status_code=204)
        for place in self.pictures.folders:
            try:
                file = await run_in_threadpool(open_below, place, f"previews/{folder}/{name}")
            except OSError:
                continue
            # Named by what they were made of, they never change.
            return _sent(request, file, name, {"cache-control": "private, max-age=3600"})
        return _nothing()

    async def _result(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or not entry.sha256:
            return _nothing()
        try:
            file = await run_in_threadpool(open_below, self.output_dir, entry.output)
        except (OSError, ValueError):
            return _nothing()
        return _sent(request, file, entry.output)

    async def _original(self, request: Request) -> Response:
        entry = self._entry(request)
        if entry is None or is_url(entry.source):
            return _nothing()
        try:
            file = await run_in_threadpool(self._opened_original, entry)
        except (OSError, ValueError, RestoreBatchError):
            return _nothing()
        return _sent(request, file, entry.source)

    def _opened_original(self, entry: Entry) -> BinaryIO:
        """The file that was restored, and no other that has come into its place."""
        noted = History.glance(
            self.output_dir, lambda history: history.noted_sources([entry.source])
        )
        file = open_at(entry.source)
        status = os.fstat(file.fileno())
        found = SourceFile(entry.source, "", status.st_size, version_of(status))
        known = noted.get(entry.source)
        if known is None or not known.is_of(found.stamp):
            file.close()
            raise FileNotFoundError(entry.source)
        return file

    def _entry(self, request: Request) -> Entry | None:
        number = request.path_params["number"]
        return self.board.shown[number].entry if number < len(self.board.shown) else None

    # -- news ---------------------------------------------------------------------------------
    async def _events(self, request: Request) -> Response:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        if request.method == "HEAD":
            return Response(headers=headers)
        if self.streams >= _MOST_STREAMS:
            return PlainTextResponse("too many pages are open\n", status_code=503)
        since = request.headers.get("last-event-id") or request.query_params.get("since", "")
        told = int(since) if re.fullmatch(r"\d{1,12}", since) else 0
        return StreamingResponse(
            self._news(request.query_params.get("of", ""), told), headers=headers
        )

    async def _news(self, generation: str, told: int) -> AsyncIterator[str]:
        self.streams += 1
        try:
            board, heard, told_at, is_going = self.board, -1, 0.0, True
            while not self.ended.is_set():
                if generation != board.generation:
                    yield "event: anew\ndata: {}\n\n"
                    return
                passed = time.monotonic() - told_at
                if board.moment != heard or passed > (_TELLS_S if is_going else _TELLS_IDLE_S):
                    moment = board.moment
                    text, told, is_going = self._message(told)
                    yield text
                    told_at = time.monotonic()
                    if told < board.sequence:
                        continue
                    heard = moment
                await asyncio.sleep(_LOOKS_S)
        finally:
            self.streams -= 1

    def _message(self, told: int) -> tuple[str, int, bool]:
        """The news for who was told so much of the log, how much that is then, and whether a run
        goes on. Most who look on are told the same, which is put together once."""
        board = self.board
        now = (board.generation, board.moment, board.sequence, int(time.monotonic() / _TELLS_S))
        if self._messages[0] != now:
            self._messages = now, {}
        known = self._messages[1]
        if told not in known:
            news, end = board.news(told, _MOST_LINES)
            text = f"id: {end}\ndata: {json.dumps(news, separators=(',', ':'))}\n\n"
            known[told] = text, end, news["state"]["going"]
        return known[told]


def _sent(
    request: Request, file: BinaryIO, name: str, headers: dict[str, str] | None = None
) -> Response:
    """A file, or the part of it that is asked for: films are sought in."""
    size = os.fstat(file.fileno()).st_size
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    said = {"accept-ranges": "bytes", **(headers or {})}
    if not kind.startswith(_SHOWN_BY_BROWSERS) or kind == "image/svg+xml":
        # What a browser may run is only ever saved.
        kind, said["content-disposition"] = "application/octet-stream", "attachment"
    try:
        part = asked_part(request.headers.get("range", ""), size)
    except ValueError:
        file.close()
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    status = 200 if part is None else 206
    part = range(size) if part is None else part
    if status == 206:
        said["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    said |= {"content-length": str(len(part)), "content-type": kind}
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=said)
    return StreamingResponse(pieces(file, part), status_code=status, headers=said)


def _last_of(path: str) -> str:
    return quote_from_bytes(os.fsencode(path.rpartition("/")[2]), safe="")


def _nothing() -> Response:
    return PlainTextResponse("not found\n", status_code=404)

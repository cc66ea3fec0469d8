"""Writing the report of an output folder: its data, its page, and the previews that lack."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from restore_batch import __version__
from restore_batch.errors import RestoreBatchError, UsageError
from restore_batch.files import whole
from restore_batch.jobs.history import Entry, History
from restore_batch.jobs.outputs import REPORT, REPORT_MARK
from restore_batch.jobs.patterns import Roots
from restore_batch.pipeline.report.cache import LONGEST_S, PreviewCache, Previews
from restore_batch.pipeline.report.films import summed_up
from restore_batch.pipeline.report.items import Shown
from restore_batch.pipeline.report.summary import WORSE, Kinds, about, kinds_of, line_of
from restore_batch.stages.previews.pictures import replace_with
from restore_batch.text import legible

if TYPE_CHECKING:
    import jinja2

LINES_A_FILE = 2000
DETAILS_A_FILE = 100
PAGE = Path(__file__).with_name("page")
_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file:;"
    " media-src 'self' file:; base-uri 'none'; form-action 'none'"
)
ASSETS = (
    "icon.svg",
    "report.css",
    "data.js",
    "marks.js",
    "list.js",
    "viewer.js",
    "faces.js",
    "start.js",
)

Progress = Callable[[int, int], None]
"""Told how many previews are made, of how many that lacked."""


@dataclass(frozen=True)
class Report:
    """What was written. ``page``: to be opened; ``made``: items whose previews were made now;
    ``left``: those still without, since time was up; ``failed``: those that none can be made of."""

    page: Path
    items: int
    made: int
    left: int
    failed: int


def write_report(
    output_dir: Path,
    folder: Path | None = None,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    progress: Progress = lambda done, total: None,
    longest_s: float = LONGEST_S,
    ledger_dir: Path | None = None,
    place: str = "",
) -> Report:
    """Write the report of ``output_dir`` to ``folder``, by default ``report`` in it.

    Previews that are there already stay; others are made until ``is_stopped``, and the page is
    written in any case; ``longest_s``: what those of one item may take. ``ledger_dir``: the folder
    whose ledger is read, by default ``output_dir``; ``place``: what the page says of where the
    results are, by default that folder. A run may be going on meanwhile.

    Raises UsageError where nothing was run or where something else lies in the report's place,
    RestoreBatchError where the folder cannot be written to.
    """
    begun, output_dir = time.time(), output_dir.absolute()
    report = output_dir / REPORT if folder is None else folder
    ledger_dir = ledger_dir or output_dir
    history = History.read(ledger_dir)
    if history is None:
        raise UsageError(f"{output_dir}: nothing was run there yet; expected an output folder")
    with history, history.at_one_moment():
        runs = history.runs()
        entries = list(history.entries())
        attempts = history.failed_attempts()
        films = {unit: summed_up(frames) for unit, frames in history.film_frames()}
    try:
        identity = _claim(report, output_dir)
        job = (runs[-1]["job"] if runs else None) or {}
        moments = {u: film.moment for u, film in films.items() if film.moment is not None}
        cache = PreviewCache(report, ledger_dir, job, moments, longest_s)
        is_own = report == output_dir / REPORT
        previews, made = _previews(cache, entries, is_own, is_stopped, progress)
        shown = [
            Shown(
                entry, previews.get(entry.output), films.get(entry.unit),
                attempts.get(entry.unit, ()), cache.errors.get(cache.key(entry), ""),
            )
            for entry in entries
        ]  # fmt: skip
        _write(report, place or str(output_dir), ledger_dir, identity, shown, runs)
        is_over = not runs or runs[-1]["ended"] is not None
        cache.sweep({cache.key(entry) for entry in entries}, begun, waiting=is_own and is_over)
    except OSError as error:
        where = error.filename or report
        raise RestoreBatchError(
            f"{where}: the report cannot be written there ({error.strerror or error})"
        ) from None
    lacking = [entry for entry in entries if cache.key(entry) and entry.output not in previews]
    failed = sum(cache.key(entry) in cache.errors for entry in lacking)
    return Report(report / "index.html", len(entries), made, len(lacking) - failed, failed)


def _claim(report: Path, output_dir: Path) -> str:
    """Make the folder, or find that it is a report; what its marks are kept under."""
    mark = report / REPORT_MARK
    known: dict[str, Any] = {}
    if os.path.lexists(report):
        if mark.is_file():
            known = _read_mark(mark)
        elif not report.is_dir() or any(report.iterdir()):
            raise UsageError(
                f"{report}: something that is no report is there; move it, or name another folder"
                " with --to"
            )
        if report != output_dir / REPORT and known.get("of", str(output_dir)) != str(output_dir):
            raise UsageError(
                f"{report}: the report of another output folder is there; name another with --to"
            )
    report.mkdir(parents=True, exist_ok=True)
    fresh = hashlib.sha256(f"{output_dir} {time.time_ns()}".encode("utf-8", "replace")).hexdigest()
    identity = str(known.get("id") or fresh[:16])
    said = {"what": f"a report of restore-batch {__version__}", "of": str(output_dir)}
    replace_with(mark, json.dumps(said | {"id": identity}, indent=1).encode())
    return identity


def _read_mark(mark: Path) -> dict[str, Any]:
    try:
        known = json.loads(mark.read_bytes())
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _previews(
    cache: PreviewCache,
    entries: Sequence[Entry],
    is_own: bool,
    is_stopped: Callable[[], bool],
    progress: Progress,
) -> tuple[dict[str, Previews], int]:
    """The previews of all items that have any, by output; and how many were made now."""
    there = ((e.output, cache.known(e) or cache.taken(e, keep=not is_own)) for e in entries)
    found = {output: known for output, known in there if known is not None}
    missing = [entry for entry in entries if entry.output not in found and cache.key(entry)]
    made = 0
    if missing:
        progress(0, len(missing))
        for number, (entry, previews) in enumerate(cache.make(missing, is_stopped), 1):
            if previews is not None:
                found[entry.output], made = previews, made + 1
            progress(number, len(missing))
    return found, made


def _write(
    report: Path,
    place: str,
    ledger_dir: Path,
    identity: str,
    shown: Sequence[Shown],
    runs: Sequence[Mapping[str, Any]],
) -> None:
    warned, failed = Counter[str](), Counter[str]()
    for each in shown:
        for found, kinds in zip((warned, failed), kinds_of(each), strict=True):
            found.update(kinds)
    warnings, failures = Kinds(warned), Kinds(failed)
    job = (runs[-1].get("job") if runs else None) or {}
    roots = Roots(str(entry) for entry in job.get("inputs") or ())
    lines = [line_of(each, roots, warnings, failures) for each in shown]
    details = (each.details(report, ledger_dir) for each in shown)
    files = {
        **dict(_numbered("lines", lines, LINES_A_FILE)),
        **dict(_numbered("details", details, DETAILS_A_FILE)),
    }
    said = hashlib.sha256()
    for name, content in files.items():
        said.update(name.encode() + content)
    generation = said.hexdigest()[:12]
    # Under a name of its own: a page that is open keeps its data until the new page is in place.
    folder = report / "data" / generation
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace_with(folder / name, content)
    assets = report / "assets"
    assets.mkdir(exist_ok=True)
    for name in ASSETS:
        replace_with(assets / name, (PAGE / name).read_bytes())
    summary = about(shown, runs, warnings, failures)
    summary = summary | {"output": legible(place), "version": __version__}
    data = {"id": identity, "data": f"data/{generation}", "items": len(shown)}
    scripts = [f"{data['data']}/{name}" for name in files if name.startswith("lines-")]
    with whole(report / "index.html") as staged:
        staged.write_text(page(summary, data, scripts), encoding="utf-8")
    for other in (report / "data").iterdir():
        if other.name != generation:
            shutil.rmtree(other, ignore_errors=True)


def _numbered(kind: str, entries: Any, most: int) -> Iterator[tuple[str, bytes]]:
    """Scripts that hand ``entries`` to the page, so many a file: a page that is opened from a disk
    may run scripts beside it, but not read files."""
    part: list[Any] = []
    start = 0
    for entry in entries:
        part.append(entry)
        if len(part) == most:
            yield f"{kind}-{start // most}.js", script(kind, start, part)
            start, part = start + most, []
    if part:
        yield f"{kind}-{start // most}.js", script(kind, start, part)


def script(kind: str, start: int, part: Sequence[Any]) -> bytes:
    """A script that hands the page ``lines`` or ``details`` of items, numbered from ``start``."""
    return f"report.{kind}({start},{json.dumps(part, separators=(',', ':'))});\n".encode()


def page(
    summary: Mapping[str, Any],
    data: Mapping[str, Any],
    scripts: Sequence[str],
    *,
    assets: Sequence[str] = ASSETS,
    policy: str = _POLICY,
    live: Path | None = None,
) -> str:
    """The page as HTML.

    ``data``: what its scripts are told; ``scripts``: with all lines; ``policy``: what its browser
    lets it do. ``live``: the folder of ``live.html``, where the page is of a run that goes on.
    """
    told = {
        "details": DETAILS_A_FILE,
        **data,
        "low": summary["low_identity"],
        "many": summary["many_faces"],
        "worse": WORSE,
        "exclude": summary["exclude"],
    }
    return _template(live).render(
        about=summary, told=told, scripts=scripts, assets=assets, policy=policy,
        live=live is not None,
    )  # fmt: skip


@functools.cache
def _template(live: Path | None) -> jinja2.Template:
    """Kept: a server writes its page for each who opens it."""
    import jinja2

    folders = [PAGE] if live is None else [PAGE, live]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    return environment.get_template("index.html")

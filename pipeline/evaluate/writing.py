"""The page of an evaluation: its tables, and the best, middle and worst pictures of each system.

Everything lies beside the page; nothing is asked of a network. The style is that of the report.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from restore_batch import __version__
from restore_batch.errors import MediaError, RestoreBatchError, UsageError
from restore_batch.files import whole
from restore_batch.isolation import Bounds, Isolated, Lost
from restore_batch.jobs.outputs import REPORT_MARK
from restore_batch.pipeline.evaluate.cases import Case
from restore_batch.pipeline.evaluate.evaluation import Column, Evaluation, Judged
from restore_batch.pipeline.report import previews
from restore_batch.stages.geometry import to_uint8
from restore_batch.stages.photo.read import read
from restore_batch.stages.previews.pictures import fit, replace_with, resized
from restore_batch.text import legible

_PAGE = Path(__file__).with_name("page")
_STYLE = Path(previews.__file__).with_name("page") / "report.css"
_SHOWN_PX = 512
_EACH = 3
_QUALITY = 88
_RANKED_BY = ("st_lpips", "psnr_db", "consistency", "niqe", "warping_error")
_BOUNDS = Bounds(time_s=600.0)


def write_page(evaluation: Evaluation, folder: Path) -> Path:
    """Write the page and its pictures to ``folder``; the page's path.

    Raises UsageError where something else is there, RestoreBatchError where it cannot be written.
    """
    expect_room(folder)
    mark = folder / REPORT_MARK
    try:
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        replace_with(mark, f'{{"what": "an evaluation of restore-batch {__version__}"}}'.encode())
        replace_with(folder / "report.css", _STYLE.read_bytes())
        ranked_by = _ranking(evaluation)
        shown = [] if ranked_by is None else list(_shown(evaluation, ranked_by))
        pictures = _pictures(folder / "pictures", [each for _, _, each in shown])
        page = _rendered(evaluation, ranked_by, shown, pictures)
        with whole(folder / "index.html") as staged:
            staged.write_text(page, encoding="utf-8")
    except OSError as error:
        where = error.filename or folder
        raise RestoreBatchError(f"{where}: cannot be written ({error.strerror})") from None
    return folder / "index.html"


def expect_room(folder: Path) -> None:
    """Raise UsageError where ``folder`` holds what is no page of ours."""
    taken = os.path.lexists(folder) and (not folder.is_dir() or any(folder.iterdir()))
    if taken and not (folder / REPORT_MARK).is_file():
        raise UsageError(f"{folder}: something that is no page of ours is there; name another")


def _ranking(evaluation: Evaluation) -> Column | None:
    known = {column.name: column for column in evaluation.columns}
    return next((known[name] for name in _RANKED_BY if name in known), None)


def _shown(evaluation: Evaluation, by: Column) -> Iterator[tuple[str, str, Judged]]:
    """System, place and case: the best, those in the middle, the worst, no case twice."""
    for name, judged in evaluation.systems.items():
        ranked = sorted(
            (each for each in judged if by.name in each.scores and not each.case.is_film),
            key=lambda each: each.scores[by.name],
            reverse=by.better == "higher",
        )
        middle = max(0, (len(ranked) - _EACH) // 2)
        parts = {
            "best": range(min(_EACH, len(ranked))),
            "middle": range(middle, min(middle + _EACH, len(ranked))),
            "worst": range(max(0, len(ranked) - _EACH), len(ranked)),
        }
        seen: set[int] = set()
        for place, numbers in parts.items():
            for number in numbers:
                if number not in seen:
                    seen.add(number)
                    yield name, place, ranked[number]


@dataclass(frozen=True)
class _ShowCase:
    """Writes small pictures of a case where a codec may crash; their names by what they show."""

    folder: Path

    def open(self) -> None:
        cv2.setNumThreads(1)

    def __call__(self, request: tuple[int, Case]) -> dict[str, str]:
        number, case = request
        made = {}
        sources = {"before": case.original, "result": case.result, "truth": case.truth}
        for what, source in sources.items():
            if not source or (what == "before" and source == case.result):
                continue
            try:
                rgb_hwc = to_uint8(read(source, 1000.0)[0].rgb_hwc)
            except (MediaError, OSError):
                continue
            size = fit(rgb_hwc.shape[1], rgb_hwc.shape[0], _SHOWN_PX)
            bgr = np.ascontiguousarray(resized(rgb_hwc, size)[..., ::-1])
            coded, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            if coded:
                made[what] = f"{number}-{what}.jpg"
                replace_with(self.folder / made[what], data.tobytes())
        return made


def _pictures(folder: Path, shown: Sequence[Judged]) -> list[dict[str, str]]:
    with Isolated(_ShowCase(folder), _BOUNDS) as showing:
        answers = showing.answers((number, each.case) for number, each in enumerate(shown))
        return [{} if isinstance(answer, Lost) else answer for answer in answers]


def _rendered(
    evaluation: Evaluation,
    by: Column | None,
    shown: Sequence[tuple[str, str, Judged]],
    pictures: Sequence[dict[str, str]],
) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    systems: dict[str, list[dict[str, Any]]] = {name: [] for name in evaluation.systems}
    for (name, place, judged), files in zip(shown, pictures, strict=True):
        scores = [
            (column.title, f"{judged.scores[column.name]:.4g}")
            for column in evaluation.columns
            if column.name in judged.scores
        ]
        systems[name].append(
            {"place": place, "name": legible(judged.case.name), "files": files, "scores": scores}
        )
    left_out = [
        (name, legible(each.name), legible(each.reason))
        for name, some in evaluation.left_out.items()
        for each in some
    ]
    return environment.get_template("index.html").render(
        evaluation=evaluation, rows=evaluation.rows(), by=by, systems=systems, left_out=left_out,
        version=__version__, legible=legible,
    )  # fmt: skip

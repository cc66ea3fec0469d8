"""Contact sheets, one of which crashes the process that draws it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from restore_batch.pipeline.compare.sheets import DrawSheet, Sheet

from support.misdeeds import do


@dataclass(frozen=True)
class CrashOnOneSheet(DrawSheet):
    """Draws contact sheets as they are, but crashes on that of ``album/a.png``."""

    def __call__(self, sheet: Sheet) -> dict[str, Any]:
        return super().__call__(sheet) if sheet.title != "album/a.png" else {"": do("crash")}

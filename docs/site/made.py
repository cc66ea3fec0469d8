"""What pages hold that is made of the code.

A page has a place for it: `<!-- made: NAME -->`, and where it stands in the page itself, for
whoever reads it without the site, up to `<!-- end -->`. That text is brought up to date with
`python docs/site/made.py`; the site makes its own, which may say more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import command_pages
import job_reference
import model_pages
import stage_pages

from restore_batch.stages.photo import table as photo_tables
from restore_batch.stages.video import table as video_tables

MADE: Mapping[str, Callable[[], str]] = {
    "codecs": video_tables.codecs,
    "commands": command_pages.markdown,
    "containers": video_tables.containers,
    "fates": photo_tables.fates,
    "formats": photo_tables.markdown,
    "job file": job_reference.markdown,
    "licences": model_pages.licences,
    "model details": model_pages.details,
    "models": model_pages.overview,
    "stages": stage_pages.markdown,
}
"""For the site."""
IN_PAGES: Mapping[str, Callable[[], str]] = {
    **MADE,
    "commands": command_pages.brief,
    "job file": job_reference.brief,
    "stages": stage_pages.brief,
}
"""For the pages themselves."""
PLACE = re.compile(
    r"^<!-- made: (?P<name>[^\n]*?) -->$(?P<text>(?:(?!<!-- made: ).)*?^<!-- end -->$)?",
    re.MULTILINE | re.DOTALL,
)
_DOCS = Path(__file__).resolve().parents[1]


def up_to_date(page: str) -> str:
    """A page with all that stands in it made anew."""

    def made(place: re.Match[str]) -> str:
        mark = f"<!-- made: {place['name']} -->"
        if not place["text"]:
            return mark
        return f"{mark}\n\n{IN_PAGES[place['name']]().strip()}\n\n<!-- end -->"

    return PLACE.sub(made, page)


def main() -> None:
    """Bring all pages up to date."""
    for path in sorted(_DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        if (after := up_to_date(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(path.name)


if __name__ == "__main__":
    main()

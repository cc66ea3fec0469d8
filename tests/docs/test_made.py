"""What stands in pages and is made of the code is as the code makes it."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from support.data import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs" / "site")
    return importlib.import_module("made")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_hold_what_is_made_today(made: ModuleType, page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert made.up_to_date(text) == text, "python docs/site/made.py brings it up to date"


def test_all_that_is_made_has_its_place(made: ModuleType) -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    places = list(made.PLACE.finditer(text))
    assert {place["name"] for place in places} == set(made.MADE) == set(made.IN_PAGES)
    assert [place["name"] for place in places if not place["text"]] == ["model details"]


def test_what_is_old_gives_way_and_what_is_not_in_the_page_stays_out(made: ModuleType) -> None:
    page = "a\n<!-- made: stages -->\nb\n<!-- made: codecs -->\nold\n<!-- end -->\nc\n"
    new = made.up_to_date(page)
    assert new.startswith("a\n<!-- made: stages -->\nb\n<!-- made: codecs -->\n\n| codec |")
    assert new.endswith("\n\n<!-- end -->\nc\n")
    assert "old" not in new
    assert made.up_to_date(new) == new

"""The documentation as a site: whole, made of the code, and without a word to anybody."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

from restore_batch.jobs.section import Section
from restore_batch.jobs.spec import Job
from restore_batch.models import registry
from restore_batch.pipeline.cli.main import cli
from restore_batch.stages.catalogue import stage_classes
from restore_batch.stages.photo.formats import catalogue as formats

from support.data import ROOT
from support.reports import browser, opened

pytest.importorskip("mkdocs", reason="mkdocs-material (the extra docs) is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; any warning ends the build."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        capture_output=True, text=True, check=False, cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


class _Page(HTMLParser):
    """What a page asks for, its anchors, and its text outside of code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.blocks: list[str] = [""]
        self._open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(given.get("href", ""))
        elif tag != "link" or given.get("rel") not in ("prev", "next", "canonical"):
            self.asked += [given[name] for name in ("src", "href", "srcset") if name in given]
        self.anchors.add(given.get("id", ""))
        if tag in ("code", "pre", "script", "style"):
            self._open.append(tag)
        elif tag in ("p", "li", "td", "th", "h1", "h2", "h3", "h4", "div"):
            self.blocks.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        self.blocks[-1] += "" if self._open else data


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, _Page]:
    """Every page by its name without a suffix."""
    return {path.stem: _Page(path) for path in site.glob("*.html")}


def test_every_document_is_a_page_that_the_navigation_leads_to(pages: dict[str, _Page]) -> None:
    documents = {path.stem for path in (ROOT / "docs").glob("*.md")}
    named = documents | {"index", "contributing"}
    assert named <= set(pages)
    assert {f"{name}.html" for name in named} <= set(pages["index"].links)


def test_no_page_asks_another_host_for_anything(site: Path, pages: dict[str, _Page]) -> None:
    asked = {link for page in pages.values() for link in page.asked}
    assert len(asked) > 5
    assert not [link for link in asked if re.match(r"(https?:)?//", link)]
    sheets = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert sheets
    assert not [
        sheet for sheet in sheets if re.search(r"(url\(|@import)[\"' ]*(https?:)?//", sheet)
    ]


def test_what_pages_link_to_is_on_the_site(site: Path, pages: dict[str, _Page]) -> None:
    for name, page in pages.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            if "://" in link or path.startswith("/") or name == "404":
                continue
            assert not path or (site / path).exists(), (name, link)
            if anchor and path.endswith(".html"):
                assert anchor in pages[Path(path).stem].anchors, (name, link)


def test_nothing_of_the_markdown_is_left_in_the_text(pages: dict[str, _Page]) -> None:
    left = re.compile(r"^ *([-*] |\d+\. |\| )|```|``|\*\*\w|\]\(|\{ #|<!--", re.MULTILINE)
    for name, page in pages.items():
        assert not [block for block in page.blocks if left.search(block)], name


def keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Every key of a job, with its sections."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from keys(field.annotation, f"{prefix}{name}.")


def test_every_key_of_a_job_file_is_described(pages: dict[str, _Page]) -> None:
    found = set(keys(Job))
    assert {"restore.strength", "video.segment_s", "on_error"} < found
    assert found <= pages["job-file"].anchors
    text = " ".join(pages["job-file"].blocks)
    assert "to a folder" in text
    for section in (Job, *(f.annotation for f in Job.model_fields.values())):
        if isinstance(section, type) and issubclass(section, Section):
            undescribed = [n for n, field in section.model_fields.items() if not field.description]
            assert not undescribed, section


def test_every_model_is_there_with_its_licence_and_every_option(pages: dict[str, _Page]) -> None:
    cards = registry.cards()
    assert {card.name for card in cards} <= pages["models"].anchors
    text = "\n".join(pages["models"].blocks)
    for card in cards:
        assert card.licence.title in text
        for option in registry.family_of(card).options.model_fields.values():
            assert option.description, card.name
            assert " ".join(option.description.split())[:20].partition("`")[0] in text


def test_every_stage_format_and_command_is_there(pages: dict[str, _Page]) -> None:
    assert {stage.name for stage in stage_classes()} <= pages["stages"].anchors
    photos = "\n".join(pages["photos"].blocks)
    assert not [each.title for each in formats.formats() if each.title not in photos]
    assert set(cli.list_commands(click.Context(cli))) <= pages["commands"].anchors


def test_the_site_can_be_read_and_searched_from_a_disk(site: Path) -> None:
    with browser() as program, opened(program, site / "index.html") as watched:
        watched.page.click(".md-search__input")
        watched.page.keyboard.type("deflicker")
        watched.page.wait_for_selector(".md-search-result__link[href*='job-file.html']")

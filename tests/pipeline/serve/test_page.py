"""The page of a server in a real browser: told of results as they come."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from restore_batch.jobs.manifest import Manifest

from support.reports import Item, add, browser, found_face, opened_at, restored, wait_until

pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from restore_batch.pipeline.serve.server import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


def names(page: Page) -> list[str]:
    return page.locator(".card .name").all_text_contents()


def violations(page: Page) -> list[Any]:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({preload: false}).then(found => found.violations)")
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def test_results_kinds_and_counts_come_without_loading_the_page_again(
    chromium: Browser, tmp_path: Path
) -> None:
    output = restored(tmp_path, [Item("b.png", warnings=("<i>1 odd</i> thing",))])
    originals = tmp_path / "in"
    with served(output) as address, opened_at(chromium, address, address) as watched:
        page = watched.page
        assert names(page) == ["b.png"]
        assert page.locator("#fold-reason").is_hidden()
        assert page.locator("[data-count=low]").is_hidden()
        page.evaluate("window.isTheSamePage = true")
        with Manifest.open(output) as manifest:
            # As the run before: its page goes on.
            job = {"inputs": [str(originals)], "output": str(output)}
            manifest.begin_run("1", "toy.yaml", job, [], 5)
            at_work = add(manifest, originals, Item("a.png", error="cut off at 7"))
            manifest.start(at_work, "source")
            page.get_by_text("A run is going on, or was cut off.").wait_for()
            page.locator("#live-work summary").click()
            page.locator("#live-list").get_by_text("a.png").wait_for()
            assert violations(page) == []
            manifest.fail(at_work, "decode", "MediaError", "cut off at 8")
            page.locator("#fold-reason").get_by_role("button", name="cut off at …").wait_for()
            add(manifest, originals, Item("new/c.png", (found_face(0.2),)))
            # Its card may come as one that is at work: the count, with its result.
            low = "document.querySelector('[data-count=low]').textContent"
            wait_until(page, f"{low} === '1 with likeness below 0.5'")
            assert "c.png" in names(page)
            page.select_option("#folder", "new/")
            assert names(page) == ["c.png"]
            page.click("#clear")
            page.locator("#fold-reason").get_by_role("button", name="cut off at …").click()
            assert names(page) == ["a.png"]
            page.click("#clear")
            # Who reads is not disturbed: the list changes when it is asked to.
            page.locator(".card").first.click()
            add(manifest, originals, Item("d.png"))
            wait_until(page, "document.querySelector('[data-count=done] b').textContent === '3'")
            page.keyboard.press("Escape")
            assert "d.png" not in names(page)
            page.click("#live-new")
            assert "d.png" in names(page)
            manifest.end_run("finished")
        page.get_by_text("The last run has ended: finished.").wait_for()
        assert page.evaluate("window.isTheSamePage")
        assert page.locator("main i").count() == 0


def test_a_page_says_when_its_server_is_gone(chromium: Browser, tmp_path: Path) -> None:
    output = restored(tmp_path, [Item("a.png")])
    with served(output) as first:
        address = first
        opened = opened_at(chromium, address, address)
        watched = opened.__enter__()
    watched.page.get_by_text("The server does not answer.").wait_for()
    watched.errors.clear()
    opened.__exit__(None, None, None)
